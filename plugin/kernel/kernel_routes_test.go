package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/rib"
)

func TestRoutesOfBothFamiliesComeMoveAndGo(t *testing.T) {
	h := newHost(t, nil)
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.ready()
	h.expect("10.0.0.1", "seg6 fd00:1::1")
	h.announce("2001:db8::1/128", "fd00:1::1", "fd00:2::1")
	h.expect("10.0.0.1", "seg6 fd00:1::1", "2001:db8::1", "seg6 fd00:1::1 + seg6 fd00:2::1")
	h.announce("10.0.0.1/32", "fd00:2::1")
	h.announce("0.0.0.0/0", "fd00:1::2", "fd00:1::3")
	h.expect("default", "seg6 fd00:1::2 + seg6 fd00:1::3", "10.0.0.1", "seg6 fd00:2::1", "2001:db8::1", "seg6 fd00:1::1 + seg6 fd00:2::1")
	h.announce("2001:db8::1/128")
	h.announce("0.0.0.0/0")
	h.announce("10.0.0.1/32")
	h.expect()
	h.synced()
	if i := h.kernel.Info(); i.Objects && strings.TrimSpace(netns.Run(t, "ip", "nexthop")) != "" {
		t.Errorf("next hop objects are left:\n%s", netns.Run(t, "ip", "nexthop"))
	}
}

func TestRoutesOfFabricLeadOnFromHere(t *testing.T) {
	h := newHost(t, nil)
	h.announce("198.51.100.0/24", "fd00:f::100")
	h.announce("2001:db8:1::/48", "fd00:f::100")
	h.offer("198.51.100.0/24", "fd00:1::99")
	h.offer("2001:db8:1::/48", "fd00:a::99", "fd00:1::99")
	h.offer("203.0.113.0/24", "discard")
	h.ready()
	h.expect("198.51.100.0/24", "fd00:a::2 dev u1", "203.0.113.0/24", "blackhole",
		"2001:db8:1::/48", "fd00:a::2 dev u1 + fd00:a::99 dev u1")
	netns.Run(t, "ip", "route", "add", "192.0.2.0/24", "via", "inet6", "fd00:a::2", "dev", "u1")
	netns.Run(t, "ip", "addr", "add", "172.16.0.1/24", "dev", "u2")
	h.offer("198.51.100.0/24", "172.16.0.7")
	h.announce("203.0.113.0/24", "fd00:2::1")
	h.expect("198.51.100.0/24", "172.16.0.7 dev u2", "203.0.113.0/24", "seg6 fd00:2::1",
		"2001:db8:1::/48", "fd00:a::2 dev u1 + fd00:a::99 dev u1")
}

func TestLostHypervisorLeavesGroupsInOneMessage(t *testing.T) {
	h := newHost(t, nil)
	for i := range 200 {
		h.announceAt(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32), "fd00:1::1", "fd00:2::1")
	}
	h.ready()
	h.synced()
	before, count := h.kernel.Info().Counters, h.hear()
	netns.Run(t, "ip", "route", "del", "fd00:2::/64")
	if !eventually(func() bool { return h.routes(1100)["10.0.0.7"] == "seg6 fd00:1::1" }) {
		t.Fatalf("the route is %v", h.routes(1100)["10.0.0.7"])
	}
	// The kernel tells of each route that uses a group that was replaced, unless
	// net.ipv4.nexthop_compat_mode is 0. What counts is what was asked of it.
	after := h.kernel.Info().Counters
	if _, objects := count(); objects != 1 || after.NextHops != before.NextHops+1 || after.Installed != before.Installed {
		t.Errorf("%d next hop objects changed, counters before %+v\nafter %+v", objects, before, after)
	}
	if r, _ := h.kernel.Route(100, netip.MustParsePrefix("10.0.0.7/32")); len(r.NextHops) != 2 || r.NextHops[0].Reachable == r.NextHops[1].Reachable {
		t.Errorf("next hops are %+v, want one that is not reachable", r.NextHops)
	}
	netns.Run(t, "ip", "route", "del", "fd00:1::/64")
	if !eventually(func() bool { return h.routes(1100)["10.0.0.7"] == "seg6 fd00:1::1 + seg6 fd00:2::1" }) {
		t.Fatalf("the route is %v, want all next hops because none is reachable", h.routes(1100)["10.0.0.7"])
	}
}

func TestConflictLeavesTheRouteOfSomebodyElse(t *testing.T) {
	h := newHost(t, nil)
	netns.Run(t, "ip", "route", "add", "unreachable", "10.0.0.1", "table", "1100", "metric", "4711")
	netns.Run(t, "ip", "-6", "route", "add", "unreachable", "2001:db8::1", "table", "1100", "metric", "4711")
	netns.Run(t, "ip", "route", "add", "unreachable", "10.0.0.9", "table", "1100", "metric", "5")
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.announce("2001:db8::1/128", "fd00:1::1")
	h.announce("10.0.0.2/32", "fd00:1::1")
	h.ready()
	foreign := []string{"10.0.0.9", "unreachable metric 5", "10.0.0.1", "unreachable", "2001:db8::1", "unreachable"}
	h.expect(append(foreign, "10.0.0.2", "seg6 fd00:1::1")...)
	h.until("conflicts are shown", func(i Info) bool { return i.Tables[0].Conflicts == 2 && i.Tables[0].Pending == 0 })
	if r, _ := h.kernel.Route(100, netip.MustParsePrefix("10.0.0.1/32")); r.Installed || !strings.Contains(r.Problem, "somebody else") {
		t.Errorf("the route is %+v", r)
	}
	netns.Run(t, "ip", "route", "del", "10.0.0.1", "table", "1100")
	netns.Run(t, "ip", "-6", "route", "del", "2001:db8::1", "table", "1100")
	h.expect("10.0.0.9", "unreachable metric 5", "10.0.0.1", "seg6 fd00:1::1", "2001:db8::1", "seg6 fd00:1::1", "10.0.0.2", "seg6 fd00:1::1")
	netns.Run(t, "ip", "route", "replace", "prohibit", "10.0.0.1", "table", "1100", "metric", "4711")
	h.until("a route that somebody puts in the place of ours is a conflict", func(i Info) bool { return i.Tables[0].Conflicts == 1 })
	h.announce("10.0.0.1/32")
	h.announce("2001:db8::1/128")
	h.announce("10.0.0.2/32")
	h.expect("10.0.0.9", "unreachable metric 5", "10.0.0.1", "prohibit")
}

func TestKernelWithoutNextHopObjects(t *testing.T) {
	h := newHost(t, func(c *config.Config) { c.Kernel.NextHopObjects = false })
	h.announce("10.0.0.1/32", "fd00:1::1", "fd00:2::1")
	h.announce("2001:db8::1/128", "fd00:1::1", "fd00:2::1")
	h.ready()
	h.expect("10.0.0.1", "seg6 fd00:1::1 + seg6 fd00:2::1", "2001:db8::1", "seg6 fd00:1::1")
	netns.Run(t, "ip", "route", "del", "fd00:1::/64")
	h.expect("10.0.0.1", "seg6 fd00:2::1", "2001:db8::1", "seg6 fd00:2::1")
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.announce("2001:db8::1/128")
	h.expect("10.0.0.1", "seg6 fd00:1::1")
	if out := netns.Run(t, "ip", "nexthop"); out != "" {
		t.Errorf("there are next hop objects:\n%s", out)
	}
}

func TestIPv6RoutesDoWithoutIPv4Gateways(t *testing.T) {
	h := newHost(t, nil)
	netns.Run(t, "ip", "addr", "add", "172.16.0.1/24", "dev", "u2")
	for _, p := range []string{"198.51.100.0/24", "2001:db8:1::/48", "2001:db8:2::/48"} {
		h.announce(p, "fd00:f::100")
	}
	h.offer("198.51.100.0/24", "172.16.0.7")
	h.offer("2001:db8:1::/48", "172.16.0.7")
	h.offer("2001:db8:2::/48", "172.16.0.7", "fd00:1::99")
	h.ready()
	h.expect("198.51.100.0/24", "172.16.0.7 dev u2", "2001:db8:2::/48", "fd00:a::2 dev u1")
	i := h.kernel.Info()
	if i.Tables[0].Pending != 1 || len(i.Counters.Failed) > 0 {
		t.Errorf("pending %d, the kernel has refused %v", i.Tables[0].Pending, i.Counters.Failed)
	}
	r, _ := h.kernel.Route(100, netip.MustParsePrefix("2001:db8:1::/48"))
	if r.Installed || !strings.Contains(r.Problem, "IPv4 gateway") || len(r.NextHops) != 1 || r.NextHops[0].Reachable {
		t.Errorf("the route is %+v", r)
	}
	// An IPv6 gateway leads to an IPv4 address as well (RFC 8950).
	netns.Run(t, "ip", "route", "add", "172.16.0.7", "via", "inet6", "fd00:b::2", "dev", "u2")
	h.expect("198.51.100.0/24", "fd00:b::2 dev u2", "2001:db8:1::/48", "fd00:b::2 dev u2", "2001:db8:2::/48", "fd00:a::2 dev u1 + fd00:b::2 dev u2")
	h.synced()
	netns.Run(t, "ip", "route", "del", "172.16.0.7")
	h.expect("198.51.100.0/24", "172.16.0.7 dev u2", "2001:db8:1::/48", "fd00:b::2 dev u2", "2001:db8:2::/48", "fd00:a::2 dev u1")
}

func TestFabricNextHopThatWasNeverReachableIsShown(t *testing.T) {
	h := newHost(t, nil)
	h.announce("198.51.100.0/24", "fd00:f::100")
	h.announce("2001:db8:1::/48", "fd00:f::100")
	h.offer("198.51.100.0/24", "fd00:9::9")
	h.offer("2001:db8:1::/48", "fd00:9::9", "fd00:1::9")
	h.ready()
	h.expect("2001:db8:1::/48", "fd00:a::2 dev u1")
	r, _ := h.kernel.Route(100, netip.MustParsePrefix("198.51.100.0/24"))
	if i := h.kernel.Info(); r.Installed || !strings.Contains(r.Problem, "no route to it") || i.Tables[0].Pending != 1 || len(i.Counters.Failed) > 0 {
		t.Errorf("the route is %+v, the table %+v", r, i.Tables[0])
	}
	netns.Run(t, "ip", "route", "add", "fd00:9::/64", "via", "fd00:b::2")
	both := []string{"198.51.100.0/24", "fd00:b::2 dev u2", "2001:db8:1::/48", "fd00:a::2 dev u1 + fd00:b::2 dev u2"}
	h.expect(both...)
	netns.Run(t, "ip", "route", "del", "fd00:9::/64") // nothing is better: what there was stays
	h.expect("198.51.100.0/24", "fd00:b::2 dev u2", "2001:db8:1::/48", "fd00:a::2 dev u1")
}

func TestSteeringThatNobodyNeedsAnyMoreIsSwept(t *testing.T) {
	h := newHost(t, nil)
	before := says(t, "ip rule") + says(t, "nft list tables")
	h.announceNAT("198.51.100.1/32", "fd00:1::1", "fd00:2::1")
	h.ready()
	h.until("steered", func(i Info) bool { return i.Synced && i.Tables[0].Steered == 2 })
	h.stop()
	if says(t, "ip rule")+says(t, "nft list tables") == before {
		t.Fatal("nothing was steered")
	}
	h.tables.MetalBond = rib.New(rib.Options{})
	h.ready()
	h.until("swept", func(i Info) bool { return i.Swept && i.Synced })
	if after := says(t, "ip rule") + says(t, "nft list tables"); after != before {
		t.Errorf("left: %s", after)
	}
	h.expect()
}

func TestSteeringComesBackWithTheDevice(t *testing.T) {
	h := newHost(t, nil)
	h.announceNAT("198.51.100.1/32", "fd00:1::1", "fd00:2::1")
	h.ready()
	h.until("steered", func(i Info) bool { return i.Synced && i.Tables[0].Steered == 2 })
	tables := func() string {
		first := h.cfg.Kernel.SteeringTables.First
		return says(t, fmt.Sprintf("ip route show table %d", first+1)) + says(t, fmt.Sprintf("ip -6 route show table %d", first+2))
	}
	before := tables()
	batch(t, "link set seg down")
	h.until("the device is missed", func(i Info) bool { return !i.Devices[0].OK && i.Counters.Resyncs[linkReason] > 0 })
	if tables() == before {
		t.Fatal("the kernel has kept the routes of a device that is down")
	}
	batch(t, "link set seg up")
	if !eventually(func() bool { return tables() == before }) {
		t.Errorf("%s are left of %s", tables(), before)
	}
}
