package gobgp

import (
	"net/netip"
	"slices"
	"sync"

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

// identified is an update of one of several paths.
type identified struct {
	bridge.Update
	id uint32
}

// change takes one event of GoBGP. It has all that has changed of an NLRI.
func (m *multipath) change(to sink, event []identified) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range event {
		n := event[i].NLRI
		if slices.ContainsFunc(event[:i], func(u identified) bool { return u.NLRI == n }) {
			continue // was done with the first one
		}
		old := m.paths[n]
		now := slices.Clone(old)
		for j := i; j < len(event); j++ {
			if event[j].NLRI == n {
				now = apply(now, &event[j])
			}
		}
		number(old, now)
		if len(now) == 0 {
			delete(m.paths, n)
		} else {
			m.paths[n] = now
		}
		tell(to, n, old, now)
	}
}

// apply changes the paths of an NLRI by one update.
func apply(paths []inUse, u *identified) []inUse {
	i := slices.IndexFunc(paths, func(p inUse) bool { return p.neighbor == u.Neighbor && p.id == u.id })
	switch {
	case u.Withdraw && i >= 0:
		return slices.Delete(paths, i, i+1)
	case u.Withdraw:
		return paths
	case i < 0:
		return append(paths, inUse{u.Neighbor, u.id, noSlot, u.Label, u.Attributes})
	}
	paths[i].label, paths[i].attributes = u.Label, u.Attributes
	return paths
}

// number gives each way one slot: the one that it had, or else the one that its
// path had, or else the lowest that is free.
func number(old, now []inUse) {
	slots := make(map[way]uint32, len(now))
	taken := make(map[uint32]bool, len(now))
	give := func(w way, slot uint32) {
		if _, ok := slots[w]; !ok && !taken[slot] {
			slots[w], taken[slot] = slot, true
		}
	}
	here := make(map[way]bool, len(now))
	for i := range now {
		here[now[i].way()] = true
	}
	for i := range old {
		if w := old[i].way(); here[w] {
			give(w, old[i].slot)
		}
	}
	for i := range now {
		if now[i].slot != noSlot {
			give(now[i].way(), now[i].slot)
		}
	}
	free := uint32(0)
	for i := range now {
		for taken[free] {
			free++
		}
		give(now[i].way(), free)
		now[i].slot = slots[now[i].way()]
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
