package kernel

// The kernel decides what is reachable: the tracker asks it for the route of
// each address that is watched (RTM_GETROUTE), once, and again when something
// happened that this address may feel. A route that comes or goes is felt by
// the addresses inside its prefix; they are neighbours in a sorted index. The
// rest is rare: the kernel removes IPv4 routes of a device that goes down, of an
// address that is removed, and of a next hop object without a word, so that
// these are felt by those that use the device, or by all.
//
// An address does not become reachable by what we make of it: a route into a
// tunnel of ours does not count, whoever made it. The kernel would put the outer
// packet into the same tunnel again, and drops it ("Local routing loop detected",
// "recursion limit reached"). It may happen to VNIs whose table is the main one.

import (
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
)

// resolver asks the kernel how it would send to addresses.
type resolver interface {
	Resolve(addrs []netip.Addr, out []rtnl.Resolution) error
}

// underlay says what of the kernel's routing leads to next hops.
type underlay struct {
	viaDefault bool                    // default routes do
	ignore     func(table uint32) bool // routes of this table do not: it is a VNI's and not the main one
	tunnel     func(device int) bool   // routes that leave by this interface do not: it is a tunnel of ours
	encap      rtnl.EncapKind          // nor do those that encapsulate as our tunnels do, which may leave by any interface
}

// encapOf returns the encapsulation of routes into a tunnel.
func encapOf(t config.Tunnel) rtnl.EncapKind {
	if t == config.TunnelSeg6 {
		return rtnl.EncapSeg6
	}
	return rtnl.EncapIP6
}

// tracker knows which next hops the underlay can reach. It is for one
// goroutine.
type tracker struct {
	resolver resolver
	underlay underlay
	targets  map[netip.Addr]*target
	index    []*target // all but those in unsorted, by address, and some that nobody uses any more
	unsorted []*target // new since index was made
	marked   []*target // to be resolved
	all      bool      // everything is to be resolved
	links    map[int]linkState
}

// target is an address that is watched.
type target struct {
	addr   netip.Addr
	uses   int // 0: nobody uses it any more
	state  rtnl.Resolution
	device int // that the route leaves by, even if it does not count
	marked bool
}

// linkState is what routes feel of a link.
type linkState struct {
	up, carrier bool
	master      int
}

func newTracker(r resolver, u underlay) *tracker {
	return &tracker{resolver: r, underlay: u, targets: make(map[netip.Addr]*target), links: make(map[int]linkState)}
}

// watch adds a use of addr, whose state is known after the next resolve.
func (t *tracker) watch(addr netip.Addr) {
	w := t.targets[addr]
	if w == nil {
		if len(t.unsorted) > len(t.targets) { // most of them were for nothing
			t.sort()
		}
		w = &target{addr: addr}
		t.targets[addr] = w
		t.unsorted = append(t.unsorted, w)
		t.mark(w)
	}
	w.uses++
}

// unwatch takes back a watch.
func (t *tracker) unwatch(addr netip.Addr) {
	w := t.targets[addr]
	if w == nil {
		return
	}
	if w.uses--; w.uses == 0 {
		delete(t.targets, addr)
	}
}

// state returns what the last resolve found. An address that is not watched, or
// not resolved yet, is not reachable.
func (t *tracker) state(addr netip.Addr) rtnl.Resolution {
	if w := t.targets[addr]; w != nil {
		return w.state
	}
	return rtnl.Resolution{}
}

// pending reports whether resolve has something to do.
func (t *tracker) pending() bool { return len(t.marked) > 0 || t.all && len(t.targets) > 0 }

// recheck has everything looked up again.
func (t *tracker) recheck() { t.all = true }

// touch marks the addresses that may feel a change of a route. Of those that we
// make ourselves there is no event.
func (t *tracker) touch(table uint32, p netip.Prefix) {
	if !t.underlay.ignore(table) {
		t.markInside(p)
	}
}

// event marks the addresses that may feel e.
func (t *tracker) event(e *rtnl.Event) {
	switch e.Kind {
	case rtnl.RouteEvent:
		t.touch(e.Route.Table, e.Route.Prefix)
	case rtnl.LinkEvent:
		t.link(e)
	case rtnl.AddressEvent:
		t.all = t.all || e.Removed // and with it the routes that prefer it as their source
	case rtnl.NextHopEvent, rtnl.RuleEvent, rtnl.OverrunEvent:
		t.all = true
	}
}

// link marks those that use a link that is lost, or all if a link is there that
// was not. Most events of links change nothing that routes feel.
func (t *tracker) link(e *rtnl.Event) {
	now := linkState{e.Link.Up, e.Link.Carrier, e.Link.Master}
	before, known := t.links[e.Link.Index]
	switch {
	case e.Removed:
		delete(t.links, e.Link.Index)
		t.markUsing(e.Link.Index)
	case known && now == before:
	default:
		t.links[e.Link.Index] = now
		if now.up && now.carrier {
			t.all = true
		} else {
			t.markUsing(e.Link.Index)
		}
	}
}

func (t *tracker) mark(w *target) {
	if !w.marked {
		w.marked = true
		t.marked = append(t.marked, w)
	}
}

func (t *tracker) markUsing(device int) {
	for _, w := range t.targets {
		if w.device == device {
			t.mark(w)
		}
	}
}

// markInside marks the addresses inside p, the link-local ones of all zones.
func (t *tracker) markInside(p netip.Prefix) {
	if !p.IsValid() || t.all {
		return
	}
	t.sort()
	first, _ := slices.BinarySearchFunc(t.index, p.Masked().Addr(), func(w *target, a netip.Addr) int { return w.addr.Compare(a) })
	for _, w := range t.index[first:] {
		if !p.Contains(w.addr.WithZone("")) {
			break
		}
		t.mark(w)
	}
}

// sort brings new addresses into the index and drops those out of use.
func (t *tracker) sort() {
	if len(t.unsorted) == 0 {
		return
	}
	slices.SortFunc(t.unsorted, compareTargets)
	merged := make([]*target, 0, len(t.targets))
	for old, recent := t.index, t.unsorted; len(old)+len(recent) > 0; {
		from := &old
		if len(old) == 0 || len(recent) > 0 && compareTargets(recent[0], old[0]) < 0 {
			from = &recent
		}
		if w := (*from)[0]; w.uses > 0 {
			merged = append(merged, w)
		}
		*from = (*from)[1:]
	}
	t.index, t.unsorted = merged, nil
}

func compareTargets(a, b *target) int { return a.addr.Compare(b.addr) }

// resolve asks the kernel for all that is marked and returns the addresses whose
// state is another one now. After an error everything stays marked.
func (t *tracker) resolve() (changed []netip.Addr, err error) {
	if t.all {
		t.sort()
		for _, w := range t.index {
			t.mark(w)
		}
		t.all = false
	}
	var addrs []netip.Addr
	t.marked = slices.DeleteFunc(t.marked, func(w *target) bool { return w.uses == 0 })
	for _, w := range t.marked {
		addrs = append(addrs, w.addr)
	}
	if len(addrs) == 0 {
		return nil, nil
	}
	found := make([]rtnl.Resolution, len(addrs))
	if err := t.resolver.Resolve(addrs, found); err != nil {
		return nil, fmt.Errorf("looking up next hops: %w", err)
	}
	for i, w := range t.marked {
		w.marked, w.device = false, found[i].Device
		if now := t.judge(found[i]); now != w.state {
			w.state = now
			changed = append(changed, w.addr)
		}
	}
	clear(t.marked)
	t.marked = t.marked[:0]
	return changed, nil
}

// judge returns r as it counts for next hops.
func (t *tracker) judge(r rtnl.Resolution) rtnl.Resolution {
	u := &t.underlay
	looped := u.tunnel(r.Device) || r.Encap != rtnl.EncapNone && r.Encap == u.encap
	if !r.Reachable || looped || r.Default && !u.viaDefault {
		return rtnl.Resolution{}
	}
	return r
}
