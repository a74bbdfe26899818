package rib

import (
	"maps"
	"net/netip"
	"slices"
)

// RouteInfo is a live next hop with everybody who announces it.
type RouteInfo struct {
	Prefix  netip.Prefix
	NextHop NextHop
	Visible bool    // no live next hop of its type has a higher preference
	Claims  []Claim // never empty
}

// Claim is one origin's announcement of a next hop.
type Claim struct {
	Origin     Origin
	Source     Source
	Preference Preference
	Name       string // of the origin
}

// Stats are the figures of one VNI at one moment.
type Stats struct {
	Prefixes   int             // with a live next hop
	NextHops   int             // live, of all prefixes
	Sources    [Leaked + 1]int // of these, by the source of their best claim
	Claims     int             // announcements of live next hops by origins
	Tombstones int             // withdrawn next hops kept for readers
	Parked     int             // notes of parked readers: prefixes and their next hops
	Readers    int             // open readers
	Version    uint64          // number of changes so far
}

// VNIs returns the VNIs that hold routes or readers, ascending.
func (t *Table) VNIs() []VNI {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.vnis))
}

// Stats returns the figures of a VNI, zero if the table does not know it.
func (t *Table) Stats(number VNI) Stats {
	v := t.get(number)
	if v == nil {
		return Stats{}
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return Stats{
		Prefixes:   v.known,
		NextHops:   v.live,
		Sources:    v.sources,
		Claims:     v.claims.length,
		Tombstones: len(v.graves),
		Parked:     v.noted,
		Readers:    len(v.readers),
		Version:    v.version,
	}
}

// Lookup returns every live next hop of exactly this prefix.
func (t *Table) Lookup(number VNI, p netip.Prefix) (list []RouteInfo) {
	v := t.get(number)
	if v == nil {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if n := v.find(p); n != 0 {
		list = t.inspect(nil, v, v.entries.at(n))
	}
	return list
}

// Visible appends the visible next hops of exactly this prefix to dst, in the
// order in which they came: what a reader without options is shown.
func (t *Table) Visible(dst []Path, number VNI, p netip.Prefix) []Path {
	v := t.get(number)
	if v == nil {
		return dst
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	entry := v.find(p)
	if entry == 0 {
		return dst
	}
	var now moment
	oldest := v.entries.at(entry).oldest
	for n := oldest; n != 0; n = v.records.at(n).next {
		now.weigh(v.records.at(n), v.version)
	}
	for n := oldest; n != 0; n = v.records.at(n).next {
		if x := v.records.at(n); now.has(x, v.version) {
			dst = append(dst, Path{v.hops.at(x.hop).NextHop, x.source, x.preference})
		}
	}
	return dst
}

// Walk visits every live next hop of a VNI until visit returns false. What
// changes meanwhile may be visited or not.
func (t *Table) Walk(number VNI, visit func(RouteInfo) bool) {
	v := t.get(number)
	if v == nil {
		return
	}
	var batch []RouteInfo
	for after, more := uint64(0), true; more; {
		batch, after, more = t.walkSome(v, batch[:0], after)
		for _, info := range batch {
			if !visit(info) {
				return
			}
		}
	}
}

// walkSome appends the next hops of some entries that changed after a version.
func (t *Table) walkSome(v *vni, batch []RouteInfo, after uint64) ([]RouteInfo, uint64, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	slots := v.log.slots
	slot := v.after(after)
	for ; slot < len(slots); slot++ {
		if slots[slot] == 0 || slots[slot]&ghostly != 0 {
			continue
		}
		e := v.entries.at(slots[slot])
		batch = t.inspect(batch, v, e)
		after = e.changed
		if len(batch) >= 1024 {
			return batch, after, true
		}
	}
	return batch, after, false
}

func (t *Table) inspect(dst []RouteInfo, v *vni, e *entry) []RouteInfo {
	var best [4]Preference
	first := len(dst)
	for n := e.oldest; n != 0; {
		x := v.records.at(n)
		n = x.next
		if x.removed != 0 {
			continue
		}
		nh := v.hops.at(x.hop).NextHop
		best[nh.Type&3] = max(best[nh.Type&3], x.preference)
		info := RouteInfo{Prefix: e.prefix(), NextHop: nh}
		for c := x.claims; c != 0; {
			k := v.claims.at(c)
			c = k.follows()
			info.Claims = append(info.Claims, Claim{Origin: k.origin, Source: k.source, Preference: k.preference, Name: v.said[k.origin].owner.info.Name})
		}
		dst = append(dst, info)
	}
	for i := first; i < len(dst); i++ {
		top := Preference(0)
		for _, c := range dst[i].Claims {
			top = max(top, c.Preference)
		}
		dst[i].Visible = top == best[dst[i].NextHop.Type&3]
	}
	return dst
}
