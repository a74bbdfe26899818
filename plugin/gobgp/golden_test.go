package gobgp

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// octets returns the bytes of hexadecimal pieces.
func octets(pieces ...string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(pieces, ""), " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func uint32p(v uint32) *uint32 { return &v }

// goldenASN is the AS of the encoder in golden tests.
const goldenASN = 65001

// goldenNLRIs are NLRIs as the RFCs have them, written by hand.
var goldenNLRIs = []struct {
	name   string
	family config.Family
	nlri   bridge.NLRI
	label  uint32
	raw    []byte
	out    bool // only announced
}{
	{
		name: "EVPN type 5, IPv4, VNI as label", family: config.FamilyEVPN,
		nlri:  bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.1:7"), EthernetTag: 77, Prefix: netip.MustParsePrefix("10.1.2.0/24")},
		label: 5000,
		raw: octets(
			"05 22",                // type, length
			"0001 c0000201 0007",   // route distinguisher
			"00000000000000000000", // no Ethernet segment
			"0000004d",             // Ethernet tag
			"18 0a010200",          // prefix
			"00000000",             // no gateway
			"001388",               // label
		),
	},
	{
		name: "EVPN type 5, IPv6, Implicit NULL", family: config.FamilyEVPN,
		nlri:  bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("65001:70000"), Prefix: netip.MustParsePrefix("2001:db8:9::/48")},
		label: bridge.ImplicitNullEVPN,
		raw: octets(
			"05 3a",
			"0000 fde9 00011170",
			"00000000000000000000",
			"00000000",
			"30 20010db8000900000000000000000000",
			"00000000000000000000000000000000",
			"000030",
		),
	},
	{
		name: "VPNv4 host route, Implicit NULL", family: config.FamilyVPNv4,
		nlri:  bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("192.0.2.1:1"), Prefix: netip.MustParsePrefix("198.51.100.7/32")},
		label: bridge.ImplicitNull,
		raw: octets(
			"78",                 // 24 + 64 + 32 bits
			"000031",             // label 3, bottom of stack
			"0001 c0000201 0001", // route distinguisher
			"c6336407",           // prefix
		),
	},
	{
		name: "VPNv4 default route, largest label", family: config.FamilyVPNv4,
		nlri:  bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("4200000000:5"), Prefix: netip.MustParsePrefix("0.0.0.0/0")},
		label: 1<<20 - 1,
		raw:   octets("58", "fffff1", "0002 fa56ea00 0005"),
	},
	{
		name: "VPNv6", family: config.FamilyVPNv6,
		nlri:  bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("65001:70000"), Prefix: netip.MustParsePrefix("2001:db8:9::/48")},
		label: 16,
		raw:   octets("88", "000101", "0000 fde9 00011170", "20010db80009"),
	},
	{
		name: "IPv4", family: config.FamilyIPv4,
		nlri: bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix("198.51.100.128/25")},
		raw:  octets("19 c6336480"),
	},
	{
		name: "IPv6 default route", family: config.FamilyIPv6,
		nlri: bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix("::/0")},
		raw:  octets("00"),
	},
	{
		name: "membership of a target", family: config.FamilyRTC, out: true,
		nlri: bridge.NLRI{Kind: bridge.Membership, Target: target("65000:200")},
		raw:  octets("60", "0000fde9", "0002 fde8 000000c8"), // 96 bits, origin AS, target
	},
	{
		name: "default membership", family: config.FamilyRTC, out: true,
		nlri: bridge.NLRI{Kind: bridge.Membership},
		raw:  octets("00"),
	},
	{
		name: "flow of a port range, IPv4", family: config.FamilyFlowSpec4, out: true,
		nlri: bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix("203.0.113.7/32"), Flow: bridge.Flow{Protocol: 6, First: 1024, Last: 2047}},
		raw: octets(
			"10",                 // length
			"01 20 cb007107",     // destination
			"03 81 06",           // protocol: = 6, end
			"05 13 0400 d5 07ff", // destination port: >= 1024, and <= 2047, end
		),
	},
	{
		name: "flow of one port, IPv6", family: config.FamilyFlowSpec6, out: true,
		nlri: bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix("2001:db8::7/128"), Flow: bridge.Flow{Protocol: 17, First: 53, Last: 53}},
		raw: octets(
			"1a",
			"01 80 00 20010db8000000000000000000000007", // destination, offset 0
			"03 81 11",
			"05 91 0035",
		),
	},
}

func TestNLRIsAreThoseOfTheRFCs(t *testing.T) {
	e := newEncoder(goldenASN)
	for _, tt := range goldenNLRIs {
		t.Run(tt.name, func(t *testing.T) {
			p, err := e.path(&bridge.Update{Withdraw: true, NLRI: tt.nlri, Label: tt.label}, 0)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := p.Nlri.Serialize()
			if diff := cmp.Diff(hex.EncodeToString(tt.raw), hex.EncodeToString(raw)); diff != "" || err != nil {
				t.Errorf("bytes (-want +got):\n%s%v", diff, err)
			}
			if p.Family != families[tt.family] {
				t.Errorf("family %v, want %v", p.Family, tt.family)
			}
			parsed, err := bgp.NLRIFromSlice(families[tt.family], tt.raw)
			if err != nil {
				t.Fatal(err)
			}
			n, label, why, ok := key(parsed)
			if tt.out {
				if ok || why != skipUnsupported {
					t.Errorf("read as %v", n)
				}
			} else if n != tt.nlri || label != tt.label || !ok {
				t.Errorf("read as %v label %d (%v), want %v label %d", n, label, ok, tt.nlri, tt.label)
			}
		})
	}
}

// goldenAttributes are path attributes as the RFCs have them, written by hand.
// Every list ends with what is in all of them, ORIGIN and next hop, left out.
var goldenAttributes = []struct {
	name string
	kind bridge.NLRIKind
	a    bridge.Attributes
	raw  []string // of each attribute, in order
	out  bool     // only announced
}{
	{
		name: "MED and LOCAL_PREF", kind: bridge.Unicast,
		a:   bridge.Attributes{MED: uint32p(7), LocalPref: uint32p(200)},
		raw: []string{"80 04 04 00000007", "40 05 04 000000c8"},
	},
	{
		name: "communities", kind: bridge.Unicast,
		a:   bridge.Attributes{Communities: []uint32{65001<<16 | 5, 0xffff0006}},
		raw: []string{"c0 08 08 fde90005 ffff0006"},
	},
	{
		name: "targets, site, tunnel and MAC", kind: bridge.IPPrefix,
		a: bridge.Attributes{
			RouteTargets:  []bridge.RouteTarget{target("65000:200"), target("192.0.2.1:9"), target("4200000000:3")},
			SiteOfOrigin:  []bridge.ExtendedCommunity{site("65001:1")},
			Encapsulation: bridge.TunnelVXLAN,
			RouterMAC:     bridge.MAC{2, 0, 192, 0, 2, 1},
		},
		raw: []string{"c0 10 30" +
			"0002 fde8 000000c8 0102 c0000201 0009 0202 fa56ea00 0003" +
			"0003 fde9 00000001" +
			"030c 0000 0000 0008" +
			"0603 0200c0000201"},
	},
	{
		name: "large communities", kind: bridge.VPN,
		a:   bridge.Attributes{Large: [][3]uint32{{65001, 1, 2}, {65001, 2, 1024<<16 | 2048}}},
		raw: []string{"c0 20 18 0000fde9 00000001 00000002 0000fde9 00000002 04000800"},
	},
	{
		name: "D-PATH of two domains", kind: bridge.VPN,
		a: bridge.Attributes{DPath: []bridge.Domain{
			{ID: config.DomainID{0, 0, 0xfd, 0xe9, 0, 2}, SAFI: 0},
			{ID: config.DomainID{0, 0, 0, 1, 0, 3}, SAFI: 70},
		}},
		raw: []string{"c0 24 0f 02 0000fde9 0002 00 00000001 0003 46"},
	},
	{
		name: "SRv6 service with structure", kind: bridge.VPN,
		a: bridge.Attributes{SRv6: bridge.SRv6{
			SID: addr("2001:db8:1:2::3"), Behavior: bridge.EndDT46,
			Structure: bridge.SIDStructure{Block: 48, Node: 16, Function: 64},
		}},
		raw: []string{"c0 28 25" +
			"05 0022 00" + // SRv6 L3 Service, reserved
			"01 001e 00 20010db8000100020000000000000003 00 0014 00" + // SID Information: reserved, SID, flags, behaviour, reserved
			"01 0006 30 10 40 00 00 00"}, // SID Structure
	},
	{
		name: "SRv6 service with transposition and flags", kind: bridge.IPPrefix,
		a: bridge.Attributes{SRv6: bridge.SRv6{
			SID: addr("2001:db8:2:1::"), Behavior: bridge.EndDT4, Flags: 0x80,
			Structure: bridge.SIDStructure{Block: 40, Node: 24, Function: 16, TranspositionLength: 16, TranspositionOffset: 64},
		}},
		raw: []string{"c0 28 25 05 0022 00 01 001e 00 20010db8000200010000000000000000 80 0013 00 01 0006 28 18 10 00 10 40"},
	},
	{
		name: "SRv6 service without structure", kind: bridge.VPN,
		a:   bridge.Attributes{SRv6: bridge.SRv6{SID: addr("fd00::1"), Behavior: bridge.UDT46}},
		raw: []string{"c0 28 1c 05 0019 00 01 0015 00 fd000000000000000000000000000001 00 0040 00"},
	},
	{
		name: "everything in the order of types", kind: bridge.VPN,
		a: bridge.Attributes{
			MED: uint32p(1), LocalPref: uint32p(2), Communities: []uint32{3},
			RouteTargets: []bridge.RouteTarget{target("65000:200")}, Large: [][3]uint32{{4, 5, 6}},
			DPath: []bridge.Domain{{SAFI: 128}}, SRv6: bridge.SRv6{SID: addr("fd00::1"), Behavior: bridge.EndDX6},
		},
		raw: []string{
			"80 04 04 00000001", "40 05 04 00000002", "c0 08 04 00000003", "c0 10 08 0002 fde8 000000c8",
			"c0 20 0c 00000004 00000005 00000006", "c0 24 08 01 00000000 0000 80",
			"c0 28 1c 05 0019 00 01 0015 00 fd000000000000000000000000000001 00 0010 00",
		},
	},
	{
		name: "redirect to the next hop", kind: bridge.FlowSpec, out: true,
		a:   bridge.Attributes{NextHop: addr("2001:db8::7"), Redirect: bridge.ExtendedCommunity{8}},
		raw: []string{"c0 19 14 000c 20010db8000000000000000000000007 0000"},
	},
	{
		name: "redirect to an IPv4 next hop", kind: bridge.FlowSpec, out: true,
		a:   bridge.Attributes{NextHop: addr("192.0.2.1"), Redirect: bridge.ExtendedCommunity{8}},
		raw: []string{"c0 10 08 010c c0000201 0000"},
	},
	{
		name: "redirect to a target of 8 octets", kind: bridge.FlowSpec, out: true,
		a:   bridge.Attributes{Redirect: bridge.ExtendedCommunity{0x80, 8, 0xfd, 0xe9, 0, 0, 0, 200}},
		raw: []string{"c0 10 08 8008 fde9 000000c8"},
	},
	{
		name: "redirect to a target made of an address", kind: bridge.FlowSpec, out: true,
		a:   bridge.Attributes{RedirectIPv6: true, RedirectTo: addr("2001:db8::7"), RedirectLocal: 200},
		raw: []string{"c0 19 14 000d 20010db8000000000000000000000007 00c8"},
	},
}

func TestAttributesAreThoseOfTheRFCs(t *testing.T) {
	e := newEncoder(goldenASN)
	for _, tt := range goldenAttributes {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.a
			if !want.NextHop.IsValid() {
				want.NextHop = addr("192.0.2.1")
			}
			attrs, err := e.attrs(&bridge.Update{NLRI: bridge.NLRI{Kind: tt.kind}, Attributes: &want})
			if err != nil {
				t.Fatal(err)
			}
			var got, expected []string
			for _, a := range attrs[2:] {
				raw, err := a.Serialize()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, hex.EncodeToString(raw))
			}
			parsed := attrs[:2:2]
			for _, s := range tt.raw {
				expected = append(expected, hex.EncodeToString(octets(s)))
				parsed = append(parsed, parseAttr(t, octets(s)))
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
			if tt.out {
				return
			}
			read := newDecoder().attributes(parsed)
			if diff := cmp.Diff(&want, read, compareAddr, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

func parseAttr(t testing.TB, raw []byte) bgp.PathAttributeInterface {
	t.Helper()
	a, err := bgp.GetPathAttribute(raw)
	if err == nil {
		err = a.DecodeFromBytes(raw)
	}
	if err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	return a
}

func TestUpdateThatCannotBeRoutedIsRefused(t *testing.T) {
	vpn := bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("192.0.2.1:1"), Prefix: netip.MustParsePrefix("10.0.0.0/8")}
	evpn, unicast, flow := vpn, vpn, vpn
	evpn.Kind, unicast.Kind, flow.Kind = bridge.IPPrefix, bridge.Unicast, bridge.FlowSpec
	unmasked, mapped, none, unknown := vpn, vpn, vpn, vpn
	unmasked.Prefix = netip.MustParsePrefix("10.0.0.1/8")
	mapped.Prefix = netip.MustParsePrefix("::ffff:10.0.0.0/104")
	none.Prefix = netip.Prefix{}
	unknown.Kind = bridge.MACIP
	empty := flow
	empty.Flow = bridge.Flow{Protocol: 6, First: 2, Last: 1}
	good := &bridge.Attributes{NextHop: addr("192.0.2.1")}
	sid := bridge.SRv6{SID: addr("2001:db8::1"), Behavior: bridge.EndDT46}
	for _, tt := range []struct {
		name  string
		u     bridge.Update
		error string
	}{
		{"VPN label of 21 bits", bridge.Update{NLRI: vpn, Label: 1 << 20, Attributes: good}, "label 1048576 is out of range (0 to 1048575)"},
		{"EVPN label of 25 bits", bridge.Update{NLRI: evpn, Label: 1 << 24, Attributes: good}, "label 16777216 is out of range (0 to 16777215)"},
		{"host bits", bridge.Update{NLRI: unmasked, Attributes: good}, "not a masked"},
		{"IPv4 in IPv6", bridge.Update{NLRI: mapped, Attributes: good}, "not a masked"},
		{"no prefix", bridge.Update{NLRI: none, Attributes: good}, "not a masked"},
		{"a kind that is not announced", bridge.Update{NLRI: unknown, Attributes: good}, "routes of kind mac-ip are not announced"},
		{"a range that ends before it begins", bridge.Update{NLRI: empty, Attributes: good}, "ports 2 to 1 are no range"},
		{"no attributes", bridge.Update{NLRI: vpn}, "no attributes"},
		{"no next hop", bridge.Update{NLRI: vpn, Attributes: &bridge.Attributes{}}, "next hop invalid IP: want an address"},
		{"no next hop of a unicast route", bridge.Update{NLRI: unicast, Attributes: &bridge.Attributes{}}, "next hop invalid IP: want an address"},
		{"unspecified next hop", bridge.Update{NLRI: evpn, Attributes: &bridge.Attributes{NextHop: zero6}}, "next hop ::: want an address"},
		{"D-PATH on a unicast route", bridge.Update{NLRI: unicast, Attributes: &bridge.Attributes{NextHop: zero4, DPath: make([]bridge.Domain, 1)}}, "D-PATH is for VPN and EVPN routes only"},
		{"SID on a unicast route", bridge.Update{NLRI: unicast, Attributes: &bridge.Attributes{NextHop: zero4, SRv6: sid}}, "SRv6 service is for VPN and EVPN routes only"},
		{"SID that is IPv4", bridge.Update{NLRI: vpn, Attributes: &bridge.Attributes{NextHop: zero4.Next(), SRv6: bridge.SRv6{SID: addr("192.0.2.1")}}}, "SID 192.0.2.1 is no IPv6 address"},
		{"redirect to a target of an IPv4 address", bridge.Update{NLRI: flow, Attributes: &bridge.Attributes{RedirectIPv6: true, RedirectTo: addr("192.0.2.1")}}, "redirect to 192.0.2.1: invalid IPv6 address"},
		{"redirect to nowhere", bridge.Update{NLRI: flow, Attributes: &bridge.Attributes{Redirect: redirectToNextHop}}, "redirect to invalid IP: invalid IPv6 address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newEncoder(goldenASN).path(&tt.u, 0)
			if err == nil || !strings.Contains(err.Error(), tt.error) || !strings.HasPrefix(err.Error(), tt.u.NLRI.String()) {
				t.Errorf("error %q, want %v and %q", err, tt.u.NLRI, tt.error)
			}
		})
	}
}

func TestUnreadablePathIsAWithdrawal(t *testing.T) {
	nlri, key := func(family config.Family, raw string) bgp.NLRI {
		n, err := bgp.NLRIFromSlice(families[family], octets(raw))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}, bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("192.0.2.1:1"), Prefix: netip.MustParsePrefix("10.0.0.0/8")}
	vpn := nlri(config.FamilyVPNv4, "60 000031 0001 c0000201 0001 0a")
	unicast := nlri(config.FamilyIPv4, "08 0a")
	hop := "40 03 04 c0000201"
	const good = "c0 24 08 01 00000001 0002 00"
	for _, tt := range []struct {
		name  string
		nlri  bgp.NLRI
		attrs []string
		want  bool // an announcement
	}{
		{"whole path", vpn, []string{hop, good}, true},
		{"no next hop", vpn, []string{good}, false},
		{"D-PATH of a unicast route", unicast, []string{hop, good}, false},
		{"empty D-PATH", vpn, []string{hop, "c0 24 00"}, false},
		{"D-PATH of 7 octets", vpn, []string{hop, "c0 24 07 01 00000001 0002"}, false},
		{"D-PATH segment of no domain", vpn, []string{hop, "c0 24 09 00 01 00000001 0002 00"}, false},
		{"D-PATH that is not transitive", vpn, []string{hop, "80 24 08 01 00000001 0002 00"}, false},
		{"D-PATH that passed those who do not know it", vpn, []string{hop, "e0 24 08 01 00000001 0002 00"}, true},
		{"D-PATH with a rest", vpn, []string{hop, "c0 24 09 01 00000001 0002 00 01"}, false},
		{"SRv6 service without SID", vpn, []string{hop, "c0 28 04 05 0001 00"}, false},
		{"SRv6 service with an unknown sub-TLV only", vpn, []string{hop, "c0 28 08 05 0005 00 02 0001 00"}, false},
		{"other TLVs of a Prefix-SID", vpn, []string{hop, "c0 28 0a 01 0007 00 0000 00000001"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &apiutil.Path{Nlri: tt.nlri, PeerAddress: addr("192.0.2.9")}
			for _, raw := range tt.attrs {
				p.Attrs = append(p.Attrs, parseAttr(t, octets(raw)))
			}
			d := newDecoder()
			for range 2 { // the second time, the objects are those of the path before
				u, why, ok := d.update(p)
				if !ok || u.Withdraw == tt.want || (why == skipMalformed) == tt.want || (u.Attributes != nil) != tt.want {
					t.Errorf("%+v, skip %d, %v", u, why, ok)
				}
				if tt.nlri == vpn && u.NLRI != key {
					t.Errorf("NLRI %v, want %v", u.NLRI, key)
				}
			}
		})
	}
}

func TestRouteDistinguisherOfAnUnknownTypeIsNotRead(t *testing.T) {
	n, err := bgp.NLRIFromSlice(families[config.FamilyVPNv4], octets("60 000031 0009 c0000201 0001 0a"))
	if err != nil {
		t.Fatal(err)
	}
	if u, why, ok := newDecoder().update(&apiutil.Path{Nlri: n, Withdrawal: true}); ok || why != skipMalformed {
		t.Errorf("%+v, skip %d", u, why)
	}
}

func TestASPathLengthIsThatOfRFC4271(t *testing.T) {
	for _, tt := range []struct {
		name string
		raw  string
		want uint16
	}{
		{"empty", "40 02 00", 0},
		{"sequence of three", "40 02 0e 02 03 0000fde8 0000fde9 0000fdea", 3},
		{"set counts one", "40 02 14 02 01 0000fde8 01 03 0000fde8 0000fde9 0000fdea", 2},
		{"confederation segments count nothing", "40 02 16 03 02 0000fde8 0000fde9 04 01 0000fdea 02 01 0000fdeb", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(tt.raw)
			raw[2] = byte(len(raw) - 3)
			if a := newDecoder().attributes([]bgp.PathAttributeInterface{parseAttr(t, raw)}); a.ASPathLength != tt.want {
				t.Errorf("length %d, want %d", a.ASPathLength, tt.want)
			}
		})
	}
}

// FRR 8.4 puts the function bits of its SID into the label, and sets no bottom
// of stack.
func TestLabelBesideASIDIsWholeWithoutBottomOfStack(t *testing.T) {
	reach := "800e 26 0001 80 18 0000000000000000 20010db8000000000000000000000001 00"
	for _, tt := range []struct {
		label string
		want  uint32
	}{{"010000", 0x1000}, {"010001", 0x1000}, {"800000", 0x80000}, {"000000", 0}} {
		body := octets("0000 0000", "40 01 01 00", "40 02 00",
			reach, "60", tt.label, "0001 c0000201 0001 0a",
			"c0 28 25 05 0022 00 01 001e 00 20010db8000200010000000000000000 00 0013 00 01 0006 28 18 10 00 10 40")
		body[3] = byte(len(body) - 4)
		i := 4 + 4 + 3 + 2
		body[i] = byte(5 + 24 + 13)
		m := new(bgp.BGPUpdate)
		if err := m.DecodeFromBytes(body); err != nil {
			t.Fatal(err)
		}
		p := &apiutil.Path{Attrs: m.PathAttributes}
		for _, a := range m.PathAttributes {
			if r, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
				p.Nlri = r.Value[0].NLRI
			}
		}
		u, _, ok := newDecoder().update(p)
		if !ok || u.Label != tt.want || u.Attributes.SRv6.SID != addr("2001:db8:2:1::") {
			t.Errorf("label %s: %+v, want %#x", tt.label, u, tt.want)
		}
	}
}
