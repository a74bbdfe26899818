package gobgp

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// membership is our wish for the routes of a target, of all if it is empty.
func membership(text string) bridge.Update {
	u := bridge.Update{NLRI: bridge.NLRI{Kind: bridge.Membership}, Attributes: &bridge.Attributes{NextHop: addr("0.0.0.0")}}
	if text != "" {
		u.NLRI.Target = target(text)
	}
	return u
}

// tagged are routes of three families with one route target each.
func tagged(n int, text string) []bridge.Update {
	a := &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: []bridge.RouteTarget{target(text)}}
	a6 := &bridge.Attributes{NextHop: addr("2001:db8::9"), RouteTargets: a.RouteTargets}
	return []bridge.Update{
		prefixRoute("192.0.2.9:1", fmt.Sprintf("10.1.%d.0/24", n), 200, a),
		vpnRoute("192.0.2.9:1", fmt.Sprintf("10.1.%d.0/24", n), 16, a),
		vpnRoute("192.0.2.9:1", fmt.Sprintf("2001:db8:%d::/48", n), 16, a6),
	}
}

// withConstraint starts a speaker and a route reflector that constrain routes.
func withConstraint(t *testing.T, more ...config.Family) (*host, *fabric) {
	t.Helper()
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65000)
	cfg.BGP.Listen = nil
	port := freePort(t, addrs[1])
	list := append([]config.Family{config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyRTC}, more...)
	var theirs []bgp.Family
	for _, f := range list {
		theirs = append(theirs, families[f])
	}
	p := speaking(passivePeer(addrs[0], 65000), theirs...)
	p.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: addrs[1].String()}
	f := startFabric(t, addrs[1], port, 65000, p)
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Port: port, Peering: config.Peering{
		ASN: 65000, LocalAddress: addrs[0], Families: list, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	return h, f
}

func TestReflectorSendsWhatWeAreMembersOf(t *testing.T) {
	parallel(t)
	h, f := withConstraint(t)
	red, blue := tagged(1, "65000:1"), tagged(2, "65000:2")
	for _, r := range append(slices.Clone(red), blue...) {
		f.add(t, routePath(t, r))
	}
	has := func(routes []bridge.Update) func() bool {
		return func() bool {
			for _, r := range routes {
				if _, ok := h.get(r.NLRI); !ok {
					return false
				}
			}
			return h.len() == len(routes)
		}
	}
	h.tell(t, membership("65000:1"))
	h.up(t)
	eventually(t, "red routes alone", has(red))
	h.tell(t, membership("65000:2"))
	eventually(t, "all routes", has(append(slices.Clone(red), blue...)))
	h.tell(t, withdrawal(membership("65000:1")))
	eventually(t, "blue routes alone", has(blue))
	h.tell(t, membership(""))
	eventually(t, "all routes by the default", has(append(slices.Clone(red), blue...)))
	h.tell(t, withdrawal(membership("")))
	eventually(t, "blue routes alone", has(blue))
	h.tell(t, withdrawal(membership("65000:2")))
	eventually(t, "no routes", has(nil))
}

func TestNeighborGetsWhatItIsMemberOf(t *testing.T) {
	parallel(t)
	h, f := withConstraint(t)
	h.tell(t, append(tagged(1, "65000:1"), tagged(2, "65000:2")...)...)
	h.up(t)
	eventually(t, "the default is not there", func() bool { return f.foreign(t) == 0 })
	f.add(t, routePath(t, membership("65000:1")))
	count := func() int { return len(f.nextHops(t, bgp.RF_EVPN, bgp.RF_IPv4_VPN, bgp.RF_IPv6_VPN)) }
	eventually(t, "red routes", func() bool { return count() == 3 })
	f.add(t, routePath(t, membership("65000:2")))
	eventually(t, "all routes", func() bool { return count() == 6 })
	f.remove(t, routePath(t, membership("65000:1")))
	eventually(t, "blue routes", func() bool { return count() == 3 })
}

// GoBGP ends the process at this, unless its table keeps the entries.
func TestMembershipsMayGoWhileTheyAreListed(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	cfg := configuration(t, addrs[0], 65001)
	for _, a := range addrs[1:] {
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Passive: true, Peering: config.Peering{
			ASN: 65000, Families: []config.Family{config.FamilyEVPN, config.FamilyRTC}, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	caps := []bgp.ParameterCapabilityInterface{bgp.NewCapMultiProtocol(bgp.RF_EVPN), bgp.NewCapMultiProtocol(bgp.RF_RTC_UC), bgp.NewCapRouteRefresh()}
	member, reader := connect(t, h, addrs[1], caps...), connect(t, h, addrs[2], caps...)
	come, leave := memberships(t, 200)
	member.write(come)
	eventually(t, "memberships", func() bool { return h.Counters().Unsupported == 200 })
	refresh, err := bgp.NewBGPRouteRefreshMessage(bgp.AFI_IP, 0, bgp.SAFI_ROUTE_TARGET_CONSTRAINTS).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 500
	if raceEnabled {
		rounds = 100
	}
	for range rounds {
		member.write(append(slices.Clone(leave), come...))
		reader.write(refresh)
	}
	member.write(leave)
	next, key := typeFive("10.1.2.0/24", 7)
	member.send(update([]uint32{65000}, next))
	eventually(t, "a route", func() bool { _, ok := h.get(key); return ok })
	e := h.engine.(*embedded)
	if n := entries(t, e); n != 201 {
		t.Errorf("%d entries, want those of the memberships and of the route", n)
	}
	for _, u := range membershipNLRIs(200) {
		e.sweep.free(bgp.RF_RTC_UC, u.NLRI)
	}
	if n := entries(t, e); n != 1 {
		t.Errorf("%d entries, want that of the route", n)
	}
}

// memberships returns UPDATEs that announce and withdraw n memberships.
func memberships(t *testing.T, n int) (come, leave []byte) {
	t.Helper()
	reach, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_RTC_UC, membershipNLRIs(n), netip.MustParseAddr("192.0.2.9"))
	if err != nil {
		t.Fatal(err)
	}
	unreach, err := bgp.NewPathAttributeMpUnreachNLRI(bgp.RF_RTC_UC, membershipNLRIs(n))
	if err != nil {
		t.Fatal(err)
	}
	path := bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65000})})
	serialize := func(attrs ...bgp.PathAttributeInterface) []byte {
		b, err := bgp.NewBGPUpdateMessage(nil, attrs, nil).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return serialize(bgp.NewPathAttributeOrigin(0), path, reach), serialize(unreach)
}

func membershipNLRIs(n int) []bgp.PathNLRI {
	list := make([]bgp.PathNLRI, n)
	for i := range list {
		rt := bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, 65000, uint32(i), true)
		list[i].NLRI = bgp.NewRouteTargetMembershipNLRI(65000, rt)
	}
	return list
}
