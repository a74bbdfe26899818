package kernel

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// From the moment that the tables say something else until the kernel has just
// that, a prefix is astray, whatever the kernel has meanwhile.
func TestVerifySaysWhatTheKernelHasNotYet(t *testing.T) {
	m := newModel(modelConfig())
	p := modelPrefixes[0]
	verify := func() error { return m.fib.verify(m.fib.tables[0], p) }
	want := func(when string, want error) {
		t.Helper()
		if got := verify(); !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	hops := func(targets ...string) {
		var list []rib.NextHop
		for _, a := range targets {
			list = append(list, rib.NextHop{Target: netip.MustParseAddr(a)})
		}
		m.tables.MetalBond.Replace(m.origin[0], 1, p, list, rib.Native)
	}
	want("nothing is said", errNowhere)
	hops("fd00::1")
	want("a next hop is said", errNotMade)
	m.turn()
	want("it is in the kernel", nil)
	hops("fd00::2")
	want("another one is said", errNotMade)
	m.turn()
	want("and is in the kernel", nil)
	hops("fd00::1", "fd00::2")
	want("both are said", errNotMade)
	m.turn()
	want("and are in the kernel", nil)
	m.kernel.refuse = func() error { return errno(unix.ENOMEM) }
	hops("fd00::1")
	m.turn()
	want("the kernel refuses", unix.ENOMEM)
	m.kernel.refuse = nil
	m.pass(1e9, nil)
	want("the kernel does not any more", nil)

	route := rtnl.Route{Table: 101, Prefix: p, Metric: m.cfg.Kernel.Metric, Protocol: 4, Type: unix.RTN_UNREACHABLE}
	m.kernel.routes[at(&route)] = route
	m.event(rtnl.Event{Kind: rtnl.RouteEvent, Route: route})
	m.turn()
	want("somebody else's route is in its place", errConflict)
}

func TestVerifyIsOfVNIsWithATable(t *testing.T) {
	cfg := modelConfig()
	k, err := New(cfg, Tables{MetalBond: rib.New(rib.Options{})}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if astray, ok := k.Verify(1, modelPrefixes); !ok || len(astray) != len(modelPrefixes) {
		t.Errorf("of an empty table %v, %t", astray, ok)
	}
	if _, ok := k.Verify(99, modelPrefixes); ok {
		t.Error("a VNI that is not there has a table")
	}
	if _, err := k.Unreachable([]netip.Addr{netip.IPv6Loopback()}); !errors.Is(err, errNotRunning) {
		t.Errorf("before it runs: %v", err)
	}
}
