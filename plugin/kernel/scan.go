package kernel

// What the kernel does with routes on its own (it removes those of a device that
// goes, or of a next hop object, mostly without a word), and what somebody else
// does while the socket for events overflows, is found by comparing everything.
// Who needs a comparison asks for it and says why; those that are asked for
// meanwhile are one.

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
)

const (
	resyncPause    = time.Second      // at least, between two comparisons
	resyncMaxPause = 30 * time.Second // if each of them finds something
	fightPause     = 8 * time.Second  // is what we call a fight

	// What the kernel does when a link goes is nobody's fight.
	linkReason = "link"
)

// resyncs say when the kernel is compared with what it should have.
type resyncs struct {
	reasons []string // why the next one is needed
	last    time.Time
	pause   time.Duration
	meddled int // routes put right because of events since the last one
}

// resync asks for a comparison, and reports whether this reason is a new one.
func (f *fib) resync(reason string) bool {
	if slices.Contains(f.resyncs.reasons, reason) {
		return false
	}
	f.resyncs.reasons = append(f.resyncs.reasons, reason)
	return true
}

// nextResync returns when the next comparison is due.
func (f *fib) nextResync() time.Time {
	x := &f.resyncs
	switch {
	case len(x.reasons) == 0:
		return x.last.Add(f.cfg.Scan)
	case slices.Contains(x.reasons, linkReason):
		return x.last.Add(resyncPause)
	}
	return x.last.Add(x.pause)
}

// compare compares the kernel's objects and routes with what it should have,
// and marks what is to be put right. If that fails, as when the kernel changes
// too fast to be read, it is tried again.
func (f *fib) compare(now time.Time) {
	if err := f.compareAll(now); err != nil {
		f.log.WithError(err).Warn("could not compare the kernel with the tables, which is tried again")
		f.resyncs.last, f.resyncs.pause = now, longer(f.resyncs.pause)
		f.resync("interrupted")
	}
}

func (f *fib) compareAll(now time.Time) error {
	x := &f.resyncs
	if len(x.reasons) == 0 {
		x.reasons = append(x.reasons, "scan")
	}
	for _, reason := range x.reasons {
		f.counters.Resyncs[reason]++
	}
	fight := !slices.Contains(x.reasons, linkReason)
	x.reasons, x.meddled = nil, 0
	begun := time.Now()
	found, err := f.compareObjects()
	if err != nil {
		return err
	}
	f.settle(now) // the routes need them
	for _, t := range f.tables {
		n, err := f.compareRoutes(t)
		if err != nil {
			return err
		}
		found += n
	}
	f.counters.Restored += uint64(found)
	f.counters.ScanLasted = time.Since(begun)
	f.pause(found > 0 && fight)
	x.last = now.Add(f.counters.ScanLasted)
	return nil
}

// pause sets how long the next comparison has to wait: the longer, the more
// often somebody had changed something.
func (f *fib) pause(fight bool) {
	x := &f.resyncs
	before := x.pause
	if x.pause = resyncPause; fight {
		x.pause = longer(before)
	}
	switch {
	case x.pause >= fightPause && before < fightPause:
		f.log.Warn("somebody else changes our routes or next hops again and again: they are put right less often")
	case x.pause < fightPause && before >= fightPause:
		f.log.Info("nobody else changes our routes and next hops any more")
	}
}

// longer returns the pause that follows another one.
func longer(pause time.Duration) time.Duration {
	return min(max(2*pause, resyncPause), resyncMaxPause)
}

// compareObjects notes what next hop objects are there, and touches those that
// are not as they should be.
func (f *fib) compareObjects() (found int, err error) {
	if !f.objects {
		return 0, nil
	}
	there := map[uint32]rtnl.NextHop{}
	err = f.kernel.NextHops(func() { clear(there) }, func(n *rtnl.NextHop) error {
		if f.ids.has(n.ID) {
			x := *n
			x.Group = slices.Clone(n.Group)
			there[n.ID] = x
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for id := range f.ids.hops {
		found += f.meet(id, there)
	}
	for id := range f.ids.groups {
		found += f.meet(id, there)
	}
	for id := range f.ids.foreign {
		if _, ok := there[id]; !ok {
			delete(f.ids.foreign, id)
		}
	}
	for id := range f.ids.spare {
		if _, ok := there[id]; !ok {
			delete(f.ids.spare, id)
		}
	}
	for id, n := range there {
		switch {
		case f.ids.used(id):
		case n.Protocol != f.cfg.Protocol:
			f.ids.foreign[id] = struct{}{}
		default:
			f.kernel.DeleteNextHop(id)
			found++
		}
	}
	f.send()
	return found, nil
}

// meet compares an object of ours with what is there, and returns how many
// differences there are.
func (f *fib) meet(id uint32, there map[uint32]rtnl.NextHop) int {
	n, ok := there[id]
	n.ID = id
	number, isHop := f.ids.hops[id]
	usable := ok && !n.Blackhole && (len(n.Group) == 0) == isHop
	var made, same bool
	if isHop {
		x := &f.hops.list[number]
		made, same = x.made, n.Hop == x.kernel
	} else {
		s := &f.sets.list[f.ids.groups[id]]
		made, same = s.ready, sameMembers(n.Group, s.members)
	}
	switch {
	case ok && !usable: // a group cannot become a hop, nor a hop a group
		f.kernel.DeleteNextHop(id)
	case !made, usable && same && n.Protocol == f.cfg.Protocol:
		return 0
	}
	f.lose(&n, usable && n.Protocol == f.cfg.Protocol)
	return 1
}

// lose notes that an object of ours is not what it should be: n as it is, or,
// unless it is usable, one that is gone or of another kind.
func (f *fib) lose(n *rtnl.NextHop, usable bool) {
	if number, ok := f.ids.hops[n.ID]; ok {
		f.hops.list[number].kernel = n.Hop
		if f.hops.touch(number); !usable {
			f.hops.lose(number)
		}
		return
	}
	number := f.ids.groups[n.ID]
	s := &f.sets.list[number]
	s.ready, s.members = usable, n.Group
	f.sets.touch(number)
}

func sameMembers(a, b []rtnl.Member) bool {
	return len(a) == len(b) && groupKey(a) == groupKey(b)
}

// compareRoutes marks the routes of a table that are not as they should be.
func (f *fib) compareRoutes(t *table) (found int, err error) {
	var wrong []netip.Prefix
	foreign := map[netip.Prefix]struct{}{}
	there := 0
	restart := func() {
		wrong, there = wrong[:0], 0
		clear(foreign)
	}
	filter := rtnl.RouteFilter{Table: t.number, Protocol: f.cfg.Protocol}
	if t.conflicts > 0 {
		filter.Protocol = 0 // whose they are
	}
	err = f.kernel.Routes(filter, restart, func(r *rtnl.Route) error {
		switch {
		case r.Metric != f.cfg.MetricFor(r.Prefix):
		case r.Protocol != f.cfg.Protocol:
			if t.failed[r.Prefix].conflict {
				foreign[r.Prefix] = struct{}{}
			}
		case t.installed.get(r.Prefix) == noSet:
			wrong = append(wrong, r.Prefix)
		default:
			there++
			if !f.matches(t, r) {
				wrong = append(wrong, r.Prefix)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	before := t.installed.len()
	for _, p := range wrong {
		f.put(t, p, wrongSet)
		f.look(t, p)
	}
	for p, x := range t.failed {
		if _, ok := foreign[p]; x.conflict && !ok {
			f.look(t, p)
		}
	}
	found = len(wrong)
	if there < before {
		missing, err := f.missing(t)
		if err != nil {
			return 0, err
		}
		found += missing
	}
	return found, nil
}

// missing marks the routes of a table that are not there.
func (f *fib) missing(t *table) (found int, err error) {
	there := map[netip.Prefix]struct{}{}
	filter := rtnl.RouteFilter{Table: t.number, Protocol: f.cfg.Protocol}
	err = f.kernel.Routes(filter, func() { clear(there) }, func(r *rtnl.Route) error {
		if r.Metric == f.cfg.MetricFor(r.Prefix) {
			there[r.Prefix] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	t.installed.all(func(p netip.Prefix, _ uint32) {
		if _, ok := there[p]; !ok {
			f.lost(t, p)
			found++
		}
	})
	return found, nil
}

// lost notes that a route of ours is not there any more.
func (f *fib) lost(t *table, p netip.Prefix) {
	f.put(t, p, noSet)
	f.look(t, p)
}

// matches reports whether a route of ours is as it should be.
func (f *fib) matches(t *table, r *rtnl.Route) bool {
	n := t.installed.get(r.Prefix)
	if n == wrongSet|unclaimed {
		return true // as it was left
	}
	if n&^unclaimed == wrongSet {
		return false
	}
	want := f.route(key{t, r.Prefix}, n&^unclaimed)
	if want.Type == unix.RTN_BLACKHOLE || r.Type == unix.RTN_BLACKHOLE {
		return want.Type == r.Type
	}
	if want.NextHopID != 0 || r.NextHopID != 0 {
		return want.NextHopID == r.NextHopID
	}
	return slices.Equal(want.Hops, r.Hops)
}
