package gobgp

import (
	"net/netip"
	"sync"

	"mbbgp/bridge"
	"mbbgp/config"
)

// maxBatch is how many updates go in one call, in either direction: enough to
// share the cost of the call, few enough to hold no lock for long.
const maxBatch = 1000

// keepBuffer is the largest buffer that is kept for reuse after a burst.
const keepBuffer = 1 << 16

// inbox holds what an engine said until the bridge takes it: as much as came
// since the bridge was last ready, so a slow bridge gets large batches.
type inbox struct {
	wake chan struct{} // holds one token while there is something to take

	mu      sync.Mutex
	letters letters                  // guarded by mu
	touched map[bridge.NLRI]struct{} // guarded by mu; updated since a refresh began; nil: none under way
}

// letters are updates with marks among them.
type letters struct {
	updates []bridge.Update
	marks   []mark
}

// mark says, behind a number of updates, that a neighbour's table ends there,
// or that the neighbour does.
type mark struct {
	after    int
	neighbor netip.Addr
	family   config.Family
	gone     bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) update(u bridge.Update) {
	b.mu.Lock()
	b.letters.updates = append(b.letters.updates, u)
	if b.touched != nil {
		b.touched[u.NLRI] = struct{}{}
	}
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) endOfRIB(neighbor netip.Addr, family config.Family) {
	b.mark(mark{neighbor: neighbor, family: family})
}

// forget says that the neighbour is not there any more.
func (b *inbox) forget(neighbor netip.Addr) { b.mark(mark{neighbor: neighbor, gone: true}) }

func (b *inbox) mark(m mark) {
	b.mu.Lock()
	m.after = len(b.letters.updates)
	b.letters.marks = append(b.letters.marks, m)
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take swaps what there is against empty letters.
func (b *inbox) take(empty letters) letters {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.letters
	b.letters = letters{updates: empty.updates[:0], marks: empty.marks[:0]}
	return full
}

// A refresh says the present table once more. What the engine says meanwhile
// is newer than the copy of the table that the refresh reads from, so it wins:
// between beginRefresh and refresh all NLRIs that are updated are noted, and
// left out of the refresh.

func (b *inbox) beginRefresh() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched = make(map[bridge.NLRI]struct{})
}

func (b *inbox) refresh(table []bridge.Update) {
	b.mu.Lock()
	for _, u := range table {
		if _, newer := b.touched[u.NLRI]; !newer {
			b.letters.updates = append(b.letters.updates, u)
		}
	}
	b.touched = nil
	b.mu.Unlock()
	b.ring()
}

// deliver hands letters over, in batches and in order.
func (l letters) deliver(to routes) {
	from := 0
	upTo := func(n int) {
		for from < n {
			next := min(from+maxBatch, n)
			to.Import(l.updates[from:next])
			from = next
		}
	}
	for _, m := range l.marks {
		upTo(m.after)
		if m.gone {
			to.Forget(m.neighbor)
		} else {
			to.EndOfRIB(m.neighbor, m.family)
		}
	}
	upTo(len(l.updates))
}
