package rib

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// model is the table as plainly as it can be said: who announces what. What a
// reader has to be shown is computed from it alone.
type model struct {
	sources map[Origin]Source
	said    map[said]Preference
	born    map[route]int // when a next hop came to have an origin
	clock   int
}

type route struct {
	vni VNI
	p   netip.Prefix
	nh  NextHop
}

type said struct {
	o Origin
	route
}

func newModel() *model {
	return &model{sources: map[Origin]Source{}, said: map[said]Preference{}, born: map[route]int{}}
}

func (m *model) add(o Origin, r Route) (changed bool) {
	at := route{r.VNI, r.Prefix, r.NextHop}
	if _, lives := m.born[at]; !lives {
		m.clock++
		m.born[at] = m.clock
	}
	before, known := m.said[said{o, at}]
	m.said[said{o, at}] = r.Preference
	return !known || before != r.Preference
}

func (m *model) remove(o Origin, at route) (changed bool) {
	if _, known := m.said[said{o, at}]; !known {
		return false
	}
	delete(m.said, said{o, at})
	if len(m.claims(at)) == 0 {
		delete(m.born, at)
	}
	return true
}

// flush withdraws what an origin announces of the VNIs and prefixes that match.
func (m *model) flush(o Origin, match func(route) bool) (n int) {
	for s := range maps.Clone(m.said) {
		if s.o == o && match(s.route) && m.remove(o, s.route) {
			n++
		}
	}
	return n
}

func (m *model) replace(o Origin, vni VNI, p netip.Prefix, nhs []NextHop, pref Preference) (changed bool) {
	n := m.flush(o, func(r route) bool { return r.vni == vni && r.p == p && !slices.Contains(nhs, r.nh) })
	changed = n > 0
	for _, nh := range nhs {
		changed = m.add(o, Route{vni, p, nh, pref}) || changed
	}
	return changed
}

func (m *model) count(o Origin, match func(route) bool) (n int) {
	for s := range m.said {
		if s.o == o && match(s.route) {
			n++
		}
	}
	return n
}

func (m *model) claims(at route) map[Origin]Preference {
	claims := map[Origin]Preference{}
	for s, pref := range m.said {
		if s.route == at {
			claims[s.o] = pref
		}
	}
	return claims
}

// candidate is a live next hop.
type candidate struct {
	path Path
	born int
	sole Origin
}

// live returns the live next hops of each prefix, oldest first.
func (m *model) live(vni VNI) map[netip.Prefix][]candidate {
	all := map[netip.Prefix][]candidate{}
	for at, born := range m.born {
		if at.vni != vni {
			continue
		}
		c := candidate{path: Path{NextHop: at.nh}, born: born}
		claims := m.claims(at)
		for o, pref := range claims {
			if len(claims) == 1 {
				c.sole = o
			}
			c.path.Preference = max(c.path.Preference, pref)
		}
		c.path.Source = Source(255)
		for o, pref := range claims {
			if pref == c.path.Preference {
				c.path.Source = min(c.path.Source, m.sources[o])
			}
		}
		all[at.p] = append(all[at.p], c)
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.born, b.born) })
	}
	return all
}

// shown returns what a reader is to be shown.
func (m *model) shown(vni VNI, o ReaderOptions) map[netip.Prefix][]Path {
	shown := map[netip.Prefix][]Path{}
	for p, all := range m.live(vni) {
		var paths []Path
		for _, c := range all {
			beaten := slices.ContainsFunc(all, func(d candidate) bool {
				return d.path.NextHop.Type == c.path.NextHop.Type && d.path.Preference > c.path.Preference
			})
			own := c.sole != 0 && slices.Contains(o.Except, c.sole)
			if beaten || own || o.Sources != 0 && !o.Sources.Has(c.path.Source) {
				continue
			}
			paths = append(paths, c.path)
		}
		if o.One {
			standard := func(p Path) bool { return p.NextHop.Type == Standard }
			for i := len(paths) - 1; i >= 0; i-- {
				if standard(paths[i]) && slices.ContainsFunc(paths[i+1:], standard) {
					paths = slices.Delete(paths, i, i+1)
				}
			}
		}
		if len(paths) > 0 {
			shown[p] = paths
		}
	}
	return shown
}

func (m *model) String() string {
	s := ""
	for at := range m.born {
		s += fmt.Sprintf("%d %v %v: %v\n", at.vni, at.p, at.nh, m.claims(at))
	}
	return s
}
