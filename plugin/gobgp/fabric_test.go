package gobgp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"mbbgp/bridge"
	"mbbgp/config"
)

// fabric is a plain GoBGP server, with nothing of ours.
type fabric struct {
	*server.BgpServer
	stop func()
}

// startFabric starts a server at addr:port that accepts a session from
// neighbor.
func startFabric(t testing.TB, addr netip.Addr, port uint16, asn uint32, neighbors ...*api.Peer) *fabric {
	t.Helper()
	f := &fabric{BgpServer: server.NewBgpServer()}
	go f.Serve()
	ctx := context.Background()
	if err := f.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: asn, RouterId: addr.String(), ListenPort: int32(port), ListenAddresses: []string{addr.String()},
	}}); err != nil {
		t.Fatal(err)
	}
	f.stop = sync.OnceFunc(f.Stop)
	t.Cleanup(f.stop)
	for _, n := range neighbors {
		if err := f.AddPeer(ctx, &api.AddPeerRequest{Peer: n}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// passivePeer is a neighbour of a fabric that dials and speaks EVPN.
func passivePeer(addr netip.Addr, asn uint32) *api.Peer {
	return &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: addr.String(), PeerAsn: asn},
		Transport:       &api.Transport{PassiveMode: true},
		GracefulRestart: &api.GracefulRestart{Enabled: true, HelperOnly: true},
		AfiSafis: []*api.AfiSafi{{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, Enabled: true,
		}}},
	}
}

// speaking makes a neighbour of a fabric speak other families than EVPN.
func speaking(p *api.Peer, families ...bgp.Family) *api.Peer {
	p.AfiSafis = nil
	for _, f := range families {
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{Family: apiFamily(f), Enabled: true}})
	}
	return p
}

// path makes a path of EVPN route data.
func path(route bgp.NLRI, nextHop string, communities ...bgp.ExtendedCommunityInterface) *apiutil.Path {
	nh, err := bgp.NewPathAttributeNextHop(netip.MustParseAddr(nextHop))
	if err != nil {
		panic(err)
	}
	attrs := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(0), nh}
	if len(communities) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeExtendedCommunities(communities))
	}
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: route, Attrs: attrs}
}

func (f *fabric) add(t testing.TB, paths ...*apiutil.Path) {
	t.Helper()
	if _, err := f.AddPath(apiutil.AddPathRequest{Paths: paths}); err != nil {
		t.Fatal(err)
	}
}

func (f *fabric) remove(t testing.TB, paths ...*apiutil.Path) {
	t.Helper()
	if err := f.DeletePath(apiutil.DeletePathRequest{Paths: paths}); err != nil {
		t.Fatal(err)
	}
}

// foreign returns how many paths the fabric has of others.
func (f *fabric) foreign(t testing.TB) int {
	t.Helper()
	n := 0
	err := f.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: bgp.RF_EVPN},
		func(_ bgp.NLRI, paths []*apiutil.Path) {
			for _, p := range paths {
				if p.PeerAddress.IsValid() {
					n++
				}
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// withFabric starts a speaker and a plain GoBGP that are neighbours.
func withFabric(t testing.TB, asn, fabricASN uint32) (*host, *fabric, netip.Addr) {
	t.Helper()
	addrs := addresses(2)
	port := freePort(t, addrs[1])
	f := startFabric(t, addrs[1], port, fabricASN, passivePeer(addrs[0], asn))
	cfg := configuration(t, addrs[0], asn)
	cfg.BGP.Listen = nil
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Port: port, Peering: config.Peering{
		ASN: fabricASN, LocalAddress: addrs[0], Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	f.foreign(t)
	h.up(t)
	return h, f, addrs[1]
}

func rd(s string) bgp.RouteDistinguisherInterface {
	r, err := bgp.ParseRouteDistinguisher(s)
	if err != nil {
		panic(err)
	}
	return r
}

// rawPrefix makes a type 5 NLRI with whatever is in it.
func rawPrefix(route bgp.EVPNIPPrefixRoute) bgp.NLRI {
	if route.RD == nil {
		route.RD = rd("192.0.2.9:9")
	}
	if route.ESI.Value == nil {
		route.ESI = noESI
	}
	return bgp.NewEVPNNLRI(bgp.EVPN_IP_PREFIX, &route)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var (
	rt200 = bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, 65000, 200, true)
	vxEC  = bgp.NewEncapExtended(bgp.TUNNEL_TYPE_VXLAN)
	ipEC  = bgp.NewEncapExtended(bgp.TUNNEL_TYPE_IP_IN_IP)
	macEC = &bgp.RouterMacExtended{Mac: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
)

func TestFabricRouteBecomesAnUpdate(t *testing.T) {
	parallel(t)
	h, f, peer := withFabric(t, 65001, 65000)
	rt := []bridge.RouteTarget{target("65000:200")}
	mac := bridge.MAC{2, 0, 0, 0, 0, 9}
	macIP := func(ip string, labels ...uint32) bgp.NLRI {
		r := &bgp.EVPNMacIPAdvertisementRoute{
			RD: rd("65000:3"), ESI: noESI, MacAddressLength: 48, MacAddress: net.HardwareAddr(mac[:]), Labels: labels,
		}
		if ip != "" {
			r.IPAddress = addr(ip)
			r.IPAddressLength = uint8(r.IPAddress.BitLen())
		}
		return bgp.NewEVPNNLRI(bgp.EVPN_ROUTE_TYPE_MAC_IP_ADVERTISEMENT, r)
	}
	tests := []struct {
		name string
		path *apiutil.Path
		want bridge.Update
	}{
		{
			"type 5 with VXLAN",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 5000}), "192.0.2.9", rt200, vxEC, macEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("10.1.2.0/24")},
				Label:      5000,
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: rt, Encapsulation: 8, RouterMAC: mac},
			},
		},
		{
			"type 5 with IP-in-IP and IPv6 next hop",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 64, IPPrefix: addr("2001:db8:7::"), GWIPAddress: zero6, Label: 200}), "2001:db8::9", rt200, ipEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("2001:db8:7::/64")},
				Label:      200,
				Attributes: &bridge.Attributes{NextHop: addr("2001:db8::9"), RouteTargets: rt, Encapsulation: 7},
			},
		},
		{
			"of several encapsulations the one that is understood",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 24, IPPrefix: addr("10.1.4.0"), GWIPAddress: zero4, Label: 5000}), "192.0.2.9", rt200,
				bgp.NewEncapExtended(bgp.TUNNEL_TYPE_NVGRE), vxEC, bgp.NewEncapExtended(bgp.TUNNEL_TYPE_MPLS), macEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("10.1.4.0/24")},
				Label:      5000,
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: rt, Encapsulation: 8, RouterMAC: mac},
			},
		},
		{
			"host bits are masked",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 16, IPPrefix: addr("10.9.8.7"), GWIPAddress: zero4, Label: 1}), "192.0.2.9"),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("10.9.0.0/16")},
				Label:      1,
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9")},
			},
		},
		{
			"gateway address and Ethernet segment are told",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{
				ESI:            bgp.EthernetSegmentIdentifier{Type: bgp.ESI_ARBITRARY, Value: []byte{0, 0, 0, 0, 0, 0, 0, 0, 1}},
				IPPrefixLength: 24, IPPrefix: addr("10.1.3.0"), GWIPAddress: addr("10.1.3.1"),
			}), "192.0.2.9"),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("10.1.3.0/24")},
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), GatewayIP: addr("10.1.3.1"), ESI: true},
			},
		},
		{
			"type 2 with IP and L3 VNI",
			path(macIP("10.1.2.3", 100, 5000), "192.0.2.9", rt200, vxEC, macEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.MACIP, RD: distinguisher("65000:3"), MAC: mac, Prefix: netip.MustParsePrefix("10.1.2.3/32")},
				Label:      5000,
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: rt, Encapsulation: 8, RouterMAC: mac},
			},
		},
		{
			"type 2 with an IP and no L3 VNI",
			path(macIP("2001:db8::3", 100), "192.0.2.9", rt200, vxEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.MACIP, RD: distinguisher("65000:3"), MAC: mac, Prefix: netip.MustParsePrefix("2001:db8::3/128")},
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: rt, Encapsulation: 8},
			},
		},
		{
			"type 2 of a MAC only",
			path(macIP("", 100), "192.0.2.9", rt200, vxEC),
			bridge.Update{
				NLRI:       bridge.NLRI{Kind: bridge.MACIP, RD: distinguisher("65000:3"), MAC: mac},
				Attributes: &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: rt, Encapsulation: 8},
			},
		},
		{
			"default route with a 4-octet AS in RD and target",
			path(rawPrefix(bgp.EVPNIPPrefixRoute{RD: bgp.NewRouteDistinguisherFourOctetAS(4200000000, 7), IPPrefix: zero4, GWIPAddress: zero4, Label: 0xffffff}), "192.0.2.9",
				bgp.NewFourOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, 4200000000, 9, true),
				bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_ORIGIN, 65001, 1, true)),
			bridge.Update{
				NLRI:  bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("4200000000:7"), Prefix: netip.MustParsePrefix("0.0.0.0/0")},
				Label: 0xffffff,
				Attributes: &bridge.Attributes{
					NextHop: addr("192.0.2.9"), RouteTargets: []bridge.RouteTarget{target("4200000000:9")},
					SiteOfOrigin: []bridge.ExtendedCommunity{site("65001:1")},
				},
			},
		},
	}
	for _, tt := range tests {
		f.add(t, tt.path)
	}
	eventually(t, "all routes arrived", func() bool { return h.len() == len(tests) })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Neighbor, tt.want.Attributes.ASPathLength = peer, 1
			got, ok := h.get(tt.want.NLRI)
			if !ok {
				t.Fatalf("%v is not there", tt.want.NLRI)
			}
			if diff := cmp.Diff(tt.want, got, compareAddr, comparePrefix, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("update (-want +got):\n%s", diff)
			}
		})
	}
	for _, tt := range tests {
		f.remove(t, tt.path)
	}
	eventually(t, "all routes withdrawn", func() bool { return h.len() == 0 })
}

func TestRouteOfNoUseIsCountedAndTheSessionGoesOn(t *testing.T) {
	parallel(t)
	h, f, peer := withFabric(t, 65001, 65000)
	multicast, err := bgp.NewEVPNMulticastEthernetTagRoute(rd("65000:3"), 100, addr("192.0.2.9"))
	if err != nil {
		t.Fatal(err)
	}
	f.add(t,
		path(multicast, "192.0.2.9", rt200),
		path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 120, IPPrefix: addr("::ffff:10.0.0.0"), GWIPAddress: zero6, Label: 7}), "192.0.2.9", rt200),
		path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 7}), "192.0.2.9", rt200))
	eventually(t, "the good route arrived, and the others are counted", func() bool {
		c := h.Counters()
		return h.len() == 1 && c.Unsupported == 1 && c.Malformed == 1
	})
	if c := h.Counters(); c.Imported != 1 {
		t.Errorf("counters: %+v", c)
	}
	if n := h.neighbor(peer); n.State != Established || n.Ups != 1 {
		t.Errorf("neighbour: %+v", n)
	}
}

func TestBestPathOfTwoNeighborsFollowsTheOneThatIsLeft(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Listen = nil
	var fabrics []*fabric
	for _, a := range addrs[1:] {
		port := freePort(t, a)
		fabrics = append(fabrics, startFabric(t, a, port, 65000, passivePeer(addrs[0], 65001)))
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Port: port, Peering: config.Peering{
			ASN: 65000, LocalAddress: addrs[0], Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	h.up(t)
	route := rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 7})
	n := bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: netip.MustParsePrefix("10.1.2.0/24")}
	fabrics[0].add(t, path(route, "192.0.2.9", rt200))
	eventually(t, "route of the first", func() bool { u, _ := h.get(n); return u.Neighbor == addrs[1] })
	fabrics[1].add(t, path(route, "192.0.2.8", rt200))
	eventually(t, "second has announced", func() bool {
		paths := 0
		_ = h.Table(func(Path) bool { paths++; return true })
		return paths == 2
	})
	fabrics[0].stop()
	eventually(t, "route of the second", func() bool { u, ok := h.get(n); return ok && u.Neighbor == addrs[2] })
	fabrics[1].remove(t, path(route, "192.0.2.8", rt200))
	eventually(t, "no route", func() bool { return h.len() == 0 })
	if c := h.Counters(); c.Removed != 1 {
		t.Errorf("the route was gone in between: %+v", c)
	}
}
