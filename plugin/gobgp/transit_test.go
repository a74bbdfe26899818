package gobgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// nextHops returns the next hop of every path of a family that the fabric was
// sent, by NLRI.
func (f *fabric) nextHops(t testing.TB, families ...bgp.Family) map[string]netip.Addr {
	t.Helper()
	hops := make(map[string]netip.Addr)
	for _, family := range families {
		err := f.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(n bgp.NLRI, paths []*apiutil.Path) {
				for _, p := range paths {
					for _, attr := range p.Attrs {
						if !p.PeerAddress.IsValid() {
							continue
						}
						switch a := attr.(type) {
						case *bgp.PathAttributeMpReachNLRI:
							hops[n.String()] = a.Nexthop
						case *bgp.PathAttributeNextHop:
							hops[n.String()] = a.Value
						}
					}
				}
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	return hops
}

// routePath makes a path of a VPN or unicast prefix.
func routePath(t testing.TB, u bridge.Update) *apiutil.Path {
	t.Helper()
	p, err := newEncoder(65000).path(&u, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRoutePassedOnBetweenNeighborsKeepsItsNextHop(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Listen = nil
	ours := []config.Family{config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4}
	theirs := []bgp.Family{bgp.RF_EVPN, bgp.RF_IPv4_VPN, bgp.RF_IPv6_VPN, bgp.RF_IPv4_UC}
	var leaves []*fabric
	for i, a := range addrs[1:] {
		asn := uint32(65010 + i)
		port := freePort(t, a)
		leaves = append(leaves, startFabric(t, a, port, asn, speaking(passivePeer(addrs[0], 65001), theirs...)))
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Port: port, Peering: config.Peering{
			ASN: asn, LocalAddress: addrs[0], Families: ours, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	h.up(t)
	via := func(hop string) *bridge.Attributes {
		return &bridge.Attributes{NextHop: addr(hop), RouteTargets: []bridge.RouteTarget{target("65000:200")}}
	}
	leaves[0].add(t,
		path(rawPrefix(bgp.EVPNIPPrefixRoute{RD: rd("192.0.2.9:4"), IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 7}),
			"192.0.2.9", rt200, vxEC, macEC),
		path(rawPrefix(bgp.EVPNIPPrefixRoute{RD: rd("192.0.2.9:6"), IPPrefixLength: 64, IPPrefix: addr("2001:db8:9::"), GWIPAddress: zero6, Label: 7}),
			"2001:db8::9", rt200, vxEC, macEC),
		routePath(t, vpnRoute("192.0.2.9:4", "10.1.2.0/24", 16, via("192.0.2.9"))),
		routePath(t, vpnRoute("192.0.2.9:6", "10.1.2.0/24", 3, via("2001:db8::9"))),
		routePath(t, vpnRoute("192.0.2.9:6", "2001:db8:9::/64", 3, via("2001:db8::9"))),
		routePath(t, unicastRoute("10.1.2.0/24", via("192.0.2.9"))))
	h.tell(t,
		prefixRoute("192.0.2.1:200", "10.9.0.1/32", 200, vxlan("192.0.2.1")),
		vpnRoute("192.0.2.1:200", "10.9.0.1/32", 16, via("192.0.2.1")),
		unicastRoute("10.9.0.1/32", via("192.0.2.1")),
		unicastRoute("10.9.0.2/32", via("0.0.0.0")))
	want := map[string]string{
		"[type:Prefix][rd:192.0.2.9:4][etag:0][prefix:10.1.2.0/24]":     "192.0.2.9",
		"[type:Prefix][rd:192.0.2.9:6][etag:0][prefix:2001:db8:9::/64]": "2001:db8::9",
		"[type:Prefix][rd:192.0.2.1:200][etag:0][prefix:10.9.0.1/32]":   "192.0.2.1",
		"192.0.2.9:4:10.1.2.0/24":                                       "192.0.2.9",
		"192.0.2.9:6:10.1.2.0/24":                                       "2001:db8::9",
		"192.0.2.9:6:2001:db8:9::/64":                                   "2001:db8::9",
		"192.0.2.1:200:10.9.0.1/32":                                     "192.0.2.1",
		"10.1.2.0/24":                                                   addrs[0].String(),
		"10.9.0.1/32":                                                   "192.0.2.1",
		"10.9.0.2/32":                                                   addrs[0].String(),
	}
	eventually(t, "the other leaf has all routes", func() bool { return len(leaves[1].nextHops(t, theirs...)) == len(want) })
	got := make(map[string]string)
	for n, hop := range leaves[1].nextHops(t, theirs...) {
		got[n] = hop.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("next hops (-want +got):\n%s", diff)
	}
}

// Of one unicast prefix from a neighbour and from us, ours is in use. The
// neighbour's may go meanwhile.
func TestOwnUnicastRouteTakesThePlaceOfANeighbors(t *testing.T) {
	parallel(t)
	a, b := pair(t, 65001, 65002, speak)
	r := unicastRoute("203.0.113.0/24", &bridge.Attributes{NextHop: addr("192.0.2.1")})
	a.tell(t, r)
	eventually(t, "route arrived", func() bool { return b.len() == 1 })
	b.tell(t, r)
	eventually(t, "our own one is in use", func() bool { return b.len() == 0 })
	b.tell(t, withdrawal(r))
	eventually(t, "the neighbour's is in use again", func() bool { return b.len() == 1 })
	b.tell(t, r)
	a.tell(t, withdrawal(r))
	eventually(t, "the neighbour's is gone", func() bool {
		paths := 0
		_ = b.Table(func(Path) bool { paths++; return true })
		return paths == 1
	})
	b.tell(t, withdrawal(r))
	b.tell(t, unicastRoute("203.0.113.1/32", r.Attributes))
	eventually(t, "all said", func() bool { return a.len() == 1 })
	if n := b.len(); n != 0 {
		t.Errorf("%d routes that nobody announces", n)
	}
}

func TestRoutesOfAllFamiliesWithOurASAreRefused(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Passive: true, Peering: config.Peering{
		ASN: 65000, Families: []config.Family{config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6}, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	families := []bgp.Family{bgp.RF_IPv4_VPN, bgp.RF_IPv6_VPN, bgp.RF_IPv4_UC, bgp.RF_IPv6_UC}
	var caps []bgp.ParameterCapabilityInterface
	for _, f := range families {
		caps = append(caps, bgp.NewCapMultiProtocol(f))
	}
	r := connect(t, h, addrs[1], caps...)
	a := &bridge.Attributes{NextHop: addr("192.0.2.9")}
	announce := func(asPath ...uint32) {
		for _, u := range []bridge.Update{
			vpnRoute("65000:1", "10.1.2.0/24", 16, a), vpnRoute("65000:1", "2001:db8:9::/48", 16, a),
			unicastRoute("10.1.2.0/24", a), unicastRoute("2001:db8:9::/48", a),
		} {
			p := routePath(t, u)
			hop := addr("192.0.2.9")
			if p.Family.Afi() == bgp.AFI_IP6 {
				hop = addr("2001:db8::9")
			}
			reach, err := bgp.NewPathAttributeMpReachNLRI(p.Family, []bgp.PathNLRI{{NLRI: p.Nlri}}, hop)
			if err != nil {
				t.Fatal(err)
			}
			r.send(bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{
				bgp.NewPathAttributeOrigin(0),
				bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)}),
				reach,
			}, nil))
		}
	}
	announce(65000, 65009)
	eventually(t, "routes arrived", func() bool { return h.len() == len(families) })
	announce(65000, 65001)
	eventually(t, "they are over", func() bool { return h.len() == 0 })
	if n := h.neighbor(addrs[1]); n.State != Established || n.Ups != 1 {
		t.Errorf("neighbour: %+v", n)
	}
}
