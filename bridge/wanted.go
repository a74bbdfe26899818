package bridge

// What BGP was told of a network and is to hear of it. It follows from the next
// hops of each prefix: a change comes with what they were when the reader last
// looked, so what BGP was told is worked out anew in place of being kept. Kept
// is what does not follow: which prefixes the limit has refused, and which path
// a next hop has (paths.go).

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"mbbgp/rib"
)

// wanted is what BGP is to hear of a prefix.
type wanted struct {
	forms []form // one a path
	flows []flow // normal
}

func (w *wanted) empty() bool { return len(w.forms)+len(w.flows) == 0 }

// set makes w a copy of x.
func (w *wanted) set(x *wanted) {
	w.forms, w.flows = append(w.forms[:0], x.forms...), append(w.flows[:0], x.flows...)
}

// exportState is what BGP was told of a network.
type exportState struct {
	mu         sync.Mutex
	limit                        // guarded by mu; of announced prefixes
	routes     int               // guarded by mu; NLRIs announced now
	announced  uint64            // guarded by mu; announcements made
	withdrawn  uint64            // guarded by mu; withdrawals made
	refused    map[Reason]uint64 // guarded by mu
	aggregates aggregates        // guarded by mu

	paths   map[netip.Prefix][]path // guarded by mu; of prefixes with more than path 0
	waiting map[netip.Prefix]wanted // guarded by mu; refused by the limit

	// Scratch, guarded by mu.
	old, now         wanted
	before           []rib.NextHop
	known            lookup[rib.NextHop] // of before
	wants            lookup[form]        // of now
	keeps            lookup[form]        // of kept
	kept             []form
	held, next, gone []path
	taken            indexes
}

func newExportState(n *network) *exportState {
	s := &exportState{refused: map[Reason]uint64{}}
	s.reset(n)
	return s
}

// reset forgets what BGP was told, which is what n has.
func (s *exportState) reset(n *network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.LimitStats = LimitStats{Max: n.exports.MaxPrefixes}
	s.routes = 0
	s.paths, s.waiting = map[netip.Prefix][]path{}, map[netip.Prefix]wanted{}
	s.aggregates = newAggregates(n)
}

// refuses returns the rule that keeps a prefix from BGP whatever its next hops.
func (s *exportState) refuses(p netip.Prefix) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aggregates.suppress(p) {
		return SummaryOnly
	}
	if _, waits := s.waiting[p]; waits {
		return VNILimit
	}
	return Accepted
}

// change appends what a change of a prefix means to BGP.
func (f *feed) change(c *rib.Change, batch []Update) []Update {
	s := f.network.out
	s.before = s.before[:0]
	for i := range c.Old {
		s.before = append(s.before, c.Old[i].NextHop)
	}
	s.known.set(s.before)
	f.want(&s.old, c.Prefix, c.Old, nil)
	f.want(&s.now, c.Prefix, c.New, &s.known)
	if len(s.aggregates.list) > 0 && !f.summarise(c.Prefix) {
		return batch
	}
	return f.step(c.Prefix, batch)
}

// want sets w to what the next hops of a prefix mean to BGP. With known, those
// that are not in it are counted: by the rules that match them, and those that
// are refused by what refuses them.
func (f *feed) want(w *wanted, p netip.Prefix, paths []rib.Path, known *lookup[rib.NextHop]) {
	n := f.network
	w.forms, w.flows = w.forms[:0], w.flows[:0]
	var first *rib.NextHop // of those that one form stands for
	for i := range paths {
		hop := &paths[i].NextHop
		fresh := known != nil && !known.has(*hop)
		reason, set := f.view.judgeExport(n, p, &paths[i], fresh)
		if reason != Accepted {
			if fresh {
				n.out.refused[reason]++
			}
			continue
		}
		if n.steers(hop) {
			w.flows = append(w.flows, newFlow(hop, set))
		}
		switch {
		case !n.exportTypes.has(hop.Type):
		case !n.self:
			w.forms = append(w.forms, newForm(hop, set))
		case first == nil:
			first = hop
			w.forms = append(w.forms, form{set: uint32(set)})
		case n.exportPolicy != nil && compareHops(hop, first) < 0:
			first = hop
			w.forms[0].set = uint32(set)
		}
	}
	w.flows = normalFlows(w.flows)
}

// compareHops orders next hops, so that which one of several counts does not
// depend on which came first.
func compareHops(a, b *rib.NextHop) int {
	return cmp.Or(
		a.Target.Compare(b.Target),
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.NATFrom, b.NATFrom),
		cmp.Compare(a.NATTo, b.NATTo),
	)
}

// step takes a prefix from old to now, as far as the limit lets it.
func (f *feed) step(p netip.Prefix, batch []Update) []Update {
	s := f.network.out
	_, waits := s.waiting[p]
	switch {
	case s.now.empty() && waits:
		delete(s.waiting, p)
		return batch
	case waits:
		s.wait(p)
		return batch
	case s.old.empty() && !s.now.empty() && s.full():
		s.refused[VNILimit]++
		if s.refuse() {
			logCrossed(f.bgp.bridge.log.WithField("vni", f.network.vni), s.LimitStats)
		}
		s.wait(p)
		return batch
	}
	return f.turn(p, batch)
}

// wait keeps what BGP is to hear of a prefix until there is room.
func (s *exportState) wait(p netip.Prefix) {
	s.waiting[p] = wanted{slices.Clone(s.now.forms), slices.Clone(s.now.flows)}
}

// admit announces prefixes that the limit had refused, as far as there is room
// now.
func (f *feed) admit(batch []Update) []Update {
	s := f.network.out
	s.old.set(&wanted{})
	for p, w := range s.waiting {
		if s.full() {
			break
		}
		delete(s.waiting, p)
		s.now.set(&w)
		batch = f.turn(p, batch)
		if a := s.aggregates.byPrefix[p]; a != nil {
			f.discard(a)
		}
	}
	return batch
}

// ExportStats are the figures of the export of one VNI at one moment.
type ExportStats struct {
	Routes     int               // NLRIs that BGP was told and that are not withdrawn, by this VNI or in its place (contest.go)
	Prefixes   LimitStats        // that they are of
	Waiting    int               // prefixes that the limit keeps back
	Announced  uint64            // announcements made
	Withdrawn  uint64            // withdrawals made
	Refused    map[Reason]uint64 // next hops refused, by reasons of a whole prefix: prefixes
	RDs        []RD              // by path; none for unicast
	Label      uint32            // of the routes; 0: none
	Rules      []RuleStats       // of export.rules
	Aggregates []AggregateStats
}

func (n *network) exportStats() ExportStats {
	s := n.out
	s.mu.Lock()
	defer s.mu.Unlock()
	return ExportStats{
		Routes:     s.routes,
		Prefixes:   s.LimitStats,
		Waiting:    len(s.waiting),
		Announced:  s.announced,
		Withdrawn:  s.withdrawn,
		Refused:    maps.Clone(s.refused),
		Label:      n.label,
		Rules:      n.exportPolicy.stats(),
		Aggregates: s.aggregates.stats(),
	}
}
