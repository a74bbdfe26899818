package gobgp

import (
	"flag"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"mbbgp/bridge"
	"mbbgp/config"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if runtime.GOMAXPROCS(0) < waiting {
		_ = flag.Set("test.parallel", strconv.Itoa(waiting))
	}
	// GoBGP closes the queue of a session that it stops, and empties it without
	// waiting; what is put in at that moment keeps the queue's goroutine.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
}

// waiting is how many tests run at once, on few processors too: they wait most
// of the time.
const waiting = 8

// pair starts two speakers that are neighbours.
func pair(t testing.TB, asnA, asnB uint32, change func(toB, toA *config.Neighbor)) (a, b *host) {
	t.Helper()
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], asnA), configuration(t, addrs[1], asnB)
	meet(ca, cb, change)
	a, b = start(t, ca), start(t, cb)
	settle(t, a, b)
	a.up(t)
	b.up(t)
	return a, b
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// speak makes neighbours of meet speak all families of routes.
func speak(toB, toA *config.Neighbor) {
	toB.Families = []config.Family{
		config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6,
		config.FamilyFlowSpec4, config.FamilyFlowSpec6,
	}
	toA.Families = toB.Families
}

func TestRouteArrivesWithAllItsAttributes(t *testing.T) {
	onBothEngines(t, routeArrivesWithAllItsAttributes)
}

func routeArrivesWithAllItsAttributes(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, speak)
	med := uint32(7)
	full := vxlan("192.0.2.1")
	full.RouteTargets = append(full.RouteTargets, target("192.0.2.1:9"), target("4200000000:3"))
	full.Communities = []uint32{65001<<16 | 5, 65001<<16 | 6}
	full.Large = [][3]uint32{{65001, 1, 2}, {65001, 3, 4}}
	full.MED = &med
	ipip := &bridge.Attributes{
		NextHop:       netip.MustParseAddr("2001:db8:1::7"),
		RouteTargets:  []bridge.RouteTarget{target("65000:300")},
		Encapsulation: bridge.TunnelIPinIP,
	}
	mpls := &bridge.Attributes{
		NextHop:      netip.MustParseAddr("2001:db8:1::7"),
		RouteTargets: []bridge.RouteTarget{target("65000:300")},
		SiteOfOrigin: []bridge.ExtendedCommunity{site("65001:1")},
	}
	mpls4 := *mpls
	mpls4.NextHop = netip.MustParseAddr("192.0.2.1")
	plain := &bridge.Attributes{
		NextHop:      netip.MustParseAddr("192.0.2.1"),
		SiteOfOrigin: []bridge.ExtendedCommunity{site("65001:1")},
		Communities:  []uint32{65001<<16 | 5},
	}
	plain6 := *plain
	plain6.NextHop = netip.MustParseAddr("2001:db8::1")
	routes := []bridge.Update{
		prefixRoute("192.0.2.1:1", "198.51.100.7/32", 200, full),
		prefixRoute("65001:70000", "2001:db8:9::/48", 0xffffff, full),
		prefixRoute("4200000000:5", "0.0.0.0/0", 300, ipip),
		prefixRoute("192.0.2.1:65535", "::/0", 1, ipip),
		vpnRoute("192.0.2.1:1", "198.51.100.7/32", 0, mpls),
		vpnRoute("192.0.2.1:2", "198.51.100.7/32", 1<<20-1, &mpls4),
		vpnRoute("65001:70000", "2001:db8:9::/48", 16, mpls),
		vpnRoute("4200000000:5", "::/0", bridge.ImplicitNull, &mpls4),
		vpnRoute("192.0.2.1:1", "0.0.0.0/0", 1<<19, mpls),
		unicastRoute("198.51.100.7/32", plain),
		unicastRoute("0.0.0.0/0", &plain6),
		unicastRoute("2001:db8:9::/48", &plain6),
		unicastRoute("::/0", plain),
	}
	routes[1].NLRI.EthernetTag = 77
	a.tell(t, routes...)
	eventually(t, "all routes arrived", func() bool { return b.len() == len(routes) })
	for _, want := range routes {
		got, _ := b.get(want.NLRI)
		want.Neighbor = a.addr
		received := *want.Attributes
		received.ASPathLength = 1
		want.Attributes = &received
		if diff := cmp.Diff(want, got, compareAddr, comparePrefix, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("route (-sent +received):\n%s", diff)
		}
	}
	for i := range routes {
		routes[i] = withdrawal(routes[i])
	}
	a.tell(t, routes[2:]...)
	eventually(t, "two routes are left", func() bool { return b.len() == 2 })
}

func TestRoutesOfOneNextHopShareTheirAttributes(t *testing.T) {
	onBothEngines(t, routesOfOneNextHopShareTheirAttributes)
}

func routesOfOneNextHopShareTheirAttributes(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, many(50, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "routes arrived", func() bool { return b.len() == 50 })
	a.tell(t, prefixRoute("192.0.2.1:2", "198.51.100.7/32", 200, vxlan("192.0.2.1")))
	eventually(t, "one more route arrived", func() bool { return b.len() == 51 })
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[*bridge.Attributes]bool)
	for _, u := range b.routes {
		seen[u.Attributes] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d different attributes, want 1", len(seen))
	}
}

func TestOwnRoutesAreNotImported(t *testing.T) { onBothEngines(t, ownRoutesAreNotImported) }

func ownRoutesAreNotImported(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, many(10, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	b.tell(t, many(5, "192.0.2.2:1", vxlan("192.0.2.2"))...)
	eventually(t, "routes exchanged", func() bool { return a.len() == 5 && b.len() == 10 })
	eventually(t, "counters", func() bool {
		c := a.Counters()
		return c.Own >= 10 && c.Imported == 5 && c.Announced == 10
	})
}

func TestChangedRouteReplacesTheOldOne(t *testing.T) { onBothEngines(t, changedRouteReplacesTheOldOne) }

func changedRouteReplacesTheOldOne(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	r := prefixRoute("192.0.2.1:1", "198.51.100.7/32", 200, vxlan("192.0.2.1"))
	a.tell(t, r)
	eventually(t, "route arrived", func() bool { return b.len() == 1 })
	for _, change := range []struct {
		name   string
		change func(*bridge.Update)
	}{
		{"next hop alone", func(u *bridge.Update) { u.Attributes = vxlan("192.0.2.3") }},
		{"label alone", func(u *bridge.Update) { u.Label = 201 }},
		{"route target alone", func(u *bridge.Update) {
			c := *u.Attributes
			c.RouteTargets = []bridge.RouteTarget{target("65000:201")}
			u.Attributes = &c
		}},
	} {
		change.change(&r)
		a.tell(t, r)
		eventually(t, change.name, func() bool {
			got, _ := b.get(r.NLRI)
			return got.Label == r.Label && got.Attributes.NextHop == r.Attributes.NextHop &&
				got.Attributes.RouteTargets[0] == r.Attributes.RouteTargets[0]
		})
	}
	if c := b.Counters(); c.Imported != 4 || c.Removed != 0 {
		t.Errorf("counters: %+v", c)
	}
}

func TestLostSessionWithdrawsItsRoutes(t *testing.T) {
	parallel(t)
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, many(100, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "routes arrived", func() bool { return b.len() == 100 })
	if n := b.neighbor(a.addr); n.Updates != 100 || n.Ups != 1 || n.Since.IsZero() || n.LastError != "" ||
		n.ASN != 65001 || n.LocalASN != 65002 || n.RouterID != a.addr {
		t.Errorf("neighbour while up: %+v", n)
	}
	a.stop()
	eventually(t, "all withdrawn", func() bool { return b.len() == 0 })
	eventually(t, "session down", func() bool { return b.neighbor(a.addr).State != Established })
	if n := b.neighbor(a.addr); n.LastError == "" || n.Families != nil || !n.Since.IsZero() || n.Withdrawals != 100 {
		t.Errorf("neighbour after: %+v", n)
	}
}

func TestOwnStopWithdrawsNothingFromTheBridge(t *testing.T) {
	onBothEngines(t, ownStopWithdrawsNothingFromTheBridge)
}

func ownStopWithdrawsNothingFromTheBridge(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, many(100, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "routes arrived", func() bool { return b.len() == 100 })
	b.stop()
	if n := b.len(); n != 100 {
		t.Errorf("%d of 100 routes are left", n)
	}
}

func TestEndOfRIBIsToldAfterTheRoutes(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	meet(ca, cb, func(toB, _ *config.Neighbor) {
		toB.Families = []config.Family{config.FamilyEVPN, config.FamilyVPNv4}
	})
	cb.BGP.Neighbors[0].Families = []config.Family{config.FamilyVPNv6, config.FamilyEVPN}
	a := start(t, ca)
	a.tell(t, many(50, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	b := start(t, cb)
	settle(t, a, b)
	eventually(t, "end of RIB", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.ended[a.addr]) > 0
	})
	if n := b.len(); n != 50 {
		t.Errorf("%d of 50 routes before the end of RIB", n)
	}
	want := []FamilyInfo{{Family: config.FamilyEVPN, EndOfRIB: true}}
	if diff := cmp.Diff(want, b.neighbor(a.addr).Families); diff != "" {
		t.Errorf("families (-want +got):\n%s", diff)
	}
}

func TestUnicastPathBehindOursIsOver(t *testing.T) { onBothEngines(t, unicastPathBehindOursIsOver) }

func unicastPathBehindOursIsOver(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, speak)
	r := bridge.Update{
		NLRI:       bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24")},
		Attributes: &bridge.Attributes{NextHop: netip.MustParseAddr("192.0.2.7")}, // not the session's: GoBGP v3 takes no loopback address
	}
	b.tell(t, r)
	eventually(t, "route arrived", func() bool { return a.len() == 1 })
	a.tell(t, r)
	eventually(t, "ours is the best one", func() bool { return a.len() == 0 })
	a.tell(t, withdrawal(r))
	eventually(t, "route back", func() bool { return a.len() == 1 })
}

func TestBatchIsReducedToItsLastWord(t *testing.T) { onBothEngines(t, batchIsReducedToItsLastWord) }

func batchIsReducedToItsLastWord(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	r := many(3, "192.0.2.1:1", vxlan("192.0.2.1"))
	a.tell(t, r[0], withdrawal(r[0]), r[1], withdrawal(r[2]), r[2], r[1])
	eventually(t, "last words arrived", func() bool { return b.len() == 2 })
	if _, ok := b.get(r[0].NLRI); ok {
		t.Error("the withdrawn route is there")
	}
	if c := a.Counters(); c.Announced != 2 || c.Withdrawn != 1 {
		t.Errorf("counters: %+v", c)
	}
}

func TestTableListsOwnAndForeignPaths(t *testing.T) { onBothEngines(t, tableListsOwnAndForeignPaths) }

func tableListsOwnAndForeignPaths(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, prefixRoute("192.0.2.1:1", "198.51.100.7/32", 200, vxlan("192.0.2.1")))
	b.tell(t, prefixRoute("192.0.2.2:1", "198.51.100.8/32", 200, vxlan("192.0.2.2")))
	eventually(t, "routes exchanged", func() bool { return a.len() == 1 && b.len() == 1 })
	from := make(map[netip.Addr]string)
	if err := a.Table(func(p Path) bool {
		if !p.Best || p.Stale || time.Since(p.Since) > time.Hour || p.Label != 200 {
			t.Errorf("path: %+v", p)
		}
		from[p.Neighbor] = p.NLRI.Prefix.String()
		return true
	}); err != nil {
		t.Fatal(err)
	}
	want := map[netip.Addr]string{{}: "198.51.100.7/32", b.addr: "198.51.100.8/32"}
	if diff := cmp.Diff(want, from, compareAddr); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	seen := 0
	if err := a.Table(func(Path) bool { seen++; return false }); err != nil || seen != 1 {
		t.Errorf("visited %d paths after false, error %v", seen, err)
	}
	a.stop()
	if err := a.Table(func(Path) bool { return true }); err == nil {
		t.Error("a stopped speaker has a table")
	}
}

func TestRefreshSaysEverythingOnceMore(t *testing.T) { onBothEngines(t, refreshSaysEverythingOnceMore) }

func refreshSaysEverythingOnceMore(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, nil)
	a.tell(t, many(20, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	b.tell(t, many(5, "192.0.2.2:1", vxlan("192.0.2.2"))...)
	eventually(t, "routes arrived", func() bool { return b.len() == 20 })
	b.Refresh()
	eventually(t, "routes said again", func() bool { return b.Counters().Imported == 40 })
	if b.len() != 20 || b.Counters().Removed != 0 {
		t.Errorf("%d routes, counters %+v", b.len(), b.Counters())
	}
}
