package bridge

// The paths of an exported prefix. A VNI that goes through this gateway has one
// path a prefix, with this gateway as next hop, while at least one exportable
// next hop lives. One that sends straight to the hypervisors has a path for
// each next hop: path n has the VNI's n-th route distinguisher, and a next hop
// keeps its path while it lives. One that comes when another goes takes over
// its path, which BGP sees as a single announcement.
//
// A prefix with one next hop in path 0 is by far the most frequent. It has no
// state: if the change says that there was one exportable next hop, and paths
// knows nothing else, that was announced as path 0.

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"mbbgp/rib"
)

// path is one announced path of a prefix.
type path struct {
	hop   rib.NextHop
	index uint8
}

// exportState is what BGP was told of a network.
type exportState struct {
	mu        sync.Mutex
	limit                       // guarded by mu; of announced prefixes
	routes    int               // guarded by mu; NLRIs announced now
	announced uint64            // guarded by mu; announcements made
	withdrawn uint64            // guarded by mu; withdrawals made
	refused   map[Reason]uint64 // guarded by mu

	paths   map[netip.Prefix][]path        // guarded by mu; of prefixes with more than path 0
	waiting map[netip.Prefix][]rib.NextHop // guarded by mu; refused by the limit, with their next hops

	// Scratch, guarded by mu.
	old, now         []rib.NextHop
	held, next, gone []path
}

// reset forgets what BGP was told.
func (s *exportState) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Used, s.routes, s.Over, s.Refused = 0, 0, false, 0
	s.paths, s.waiting = map[netip.Prefix][]path{}, map[netip.Prefix][]rib.NextHop{}
}

// refuses reports whether the limit keeps p from BGP.
func (s *exportState) refuses(p netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, refused := s.waiting[p]
	return refused
}

// change appends what a change of a prefix means to BGP.
func (f *feed) change(c *rib.Change, batch []Update) []Update {
	s := &f.network.out
	s.old, _ = f.hops(s.old[:0], c.Prefix, c.Old)
	var refused int
	s.now, refused = f.hops(s.now[:0], c.Prefix, c.New)
	if refused > 0 {
		f.count(c)
	}
	if _, waits := s.waiting[c.Prefix]; waits {
		if len(s.now) == 0 {
			delete(s.waiting, c.Prefix)
		} else {
			s.waiting[c.Prefix] = slices.Clone(s.now)
		}
		return batch
	}
	if len(s.old) == 0 && len(s.now) > 0 && s.full() {
		s.refused[VNILimit]++
		if s.refuse() {
			logCrossed(f.bgp.bridge.log.WithField("vni", f.network.vni), s.LimitStats)
		}
		s.waiting[c.Prefix] = slices.Clone(s.now)
		return batch
	}
	s.held = s.held[:0]
	if state, ok := s.paths[c.Prefix]; ok {
		s.held = append(s.held, state...)
	} else if len(s.old) > 0 {
		s.held = append(s.held, path{hop: s.old[0]})
	}
	return f.turn(c.Prefix, batch)
}

// admit announces prefixes that the limit had refused, as far as there is room
// now.
func (f *feed) admit(batch []Update) []Update {
	s := &f.network.out
	for p, hops := range s.waiting {
		if s.full() {
			break
		}
		delete(s.waiting, p)
		s.held, s.now = s.held[:0], append(s.now[:0], hops...)
		batch = f.turn(p, batch)
	}
	return batch
}

// hops appends the exportable next hops of a prefix, and returns how many are
// not. For a network that goes through this gateway one stands for all.
func (f *feed) hops(dst []rib.NextHop, p netip.Prefix, paths []rib.Path) (hops []rib.NextHop, refused int) {
	for i := range paths {
		switch {
		case f.bgp.bridge.judgeExport(f.network, p, &paths[i]) != Accepted:
			refused++
		case !f.network.self:
			dst = append(dst, paths[i].NextHop)
		case len(dst) == 0:
			dst = append(dst, rib.NextHop{Target: f.bgp.local})
		}
	}
	return dst, refused
}

// count counts the next hops of a change that are refused and were not there
// before.
func (f *feed) count(c *rib.Change) {
	for i := range c.New {
		path := &c.New[i]
		if reason := f.bgp.bridge.judgeExport(f.network, c.Prefix, path); reason != Accepted &&
			!slices.ContainsFunc(c.Old, func(o rib.Path) bool { return o.NextHop == path.NextHop }) {
			f.network.out.refused[reason]++
		}
	}
}

// turn makes the paths of p, from what is held, those of the next hops now.
func (f *feed) turn(p netip.Prefix, batch []Update) []Update {
	s := &f.network.out
	var used [slots]bool
	s.next, s.gone = s.next[:0], s.gone[:0]
	for _, h := range s.held {
		used[h.index] = true
		if slices.Contains(s.now, h.hop) {
			s.next = append(s.next, h)
		} else {
			s.gone = append(s.gone, h)
		}
	}
	gone := s.gone
	for _, hop := range s.now {
		if slices.ContainsFunc(s.next, func(x path) bool { return x.hop == hop }) {
			continue
		}
		index := slices.Index(used[:], false)
		if len(gone) > 0 {
			index, gone = int(gone[0].index), gone[1:]
		}
		if index < 0 || !f.distinguish(index) {
			s.refused[SlotLimit]++
			continue
		}
		used[index] = true
		s.next = append(s.next, path{hop, uint8(index)})
		batch = f.announce(batch, f.nlri(p, index), hop)
	}
	for _, h := range gone {
		batch = f.withdraw(batch, f.nlri(p, int(h.index)))
	}
	s.routes += len(s.next) - len(s.held)
	switch {
	case len(s.held) == 0 && len(s.next) > 0:
		s.Used++
	case len(s.held) > 0 && len(s.next) == 0:
		s.Used--
	}
	if len(s.now) == 0 || len(s.now) == 1 && s.next[0].index == 0 {
		delete(s.paths, p)
	} else {
		s.paths[p] = slices.Clone(s.next)
	}
	return batch
}

// distinguish makes sure that there is a route distinguisher for a path.
func (f *feed) distinguish(index int) bool {
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
	f.distinguish(index)
	return NLRI{Kind: IPPrefix, RD: f.rds[index], Prefix: p}
}

// ExportStats are the figures of the export of one VNI at one moment.
type ExportStats struct {
	Routes    int               // NLRIs that BGP was told and that are not withdrawn
	Prefixes  LimitStats        // that they are of
	Waiting   int               // prefixes that the limit keeps back
	Announced uint64            // announcements made
	Withdrawn uint64            // withdrawals made
	Refused   map[Reason]uint64 // next hops refused
	RDs       []RD              // by path
	Rules     []RuleStats       // in their order
}

func (s *exportState) stats() ExportStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ExportStats{
		Routes:    s.routes,
		Prefixes:  s.LimitStats,
		Waiting:   len(s.waiting),
		Announced: s.announced,
		Withdrawn: s.withdrawn,
		Refused:   maps.Clone(s.refused),
	}
}
