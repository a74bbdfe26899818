package gobgp

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/osrg/gobgp/v4/pkg/apiutil"

	"mbbgp/bridge"
)

// With ADD-PATH (RFC 7911) several paths of one NLRI are in use at once, and
// GoBGP reports changes of that set: paths that came or changed, and paths that
// went, each named by its neighbour and path identifier. The bridge has an NLRI
// for each: slots 0, 1, 2 and so on. A slot belongs to a way out, that is to a
// next hop, label and SID. So two reflectors that send the same paths, each
// under identifiers of its own, fill each slot once, and one of them can leave
// without anybody noticing. A way out keeps its slot as long as it is in use,
// and one that takes the place of another gets its slot, so that what is new
// replaces what was, and the NLRI is never without paths in between.

// multipath knows which paths are in use.
type multipath struct {
	mu    sync.Mutex
	paths map[bridge.NLRI][]inUse // guarded by mu; in the order in which they came
}

// inUse is one path of an NLRI.
type inUse struct {
	neighbor   netip.Addr
	id         uint32 // path identifier, of the neighbour
	slot       uint32
	label      uint32
	attributes *bridge.Attributes
}

// way is what makes paths different to the bridge's users.
type way struct {
	nextHop netip.Addr
	label   uint32
	sid     bridge.SRv6
}

func (p *inUse) way() way { return way{p.attributes.NextHop, p.label, p.attributes.SRv6} }

// noSlot is the slot of a path that is new.
const noSlot = ^uint32(0)

func newMultipath() *multipath { return &multipath{paths: make(map[bridge.NLRI][]inUse)} }

// change takes one event of GoBGP. It has all that has changed of an NLRI.
func (m *multipath) change(w *watcher, paths []*apiutil.Path) {
	updates := make([]bridge.Update, 0, len(paths))
	ids := make([]uint32, 0, len(paths))
	for _, p := range paths {
		if !p.PeerAddress.IsValid() {
			w.to.skipped(skipOwn) // what it took the place of is in the event
		} else if u, ok := w.update(p); ok {
			updates, ids = append(updates, u), append(ids, p.RemoteID)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range updates {
		n := updates[i].NLRI
		if slices.ContainsFunc(updates[:i], func(u bridge.Update) bool { return u.NLRI == n }) {
			continue // was done with the first one
		}
		old := m.paths[n]
		now := slices.Clone(old)
		for j := i; j < len(updates); j++ {
			if updates[j].NLRI == n {
				now = apply(now, &updates[j], ids[j])
			}
		}
		number(now)
		if len(now) == 0 {
			delete(m.paths, n)
		} else {
			m.paths[n] = now
		}
		tell(w.to, n, old, now)
	}
}

// apply changes the paths of an NLRI by one update.
func apply(paths []inUse, u *bridge.Update, id uint32) []inUse {
	i := slices.IndexFunc(paths, func(p inUse) bool { return p.neighbor == u.Neighbor && p.id == id })
	switch {
	case u.Withdraw && i >= 0:
		return slices.Delete(paths, i, i+1)
	case u.Withdraw:
		return paths
	case i < 0:
		return append(paths, inUse{u.Neighbor, id, noSlot, u.Label, u.Attributes})
	}
	p := &paths[i]
	was := p.way()
	p.label, p.attributes = u.Label, u.Attributes
	// A slot goes on with its way, as long as that is there.
	for j := range paths {
		if o := paths[j].way(); p.way() != was && j != i && (o == was || o == p.way()) {
			p.slot = noSlot
		}
	}
	return paths
}

// number gives each way one slot: the one that it has, or else the lowest that
// is free.
func number(paths []inUse) {
	slots := make(map[way]uint32, len(paths))
	taken := make(map[uint32]bool, len(paths))
	for i := range paths {
		p := &paths[i]
		if _, ok := slots[p.way()]; !ok && p.slot != noSlot && !taken[p.slot] {
			slots[p.way()], taken[p.slot] = p.slot, true
		}
	}
	for i := range paths {
		p := &paths[i]
		slot, ok := slots[p.way()]
		if !ok {
			for taken[slot] {
				slot++
			}
			slots[p.way()], taken[slot] = slot, true
		}
		p.slot = slot
	}
}

// tell says what is different: what is new before what goes.
func tell(to sink, n bridge.NLRI, old, now []inUse) {
	for i := range now {
		p := &now[i]
		if voice(now, p.slot) != i {
			continue
		}
		if was := voice(old, p.slot); was >= 0 && old[was] == *p {
			continue
		}
		to.update(bridge.Update{NLRI: slotted(n, p.slot), Label: p.label, Attributes: p.attributes, Neighbor: p.neighbor})
	}
	for i := range old {
		p := &old[i]
		if voice(old, p.slot) == i && voice(now, p.slot) < 0 {
			to.update(bridge.Update{Withdraw: true, NLRI: slotted(n, p.slot), Neighbor: p.neighbor})
		}
	}
}

// voice returns the path that speaks for a slot: the first one in it, -1 if
// there is none.
func voice(paths []inUse, slot uint32) int {
	return slices.IndexFunc(paths, func(p inUse) bool { return p.slot == slot })
}

func slotted(n bridge.NLRI, slot uint32) bridge.NLRI {
	n.Path = slot
	return n
}

// slot returns the NLRI by which the bridge knows a neighbour's path, and
// whether it does.
func (m *multipath) slot(n bridge.NLRI, neighbor netip.Addr, id uint32) (bridge.NLRI, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := m.paths[n]
	i := slices.IndexFunc(paths, func(p inUse) bool { return p.neighbor == neighbor && p.id == id })
	if i < 0 || voice(paths, paths[i].slot) != i {
		return n, false
	}
	return slotted(n, paths[i].slot), true
}
