package bridge

// The paths of an exported prefix. A VNI that goes through this gateway has one
// path a prefix, with this gateway as next hop, while at least one exportable
// next hop lives. One that sends straight to the hypervisors has a path for
// each next hop: path n has the VNI's n-th route distinguisher, and a next hop
// keeps its path while it lives. One that comes when another goes takes over
// its path, which BGP sees as a single announcement.
//
// What BGP is to hear of a prefix, its forms, follows from its next hops, so
// what it was told follows from those that there were. The rest is which path a
// form has. A prefix with one form in path 0 is by far the most frequent. It
// has no state: if the change says that there was one exportable next hop, and
// paths knows nothing else, that was announced as path 0.

import (
	"cmp"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"sync"

	"mbbgp/rib"
)

// path is one announced path of a prefix.
type path struct {
	form
	index uint16
}

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

// reset forgets what BGP was told.
func (s *exportState) reset(n *network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Used, s.routes, s.Over, s.Refused = 0, 0, false, 0
	s.paths, s.waiting = map[netip.Prefix][]path{}, map[netip.Prefix]wanted{}
	s.aggregates = newAggregates(n.aggregates)
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
	s := &f.network.out
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

// summarise tells the aggregates of a change of p from old to now. It reports
// whether the prefix is to be dealt with at once.
func (f *feed) summarise(p netip.Prefix) bool {
	s := &f.network.out
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
		reason, set := f.bgp.bridge.judgeExport(n, p, &paths[i], fresh)
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
	s := &f.network.out
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
	s := &f.network.out
	s.old.set(&wanted{})
	for p, w := range s.waiting {
		if s.full() {
			break
		}
		delete(s.waiting, p)
		s.now.set(&w)
		batch = f.turn(p, batch)
	}
	return batch
}

// turn makes what BGP is told of p, which is old, what it is to hear, now.
func (f *feed) turn(p netip.Prefix, batch []Update) []Update {
	s := &f.network.out
	state, several := s.paths[p]
	held, next := len(s.old.forms), len(s.now.forms)
	if several || held > 1 || next > 1 {
		batch = f.turnPaths(p, state, batch)
		held, next = len(s.held), len(s.next)
	} else {
		switch {
		case next > 0 && (held == 0 || s.old.forms[0] != s.now.forms[0]):
			batch = f.announce(batch, f.nlri(p, 0), s.now.forms[0])
		case held > next:
			batch = f.withdraw(batch, f.nlri(p, 0))
		}
	}
	batch = f.steer(p, s.old.flows, s.now.flows, batch)
	s.routes += next - held + len(protocols)*(len(s.now.flows)-len(s.old.flows))
	switch was, is := held+len(s.old.flows) > 0, next+len(s.now.flows) > 0; {
	case is && !was:
		s.Used++
	case was && !is:
		s.Used--
	}
	return batch
}

// turnPaths is turn for the paths of a prefix that has several, or a state: from
// held to next.
func (f *feed) turnPaths(p netip.Prefix, state []path, batch []Update) []Update {
	s := &f.network.out
	s.held = append(s.held[:0], state...)
	if state == nil && len(s.old.forms) > 0 {
		s.held = append(s.held, path{form: s.old.forms[0]})
	}
	s.sort()
	s.keeps.set(s.kept)
	gone, tracked := s.gone, false
	for _, x := range s.now.forms {
		if s.keeps.has(x) {
			continue
		}
		index := 0
		switch {
		case len(gone) > 0:
			index, gone = int(gone[0].index), gone[1:]
		case len(s.next) > 0:
			if !tracked {
				tracked = true
				s.taken.set(s.next)
			}
			index = s.taken.free()
		}
		if !f.distinguish(index) {
			continue
		}
		s.taken.add(index)
		s.next = append(s.next, path{x, uint16(index)})
		batch = f.announce(batch, f.nlri(p, index), x)
	}
	for _, h := range gone {
		batch = f.withdraw(batch, f.nlri(p, int(h.index)))
	}
	if left := len(s.now.forms) - len(s.next) - (len(s.old.forms) - len(s.held)); left > 0 {
		s.refused[SlotLimit] += uint64(left)
	}
	if len(s.now.forms) == 0 || len(s.now.forms) == 1 && s.next[0].index == 0 {
		delete(s.paths, p) // what there is follows from the table
	} else {
		s.paths[p] = slices.Clone(s.next)
	}
	return batch
}

// sort divides the held paths into those that stay, next, and those that go,
// gone, and sets kept to the forms of next.
func (s *exportState) sort() {
	s.next, s.gone, s.kept = s.next[:0], s.gone[:0], s.kept[:0]
	s.wants.set(s.now.forms)
	for _, h := range s.held {
		if s.wants.has(h.form) {
			s.next, s.kept = append(s.next, h), append(s.kept, h.form)
		} else {
			s.gone = append(s.gone, h)
		}
	}
}

// indexes is a set of indexes of paths.
type indexes [slots / 64]uint64

func (x *indexes) set(paths []path) {
	*x = indexes{}
	for i := range paths {
		x.add(int(paths[i].index))
	}
}

func (x *indexes) add(index int) { x[index/64] |= 1 << (index % 64) }

// free returns the lowest index that is not in x, slots if there is none.
func (x *indexes) free() int {
	for i, word := range x {
		if word != ^uint64(0) {
			return i*64 + bits.TrailingZeros64(^word)
		}
	}
	return slots
}

// distinguish makes sure that there is a route distinguisher for a path, where
// routes have one.
func (f *feed) distinguish(index int) bool {
	if f.kind == Unicast {
		return true
	}
	for len(f.rds) <= index {
		rd, ok := f.bgp.rds.get(f.network.vni, len(f.rds))
		if !ok {
			return false
		}
		f.rds = append(f.rds, rd)
	}
	return true
}

func (f *feed) nlri(p netip.Prefix, index int) NLRI {
	if f.kind == Unicast {
		return NLRI{Kind: Unicast, Prefix: p}
	}
	f.distinguish(index)
	return NLRI{Kind: f.kind, RD: f.rds[index], Prefix: p}
}

// lookup finds elements of a list, however long it is.
type lookup[T comparable] struct {
	list  []T
	index map[T]struct{} // if there are more than a few
}

// few is how many elements are faster searched one by one.
const few = 16

// set makes l find the elements of list, which must not change meanwhile.
func (l *lookup[T]) set(list []T) {
	l.list = list
	if len(list) <= few {
		return
	}
	if l.index == nil {
		l.index = make(map[T]struct{}, len(list))
	}
	clear(l.index)
	for _, x := range list {
		l.index[x] = struct{}{}
	}
}

func (l *lookup[T]) has(x T) bool {
	if len(l.list) <= few {
		return slices.Contains(l.list, x)
	}
	_, ok := l.index[x]
	return ok
}

// ExportStats are the figures of the export of one VNI at one moment.
type ExportStats struct {
	Routes     int               // NLRIs that BGP was told and that are not withdrawn
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
	s := &n.out
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
