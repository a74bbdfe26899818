package main

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"mbbgp/rib"
)

// board is what is to be seen at each place of the demo at this moment. The
// places write on it from their own goroutines.
type board struct {
	mu      sync.Mutex
	seen    map[sight]detail
	changed chan struct{} // closed at the next change, and replaced
}

// sight is one route at one place. key tells several routes of one prefix from
// each other: the next hop in MetalBond, the route distinguisher in BGP.
type sight struct {
	place  string
	vni    rib.VNI
	prefix netip.Prefix
	key    string
}

// detail is what a place shows of a route.
type detail struct {
	own  bool   // the place announces it itself
	hop  string // where packets go, as routes are written
	text string // everything else, in one line
}

func newBoard() *board {
	return &board{seen: make(map[sight]detail), changed: make(chan struct{})}
}

// put writes a route on the board.
func (b *board) put(s sight, d detail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[s] = d
	b.signal()
}

// drop wipes a route off the board.
func (b *board) drop(s sight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, s)
	b.signal()
}

// clear wipes everything of a place off the board.
func (b *board) clear(place string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.seen {
		if s.place == place {
			delete(b.seen, s)
		}
	}
	b.signal()
}

func (b *board) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// change returns a channel that the next change closes. Who takes it before
// looking misses nothing.
func (b *board) change() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// heard returns what a place has heard of a prefix, ordered by key.
func (b *board) heard(place string, vni rib.VNI, prefix netip.Prefix) []detail {
	var found []detail
	for _, line := range b.lines() {
		if line.place == place && line.vni == vni && line.prefix == prefix && !line.own {
			found = append(found, line.detail)
		}
	}
	return found
}

// line is a sight with its detail.
type line struct {
	sight
	detail
}

// lines returns the board by VNI, prefix, place and key.
func (b *board) lines() []line {
	b.mu.Lock()
	all := make([]line, 0, len(b.seen))
	for s, d := range b.seen {
		all = append(all, line{s, d})
	}
	b.mu.Unlock()
	slices.SortFunc(all, func(x, y line) int {
		return cmp.Or(
			cmp.Compare(x.vni, y.vni),
			x.prefix.Addr().Compare(y.prefix.Addr()),
			cmp.Compare(x.prefix.Bits(), y.prefix.Bits()),
			cmp.Compare(x.place, y.place),
			cmp.Compare(x.key, y.key),
		)
	})
	return all
}
