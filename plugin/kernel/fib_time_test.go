package kernel

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// announce adds a standard next hop of VNI 1.
func (m *model) announce(p netip.Prefix, target string) {
	m.tables.MetalBond.Add(m.origin[0], rib.Route{VNI: 1, Prefix: p, NextHop: rib.NextHop{Target: netip.MustParseAddr(target)}})
}

// pass lets time pass in steps of 10 ms, as the loop would with more turns than
// it takes.
func (m *model) pass(d time.Duration, each func()) {
	for end := m.now.Add(d); m.now.Before(end); m.now = m.now.Add(10 * time.Millisecond) {
		if each != nil {
			each()
		}
		m.turn()
	}
}

func TestRefusedChangesAreTriedEverMoreSeldom(t *testing.T) {
	m := newModel(modelConfig())
	m.announce(modelPrefixes[0], "fd00::1")
	m.turn()
	asked := 0
	m.kernel.refuse = func() error { asked++; return errno(unix.ENOMEM) }
	m.announce(modelPrefixes[1], "fd00::1")
	m.pass(5*time.Minute, nil)
	// 100 ms and double that up to a minute: 10 attempts in 102 s, then one a minute.
	if asked < 12 || asked > 16 {
		t.Errorf("it was tried %d times in 5 minutes, want about 14", asked)
	}
	if n := m.fib.counters.Failed["ENOMEM"]; n != uint64(asked) || m.fib.pending() != 1 || m.fib.tables[0].lastError == "" {
		t.Errorf("%d failures counted of %d, %d pending, last error %q", n, asked, m.fib.pending(), m.fib.tables[0].lastError)
	}
	m.kernel.refuse = nil
	m.pass(70*time.Second, nil)
	if len(m.kernel.routes) != 2 || m.fib.pending() != 0 || m.fib.tables[0].lastError != "" {
		t.Errorf("%d routes, %d pending, last error %q", len(m.kernel.routes), m.fib.pending(), m.fib.tables[0].lastError)
	}
}

func TestFightIsFoughtEverMoreSeldom(t *testing.T) {
	m := newModel(modelConfig())
	m.announce(modelPrefixes[0], "fd00::1")
	m.turn()
	meddle := func() {
		for k := range m.kernel.routes {
			delete(m.kernel.routes, k)
		}
		m.event(rtnl.Event{Kind: rtnl.OverrunEvent})
	}
	m.pass(5*time.Minute, meddle)
	// After 1, 2, 4, 8 and 16 s, and then every 30 s.
	if n := m.fib.counters.Resyncs["overrun"]; n < 10 || n > 18 {
		t.Errorf("%d comparisons in 5 minutes, want about 14", n)
	}
	m.pass(2*time.Minute, nil)
	if len(m.kernel.routes) != 1 || m.fib.resyncs.pause != resyncPause {
		t.Errorf("in peace there are %d routes, and comparisons wait %v", len(m.kernel.routes), m.fib.resyncs.pause)
	}
}

func TestStormOfRemovalsIsLeftToOneComparison(t *testing.T) {
	m := newModel(modelConfig())
	const n = 3 * maxMeddled
	for i := range n {
		m.announce(hostPrefix(false, i), "fd00::1")
	}
	m.turn()
	for k, r := range m.kernel.routes {
		delete(m.kernel.routes, k)
		m.event(rtnl.Event{Kind: rtnl.RouteEvent, Removed: true, Route: r})
	}
	m.turn()
	m.pass(5*time.Second, nil)
	if len(m.kernel.routes) != n || m.fib.counters.Restored != n || m.fib.counters.Resyncs["routes"] != 1 {
		t.Errorf("%d routes, %+v", len(m.kernel.routes), m.fib.counters)
	}
}

func TestSocketThatFailsIsMadeUpFor(t *testing.T) {
	m := newModel(modelConfig())
	m.announce(modelPrefixes[0], "fd00::1")
	m.turn()
	m.kernel.broken = unix.ENOBUFS
	m.announce(modelPrefixes[1], "fd00::2")
	m.pass(time.Minute, nil)
	if n := m.fib.counters.Resyncs["lost"]; n == 0 || n > 10 {
		t.Errorf("%d comparisons in a minute without a socket, want a few", n)
	}
	m.kernel.broken = nil
	m.pass(time.Minute, nil)
	route := m.kernel.routes[fakeRoute{101, modelPrefixes[1], 4711}]
	if to := m.kernel.objects[route.NextHopID].Hop.Encap.Dst; to != netip.MustParseAddr("fd00::2") || len(m.kernel.routes) != 2 {
		t.Errorf("the route leads to %v, and there are %d, want fd00::2 and 2", to, len(m.kernel.routes))
	}
}

func TestRouteThatIsRefusedForGoodIsLookedForOnce(t *testing.T) {
	m := newModel(modelConfig())
	m.announce(modelPrefixes[0], "fd00::1")
	m.turn()
	m.kernel.refuse = func() error { return errno(unix.EINVAL) }
	m.announce(modelPrefixes[1], "fd00::1")
	m.pass(5*time.Minute, nil)
	if n := m.fib.counters.Resyncs["next-hops"]; n != 1 || m.fib.pending() != 1 {
		t.Errorf("%d comparisons in 5 minutes, want 1; %d pending", n, m.fib.pending())
	}
}
