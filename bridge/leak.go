package bridge

// A VNI may hold the routes of others (import-from). A next hop of the source
// VNI stands in the other one with the source as its target VNI, so hypervisors
// send as if it were theirs, and whoever looks sees whose it is. That mark is
// also what ends every circle: only a next hop without target VNI is leaked,
// so what was leaked once is not leaked again, here or by another bridge that
// hears of it through a MetalBond server, and two VNIs may have each other's
// routes. BGP is told of no leaked route.
//
// A leak is a reader of its source. What it put into the other VNI follows from
// what it was shown, so nothing is kept but the routes for which the other VNI
// has no room (max-prefixes).

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// leaked is the least preference that there is. So a leaked route never hides
// one that the VNI has of its own: if it could, two VNIs with each other's
// routes would show what they have by who was first.
const leaked = rib.Relayed

// copied reports whether a next hop that a MetalBond peer says is one that the
// VNI would get by import-from. It is another bridge's leak then, and counts no
// more than our own: if the copies hid what we leak, two bridges of which one
// knows more than the other would hide theirs in turn, for ever.
func (v *view) copied(vni rib.VNI, nh rib.NextHop) bool {
	n := v.networks[vni]
	return n != nil && n.copies(nh)
}

// copies reports whether a next hop is one that the network gets by
// import-from.
func (n *network) copies(nh rib.NextHop) bool {
	return nh.TargetVNI != 0 && slices.Contains(n.from, nh.TargetVNI)
}

// leakable are the sources of routes that are leaked.
var leakable = rib.Sources(rib.Static, rib.Client, rib.Server, rib.BGP)

// leakRetry is how often routes that found no room are tried again.
const leakRetry = time.Second

// leak brings the routes of one VNI into another.
type leak struct {
	bridge   *Bridge
	from     rib.VNI
	vni      rib.VNI     // that they are brought into
	admitted *tableLimit // of it
	origin   rib.Origin
	reader   *rib.Reader   // of Leak
	ready    atomic.Bool   // there is something to read
	hops     []rib.NextHop // scratch

	mu      sync.Mutex
	waiting map[netip.Prefix][]rib.NextHop // guarded by mu; refused by max-prefixes
}

// LeakStats are the figures of a leak at one moment.
type LeakStats struct {
	From, To rib.VNI
	Routes   int // next hops that To has of From
	Waiting  int // prefixes for which To has no room
}

// leaks are those of the present view, and those that are over.
type leaks struct {
	wake chan struct{} // there is something to read, or set was called

	mu   sync.Mutex
	list []*leak // guarded by mu; by target, then by source
	over []*leak // guarded by mu; that Leak has to end
}

func newLeaks() leaks { return leaks{wake: make(chan struct{}, 1)} }

// checkImportFrom says what is wrong with the import-from of a VNI.
func checkImportFrom(c *config.VNI) error {
	for i, from := range c.ImportFrom {
		if from == c.VNI || slices.Contains(c.ImportFrom[:i], from) {
			return fmt.Errorf("vni %d: import-from %d is the VNI itself, or there twice", c.VNI, from)
		}
	}
	return nil
}

// set makes the leaks those of a view. Leak opens what is new and ends what is
// over.
func (x *leaks) set(b *Bridge, v *view) {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := slices.Clone(x.list) // Leak may be at the other one
	x.list = nil
	for _, to := range v.sorted {
		for _, from := range to.from {
			i := slices.IndexFunc(was, func(l *leak) bool { return l.from == from && l.vni == to.vni })
			if i < 0 {
				x.list = append(x.list, newLeak(b, from, to))
				continue
			}
			x.list = append(x.list, was[i])
			was = slices.Delete(was, i, i+1)
		}
	}
	x.over = append(x.over, was...)
	x.ring()
}

// ring wakes Leak.
func (x *leaks) ring() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// take returns the leaks, and those that are over, once.
func (x *leaks) take() (list, over []*leak) {
	x.mu.Lock()
	defer x.mu.Unlock()
	list, over = x.list, x.over
	x.over = nil
	return list, over
}

func newLeak(b *Bridge, from rib.VNI, to *network) *leak {
	return &leak{
		bridge: b, from: from, vni: to.vni, admitted: to.admitted,
		origin: b.table.NewOrigin(rib.OriginInfo{Source: rib.Leaked, Name: fmt.Sprintf("vni %d", from)}),
	}
}

// Leak keeps the routes of import-from in the VNIs that want them until ctx is
// over; then it returns nil. What is there by then stays. It must not run twice
// at once.
func (b *Bridge) Leak(ctx context.Context) error {
	open := map[*leak]bool{}
	defer func() {
		for l := range open {
			l.reader.Close()
		}
	}()
	changes := make([]rib.Change, maxBatch)
	for ctx.Err() == nil {
		list, over := b.leaks.take()
		for _, l := range over {
			if open[l] {
				l.reader.Close()
				delete(open, l)
			}
			b.table.Release(l.origin)
		}
		idle, waiting := true, false
		for _, l := range list {
			if !open[l] {
				l.open(b.leaks.ring)
				open[l] = true
			}
			if l.ready.Swap(false) && ctx.Err() == nil {
				l.read(changes)
				idle = false
			}
			waiting = l.admit() || waiting
		}
		if !idle {
			continue
		}
		var retry <-chan time.Time
		if waiting {
			retry = time.After(leakRetry)
		}
		select {
		case <-ctx.Done():
		case <-b.leaks.wake:
		case <-retry:
		}
	}
	return nil
}

// Leaks returns the figures of all leaks, by target, then by source.
func (b *Bridge) Leaks() []LeakStats {
	b.leaks.mu.Lock()
	leaks := b.leaks.list
	b.leaks.mu.Unlock()
	list := make([]LeakStats, 0, len(leaks))
	for _, l := range leaks {
		l.mu.Lock()
		waiting := len(l.waiting)
		l.mu.Unlock()
		list = append(list, LeakStats{From: l.from, To: l.vni, Routes: b.table.CountVNI(l.origin, l.vni), Waiting: waiting})
	}
	return list
}

// open begins from nothing: an earlier run may have left what is over.
func (l *leak) open(wake func()) {
	l.bridge.table.Flush(l.origin)
	l.mu.Lock()
	l.waiting = map[netip.Prefix][]rib.NextHop{}
	l.mu.Unlock()
	l.ready.Store(true)
	l.reader = l.bridge.table.NewReader(l.from, rib.ReaderOptions{
		Sources: leakable,
		Wake: func() {
			l.ready.Store(true)
			wake()
		},
	})
}

func (l *leak) read(changes []rib.Change) {
	n, more := l.reader.ReadChanges(changes)
	if more {
		l.ready.Store(true)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range changes[:n] {
		l.change(&changes[i])
	}
}

// change makes what the other VNI has of a prefix what the source has now. mu
// is held.
func (l *leak) change(c *rib.Change) {
	l.hops = l.hops[:0]
	for i := range c.New {
		if nh := c.New[i].NextHop; nh.TargetVNI == 0 {
			nh.TargetVNI = l.from
			l.hops = append(l.hops, nh)
		}
	}
	delete(l.waiting, c.Prefix)
	if !l.put(c.Prefix, l.hops) {
		l.waiting[c.Prefix] = slices.Clone(l.hops)
	}
}

// put makes hops what the other VNI has of a prefix, unless it is full; then it
// has nothing of it from here.
func (l *leak) put(p netip.Prefix, hops []rib.NextHop) bool {
	if !l.replace(p, hops) {
		return false
	}
	for _, nh := range hops {
		l.bridge.claimed(l.vni, p, nh)
	}
	return true
}

func (l *leak) replace(p netip.Prefix, hops []rib.NextHop) bool {
	limit := l.admitted
	limit.mu.Lock()
	defer limit.mu.Unlock()
	table := l.bridge.table.Edit(l.origin, l.vni)
	defer table.Done()
	if limit.Max > 0 && len(hops) > 0 && !limit.admits(l.bridge, &table, l.vni, p) {
		return false
	}
	table.Replace(p, hops, leaked)
	return true
}

// admit puts prefixes that had found no room as far as there is room now, and
// reports whether some still wait.
func (l *leak) admit() (waiting bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, hops := range l.waiting {
		if s := l.admitted.stats(l.bridge, l.vni); s.Used >= s.Max || !l.put(p, hops) {
			return true
		}
		delete(l.waiting, p)
	}
	return false
}
