package bridge

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/config"
	"mbbgp/rib"
)

var (
	fabric  = addr("192.0.2.254")
	fabric2 = addr("192.0.2.253")
	leaf    = MAC{2, 0, 0, 0, 0, 9}
)

func vxlanPath(targets ...RouteTarget) *Attributes {
	return &Attributes{NextHop: addr("198.51.100.9"), RouteTargets: targets, Encapsulation: TunnelVXLAN, RouterMAC: leaf}
}

func ipipPath(nextHop string, targets ...RouteTarget) *Attributes {
	return &Attributes{NextHop: addr(nextHop), RouteTargets: targets, Encapsulation: TunnelIPinIP}
}

func type5(rd uint16, p string) NLRI {
	return NLRI{Kind: IPPrefix, RD: config.NewRD(addr("198.51.100.9"), rd), Prefix: prefix(p)}
}

func type2(rd uint16, mac byte, p string) NLRI {
	return NLRI{Kind: MACIP, RD: config.NewRD(addr("198.51.100.9"), rd), MAC: MAC{5: mac}, Prefix: prefix(p)}
}

func say(n NLRI, a *Attributes) Update {
	return Update{NLRI: n, Label: 5000, Attributes: a, Neighbor: fabric}
}

func unsay(n NLRI) Update { return Update{Withdraw: true, NLRI: n, Neighbor: fabric} }

func TestImportedRoutesAreJudged(t *testing.T) {
	host := type2(1, 1, "10.1.0.7/32")
	with := func(u Update, change func(*Update)) Update {
		a := *u.Attributes
		u.Attributes = &a
		change(&u)
		return u
	}
	routed := say(type5(1, "10.1.0.0/16"), vxlanPath(rt(65000, 200)))
	direct := say(type5(1, "10.1.0.0/16"), ipipPath("2001:db8:9::1", rt(65000, 300)))
	for _, c := range []struct {
		name   string
		update Update
		reason Reason
		want   map[rib.VNI]string // next hops
		refuse map[rib.VNI]Reason
	}{
		{"VXLAN comes through the gateway of each VNI", routed, Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"no encapsulation is VXLAN", with(routed, func(u *Update) { u.Attributes.Encapsulation = TunnelNone }), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"IP-in-IP goes straight to the next hop", direct, Accepted,
			map[rib.VNI]string{300: "2001:db8:9::1", 400: "2001:db8:9::1"}, nil},
		{"a host with an L3 VNI is a host route", say(host, vxlanPath(rt(65000, 200))), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"several targets, each VNI once", with(direct, func(u *Update) {
			u.Attributes.RouteTargets = []RouteTarget{rt(1, 400), rt(65000, 300), rt(2, 400), rt(3, 3)}
		}), Accepted, map[rib.VNI]string{300: "2001:db8:9::1", 400: "2001:db8:9::1"}, nil},
		{"any administrator", with(direct, func(u *Update) {
			u.Attributes.RouteTargets = []RouteTarget{{2, 2, 0, 1, 0, 0, 1, 144}}
		}), Accepted, map[rib.VNI]string{400: "2001:db8:9::1"}, nil},
		{"IPv6 prefixes", say(type5(1, "2001:db8:77::/48"), vxlanPath(rt(65000, 200))), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"an unspecified gateway IP is none", with(routed, func(u *Update) { u.Attributes.GatewayIP = netip.IPv4Unspecified() }), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"an ESI on a host is multihoming", with(say(host, vxlanPath(rt(65000, 200))), func(u *Update) { u.Attributes.ESI = true }), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},
		{"another domain's origin", with(routed, func(u *Update) { u.Attributes.SiteOfOrigin = []ExtendedCommunity{soo(t, "65001:2")} }), Accepted,
			map[rib.VNI]string{200: "2001:db8:f::200"}, map[rib.VNI]Reason{400: NoGateway}},

		{"our own domain", with(routed, func(u *Update) {
			u.Attributes.SiteOfOrigin = []ExtendedCommunity{soo(t, "65001:2"), soo(t, "65001:1")}
		}), OwnDomain, nil, nil},
		{"no targets of ours", with(routed, func(u *Update) { u.Attributes.RouteTargets = []RouteTarget{rt(65000, 201)} }), NoTarget, nil, nil},
		{"label 0", with(routed, func(u *Update) { u.Label = 0 }), NoLabel, nil, nil},
		{"a gateway IP", with(routed, func(u *Update) { u.Attributes.GatewayIP = addr("10.9.9.9") }), OverlayIndex, nil, nil},
		{"an ESI", with(routed, func(u *Update) { u.Attributes.ESI = true; u.Label = 0 }), OverlayIndex, nil, nil},
		{"a host without L3 VNI", with(say(host, vxlanPath(rt(65000, 200))), func(u *Update) { u.Label = 0 }), NoL3VNI, nil, nil},
		{"a MAC only", with(say(host, vxlanPath(rt(65000, 200))), func(u *Update) { u.NLRI.Prefix = netip.Prefix{} }), NoIP, nil, nil},
		{"a host that is a network", with(say(host, vxlanPath(rt(65000, 200))), func(u *Update) { u.NLRI.Prefix = prefix("10.0.0.0/8") }), PrefixInvalid, nil, nil},
		{"no prefix", with(routed, func(u *Update) { u.NLRI.Prefix = netip.Prefix{} }), PrefixInvalid, nil, nil},
		{"another route type", with(routed, func(u *Update) { u.NLRI.Kind = 3 }), KindUnsupported, nil, nil},
		{"another tunnel", with(routed, func(u *Update) { u.Attributes.Encapsulation = 10 }), Tunnel, nil, nil},
		{"VXLAN without Router's MAC", with(routed, func(u *Update) { u.Attributes.RouterMAC = MAC{} }), NoRouterMAC, nil, nil},
		{"VXLAN with a multicast Router's MAC", with(routed, func(u *Update) { u.Attributes.RouterMAC = MAC{1} }), NoRouterMAC, nil, nil},
		{"IP-in-IP to an IPv4 next hop", with(direct, func(u *Update) { u.Attributes.NextHop = addr("192.0.2.9") }), BGPNextHop, nil, nil},
		{"IP-in-IP to our own gateway", with(direct, func(u *Update) { u.Attributes.NextHop = addr("2001:db8:e::300") }), BGPNextHop, nil, nil},
		{"IP-in-IP without next hop", with(direct, func(u *Update) { u.Attributes.NextHop = netip.IPv6Unspecified() }), BGPNextHop, nil, nil},
		{"IP-in-IP to the loopback", with(direct, func(u *Update) { u.Attributes.NextHop = netip.IPv6Loopback() }), BGPNextHop, nil, nil},
		{"IP-in-IP to a link-local next hop", with(direct, func(u *Update) { u.Attributes.NextHop = addr("fe80::9") }), BGPNextHop, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBridge(t, testConfig(t))
			g := b.BGP()
			// Explaining and importing agree.
			got, refused := map[rib.VNI]string{}, map[rib.VNI]Reason{}
			for _, v := range g.ExplainImport(c.update) {
				switch {
				case v.VNI == 0 && v.Reason != c.reason:
					t.Errorf("explained as %q (%s), want %q", v.Reason, v.Detail, c.reason)
				case v.Reason == Accepted:
					got[v.VNI] = v.NextHop.String()
				case v.VNI != 0:
					refused[v.VNI] = v.Reason
				}
			}
			if !sameMap(got, c.want) || !sameMap(refused, c.refuse) {
				t.Errorf("explained as %v, refused %v", got, refused)
			}
			g.Import([]Update{c.update})
			p := c.update.NLRI.Prefix.Masked()
			got = map[rib.VNI]string{}
			for _, vni := range []rib.VNI{200, 300, 400} {
				for _, i := range b.Table().Lookup(vni, p) {
					got[vni] = i.NextHop.String()
					if i.Claims[0].Preference != rib.Redistributed || i.Claims[0].Source != rib.BGP {
						t.Errorf("claim %+v", i.Claims[0])
					}
				}
			}
			if !sameMap(got, c.want) {
				t.Errorf("in the table: %v, want %v", got, c.want)
			}
			s := g.Stats()
			if c.reason != Accepted && !reflect.DeepEqual(s.Refused, map[Reason]uint64{c.reason: 1}) {
				t.Errorf("refused %v, want %q", s.Refused, c.reason)
			}
			for _, v := range s.VNIs {
				if want := c.refuse[v.VNI]; want != "" && v.Imported.Refused[want] != 1 {
					t.Errorf("vni %d refused %v, want %q", v.VNI, v.Imported.Refused, want)
				}
			}
			g.Import([]Update{unsay(c.update.NLRI)})
			for _, vni := range []rib.VNI{200, 300, 400} {
				if left := targets(b, vni, p); left != nil {
					t.Errorf("left in vni %d: %v", vni, left)
				}
			}
			wantNothingKept(t, g)
		})
	}
}

func sameMap[K comparable, V comparable](a, b map[K]V) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// wantNothingKept checks that nothing is remembered of routes that are gone.
func wantNothingKept(t interface{ Errorf(string, ...any) }, g *BGP) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &g.standings
	if n := g.routes.len() + len(g.macs) + len(g.shadows) + len(s.numbers) + len(s.senders) + len(s.groups) + len(s.names) + len(s.members) + len(s.ranks.known) + len(s.ranks.order); n != 0 {
		t.Errorf("still kept: %d routes, %d MACs, %d shadows, %d standings, %d senders, %d groups, %d ranks",
			g.routes.len(), len(g.macs), len(g.shadows), len(s.numbers), len(s.senders), len(s.groups), len(s.ranks.known))
	}
	for _, n := range g.neighbors {
		if n.Used != 0 {
			t.Errorf("%v still has %d", n.address, n.Used)
		}
	}
	for _, n := range g.bridge.current().sorted {
		if n.in.routes != 0 || n.in.Used != 0 {
			t.Errorf("vni %d still has %d routes, %d prefixes", n.vni, n.in.routes, n.in.Used)
		}
	}
}

func TestUpdateReplacesWhatItsNLRISaid(t *testing.T) {
	b := newBridge(t, testConfig(t))
	g := b.BGP()
	n := type5(1, "10.1.0.0/16")
	check := func(what string, want200, want300, want400 []string) {
		t.Helper()
		for vni, want := range map[rib.VNI][]string{200: want200, 300: want300, 400: want400} {
			if got := targets(b, vni, n.Prefix); !slices.Equal(got, want) {
				t.Errorf("%s: vni %d has %v, want %v", what, vni, got, want)
			}
		}
	}
	g.Import([]Update{say(n, vxlanPath(rt(65000, 200)))})
	check("announced", []string{"2001:db8:f::200"}, nil, nil)
	g.Import([]Update{say(n, vxlanPath(rt(65000, 300)))})
	check("other targets", nil, []string{"2001:db8:e::300"}, nil)
	g.Import([]Update{say(n, ipipPath("2001:db8:9::1", rt(65000, 300)))})
	check("other encapsulation", nil, []string{"2001:db8:9::1"}, []string{"2001:db8:9::1"})
	g.Import([]Update{say(n, ipipPath("2001:db8:9::2", rt(65000, 300)))})
	check("other next hop", nil, []string{"2001:db8:9::2"}, []string{"2001:db8:9::2"})
	g.Import([]Update{say(type5(2, "10.1.0.0/16"), ipipPath("2001:db8:9::3", rt(65000, 300)))})
	check("a second path", nil, []string{"2001:db8:9::2", "2001:db8:9::3"}, []string{"2001:db8:9::2", "2001:db8:9::3"})
	moved := say(n, ipipPath("2001:db8:9::2", rt(65000, 300)))
	moved.Neighbor = fabric2
	g.Import([]Update{moved})
	check("moved to another neighbour", nil, []string{"2001:db8:9::2", "2001:db8:9::3"}, []string{"2001:db8:9::2", "2001:db8:9::3"})
	if got := g.Forget(fabric); got != 1 {
		t.Errorf("forgot %d of the first neighbour", got)
	}
	check("the first neighbour is gone", nil, []string{"2001:db8:9::2"}, []string{"2001:db8:9::2"})
	g.Import([]Update{say(n, vxlanPath(rt(65000, 999)))})
	check("no target any more", nil, nil, nil)
	wantNothingKept(t, g)
}

func TestStandingIsNotTakenForAnother(t *testing.T) {
	b := newBridge(t, testConfig(t))
	g := b.BGP()
	a, other := ipipPath("2001:db8:9::1", rt(65000, 300)), ipipPath("2001:db8:9::2", rt(65000, 300))
	// The first route's standing is gone, though not its sender; its number is
	// given to the second route, of another sender.
	g.Import([]Update{say(type5(1, "10.1.0.0/16"), other), say(type5(1, "10.2.0.0/16"), a), unsay(type5(1, "10.2.0.0/16"))})
	g.Import([]Update{say(type5(2, "10.3.0.0/16"), a), say(type5(1, "10.4.0.0/16"), a), unsay(type5(2, "10.3.0.0/16"))})
	if got := claims(b, b.Table()); len(got) != 4 { // in VNI 300 and 400
		t.Errorf("%q", got)
	}
	for _, c := range b.Table().Lookup(300, prefix("10.4.0.0/16"))[0].Claims {
		if want := fmt.Sprint(fabric, " ", groupOf(&NLRI{Kind: IPPrefix, RD: type5(1, "10.0.0.0/8").RD})); c.Name != want {
			t.Errorf("of %s, want %s", c.Name, want)
		}
	}
}

func TestStandingsOfOneHashAreToldApart(t *testing.T) {
	b := newBridge(t, testConfig(t))
	s := &b.BGP().standings
	n := b.BGP().neighbor(fabric)
	x := group{kind: IPPrefix}
	at := func(target string) []place { return []place{{network: b.current().networks[300], hop: hop(target)}} }
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		first := s.find(n, x, at("2001:db8:9::1"))
		hash := s.at(first).hash
		numbers := [3]uint32{
			first,
			s.add(standing{sender: s.at(first).sender, places: at("2001:db8:9::2"), hash: hash, next: first}),
		}
		numbers[2] = s.add(standing{sender: s.at(first).sender, places: at("2001:db8:9::3"), hash: hash, next: numbers[1]})
		for _, number := range numbers {
			s.hold(number)
		}
		left := map[uint32]bool{numbers[0]: true, numbers[1]: true, numbers[2]: true}
		for _, i := range order {
			s.drop(numbers[i])
			delete(left, numbers[i])
			found := map[uint32]bool{}
			for number := s.numbers[hash]; number != 0; number = s.at(number).next {
				found[number] = true
			}
			if !sameMap(found, left) {
				t.Fatalf("dropped %v: found %v, want %v", order, found, left)
			}
			if left[first] {
				s.at(first).sender.last = 0
				if got := s.find(n, x, at("2001:db8:9::1")); got != first {
					t.Fatalf("found %d, want %d", got, first)
				}
			}
		}
	}
	wantNothingKept(t, b.BGP())
}

func TestHostBitsAreMasked(t *testing.T) {
	b := newBridge(t, testConfig(t))
	n := type5(1, "10.1.0.0/16")
	dirty := n
	dirty.Prefix = netip.MustParsePrefix("10.1.2.3/16")
	b.BGP().Import([]Update{say(dirty, vxlanPath(rt(65000, 200)))})
	if got := targets(b, 200, n.Prefix); len(got) != 1 {
		t.Fatalf("in the table: %v", got)
	}
	b.BGP().Import([]Update{unsay(n)})
	wantNothingKept(t, b.BGP())
}

func TestNativeRouteHidesTheImportedOne(t *testing.T) {
	b := newBridge(t, testConfig(t))
	p := prefix("10.1.0.7/32")
	b.BGP().Import([]Update{say(type5(1, "10.1.0.7/32"), vxlanPath(rt(65000, 200)))})
	c := b.Open(rib.Client, "c")
	if err := c.Announce(200, p, hop("2001:db8:1::7")); err != nil {
		t.Fatal(err)
	}
	for _, i := range b.Table().Lookup(200, p) {
		if i.Visible != (i.NextHop == hop("2001:db8:1::7")) {
			t.Errorf("%v visible: %v", i.NextHop, i.Visible)
		}
	}
}

func TestImportedRouteIsNotHeardFromServers(t *testing.T) {
	b := newBridge(t, testConfig(t))
	p := prefix("10.1.0.0/16")
	server := b.Open(rib.Server, "s")
	// The sibling imported it first, and we heard of it from the server.
	if err := server.Announce(300, p, hop("2001:db8:9::1")); err != nil {
		t.Fatal(err)
	}
	b.BGP().Import([]Update{say(type5(1, "10.1.0.0/16"), ipipPath("2001:db8:9::1", rt(65000, 300)))})
	if server.Count() != 0 {
		t.Error("the server's copy stands beside it and would be exported")
	}
}

func TestPrefixFilterDecidesPerVNI(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs[1].Import.Prefixes = []config.PrefixRule{
		{Allow: false, Prefix: prefix("10.1.0.0/16"), GE: 25},
		{Allow: true, Prefix: prefix("10.0.0.0/8"), LE: 32},
	}
	b := newBridge(t, cfg)
	for p, want := range map[string]int{"10.1.0.0/24": 1, "10.1.0.0/25": 0, "10.2.0.0/25": 1, "11.0.0.0/8": 0} {
		b.BGP().Import([]Update{say(type5(1, p), ipipPath("2001:db8:9::1", rt(65000, 300)))})
		if got := targets(b, 300, prefix(p)); len(got) != want {
			t.Errorf("%s in the filtered VNI: %v", p, got)
		}
		if got := targets(b, 400, prefix(p)); len(got) != 1 {
			t.Errorf("%s in the other VNI: %v", p, got)
		}
	}
	if got := b.BGP().Stats().VNIs[1].Imported.Refused[Filtered]; got != 2 {
		t.Errorf("refused %d", got)
	}
}

func TestSameHostWithTwoMACs(t *testing.T) {
	b := newBridge(t, testConfig(t))
	g := b.BGP()
	one, two := type2(1, 1, "10.1.0.7/32"), type2(1, 2, "10.1.0.7/32")
	p := one.Prefix
	steps := []struct {
		do   Update
		want []string
	}{
		{say(one, vxlanPath(rt(65000, 200))), []string{"2001:db8:f::200"}},
		{say(two, ipipPath("2001:db8:9::2", rt(65000, 200))), []string{"2001:db8:9::2"}},
		{unsay(two), []string{"2001:db8:f::200"}},
		{say(two, ipipPath("2001:db8:9::2", rt(65000, 200))), []string{"2001:db8:9::2"}},
		{unsay(one), []string{"2001:db8:9::2"}},
		{say(one, vxlanPath(rt(65000, 200))), []string{"2001:db8:f::200"}},
		{say(two, vxlanPath(rt(65000, 999))), []string{"2001:db8:f::200"}},
		{unsay(two), []string{"2001:db8:f::200"}},
		{unsay(one), nil},
	}
	for i, s := range steps {
		g.Import([]Update{s.do})
		if got := targets(b, 200, p); !slices.Equal(got, s.want) {
			t.Fatalf("step %d: %v, want %v", i, got, s.want)
		}
	}
	wantNothingKept(t, g)
	g.Import([]Update{say(one, vxlanPath(rt(65000, 200))), say(two, vxlanPath(rt(65000, 200)))})
	if got := g.Forget(fabric); got != 2 {
		t.Errorf("forgot %d", got)
	}
	wantNothingKept(t, g)
}

func TestLimitsRefuseAndAskForARefresh(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*config.Config)
		reason Reason
	}{
		{"of the VNI", func(cfg *config.Config) { cfg.VNIs[1].Import.MaxPrefixes = 10 }, VNILimit},
		{"of the neighbour", func(cfg *config.Config) { cfg.BGP.Neighbors[0].MaxPrefixes = 10 }, NeighborLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.VNIs = cfg.VNIs[:2]
			c.set(cfg)
			log, hook := logtest.NewNullLogger()
			b := newLoggedBridge(t, cfg, log)
			g := b.BGP()
			refreshed := 0
			var all []Update
			g.Refresh = func() { refreshed++ }
			for i := range 12 {
				all = append(all, say(type5(1, fmt.Sprintf("10.1.%d.0/24", i)), ipipPath("2001:db8:9::1", rt(65000, 300))))
			}
			count := func() int { return b.Table().Stats(300).Prefixes }
			g.Import(all)
			g.Import(all)
			if count() != 10 || warnings(hook) != 1 {
				t.Fatalf("%d prefixes, %d warnings", count(), warnings(hook))
			}
			if v := g.ExplainImport(all[11]); len(v) != 1 || v[0].Reason != c.reason {
				t.Errorf("explained as %+v", v)
			}
			// What is in may change.
			g.Import([]Update{say(all[0].NLRI, ipipPath("2001:db8:9::2", rt(65000, 300)))})
			if got := targets(b, 300, all[0].NLRI.Prefix); !slices.Equal(got, []string{"2001:db8:9::2"}) {
				t.Errorf("changed to %v", got)
			}
			g.Import([]Update{unsay(all[0].NLRI)})
			if refreshed != 0 {
				t.Error("asked for a refresh at nine tenths")
			}
			g.Import([]Update{unsay(all[1].NLRI)})
			if refreshed != 1 {
				t.Errorf("asked for a refresh %d times", refreshed)
			}
			g.Import(all[2:])
			if count() != 10 || warnings(hook) != 1 {
				t.Errorf("%d prefixes, %d warnings", count(), warnings(hook))
			}
			for _, u := range all {
				g.Import([]Update{unsay(u.NLRI)})
			}
			wantNothingKept(t, g)
		})
	}
}

func TestPathsOfOnePrefixAreOnePrefix(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs[1].Import.MaxPrefixes = 1
	b := newBridge(t, cfg)
	for i := range uint16(5) {
		b.BGP().Import([]Update{say(type5(i, "10.1.0.0/16"), ipipPath(fmt.Sprintf("2001:db8:9::%d", i+1), rt(65000, 300)))})
	}
	if got := targets(b, 300, prefix("10.1.0.0/16")); len(got) != 5 {
		t.Errorf("%v", got)
	}
	if got := b.BGP().Stats().VNIs[1].Imported; got.Prefixes.Used != 1 || got.Routes != 5 {
		t.Errorf("%+v", got)
	}
}

func TestNeighborLimits(t *testing.T) {
	l := neighborLimits{
		fixed: map[netip.Addr]int{addr("198.51.100.1"): 1},
		dynamic: []config.DynamicNeighbor{
			{Prefix: prefix("198.51.100.0/24"), Peering: config.Peering{MaxPrefixes: 2}},
			{Prefix: prefix("198.51.100.128/25"), Peering: config.Peering{MaxPrefixes: 3}},
		},
	}
	for a, want := range map[string]int{"198.51.100.1": 1, "198.51.100.2": 2, "198.51.100.200": 3, "203.0.113.1": 0} {
		if got := l.of(addr(a)); got != want {
			t.Errorf("%s: %d, want %d", a, got, want)
		}
	}
}

func TestEndOfRIBIsPerNeighborAndFamily(t *testing.T) {
	g := newBridge(t, testConfig(t)).BGP()
	g.EndOfRIB(fabric, config.FamilyVPNv4)
	g.EndOfRIB(fabric, config.FamilyEVPN)
	g.EndOfRIB(fabric2, config.FamilyIPv6)
	ended := map[netip.Addr][]Family{}
	for _, n := range g.Stats().Neighbors {
		ended[n.Neighbor] = n.Ended
	}
	if want := (map[netip.Addr][]Family{fabric: {config.FamilyEVPN, config.FamilyVPNv4}, fabric2: {config.FamilyIPv6}}); !reflect.DeepEqual(ended, want) {
		t.Errorf("%v, want %v", ended, want)
	}
	g.Forget(fabric)
	if got := g.Stats().Neighbors; len(got) != 1 || got[0].Neighbor != fabric2 {
		t.Errorf("outlives the session: %+v", got)
	}
}
