package kernel

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
)

// adopt notes what an earlier run left. Nothing of it is changed until the
// tables have said what is right.
func (f *fib) adopt() error {
	if f.objects {
		// Nothing refers to them yet, so that starting again is harmless.
		restart := func() { f.ids = newIDs(f, f.cfg.NextHopIDs) }
		err := f.kernel.NextHops(restart, func(n *rtnl.NextHop) error {
			switch {
			case !f.ids.has(n.ID):
			case n.Protocol == f.cfg.Protocol:
				f.ids.leave(n)
			default:
				f.ids.foreign[n.ID] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, t := range f.tables {
		if err := f.adoptRoutes(t); err != nil {
			return err
		}
	}
	f.counters.Resyncs["start"]++
	return nil
}

func (f *fib) adoptRoutes(t *table) error {
	restart := func() { t.installed.all(func(p netip.Prefix, _ uint32) { f.put(t, p, noSet) }) }
	filter := rtnl.RouteFilter{Table: t.number, Protocol: f.cfg.Protocol}
	return f.kernel.Routes(filter, restart, func(r *rtnl.Route) error {
		if r.Metric != f.cfg.MetricFor(r.Prefix) {
			return nil
		}
		n := uint32(wrongSet)
		switch {
		case r.Type == unix.RTN_BLACKHOLE:
			n = f.sets.intern([]uint32{f.hops.intern(hop{kind: discardHop})})
		case r.NextHopID != 0 && f.objects:
			n = f.sets.leftover(r.NextHopID)
		}
		f.put(t, r.Prefix, n|unclaimed)
		return nil
	})
}

// sweep marks what an earlier run left and the tables have not said. From now
// on nothing is kept for its sake; the objects go with the routes that use them.
func (f *fib) sweep() {
	f.swept = true
	for _, t := range f.tables {
		if t.unclaimed == 0 {
			continue
		}
		f.log.WithField("vni", t.vni).WithField("routes", t.unclaimed).Info("removing routes of an earlier run that nobody announces any more")
		t.installed.all(func(p netip.Prefix, n uint32) {
			if n&unclaimed != 0 {
				f.look(t, p)
			}
		})
	}
}
