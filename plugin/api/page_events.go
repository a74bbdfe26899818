package api

// What the page shows without being asked is a board of sections. Readers of the
// events make it anew, one for all of them, when it is older than a second; each
// is sent the sections that have changed since its last round, and the time of
// the board. So nobody looks at the state when nobody looks at the page, a
// hundred readers cost what one does, and who reads slowly misses what was there
// in between, and delays nobody.

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	boardEvery = time.Second
	slowest    = 10 * time.Second // that a reader may take for what it is sent
)

// board is the present state in pieces that are sent one by one.
type board struct {
	state *State

	mu       sync.Mutex
	made     time.Time // guarded by mu
	sections []section // guarded by mu; what they hold does not change
}

// section is a piece of the board.
type section struct {
	name    string
	data    []byte // JSON in one line
	version int    // one more whenever data is another one
}

// look returns the present board and its time.
func (b *board) look() ([]section, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Rounds of one reader are a second apart, more or less.
	if now := time.Now(); now.Sub(b.made) > boardEvery-boardEvery/10 {
		b.sections, b.made = renewed(b.sections, b.state.sections()), now
	}
	return b.sections, b.made
}

// renewed returns the new sections with the versions that follow the old ones.
func renewed(old, now []section) []section {
	for i := range now {
		switch {
		case i >= len(old):
			now[i].version = 1
		case bytes.Equal(old[i].data, now[i].data):
			now[i] = old[i]
		default:
			now[i].version = old[i].version + 1
		}
	}
	return now
}

// events answers api/events with server-sent events: the sections by name, then
// "tick" with the time of the board.
func (p *statusPage) events(w http.ResponseWriter, r *http.Request) {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		writeProblem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open, no more are allowed", maxReaders))
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep them back
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // there is nothing more to read, and its end would be the stream's
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	told := map[string]int{}
	var text bytes.Buffer
	for {
		sections, made := p.board.look()
		text.Reset()
		for _, s := range sections {
			if told[s.name] != s.version {
				told[s.name] = s.version
				writeEvent(&text, s.name, s.data)
			}
		}
		writeEvent(&text, "tick", encoded(map[string]time.Time{"now": made}))
		_ = control.SetWriteDeadline(time.Now().Add(slowest)) // or the server's own
		if _, err := w.Write(text.Bytes()); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func writeEvent(w *bytes.Buffer, name string, data []byte) {
	w.WriteString("event: " + name + "\ndata: ")
	w.Write(data)
	w.WriteString("\n\n")
}
