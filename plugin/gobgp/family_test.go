package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/bridge"
	"mbbgp/config"
)

// withFabricOf starts a speaker and a plain GoBGP that are neighbours and speak
// some families.
func withFabricOf(t testing.TB, asn, fabricASN uint32, list ...config.Family) (*host, *fabric) {
	t.Helper()
	addrs := addresses(2)
	port := freePort(t, addrs[1])
	peer := passivePeer(addrs[0], asn)
	peer.AfiSafis = nil
	for _, f := range list {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: api.Family_Afi(families[f].Afi()), Safi: api.Family_Safi(families[f].Safi())}, Enabled: true,
		}})
	}
	f := startFabric(t, addrs[1], port, fabricASN, peer)
	cfg := configuration(t, addrs[0], asn)
	cfg.BGP.Listen = nil
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Port: port, Peering: config.Peering{
		ASN: fabricASN, LocalAddress: addrs[0], Families: list, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	f.foreign(t)
	h.up(t)
	return h, f
}

// received returns what the fabric has from others in a family: the attributes
// of each path by its NLRI.
func (f *fabric) received(t testing.TB, family config.Family) map[string][]bgp.PathAttributeInterface {
	t.Helper()
	list := make(map[string][]bgp.PathAttributeInterface)
	r := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: families[family]}
	err := f.ListPath(r, func(n bgp.NLRI, paths []*apiutil.Path) {
		for _, p := range paths {
			if p.PeerAddress.IsValid() {
				list[n.String()] = p.Attrs
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFlowSpecificationsArrive(t *testing.T) {
	parallel(t)
	h, f := withFabricOf(t, 65001, 65000, config.FamilyFlowSpec4, config.FamilyFlowSpec6)
	hypervisor := addr("2001:db8::7")
	toAddress := &bridge.Attributes{NextHop: hypervisor, Redirect: redirectToNextHop}
	toTarget := &bridge.Attributes{RedirectIPv6: true, RedirectTo: hypervisor, RedirectLocal: 200}
	var flows []bridge.Update
	for _, prefix := range []string{"203.0.113.7/32", "2001:db8:9::7/128"} {
		for _, flow := range []bridge.Flow{{Protocol: 6, First: 1024, Last: 2047}, {Protocol: 17, First: 1024, Last: 2047}} {
			n := bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix(prefix), Flow: flow}
			a := toAddress
			if n.Prefix.Addr().Is6() {
				a = toTarget
			}
			flows = append(flows, bridge.Update{NLRI: n, Attributes: a})
		}
	}
	h.tell(t, flows...)
	redirects := func() map[string]string {
		got := make(map[string]string)
		for _, family := range []config.Family{config.FamilyFlowSpec4, config.FamilyFlowSpec6} {
			for n, attrs := range f.received(t, family) {
				for _, a := range attrs {
					if c, ok := a.(*bgp.PathAttributeIP6ExtendedCommunities); ok {
						raw, err := c.Value[0].Serialize()
						if err != nil {
							t.Fatal(err)
						}
						got[n] = fmt.Sprintf("%x", raw)
					}
				}
			}
		}
		return got
	}
	eventually(t, "all flows arrived", func() bool { return len(redirects()) == len(flows) })
	const address, target = "000c20010db80000000000000000000000070000", "000d20010db800000000000000000000000700c8"
	want := map[string]string{
		"[destination: 203.0.113.7/32][protocol: ==tcp][destination-port: >=1024&<=2047]":      address,
		"[destination: 203.0.113.7/32][protocol: ==udp][destination-port: >=1024&<=2047]":      address,
		"[destination: 2001:db8:9::7/128/0][protocol: ==tcp][destination-port: >=1024&<=2047]": target,
		"[destination: 2001:db8:9::7/128/0][protocol: ==udp][destination-port: >=1024&<=2047]": target,
	}
	if diff := cmp.Diff(want, redirects()); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	for i := range flows {
		flows[i] = withdrawal(flows[i])
	}
	h.tell(t, flows...)
	eventually(t, "all flows gone", func() bool { return len(redirects()) == 0 })
}

func TestSRv6ServicesAndDPathsArrive(t *testing.T) { onBothEngines(t, srv6ServicesAndDPathsArrive) }

func srv6ServicesAndDPathsArrive(t *testing.T, pair pairing) {
	a, b := pair(t, 65001, 65002, speak)
	full := &bridge.Attributes{
		NextHop:      addr("2001:db8:1::7"),
		RouteTargets: []bridge.RouteTarget{target("65000:300")},
		SiteOfOrigin: []bridge.ExtendedCommunity{site("65001:1")},
		Large:        [][3]uint32{{65001, 1, 1}, {65001, 2, 1024<<16 | 2048}},
		DPath:        []bridge.Domain{{ID: config.DomainID{0, 0, 0xfd, 0xe9, 0, 1}}, {ID: config.DomainID{0, 0, 0, 2, 0, 3}, SAFI: 128}},
		SRv6: bridge.SRv6{
			SID: addr("2001:db8:1::7"), Behavior: bridge.EndDT46,
			Structure: bridge.SIDStructure{Block: 48, Node: 16, Function: 64},
		},
	}
	moved := *full
	moved.SRv6.Structure = bridge.SIDStructure{Block: 40, Node: 24, Function: 16, TranspositionLength: 16, TranspositionOffset: 64}
	plain := *full
	plain.SRv6.Structure, plain.DPath = bridge.SIDStructure{}, nil
	want := []bridge.Update{
		vpnRoute("192.0.2.1:1", "198.51.100.7/32", bridge.ImplicitNull, full),
		vpnRoute("192.0.2.1:1", "2001:db8:9::/48", 0x80000, &moved), // the label of a withdrawal, but for the bottom of stack
		vpnRoute("192.0.2.1:2", "198.51.100.7/32", bridge.ImplicitNull, &plain),
		prefixRoute("192.0.2.1:1", "198.51.100.7/32", bridge.ImplicitNullEVPN, full),
		prefixRoute("192.0.2.1:1", "2001:db8:9::/48", 0x10000, &moved),
	}
	a.tell(t, want...)
	eventually(t, "all routes arrived", func() bool { return b.len() == len(want) })
	for _, u := range want {
		received := *u.Attributes
		received.ASPathLength = 1
		u.Neighbor, u.Attributes = a.addr, &received
		got, _ := b.get(u.NLRI)
		if diff := cmp.Diff(u, got, compareAddr, comparePrefix, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("route (-sent +received):\n%s", diff)
		}
	}
	a.tell(t, withdrawal(want[0]), withdrawal(want[3]))
	eventually(t, "two routes withdrawn", func() bool { return b.len() == len(want)-2 })
}

func TestMalformedServiceOrDPathWithdrawsTheRoute(t *testing.T) {
	parallel(t)
	h, r, peer := withRaw(t)
	victim, key := typeFive("10.1.2.0/24", 7)
	other, _ := typeFive("10.1.3.0/24", 7)
	malformed := []string{
		"c0 24 07 01 00000001 0002", // D-PATH of 7 octets
		"c0 24 09 02 00000001 0002 00 01",
		"c0 28 04 05 0001 00", // SRv6 L3 Service without SID
	}
	for _, s := range malformed {
		r.send(update([]uint32{65000}, victim, other))
		eventually(t, "both routes", func() bool { return h.len() == 2 })
		m := update([]uint32{65000}, victim)
		body := m.Body.(*bgp.BGPUpdate)
		body.PathAttributes = append(body.PathAttributes, parseAttr(t, octets(s)))
		r.send(m)
		eventually(t, s+": one route", func() bool { return h.len() == 1 })
		if _, ok := h.get(key); ok {
			t.Errorf("%s: the broken route is there", s)
		}
	}
	if n := h.neighbor(peer); n.State != Established || n.Ups != 1 {
		t.Errorf("neighbour: %+v", n)
	}
	if c := h.Counters(); c.Malformed != uint64(len(malformed)) {
		t.Errorf("counters: %+v", c)
	}
}

// Routes come for the targets that we are members of (RFC 4684), and go with
// the membership.
func TestMembershipBringsTheRoutesOfItsTarget(t *testing.T) {
	for _, fabricASN := range []uint32{65000, 65001} {
		t.Run(fmt.Sprintf("AS %d", fabricASN), func(t *testing.T) {
			parallel(t)
			h, f := withFabricOf(t, 65001, fabricASN, config.FamilyEVPN, config.FamilyRTC)
			rt201 := bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, 65000, 201, true)
			first, one := typeFive("10.1.2.0/24", 7)
			second, two := typeFive("10.1.3.0/24", 7)
			f.add(t, path(first, "192.0.2.9", rt200), path(second, "192.0.2.9", rt201))
			self := &bridge.Attributes{NextHop: zero4}
			member := bridge.Update{NLRI: bridge.NLRI{Kind: bridge.Membership, Target: target("65000:200")}, Attributes: self}
			everything := bridge.Update{NLRI: bridge.NLRI{Kind: bridge.Membership}, Attributes: self}
			has := func(n bridge.NLRI) bool { _, ok := h.get(n); return ok }

			h.tell(t, member)
			eventually(t, "the route of the target arrived", func() bool { return has(one) })
			if has(two) {
				t.Error("a route of another target arrived")
			}
			h.tell(t, everything)
			eventually(t, "all routes arrived", func() bool { return has(one) && has(two) })
			h.tell(t, withdrawal(everything))
			eventually(t, "the other route has gone", func() bool { return has(one) && !has(two) })
			h.tell(t, withdrawal(member))
			eventually(t, "no route is left", func() bool { return h.len() == 0 })
		})
	}
}

func TestUnspecifiedNextHopIsOurAddressOfTheSession(t *testing.T) {
	for _, tt := range []struct {
		name string
		asn  uint32
		loop bool // over IPv6
	}{
		{"eBGP over IPv4", 65002, false},
		{"iBGP over IPv4", 65001, false},
		{"eBGP over IPv6", 65002, true},
		{"iBGP over IPv6", 65001, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			addrs := addresses(2)
			if tt.loop {
				addrs = []netip.Addr{addr("::1"), addr("::1")}
			}
			ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], tt.asn)
			meet(ca, cb, speak)
			a, b := start(t, ca), start(t, cb)
			settle(t, a, b)
			a.up(t)
			b.up(t)
			four := unicastRoute("198.51.100.7/32", &bridge.Attributes{NextHop: zero4})
			six := unicastRoute("2001:db8:9::/48", &bridge.Attributes{NextHop: zero6})
			a.tell(t, four, six)
			eventually(t, "both routes arrived", func() bool { return b.len() == 2 })
			for _, u := range []bridge.Update{four, six} {
				if got, ok := b.get(u.NLRI); !ok || got.Attributes.NextHop != addrs[0] {
					t.Errorf("%v: next hop %v, want %v", u.NLRI, got.Attributes.NextHop, addrs[0])
				}
			}
		})
	}
}

// What neighbours are sent: next hops in particular, which each family has in
// another form (RFC 4364 section 4.3.4, RFC 4659 section 3.2.1, RFC 8950
// section 3, RFC 8955 section 4).
func TestNextHopsHaveTheFormOfTheirFamily(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65001)
	peering := config.Peering{ASN: 65000, Timers: timers(), Families: []config.Family{
		config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6, config.FamilyFlowSpec4,
	}}
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Passive: true, Peering: peering}}
	h := start(t, cfg)
	settle(t, h)
	caps := []bgp.ParameterCapabilityInterface{six(bgp.RF_IPv4_VPN, bgp.RF_IPv4_UC)}
	for _, f := range peering.Families {
		caps = append(caps, bgp.NewCapMultiProtocol(families[f]))
	}
	r := connect(t, h, addrs[1], caps...)
	four, six := &bridge.Attributes{NextHop: addr("192.0.2.1")}, &bridge.Attributes{NextHop: addr("2001:db8::7")}
	flow := bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix("203.0.113.7/32"), Flow: bridge.Flow{Protocol: 6, First: 1, Last: 2}}
	session := fmt.Sprintf("%x", addrs[0].AsSlice())
	const hop6, hop4 = "20010db8000000000000000000000007", "c0000201"
	const mapped = "00000000000000000000ffff"
	for _, tt := range []struct {
		name   string
		u      bridge.Update
		family string // AFI and SAFI
		hop    string // length and next hop
		nlri   string
	}{
		{"EVPN, IPv4", prefixRoute("192.0.2.1:1", "0.0.0.0/0", 200, four), "0019 46", "04" + hop4,
			"05 22 0001 c0000201 0001 00000000000000000000 00000000 00 00000000 00000000 0000c8"},
		{"EVPN, IPv6", prefixRoute("192.0.2.1:2", "0.0.0.0/0", 200, six), "0019 46", "10" + hop6,
			"05 22 0001 c0000201 0002 00000000000000000000 00000000 00 00000000 00000000 0000c8"},
		{"VPNv4, IPv4", vpnRoute("192.0.2.1:1", "10.0.0.0/8", 16, four), "0001 80", "0c 0000000000000000" + hop4, "60 000101 0001 c0000201 0001 0a"},
		{"VPNv4, IPv6", vpnRoute("192.0.2.1:2", "10.0.0.0/8", 16, six), "0001 80", "18 0000000000000000" + hop6, "60 000101 0001 c0000201 0002 0a"},
		{"VPNv6, IPv4", vpnRoute("192.0.2.1:1", "2001:db8::/32", 16, four), "0002 80", "18 0000000000000000" + mapped + hop4, "78 000101 0001 c0000201 0001 20010db8"},
		{"VPNv6, IPv6", vpnRoute("192.0.2.1:2", "2001:db8::/32", 16, six), "0002 80", "18 0000000000000000" + hop6, "78 000101 0001 c0000201 0002 20010db8"},
		{"IPv4, IPv6", unicastRoute("10.0.0.0/8", six), "0001 01", "10" + hop6, "08 0a"},
		{"IPv6, IPv6", unicastRoute("2001:db8::/32", six), "0002 01", "10" + hop6, "20 20010db8"},
		{"IPv6, that of a session over IPv4", unicastRoute("2001:db9::/32", &bridge.Attributes{NextHop: zero6}), "0002 01", "10" + mapped + session, "20 20010db9"},
		{"flow specification, none", bridge.Update{NLRI: flow, Attributes: six}, "0001 85", "00", "10 01 20 cb007107 03 81 06 05 13 0001 d5 0002"},
	} {
		h.tell(t, tt.u)
		value := octets(tt.family, tt.hop, "00", tt.nlri)
		want := fmt.Sprintf("%x", append([]byte{0x80, 14, byte(len(value))}, value...))
		eventually(t, tt.name+": "+want, func() bool { return slices.Contains(r.reached(), want) })
	}
}

// reached returns every MP_REACH_NLRI that the neighbour was sent, in bytes.
func (r *raw) reached() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.heard {
		for _, a := range u.PathAttributes {
			if reach, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
				if b, err := reach.Serialize(); err == nil {
					list = append(list, fmt.Sprintf("%x", b))
				}
			}
		}
	}
	return list
}

func TestTableListsAllFamilies(t *testing.T) {
	parallel(t)
	a, b := pair(t, 65001, 65002, speak)
	attributes := &bridge.Attributes{NextHop: addr("192.0.2.1")}
	want := []bridge.Update{
		prefixRoute("192.0.2.1:1", "198.51.100.7/32", 200, attributes),
		vpnRoute("192.0.2.1:1", "198.51.100.7/32", 16, attributes),
		vpnRoute("192.0.2.1:1", "2001:db8:9::/48", 16, attributes),
		unicastRoute("198.51.100.7/32", attributes),
		unicastRoute("2001:db8:9::/48", attributes),
	}
	a.tell(t, want...)
	eventually(t, "all routes arrived", func() bool { return b.len() == len(want) })
	for _, h := range []*host{a, b} {
		var got []bridge.NLRI
		if err := h.Table(func(p Path) bool {
			got = append(got, p.NLRI)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for _, u := range want {
			if !slices.Contains(got, u.NLRI) {
				t.Errorf("%v is not in the table", u.NLRI)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d paths, want %d", len(got), len(want))
		}
	}
	visited := 0
	if err := a.Table(func(Path) bool { visited++; return visited < 3 }); err != nil || visited != 3 {
		t.Errorf("%d visited after the end: %v", visited, err)
	}
}

func TestMemoryOfWithdrawnPathsIsFreedInAllFamilies(t *testing.T) {
	parallel(t)
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP.Listen = nil
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addresses(1)[0], Passive: true, Peering: config.Peering{
		ASN: 65000, Timers: timers(), Families: []config.Family{
			config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6,
			config.FamilyRTC, config.FamilyFlowSpec4, config.FamilyFlowSpec6,
		},
	}}}
	h := start(t, cfg)
	e := h.engine.(*embedded)
	attributes := &bridge.Attributes{NextHop: addr("192.0.2.1")}
	var list []bridge.Update
	for i := range 50 {
		prefix4, prefix6 := fmt.Sprintf("10.0.%d.0/24", i), fmt.Sprintf("2001:db8:%x::/48", i)
		member := bridge.NLRI{Kind: bridge.Membership, Target: target(fmt.Sprintf("65000:%d", i))}
		for _, prefix := range []string{prefix4, prefix6} {
			flow := bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix(prefix), Flow: bridge.Flow{Protocol: 6, First: 1, Last: uint16(1 + i)}}
			list = append(list,
				prefixRoute("192.0.2.1:1", prefix, 200, attributes),
				vpnRoute("192.0.2.1:1", prefix, 16, attributes),
				unicastRoute(prefix, attributes),
				bridge.Update{NLRI: flow, Attributes: attributes},
			)
		}
		list = append(list, bridge.Update{NLRI: member, Attributes: attributes})
	}
	h.tell(t, list...)
	if n := entries(t, e); n != len(list) {
		t.Fatalf("%d entries, want %d", n, len(list))
	}
	for i := range list {
		list[i] = withdrawal(list[i])
	}
	h.tell(t, list...)
	if n := entries(t, e); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestPathsOfOneNLRIAreToldApartByTheirNumber(t *testing.T) {
	parallel(t)
	h, _ := alone(t)
	first := prefixRoute("192.0.2.1:1", "10.0.0.0/8", 200, vxlan("192.0.2.1"))
	second := prefixRoute("192.0.2.1:1", "10.0.0.0/8", 200, vxlan("192.0.2.2"))
	second.NLRI.Path = 1
	nextHops := func() (list []netip.Addr) {
		if err := h.Table(func(p Path) bool {
			list = append(list, p.Attributes.NextHop)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(list, netip.Addr.Compare)
		return list
	}
	h.tell(t, first, second)
	if got := nextHops(); !slices.Equal(got, []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2")}) {
		t.Errorf("next hops %v", got)
	}
	h.tell(t, withdrawal(first))
	if got := nextHops(); !slices.Equal(got, []netip.Addr{addr("192.0.2.2")}) {
		t.Errorf("next hops %v, want the second", got)
	}
}

// logged makes the engine of a speaker log into a hook.
func logged(e *embedded) *logtest.Hook {
	log, hook := logtest.NewNullLogger()
	e.log, e.unsaid.log = log, log
	return hook
}

func TestBadPathIsLeftOutAndTheOthersGoOn(t *testing.T) {
	parallel(t)
	h, e := alone(t)
	hook := logged(e)
	routes := many(5, "192.0.2.1:1", vxlan("192.0.2.1"))
	routes[2].Label = 1 << 24
	h.tell(t, routes...)
	if n := entries(t, e); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}
	h.tell(t, withdrawal(routes[0]), withdrawal(routes[2]))
	if n := entries(t, e); n != 3 {
		t.Errorf("%d entries after, want 3", n)
	}
	if list := hook.AllEntries(); len(list) != 1 || list[0].Level != logrus.ErrorLevel || list[0].Message != "BGP path left out" || e.unsaid.total != 2 {
		t.Errorf("log: %v", list)
	}
}

func TestPathThatGoBGPDoesNotTakeIsFoundByHalves(t *testing.T) {
	parallel(t)
	_, e := alone(t)
	hook := logged(e)
	routes := many(100, "192.0.2.1:1", vxlan("192.0.2.1"))
	paths := e.paths(routes)
	culprit := paths[37].Nlri
	calls, taken := 0, make(map[bgp.NLRI]bool)
	err := e.hand(paths, func(list []*apiutil.Path) error {
		calls++
		if slices.ContainsFunc(list, func(p *apiutil.Path) bool { return p.Nlri == culprit }) {
			return errors.New("not this one")
		}
		for _, p := range list {
			taken[p.Nlri] = true
		}
		return nil
	})
	if err != nil || len(taken) != 99 || calls > 2*8 {
		t.Errorf("%d taken in %d calls: %v", len(taken), calls, err)
	}
	if list := hook.AllEntries(); len(list) != 1 || list[0].Data["path"] != culprit {
		t.Errorf("log: %v", list)
	}
}

func TestErrorOfAStoppedServerIsReturned(t *testing.T) {
	parallel(t)
	h, e := alone(t)
	paths := e.paths(many(3, "192.0.2.1:1", vxlan("192.0.2.1")))
	s := e.server
	h.stop()
	e.server = s
	want := errors.New("stopped")
	if err := e.hand(paths, func([]*apiutil.Path) error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestFamilyThatIsNotEnabledIsSaidOnce(t *testing.T) {
	parallel(t)
	h, e := alone(t)
	delete(e.tables, config.FamilyVPNv4) // as with a gobgpd file that names other families
	delete(e.tables, config.FamilyRTC)
	hook := logged(e)
	attributes := &bridge.Attributes{NextHop: addr("192.0.2.1")}
	h.tell(t,
		vpnRoute("192.0.2.1:1", "10.0.0.0/8", 16, attributes),
		vpnRoute("192.0.2.1:1", "11.0.0.0/8", 16, attributes),
		bridge.Update{NLRI: bridge.NLRI{Kind: bridge.Membership}, Attributes: attributes},
		prefixRoute("192.0.2.1:1", "10.0.0.0/8", 200, attributes))
	h.tell(t, vpnRoute("192.0.2.1:1", "12.0.0.0/8", 16, attributes))
	if n := entries(t, e); n != 1 {
		t.Errorf("%d entries, want that of EVPN", n)
	}
	if list := hook.AllEntries(); len(list) != 1 || list[0].Data["family"] != config.FamilyVPNv4 {
		t.Errorf("log: %v", list)
	}
}
