package kernel

import "mbbgp/plugin/kernel/rtnl"

// event notes what somebody else, or the kernel, did to what is ours. What we
// cause ourselves is not heard. An event may be older than what we have done
// since; then what it leads to is one request too many.
func (f *fib) event(e *rtnl.Event) {
	switch e.Kind {
	case rtnl.RouteEvent:
		f.routeEvent(&e.Route, e.Removed)
	case rtnl.NextHopEvent:
		f.objectEvent(&e.NextHop, e.Removed)
	case rtnl.LinkEvent:
		f.linkEvent(&e.Link, e.Removed)
	case rtnl.OverrunEvent:
		f.resync("overrun")
	}
}

func (f *fib) routeEvent(r *rtnl.Route, removed bool) {
	t := f.byNumber[r.Table]
	if t == nil || r.Metric != f.cfg.MetricFor(r.Prefix) || isSegment(r) {
		return
	}
	has := t.installed.get(r.Prefix)
	switch ours := r.Protocol == f.cfg.Protocol; {
	case !ours && removed:
		if t.failed[r.Prefix].conflict {
			f.look(t, r.Prefix)
		}
	case !ours:
		if has != noSet { // it took the place of ours, and is not to be replaced
			f.lost(t, r.Prefix)
		}
	case removed && has != noSet:
		if f.meddled() {
			f.lost(t, r.Prefix)
		}
	case !removed && (has == noSet || !f.matches(t, r)):
		if f.meddled() {
			f.put(t, r.Prefix, wrongSet)
			f.look(t, r.Prefix)
		}
	}
}

// maxMeddled is how many routes are put right at once because of events; what is
// more is left to the comparison, which waits when it is needed too often.
const maxMeddled = 1000

// meddled counts a route that is to be put right, and reports whether that is to
// be done at once.
func (f *fib) meddled() bool {
	x := &f.resyncs
	if x.meddled++; x.meddled > maxMeddled {
		f.resync("routes")
		return false
	}
	f.counters.Restored++
	return true
}

// objectEvent notes that an object of ours is another one, or gone. The routes
// that used it may be gone as well, without a word.
func (f *fib) objectEvent(n *rtnl.NextHop, removed bool) {
	if !f.objects || !f.ids.has(n.ID) {
		return
	}
	_, isHop := f.ids.hops[n.ID]
	_, isGroup := f.ids.groups[n.ID]
	usable := !removed && !n.Blackhole && (len(n.Group) == 0) == isHop && n.Protocol == f.cfg.Protocol
	switch {
	case isHop, isGroup:
		f.lose(n, usable)
	case removed:
		delete(f.ids.foreign, n.ID)
		delete(f.ids.spare, n.ID)
	case n.Protocol != f.cfg.Protocol:
		f.ids.foreign[n.ID] = struct{}{}
		return
	}
	f.resync("next-hops")
}

// linkEvent notes that a link is lost that next hops leave by: the kernel removes
// their objects and routes without a word, and brings none back.
func (f *fib) linkEvent(l *rtnl.Link, removed bool) {
	if !removed && l.Up && l.Carrier {
		return
	}
	for _, n := range f.hops.numbers {
		if x := &f.hops.list[n]; x.made && x.kernel.Device == l.Index {
			f.hops.lose(n)
			f.resync(linkReason)
		}
	}
}
