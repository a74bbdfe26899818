package rib

import (
	"slices"
	"sync"
)

// bell wakes readers that have read everything. A change rings it, which costs
// the same however many readers sleep: it wakes a few itself and leaves the
// rest to a goroutine that ends when nobody sleeps any more. A reader is woken
// once, and sleeps again only by reading to the end, so a burst of changes
// costs one wake-up a reader.
//
// Why a goroutine: if each woken reader woke the next ones when it reads, all
// would wait for one that is woken but held up by its own peer. And a goroutine
// that always runs would need somebody to run the table. This one is waited
// for by the last reader that closes: by then nobody sleeps, so it ends at
// once. Wake is called with mu held, and a reader leaves with mu held, so that
// Wake is never called after Close.
type bell struct {
	mu      sync.Mutex
	asleep  []*Reader     // guarded by mu
	running chan struct{} // guarded by mu; closed when the goroutine ends, nil if there is none
}

const (
	wokenAtOnce = 2  // by the writer
	wokenInTurn = 32 // by the goroutine, before it lets others have the lock
)

// sleep notes that r is to be woken.
func (b *bell) sleep(r *Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.asleep && !r.closed {
		r.asleep = true
		b.asleep = append(b.asleep, r)
	}
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake(wokenAtOnce)
	if len(b.asleep) > 0 && b.running == nil {
		b.running = make(chan struct{})
		go b.run()
	}
}

func (b *bell) run() {
	for b.turn() {
	}
}

func (b *bell) turn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake(wokenInTurn)
	if len(b.asleep) > 0 {
		return true
	}
	close(b.running)
	b.running = nil
	return false
}

// wake wakes at most so many. mu is held.
func (b *bell) wake(most int) {
	for range min(most, len(b.asleep)) {
		last := len(b.asleep) - 1
		r := b.asleep[last]
		b.asleep[last] = nil
		b.asleep = b.asleep[:last]
		r.asleep = false
		if r.options.Wake != nil && !r.closed {
			r.options.Wake()
		}
	}
}

// leave makes sure that r is not woken any more. It returns false if it was so
// already.
func (b *bell) leave(r *Reader) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed {
		return false
	}
	r.closed = true
	b.asleep = slices.DeleteFunc(b.asleep, func(x *Reader) bool { return x == r })
	return true
}

// wait waits for the goroutine, if there is one, to end. It must not be called
// while readers can sleep.
func (b *bell) wait() {
	b.mu.Lock()
	running := b.running
	b.mu.Unlock()
	if running != nil {
		<-running
	}
}
