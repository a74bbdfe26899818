package bridge

// The paths of an exported prefix. A VNI that goes through this gateway has one
// path a prefix, with this gateway as next hop, while at least one exportable
// next hop lives. One that sends straight to the hypervisors has a path for
// each next hop: path n has the VNI's n-th route distinguisher, and a next hop
// keeps its path while it lives. One that comes when another goes takes over
// its path, which BGP sees as a single announcement.
//
// A prefix with one form in path 0 is by far the most frequent. It has no state:
// if the change says that there was one exportable next hop, and paths knows
// nothing else, that was announced as path 0.

import (
	"net/netip"
	"slices"
)

// path is one announced path of a prefix.
type path struct {
	form
	index uint16
}

// turn makes what BGP is told of p, which is old, what it is to hear, now.
func (f *feed) turn(p netip.Prefix, batch []Update) []Update {
	s := f.network.out
	state, several := s.paths[p]
	held, next := len(s.old.forms), len(s.now.forms)
	prior := f.prior[p]
	if several || held > 1 || next > 1 || len(prior) > 0 {
		batch = f.turnPaths(p, state, prior, batch)
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
// held to next. What had a path of prior gets that.
func (f *feed) turnPaths(p netip.Prefix, state, prior []path, batch []Update) []Update {
	s := f.network.out
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
		case len(s.next)+len(prior) > 0:
			if !tracked {
				tracked = true
				s.taken.set(s.next)
				s.taken.reserve(prior)
			}
			if index = s.taken.free(); had(prior, x) >= 0 {
				index = had(prior, x)
			}
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

// had returns the index of the path that a next hop had, -1 if it had none.
func had(prior []path, x form) int {
	i := slices.IndexFunc(prior, func(y path) bool {
		y.set = x.set
		return y.form == x
	})
	if i < 0 {
		return -1
	}
	return int(prior[i].index)
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
