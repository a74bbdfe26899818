package gobgp

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// holds returns the next hops of the routes that the neighbour was sent and
// that were not withdrawn since, by NLRI.
func (r *raw) holds() map[string]netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	routes := make(map[string]netip.Addr)
	for _, u := range r.heard {
		for _, w := range u.WithdrawnRoutes {
			delete(routes, w.NLRI.String())
		}
		for _, a := range u.PathAttributes {
			switch a := a.(type) {
			case *bgp.PathAttributeNextHop:
				for _, n := range u.NLRI {
					routes[n.NLRI.String()] = a.Value
				}
			case *bgp.PathAttributeMpReachNLRI:
				for _, n := range a.Value {
					routes[n.NLRI.String()] = a.Nexthop
				}
			case *bgp.PathAttributeMpUnreachNLRI:
				for _, n := range a.Value {
					delete(routes, n.NLRI.String())
				}
			}
		}
	}
	return routes
}

// want waits until the neighbour holds exactly these routes.
func (r *raw) want(what string, nlris ...string) {
	r.t.Helper()
	nlris = slices.Sorted(slices.Values(nlris))
	eventually(r.t, what+": "+strings.Join(nlris, ", "), func() bool {
		return slices.Equal(slices.Sorted(maps.Keys(r.holds())), nlris)
	})
}

// six announces the extended next hop capability.
func six(families ...bgp.Family) bgp.ParameterCapabilityInterface {
	var tuples []*bgp.CapExtendedNexthopTuple
	for _, f := range families {
		tuples = append(tuples, bgp.NewCapExtendedNexthopTuple(f, bgp.AFI_IP6))
	}
	return bgp.NewCapExtendedNexthop(tuples)
}

func TestIPv6NextHopsAreForThoseWhoTakeThem(t *testing.T) {
	parallel(t)
	addrs := addresses(4)
	cfg := configuration(t, addrs[0], 65001)
	for _, a := range addrs[1:] {
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Passive: true, Peering: config.Peering{
			ASN: 65000, Families: []config.Family{config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4}, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	via := func(hop string) *bridge.Attributes {
		return &bridge.Attributes{NextHop: addr(hop), RouteTargets: []bridge.RouteTarget{target("65000:1")}}
	}
	h.tell(t,
		vpnRoute("65001:1", "198.51.100.4/32", 16, via("192.0.2.1")),
		vpnRoute("65001:1", "198.51.100.6/32", 16, via("2001:db8::1")),
		vpnRoute("65001:1", "2001:db8:6::/48", 16, via("2001:db8::1")),
		unicastRoute("203.0.113.4/32", via("192.0.2.1")),
		unicastRoute("203.0.113.6/32", via("2001:db8::1")))
	all := []bgp.ParameterCapabilityInterface{
		bgp.NewCapMultiProtocol(bgp.RF_IPv4_VPN), bgp.NewCapMultiProtocol(bgp.RF_IPv6_VPN), bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC),
	}
	always := []string{"65001:1:198.51.100.4/32", "65001:1:2001:db8:6::/48", "203.0.113.4/32"}
	vpn, plain := "65001:1:198.51.100.6/32", "203.0.113.6/32"

	none := connect(t, h, addrs[1], all...)
	one := connect(t, h, addrs[2], append(all, six(bgp.RF_IPv4_VPN))...)
	both := connect(t, h, addrs[3], append(all, six(bgp.RF_IPv4_VPN, bgp.RF_IPv4_UC))...)
	both.want("with the capability", append(always, vpn, plain)...)
	one.want("with the capability of one family", append(always, vpn)...)
	none.want("without the capability", always...)
	if hop := both.holds()[vpn]; hop != addr("2001:db8::1") {
		t.Errorf("next hop %v", hop)
	}
	if f := h.neighbor(addrs[2]).Families; len(f) != 3 || !f[0].ExtendedNextHop || f[1].ExtendedNextHop || f[2].ExtendedNextHop {
		t.Errorf("families: %+v", f)
	}

	h.tell(t, vpnRoute("65001:1", "198.51.100.6/32", 16, via("192.0.2.1")))
	none.want("its next hop has become an IPv4 one", append(always, vpn)...)
	h.tell(t, withdrawal(vpnRoute("65001:1", "198.51.100.6/32", 16, nil)), vpnRoute("65001:2", "198.51.100.6/32", 16, via("2001:db8::1")))
	vpn = "65001:2:198.51.100.6/32"
	both.want("the route has moved", append(always, vpn, plain)...)
	none.want("the route is gone", always...)
	for _, a := range addrs[1:] {
		if n := h.neighbor(a); n.State != Established || n.Ups != 1 {
			t.Errorf("neighbour: %+v", n)
		}
	}

	// What counts is what the neighbour said last.
	none.Close()
	both.Close()
	connect(t, h, addrs[1], append(all, six(bgp.RF_IPv4_VPN))...).want("capability found", append(always, vpn)...)
	connect(t, h, addrs[3], all...).want("capability lost", always...)
}

// Over eBGP our own address is the next hop of unicast routes of others.
func TestUnicastRoutePassedOnHasOurNextHop(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	cfg := configuration(t, addrs[0], 65001)
	for _, a := range addrs[1:] {
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Passive: true, Peering: config.Peering{
			ASN: 65000, Families: []config.Family{config.FamilyIPv4}, Timers: timers(),
		}})
	}
	h := start(t, cfg)
	settle(t, h)
	from := connect(t, h, addrs[1], bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC), six(bgp.RF_IPv4_UC))
	to := connect(t, h, addrs[2], bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC))
	reach, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_IPv4_UC, []bgp.PathNLRI{{NLRI: &bgp.IPAddrPrefix{
		IPAddrPrefixDefault: bgp.IPAddrPrefixDefault{Prefix: netip.MustParsePrefix("203.0.113.0/24")},
	}}}, addr("2001:db8::9"))
	if err != nil {
		t.Fatal(err)
	}
	from.send(bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(0),
		bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65009})}),
		reach,
	}, nil))
	to.want("the route is passed on", "203.0.113.0/24")
	if diff := cmp.Diff(map[string]netip.Addr{"203.0.113.0/24": addrs[0]}, to.holds(), compareAddr); diff != "" {
		t.Errorf("next hops (-want +got):\n%s", diff)
	}
}
