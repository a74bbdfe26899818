package bridge

import (
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"

	"mbbgp/config"
	"mbbgp/rib"
)

// TestRoutesOfEachKind is what the speaker is told of the routes of every kind
// of VNI, in every field.
func TestRoutesOfEachKind(t *testing.T) {
	v4, v6 := "10.0.0.1/32", "2001:db8:5::/64"
	straight := hop("2001:db8:1::1")
	nat := rib.NextHop{Target: straight.Target, Type: rib.NAT, NATFrom: 1024, NATTo: 2048, TargetVNI: 7}
	targets, origin := []RouteTarget{rt(65000, 77)}, []ExtendedCommunity{soo(t, "65001:1")}
	domain := []Domain{{ID: config.DomainID{0, 0, 0, 1, 0, 2}}}
	all := []config.HopType{config.HopStandard, config.HopNAT, config.HopLoadBalancerTarget}
	rd := config.NewRD(addr("192.0.2.1"), 77)
	sid := func(behavior uint16, s SIDStructure) SRv6 {
		return SRv6{SID: straight.Target, Behavior: behavior, Structure: s}
	}
	usual := SIDStructure{Block: 48, Node: 16, Function: 64}
	own := []netip.Addr{addr("192.0.2.9"), addr("2001:db8:a::9")}

	for _, c := range []struct {
		name     string
		vni      config.VNI
		nextHops []netip.Addr
		prefix   string
		hop      rib.NextHop
		want     Update
	}{
		{"EVPN VXLAN", config.VNI{}, own, v4, straight,
			Update{NLRI: NLRI{Kind: IPPrefix, RD: rd}, Label: 77, Attributes: &Attributes{NextHop: addr("192.0.2.1"), RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, Encapsulation: TunnelVXLAN, RouterMAC: MAC{2, 0, 192, 0, 2, 1}}}},
		{"EVPN IP-in-IP", config.VNI{Encapsulation: config.EncapIPinIP}, own, v6, straight,
			Update{NLRI: NLRI{Kind: IPPrefix, RD: rd}, Label: 77, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, Encapsulation: TunnelIPinIP}}},
		{"lossless EVPN IP-in-IP", config.VNI{Encapsulation: config.EncapIPinIP, Export: config.Export{Types: all}}, own, v4, nat,
			Update{NLRI: NLRI{Kind: IPPrefix, RD: rd}, Label: 77, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, Encapsulation: TunnelIPinIP,
				Large: [][3]uint32{{65001, 1, 1}, {65001, 2, 1024<<16 | 2048}, {65001, 3, 7}}}}},
		{"EVPN SRv6", config.VNI{Encapsulation: config.EncapSRv6}, own, v6, straight,
			Update{NLRI: NLRI{Kind: IPPrefix, RD: rd}, Label: 0x30, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(20, usual)}}},
		{"VPN SRv6", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6}, own, v4, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 3, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(20, usual)}}},
		{"lossless VPN SRv6", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6, Export: config.Export{Types: all}}, own, v4, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 3, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(20, usual), Large: [][3]uint32{{65001, 1, 0}}}}},
		{"VPN SRv6 through this gateway", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6,
			SRv6: config.SRv6{NextHop: config.SIDNextHopSelf, Block: 32, Node: 24}}, own, v6, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 3, Attributes: &Attributes{NextHop: own[1], RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(20, SIDStructure{Block: 32, Node: 24, Function: 72})}}},
		{"End.DX4", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6,
			SRv6: config.SRv6{Behavior: config.SIDBehaviorDX, Block: 48, Node: 16}}, own, v4, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 3, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(17, usual)}}},
		{"End.DX6", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6,
			SRv6: config.SRv6{Behavior: config.SIDBehaviorDX, Block: 48, Node: 16}}, own, v6, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 3, Attributes: &Attributes{NextHop: straight.Target, RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain, SRv6: sid(16, usual)}}},
		{"VPN MPLS", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 5000}, own, v4, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 5000, Attributes: &Attributes{NextHop: own[0], RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain}}},
		{"VPN MPLS, IPv6 prefix", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 5000}, own, v6, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 5000, Attributes: &Attributes{NextHop: own[1], RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain}}},
		{"VPN MPLS, next hop of the other family", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 5000}, own[1:], v4, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 5000, Attributes: &Attributes{NextHop: own[1], RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain}}},
		{"VPN MPLS, no next hop configured", config.VNI{Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 5000}, nil, v6, straight,
			Update{NLRI: NLRI{Kind: VPN, RD: rd}, Label: 5000, Attributes: &Attributes{NextHop: addr("192.0.2.1"), RouteTargets: targets,
				SiteOfOrigin: origin, DPath: domain}}},
		{"unicast", config.VNI{Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone}, own, v4, straight,
			Update{NLRI: NLRI{Kind: Unicast}, Attributes: &Attributes{NextHop: own[0], SiteOfOrigin: origin}}},
		{"unicast, no next hop of the family", config.VNI{Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone}, own[:1], v6, straight,
			Update{NLRI: NLRI{Kind: Unicast}, Attributes: &Attributes{NextHop: addr("::"), SiteOfOrigin: origin}}},
		{"redirect to IP", config.VNI{Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone,
			Export: config.Export{FlowSpec: config.FlowSpecRedirectIP}}, own, v4, rib.NextHop{Target: straight.Target, Type: rib.NAT, NATFrom: 1024, NATTo: 2048},
			Update{NLRI: NLRI{Kind: FlowSpec, Flow: Flow{6, 1024, 2047}}, Attributes: &Attributes{NextHop: straight.Target, SiteOfOrigin: origin,
				Redirect: ExtendedCommunity{8}}}},
		{"redirect to a route target", config.VNI{VNI: 77 + 1<<16, Export: config.Export{FlowSpec: config.FlowSpecRedirectRT}}, own, v6,
			rib.NextHop{Target: straight.Target, Type: rib.NAT, NATFrom: 1024, NATTo: 2048},
			Update{NLRI: NLRI{Kind: FlowSpec, Flow: Flow{6, 1024, 2047}}, Attributes: &Attributes{NextHop: addr("::"), SiteOfOrigin: origin,
				RedirectIPv6: true, RedirectTo: straight.Target, RedirectLocal: 77}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.DomainID, cfg.BGP.NextHops, cfg.BGP.LosslessASN = domain[0].ID, c.nextHops, 65001
			if c.vni.VNI == 0 {
				c.vni.VNI = 77
			}
			c.vni.Gateway = addr("2001:db8:f::77")
			if c.vni.Family != config.VNIFamilyUnicast {
				c.vni.Export.Targets = targets
			}
			if c.vni.SRv6.Block == 0 {
				c.vni.SRv6.Block, c.vni.SRv6.Node = 48, 16
			}
			cfg.VNIs = []config.VNI{c.vni}
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, cfg)
				if err := b.Open(rib.Client, "c").Announce(rib.VNI(c.vni.VNI), prefix(c.prefix), c.hop); err != nil {
					t.Fatal(err)
				}
				out, stop := startExport(b.BGP())
				synctest.Wait()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				got := out.sent
				c.want.NLRI.Prefix = prefix(c.prefix)
				if len(got) == 0 || got[0].NLRI != c.want.NLRI || got[0].Label != c.want.Label || got[0].Withdraw || got[0].Neighbor.IsValid() {
					t.Fatalf("%+v, want %+v", got, c.want)
				}
				if !reflect.DeepEqual(got[0].Attributes, c.want.Attributes) {
					t.Errorf("%+v\nwant %+v", got[0].Attributes, c.want.Attributes)
				}
				v := b.BGP().ExplainExport(rib.VNI(c.vni.VNI), prefix(c.prefix), rib.Path{NextHop: c.hop})
				if v.Reason != Accepted || c.want.NLRI.Kind != FlowSpec && v.NextHop.Target != c.want.Attributes.NextHop {
					t.Errorf("explained as %+v", v)
				}
			})
		})
	}
}
