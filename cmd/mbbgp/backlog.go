package main

// Whoever reads our standard error may stop to do so: a pipe into a program
// that hangs, a terminal that is held with Ctrl-S, a log driver that is stuck.
// A write would wait for as long, with the locks of whoever logs, and the bridge
// with it. So lines go into memory, and a goroutine that exists while there are
// some carries them to the file. It may wait; nobody waits for it. What does not
// fit is lost and counted.

import (
	"io"
	"os"
	"sync"
	"time"
)

// backlogLimit is how many bytes may wait, some thousand lines.
const backlogLimit = 1 << 20

// backlog is a file that makes nobody wait who writes to it.
type backlog struct {
	to *os.File

	mu      sync.Mutex
	missed  func(lines int) // guarded by mu; tells that lines were lost; nil: nobody is told
	waiting []byte          // guarded by mu
	lost    int             // guarded by mu; lines that did not fit behind waiting
	carried chan struct{}   // guarded by mu; closed once all is in the file; nil: it is
}

// onMissed says whom to tell how many lines were lost.
func (b *backlog) onMissed(tell func(lines int)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed = tell
}

// Write takes a line. It never fails.
func (b *backlog) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting)+len(line) > backlogLimit {
		b.lost++
		return len(line), nil
	}
	b.waiting = append(b.waiting, line...)
	if b.carried == nil {
		b.carried = make(chan struct{})
		go b.carry()
	}
	return len(line), nil
}

// carry writes to the file until nothing waits.
func (b *backlog) carry() {
	for {
		text, lost, missed := b.take()
		if text == nil {
			return
		}
		_, _ = b.to.Write(text) // there is nobody to tell of an error
		if lost > 0 && missed != nil {
			missed(lost)
		}
	}
}

// take returns what waits, how many lines were lost behind it, and whom to tell.
// If there is nothing, carry is over.
func (b *backlog) take() (text []byte, lost int, missed func(int)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		close(b.carried)
		b.carried = nil
		return nil, 0, nil
	}
	text, lost = b.waiting, b.lost
	b.waiting, b.lost = nil, 0
	return text, lost, b.missed
}

// flush waits until all is in the file, but no longer than the time given.
func (b *backlog) flush(within time.Duration) {
	b.mu.Lock()
	carried := b.carried
	b.mu.Unlock()
	if carried == nil {
		return
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-carried:
	case <-limit.C:
	}
}

// fileOf returns the file that an output ends in, nil if it is none.
func fileOf(w io.Writer) *os.File {
	switch w := w.(type) {
	case *os.File:
		return w
	case *backlog:
		return w.to
	case *lockedWriter:
		return fileOf(w.to)
	}
	return nil
}
