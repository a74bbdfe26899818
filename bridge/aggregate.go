package bridge

// An aggregate is exported while at least one exportable prefix lies inside it.
// How many do is counted as prefixes come and go, so nothing is ever searched.
// What BGP is to be told of an aggregate is settled once behind each batch of
// changes, when its contributors and its own routes, if it is a prefix of the
// table as well, are known.
//
// What a summary-only aggregate holds is never exported itself, whether the
// aggregate is or, for the limit of the VNI, is not; so that follows from the
// prefix alone. It contributes all the same.
//
// Rules see an aggregate as a standard route whose next hop is the gateway, and
// may refuse it or set what it carries. export.prefixes are about what goes
// into it.
//
// What BGP sends to the gateway because of an aggregate, and no route inside it
// takes, must not go back to BGP by a default route. So the fabric table has a
// discard of an aggregate before BGP is told of it, until BGP was told that it
// is over. The end of Export takes nothing back, neither in BGP nor here: the
// next Export removes what it does not say.

import (
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// aggregates are those of a network, as they stand.
type aggregates struct {
	list      []*aggregate
	byPrefix  map[netip.Prefix]*aggregate
	lengths   [2][]int     // those of IPv4 and IPv6 aggregates
	unsettled []*aggregate // since the last batch
}

type aggregate struct {
	prefix       netip.Prefix
	summaryOnly  bool
	verdict      verdict // of the rules
	contributors int     // exportable prefixes inside
	own          wanted  // routes of the prefix itself
	told         wanted  // what was settled last
	unsettled    bool
}

// AggregateStats are the figures of one aggregate.
type AggregateStats struct {
	Prefix       netip.Prefix
	Contributors int  // exportable prefixes inside it
	Exported     bool // BGP is told of it, or a limit is in the way
}

func newAggregates(n *network) aggregates {
	x := aggregates{byPrefix: map[netip.Prefix]*aggregate{}}
	for _, c := range n.aggregates {
		a := &aggregate{prefix: c.Prefix, summaryOnly: c.SummaryOnly}
		a.verdict = n.exportVerdict(a.prefix, &rib.NextHop{Target: n.gateway}, false)
		x.list = append(x.list, a)
		x.byPrefix[c.Prefix] = a
		lengths := &x.lengths[family(c.Prefix)]
		if !slices.Contains(*lengths, c.Prefix.Bits()) {
			*lengths = append(*lengths, c.Prefix.Bits())
		}
	}
	return x
}

// family is 0 for IPv4 and 1 for IPv6.
func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// around calls visit with each aggregate that p lies inside.
func (x *aggregates) around(p netip.Prefix, visit func(*aggregate)) {
	for _, bits := range x.lengths[family(p)] {
		if bits >= p.Bits() {
			continue
		}
		if a := x.byPrefix[netip.PrefixFrom(p.Addr(), bits).Masked()]; a != nil {
			visit(a)
		}
	}
}

// suppress reports whether p is exported only as a part of an aggregate.
func (x *aggregates) suppress(p netip.Prefix) (suppressed bool) {
	x.around(p, func(a *aggregate) { suppressed = suppressed || a.summaryOnly })
	return suppressed
}

// contribute counts a prefix that became exportable, 1, or is no longer, -1.
func (x *aggregates) contribute(p netip.Prefix, difference int) {
	x.around(p, func(a *aggregate) {
		a.contributors += difference
		if a.contributors == 0 || a.contributors == difference {
			x.unsettle(a)
		}
	})
}

// unsettle notes that what BGP is to be told of a may have changed.
func (x *aggregates) unsettle(a *aggregate) {
	if !a.unsettled {
		a.unsettled = true
		x.unsettled = append(x.unsettled, a)
	}
}

// want sets w to what BGP is to hear of an aggregate: what it is itself if it
// is something, or else a route of its own.
func (x *aggregates) want(w *wanted, a *aggregate) {
	w.set(&a.own)
	if len(w.forms) == 0 && a.contributors > 0 && !x.suppress(a.prefix) && !a.verdict.refused {
		w.forms = append(w.forms, form{set: uint32(a.verdict.set)})
	}
}

// stats returns the figures of all aggregates, in the order of the
// configuration.
func (x *aggregates) stats() []AggregateStats {
	var all []AggregateStats
	for _, a := range x.list {
		all = append(all, AggregateStats{a.prefix, a.contributors, len(a.told.forms) > 0})
	}
	return all
}

// summarise tells the aggregates of a change of p from old to now. It reports
// whether the prefix is to be dealt with at once.
func (f *feed) summarise(p netip.Prefix) bool {
	s := f.network.out
	was, is := len(s.old.forms) > 0, len(s.now.forms) > 0
	switch {
	case is && !was:
		s.aggregates.contribute(p, 1)
	case was && !is:
		s.aggregates.contribute(p, -1)
	}
	if s.aggregates.suppress(p) {
		if is && !was {
			s.refused[SummaryOnly]++
		}
		s.old.forms, s.now.forms = s.old.forms[:0], s.now.forms[:0]
	}
	a := s.aggregates.byPrefix[p]
	if a == nil {
		return true
	}
	a.own.set(&s.now)
	s.aggregates.unsettle(a)
	return false
}

// countAggregate counts what the rules say of an aggregate that would begin.
func (f *feed) countAggregate(a *aggregate) {
	f.network.exportVerdict(a.prefix, &rib.NextHop{Target: f.network.gateway}, true)
	if a.verdict.refused {
		f.network.out.refused[Policy]++
	}
}

// settle appends what the changes of a batch mean for aggregates.
func (f *feed) settle(batch []Update) []Update {
	s := f.network.out
	for _, a := range s.aggregates.unsettled {
		a.unsettled = false
		s.old.set(&a.told)
		s.aggregates.want(&s.now, a)
		if len(s.old.forms) == 0 && a.contributors > 0 {
			f.countAggregate(a)
		}
		a.told.set(&s.now)
		batch = f.step(a.prefix, batch)
		f.discard(a)
	}
	s.aggregates.unsettled = s.aggregates.unsettled[:0]
	return batch
}

// discard puts the discard of an aggregate that BGP is going to be told of into
// the fabric table, and notes one that may have to leave it.
func (f *feed) discard(a *aggregate) {
	n := f.network
	if !n.forwards {
		return
	}
	if !n.out.tells(a) {
		f.lapsed = append(f.lapsed, a)
		return
	}
	f.bgp.bridge.fabric.Add(f.bgp.discards, rib.Route{VNI: n.vni, Prefix: a.prefix, Preference: rib.Relayed})
}

// lapse takes the discards of aggregates that BGP is not told of any more out of
// the fabric table.
func (f *feed) lapse() {
	if len(f.lapsed) == 0 {
		return
	}
	n := f.network
	n.out.mu.Lock()
	defer n.out.mu.Unlock()
	for _, a := range f.lapsed {
		if !n.out.tells(a) {
			f.bgp.bridge.fabric.Remove(f.bgp.discards, n.vni, a.prefix, rib.NextHop{})
		}
	}
	f.lapsed = f.lapsed[:0]
}

// tells reports whether BGP is told of an aggregate. mu is held.
func (s *exportState) tells(a *aggregate) bool {
	_, waits := s.waiting[a.prefix]
	return len(a.told.forms) > 0 && !waits
}
