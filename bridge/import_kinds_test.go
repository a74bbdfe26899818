package bridge

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mbbgp/config"
	"mbbgp/rib"
)

// kindsConfig has a VNI of each kind: 100 unicast, 200 EVPN over VXLAN, 300
// EVPN over IP-in-IP, 500 VPN over SRv6, 600 VPN over MPLS with rules, and 700
// EVPN over SRv6, lossless. The targets of VPN and EVPN VNIs are 65000:VNI.
func kindsConfig(t fataler) *config.Config {
	t.Helper()
	cfg := testConfig(t)
	var err error
	if cfg.DomainID, err = config.ParseDomainID("65001:1"); err != nil {
		t.Fatal(err)
	}
	cfg.BGP.LosslessASN = 65001
	cfg.BGP.NextHops = []netip.Addr{addr("2001:db8:ffff::1")}
	target := func(n uint32) config.Import { return config.Import{Targets: importTargets(rt(65000, n))} }
	cfg.VNIs = append(cfg.VNIs[:2],
		config.VNI{
			VNI: 100, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: addr("2001:db8:f::100"),
			Import:    config.Import{Prefixes: []config.PrefixRule{{Allow: true, Prefix: prefix("203.0.113.0/24"), LE: 32}}},
			Originate: []config.Originate{{Prefix: prefix("0.0.0.0/0")}, {Prefix: prefix("::/0")}},
		},
		config.VNI{VNI: 500, Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6, Import: target(500)},
		config.VNI{
			VNI: 600, Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 6000,
			Gateway: addr("2001:db8:f::600"), Import: target(600),
		},
		config.VNI{
			VNI: 700, Encapsulation: config.EncapSRv6, Import: target(700),
			Export: config.Export{Types: []config.HopType{config.HopStandard, config.HopNAT, config.HopLoadBalancerTarget}},
		},
	)
	local, med := uint32(300), uint32(7)
	cfg.VNIs[4].Import.Rules = []config.Rule{
		{Name: "no-bogons", When: config.Match{Communities: []config.Community{666}}, Then: config.ThenRefuse},
		{Name: "dear", When: config.Match{LargeCommunities: []config.LargeCommunity{{65000, 9, 9}}}, Set: config.Set{MED: &med}},
		{Name: "near", When: config.Match{NextHops: []netip.Prefix{prefix("2001:db8:2::/48")}}, Set: config.Set{LocalPref: &local}},
		{Name: "rest", Then: config.ThenAccept},
	}
	return cfg
}

func importTargets(targets ...RouteTarget) []config.TargetMatch {
	var all []config.TargetMatch
	for _, t := range targets {
		all = append(all, config.TargetMatch{Target: t})
	}
	return all
}

func vpn(rd uint16, p string) NLRI {
	n := type5(rd, p)
	n.Kind = VPN
	return n
}

func unicast(p string) NLRI { return NLRI{Kind: Unicast, Prefix: prefix(p)} }

// sidPath has a SID and structure as FRR sends them, without transposition.
func sidPath(sid string, behavior uint16, targets ...RouteTarget) *Attributes {
	return &Attributes{
		NextHop:      addr("2001:db8:2::1"),
		RouteTargets: targets,
		SRv6:         SRv6{SID: addr(sid), Behavior: behavior, Structure: SIDStructure{Block: 40, Node: 24, Function: 16}},
	}
}

func labelled(n NLRI, label uint32, a *Attributes) Update {
	return Update{NLRI: n, Label: label, Attributes: a, Neighbor: fabric}
}

// changed returns a copy of attributes with something else.
func changed(a *Attributes, change func(*Attributes)) *Attributes {
	b := *a
	change(&b)
	return &b
}

func TestRoutesOfEveryKindAreJudged(t *testing.T) {
	own, err := config.ParseDomainID("65001:1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := config.ParseDomainID("65001:2")
	if err != nil {
		t.Fatal(err)
	}
	const sid = "2001:db8:2:1:100::"
	transposed := func(sid string, label uint32, structure SIDStructure) Update {
		a := sidPath(sid, EndDT46, rt(65000, 500))
		a.SRv6.Structure = structure
		return labelled(vpn(1, "10.1.0.0/16"), label, a)
	}
	segment := labelled(vpn(1, "10.1.0.0/16"), ImplicitNull, sidPath(sid, EndDT46, rt(65000, 500)))
	six := labelled(vpn(1, "2001:db8:77::/48"), ImplicitNull, sidPath(sid, EndDT46, rt(65000, 500)))
	labels := labelled(vpn(1, "10.1.0.0/16"), 1234, &Attributes{NextHop: addr("198.51.100.9"), RouteTargets: []RouteTarget{rt(65000, 600)}})
	plain := labelled(unicast("203.0.113.7/32"), 0, &Attributes{NextHop: addr("198.51.100.9")})
	bits := func(large ...[3]uint32) *Attributes {
		a := sidPath(sid, EndDT46, rt(65000, 700))
		a.Large = large
		return a
	}
	evpn := func(a *Attributes) Update { return labelled(type5(1, "10.1.0.0/16"), ImplicitNullEVPN, a) }
	with := func(u Update, change func(*Attributes)) Update {
		u.Attributes = changed(u.Attributes, change)
		return u
	}
	behavior := func(u Update, b uint16) Update { return with(u, func(a *Attributes) { a.SRv6.Behavior = b }) }
	for _, c := range []struct {
		name   string
		update Update
		vni    rib.VNI // 0: of the route as a whole
		want   string  // next hop, or reason
		detail string  // part of it
	}{
		{"a SID is the target", segment, 500, sid, ""},
		{"FRR's function is in the label", transposed("2001:db8:2:1::", 0x1000, SIDStructure{40, 24, 16, 0, 16, 64}), 500, sid, ""},
		{"a SID without structure", transposed(sid, ImplicitNull, SIDStructure{}), 500, sid, ""},
		{"a uSID is the whole address", behavior(transposed("fcbb:bb00:1::", 0xe0010, SIDStructure{32, 16, 16, 0, 16, 48}), UDT46), 500, "fcbb:bb00:1:e001::", ""},
		{"DX4 serves IPv4", behavior(segment, EndDX4), 500, sid, ""},
		{"DX4 does not serve IPv6", behavior(six, EndDX4), 0, "srv6-behavior", "behaviour 17 for 2001:db8:77::/48"},
		{"DX6 serves IPv6", behavior(six, EndDX6), 500, sid, ""},
		{"DT6 does not serve IPv4", behavior(segment, EndDT6), 0, "srv6-behavior", "behaviour 18 for 10.1.0.0/16"},
		{"a bridging SID", behavior(segment, 23), 0, "srv6-behavior", "behaviour 23"},
		{"flags that nobody knows", with(segment, func(a *Attributes) { a.SRv6.Flags = 0xff }), 500, sid, ""},
		{"a structure of 129 bits", transposed(sid, ImplicitNull, SIDStructure{40, 24, 64, 1, 0, 0}), 0, "srv6-structure", "block 40, node 24, function 64, argument 1"},
		{"more bits than a VPN label has", transposed(sid, 1, SIDStructure{40, 24, 24, 0, 21, 64}), 0, "srv6-structure", "transposed 21 at 64"},
		{"a SID of link scope", transposed("fe80::1", ImplicitNull, SIDStructure{}), 0, "srv6-sid", "fe80::1"},
		{"our own gateway as SID", transposed("2001:db8:e::300", ImplicitNull, SIDStructure{}), 0, "srv6-sid", "2001:db8:e::300"},
		{"our own next hop as SID", transposed("2001:db8:ffff::1", ImplicitNull, SIDStructure{}), 0, "srv6-sid", "2001:db8:ffff::1"},
		{"our own gateway out of the label", transposed("2001:db8:e::", 0x300<<4, SIDStructure{64, 48, 16, 0, 16, 112}), 0, "srv6-sid", "2001:db8:e::300"},
		{"type 5 with a SID", evpn(sidPath(sid, EndDT4, rt(65000, 700))), 700, sid, ""},
		{"a SID counts more than the tunnel", evpn(changed(vxlanPath(rt(65000, 300)), func(a *Attributes) {
			a.SRv6 = SRv6{SID: addr(sid), Behavior: EndDT46}
		})), 300, sid, ""},
		{"24 bits of an EVPN label", labelled(type5(1, "10.1.0.0/16"), 0x010000, changed(sidPath("2001:db8:2:1::", EndDT46, rt(65000, 700)), func(a *Attributes) {
			a.SRv6.Structure = SIDStructure{40, 24, 24, 0, 24, 64}
		})), 700, sid, ""},
		{"type 5 with a SID and no label", labelled(type5(1, "10.1.0.0/16"), 0, sidPath(sid, EndDT46, rt(65000, 700))), 700, sid, ""},
		{"a host with a SID", labelled(type2(1, 1, "10.1.0.7/32"), ImplicitNullEVPN, sidPath(sid, EndDT46, rt(65000, 700))), 700, sid, ""},

		{"a label comes through the gateway", labels, 600, "2001:db8:f::600", ""},
		{"a label without gateway", with(labels, func(a *Attributes) { a.RouteTargets = []RouteTarget{rt(65000, 500)} }), 500, "no-gateway", "vni 500"},
		{"neither label nor SID", labelled(labels.NLRI, ImplicitNull, labels.Attributes), 0, "no-label", "10.1.0.0/16"},
		{"VPN without targets of ours", with(labels, func(a *Attributes) { a.RouteTargets = nil }), 0, "no-target", "[]"},
		{"a VPN route into an EVPN VNI", with(labels, func(a *Attributes) { a.RouteTargets = []RouteTarget{rt(65000, 200)} }), 200, "2001:db8:f::200", ""},
		{"an IPv4-mapped VPN prefix", labelled(vpn(1, "::ffff:10.0.0.0/104"), 5, labels.Attributes), 0, "prefix-invalid", ""},

		{"unicast comes through the gateway", plain, 100, "2001:db8:f::100", ""},
		{"a SID of a unicast route does not count", with(plain, func(a *Attributes) { a.SRv6 = SRv6{SID: addr("fe80::1")} }), 100, "2001:db8:f::100", ""},
		{"unicast outside the filter", labelled(unicast("198.51.100.0/24"), 0, plain.Attributes), 100, "prefix-filter", "198.51.100.0/24, vni 100"},
		{"unicast of our domain", with(plain, func(a *Attributes) { a.SiteOfOrigin = []ExtendedCommunity{soo(t, "65001:1")} }), 0, "own-domain", "65001:1"},
		{"unicast has no D-PATH", with(plain, func(a *Attributes) { a.DPath = []Domain{{ID: own}} }), 100, "2001:db8:f::100", ""},

		{"D-PATH of other domains", with(segment, func(a *Attributes) { a.DPath = []Domain{{ID: other, SAFI: 70}} }), 500, sid, ""},
		{"our domain last in the D-PATH", with(segment, func(a *Attributes) { a.DPath = []Domain{{ID: other}, {ID: own, SAFI: 128}} }), 0, "d-path", "65001:1"},
		{"our domain in the D-PATH of EVPN", with(evpn(bits()), func(a *Attributes) { a.DPath = []Domain{{ID: own}} }), 0, "d-path", "65001:1"},

		{"a port range", evpn(bits([3]uint32{65001, 1, 1}, [3]uint32{65001, 2, 1024<<16 | 2048})), 700, sid + "#nat#1024#2048", ""},
		{"a load balancer's target", evpn(bits([3]uint32{65001, 1, 2})), 700, sid + "#lb", ""},
		{"another VNI's next hop", evpn(bits([3]uint32{65001, 1, 0}, [3]uint32{65001, 3, 200})), 700, sid + " (vni 200)", ""},
		{"the VNI itself as target VNI", evpn(bits([3]uint32{65001, 1, 0}, [3]uint32{65001, 3, 700})), 700, sid, ""},
		{"somebody else's large communities", evpn(bits([3]uint32{65002, 1, 1})), 700, sid, ""},
		{"a port range without type", evpn(bits([3]uint32{65001, 2, 5})), 0, "lossless", "[[65001 2 5]]"},
		{"a type that the VNI does not take", with(segment, func(a *Attributes) { a.Large = [][3]uint32{{65001, 1, 2}} }), 500, "next-hop-type", "loadbalancer-target, 10.1.0.0/16"},

		{"a rule refuses", with(labels, func(a *Attributes) { a.Communities = []uint32{1, 666} }), 600, "policy", "rule no-bogons, 10.1.0.0/16, vni 600"},
		{"a rule that does not match", with(labels, func(a *Attributes) { a.Communities = []uint32{665} }), 600, "2001:db8:f::600", ""},

		{"a membership", labelled(NLRI{Kind: Membership, Prefix: prefix("10.0.0.0/8")}, 0, &Attributes{}), 0, "kind-unsupported", ""},
		{"a flow specification", labelled(NLRI{Kind: FlowSpec, Prefix: prefix("10.0.0.0/8")}, 0, &Attributes{}), 0, "kind-unsupported", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBridge(t, kindsConfig(t))
			g := b.BGP()
			verdicts := g.ExplainImport(c.update)
			if len(verdicts) != 1 || verdicts[0].VNI != c.vni {
				t.Fatalf("explained as %+v", verdicts)
			}
			v := verdicts[0]
			accepted := v.Reason == Accepted
			if got := v.NextHop.String(); accepted && got != c.want || !accepted && string(v.Reason) != c.want {
				t.Errorf("explained as %+v, want %s", v, c.want)
			}
			if !strings.Contains(v.Detail, c.detail) {
				t.Errorf("detail %q, want %q", v.Detail, c.detail)
			}
			g.Import([]Update{c.update})
			var got []string
			for _, n := range b.current().sorted {
				got = append(got, targets(b, n.vni, c.update.NLRI.Prefix.Masked())...)
			}
			if want := []string{c.want}; accepted && !slices.Equal(got, want) || !accepted && got != nil {
				t.Errorf("in the table: %v", got)
			}
			s := g.Stats()
			switch want := map[Reason]uint64{v.Reason: 1}; {
			case accepted:
			case c.vni == 0 && !reflect.DeepEqual(s.Refused, want):
				t.Errorf("counted %v", s.Refused)
			case c.vni != 0 && !reflect.DeepEqual(b.current().networks[c.vni].in.refused, want):
				t.Errorf("counted %v", b.current().networks[c.vni].in.refused)
			}
			g.Import([]Update{unsay(c.update.NLRI)})
			wantNothingKept(t, g)
		})
	}
}

func TestPathsOfOneNLRIStandTogether(t *testing.T) {
	b := newBridge(t, kindsConfig(t))
	g := b.BGP()
	one, two := vpn(1, "10.1.0.0/16"), vpn(1, "10.1.0.0/16")
	one.Path, two.Path = 1, 2
	g.Import([]Update{
		labelled(one, ImplicitNull, sidPath("2001:db8:2:1::1", EndDT46, rt(65000, 500))),
		labelled(two, ImplicitNull, sidPath("2001:db8:2:1::2", EndDT46, rt(65000, 500))),
	})
	if got := targets(b, 500, one.Prefix); !slices.Equal(got, []string{"2001:db8:2:1::1", "2001:db8:2:1::2"}) {
		t.Errorf("both: %v", got)
	}
	g.Import([]Update{labelled(one, ImplicitNull, sidPath("2001:db8:2:1::3", EndDT46, rt(65000, 500)))})
	if got := targets(b, 500, one.Prefix); !slices.Equal(got, []string{"2001:db8:2:1::2", "2001:db8:2:1::3"}) {
		t.Errorf("the first has changed: %v", got)
	}
	g.Import([]Update{unsay(two)})
	if got := targets(b, 500, one.Prefix); !slices.Equal(got, []string{"2001:db8:2:1::3"}) {
		t.Errorf("the second is gone: %v", got)
	}
	g.Forget(fabric)
	wantNothingKept(t, g)
}

func TestUnicastRouteServesSeveralVNIs(t *testing.T) {
	cfg := kindsConfig(t)
	second := cfg.VNIs[2]
	second.VNI, second.Gateway, second.Originate = 101, addr("2001:db8:f::101"), nil
	second.Import.Prefixes = []config.PrefixRule{{Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32}}
	silent := cfg.VNIs[2]
	silent.VNI, silent.Gateway, silent.Originate, silent.Import.Prefixes = 102, addr("2001:db8:f::102"), nil, nil
	cfg.VNIs = append(cfg.VNIs, second, silent)
	b := newBridge(t, cfg)
	n := unicast("203.0.113.0/24")
	b.BGP().Import([]Update{labelled(n, 0, &Attributes{NextHop: fabric})})
	for vni, want := range map[rib.VNI][]string{100: {"2001:db8:f::100"}, 101: {"2001:db8:f::101"}, 102: nil, 200: nil} {
		if got := targets(b, vni, n.Prefix); !slices.Equal(got, want) {
			t.Errorf("vni %d: %v, want %v", vni, got, want)
		}
	}
}

func TestExplainDoesNotCountForRules(t *testing.T) {
	g := newBridge(t, kindsConfig(t)).BGP()
	u := labelled(vpn(1, "10.1.0.0/16"), 1234, &Attributes{
		NextHop: addr("198.51.100.9"), RouteTargets: []RouteTarget{rt(65000, 600)}, Communities: []uint32{666},
	})
	policy := g.bridge.current().networks[600].importPolicy
	g.ExplainImport(u)
	if s := policy.stats()[0]; s.Matched != 0 {
		t.Errorf("counted %+v", s)
	}
	g.Import([]Update{u})
	if s := policy.stats()[0]; s.Matched != 1 || s.Refused != 1 {
		t.Errorf("counted %+v", s)
	}
}
