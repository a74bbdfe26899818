package gobgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/config"
)

// nextHops returns the next hop of every EVPN path that the fabric was sent, by
// route distinguisher.
func (f *fabric) nextHops(t testing.TB) map[string]netip.Addr {
	t.Helper()
	hops := make(map[string]netip.Addr)
	err := f.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: bgp.RF_EVPN},
		func(n bgp.NLRI, paths []*apiutil.Path) {
			for _, p := range paths {
				for _, attr := range p.Attrs {
					if reach, ok := attr.(*bgp.PathAttributeMpReachNLRI); ok && p.PeerAddress.IsValid() {
						hops[n.(*bgp.EVPNNLRI).RD().String()] = reach.Nexthop
					}
				}
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	return hops
}

func TestRoutePassedOnBetweenNeighborsKeepsItsNextHop(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Listen = nil
	var leaves []*fabric
	for i, a := range addrs[1:] {
		asn := uint32(65010 + i)
		port := freePort(t, a)
		leaves = append(leaves, startFabric(t, a, port, asn, passivePeer(addrs[0], 65001)))
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Port: port, Peering: config.Peering{
			ASN: asn, LocalAddress: addrs[0], Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	h.up(t)
	leaves[0].add(t,
		path(rawPrefix(bgp.EVPNIPPrefixRoute{RD: rd("192.0.2.9:4"), IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 7}),
			"192.0.2.9", rt200, vxEC, macEC),
		path(rawPrefix(bgp.EVPNIPPrefixRoute{RD: rd("192.0.2.9:6"), IPPrefixLength: 64, IPPrefix: addr("2001:db8:9::"), GWIPAddress: zero6, Label: 7}),
			"2001:db8::9", rt200, vxEC, macEC))
	h.tell(t, prefixRoute("192.0.2.1:200", "10.9.0.1/32", 200, vxlan("192.0.2.1")))
	eventually(t, "the other leaf has three routes", func() bool { return len(leaves[1].nextHops(t)) == 3 })
	for rd, want := range map[string]string{
		"192.0.2.9:4":   "192.0.2.9",
		"192.0.2.9:6":   "2001:db8::9",
		"192.0.2.1:200": "192.0.2.1",
	} {
		if got := leaves[1].nextHops(t)[rd]; got.String() != want {
			t.Errorf("RD %s: next hop %v, want %s", rd, got, want)
		}
	}
}
