package gobgp

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apipb "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"mbbgp/bridge"
)

func message(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func messages(list ...proto.Message) (anys []*anypb.Any) {
	for _, m := range list {
		anys = append(anys, message(m))
	}
	return anys
}

// rd1 is 192.0.2.1:1.
var rd1 = &apipb.RouteDistinguisherIPAddress{Admin: "192.0.2.1", Assigned: 1}

func type5(change func(*apipb.EVPNIPPrefixRoute)) *anypb.Any {
	n := &apipb.EVPNIPPrefixRoute{
		Rd: message(rd1), Esi: &apipb.EthernetSegmentIdentifier{Value: make([]byte, 9)},
		IpPrefix: "198.51.100.0", IpPrefixLen: 24, GwAddress: "0.0.0.0", Label: 200,
	}
	if change != nil {
		change(n)
	}
	return message(n)
}

var evpn = &apipb.Family{Afi: apipb.Family_AFI_L2VPN, Safi: apipb.Family_SAFI_EVPN}

// event is a type 5 route as gobgpd has it in its events.
func event(attrs ...proto.Message) *apipb.Path {
	return &apipb.Path{
		Family: evpn, Nlri: type5(nil), NeighborIp: "192.0.2.9", SourceAsn: 65002, SourceId: "192.0.2.9",
		Pattrs: messages(append(attrs, &apipb.MpReachNLRIAttribute{Family: evpn, NextHops: []string{"192.0.2.2"}})...),
	}
}

func TestEventsAreRead(t *testing.T) {
	med, preference := uint32(7), uint32(200)
	p := event(
		&apipb.OriginAttribute{},
		&apipb.AsPathAttribute{Segments: []*apipb.AsSegment{{Type: apipb.AsSegment_AS_SEQUENCE, Numbers: []uint32{65002, 65003}}}},
		&apipb.MultiExitDiscAttribute{Med: med},
		&apipb.LocalPrefAttribute{LocalPref: preference},
		&apipb.CommunitiesAttribute{Communities: []uint32{1, 2}},
		&apipb.ExtendedCommunitiesAttribute{Communities: messages(
			&apipb.TwoOctetAsSpecificExtended{IsTransitive: true, SubType: 2, Asn: 65000, LocalAdmin: 70000},
			&apipb.IPv4AddressSpecificExtended{IsTransitive: true, SubType: 2, Address: "192.0.2.1", LocalAdmin: 9},
			&apipb.FourOctetAsSpecificExtended{IsTransitive: true, SubType: 2, Asn: 4200000000, LocalAdmin: 3},
			&apipb.TwoOctetAsSpecificExtended{IsTransitive: true, SubType: 3, Asn: 65001, LocalAdmin: 1},
			&apipb.TwoOctetAsSpecificExtended{SubType: 2, Asn: 65000, LocalAdmin: 1}, // not transitive: no target
			&apipb.EncapExtended{TunnelType: 8},
			&apipb.RouterMacExtended{Mac: "02:00:c0:00:02:01"},
			&apipb.MacMobilityExtended{SequenceNum: 1},
			&apipb.UnknownExtended{Type: 0x99, Value: make([]byte, 7)},
		)},
		&apipb.LargeCommunitiesAttribute{Communities: []*apipb.LargeCommunity{{GlobalAdmin: 1, LocalData1: 2, LocalData2: 3}}},
		&apipb.PrefixSID{Tlvs: messages(&apipb.SRv6L3ServiceTLV{SubTlvs: map[uint32]*apipb.SRv6TLV{1: {Tlv: messages(
			&apipb.SRv6InformationSubTLV{
				Sid: netip.MustParseAddr("2001:db8:1::7").AsSlice(), EndpointBehavior: 20,
				SubSubTlvs: map[uint32]*apipb.SRv6TLV{1: {Tlv: messages(&apipb.SRv6StructureSubSubTLV{
					LocatorBlockLength: 40, LocatorNodeLength: 24, FunctionLength: 16, TranspositionLength: 16, TranspositionOffset: 64,
				})}},
			})}}})},
	)
	want := bridge.Update{
		NLRI: prefixRoute("192.0.2.1:1", "198.51.100.0/24", 0, nil).NLRI, Label: 200, Neighbor: netip.MustParseAddr("192.0.2.9"),
		Attributes: &bridge.Attributes{
			NextHop:       netip.MustParseAddr("192.0.2.2"),
			RouteTargets:  []bridge.RouteTarget{target("65000:70000"), target("192.0.2.1:9"), target("4200000000:3")},
			SiteOfOrigin:  []bridge.ExtendedCommunity{site("65001:1")},
			Encapsulation: bridge.TunnelVXLAN,
			RouterMAC:     bridge.MAC{2, 0, 192, 0, 2, 1},
			Communities:   []uint32{1, 2},
			Large:         [][3]uint32{{1, 2, 3}},
			SRv6: bridge.SRv6{SID: netip.MustParseAddr("2001:db8:1::7"), Behavior: bridge.EndDT46, Structure: bridge.SIDStructure{
				Block: 40, Node: 24, Function: 16, TranspositionLength: 16, TranspositionOffset: 64,
			}},
			ASPathLength: 2, MED: &med, LocalPref: &preference,
		},
	}
	in, d := newIncoming(netip.MustParseAddr("192.0.2.1")), newDecoder()
	for range 2 { // made anew, and out of the cache
		path, err := in.path(p)
		if err != nil {
			t.Fatal(err)
		}
		got, why, ok := d.update(path)
		if diff := cmp.Diff(want, got, compareAddr, comparePrefix, cmpopts.EquateEmpty()); diff != "" || why != skipNothing || !ok {
			t.Errorf("skip %v, ok %v, update (-want +got):\n%s", why, ok, diff)
		}
	}
}

func TestNLRIsOfEventsAreRead(t *testing.T) {
	rd := message(rd1)
	esi := &apipb.EthernetSegmentIdentifier{Value: make([]byte, 9)}
	for _, row := range []struct {
		name, want string
		family     *apipb.Family
		nlri       proto.Message
		label      uint32
	}{
		{"IPv4 unicast", "203.0.113.0/24", &apipb.Family{Afi: 1, Safi: 1},
			&apipb.IPAddressPrefix{Prefix: "203.0.113.0", PrefixLen: 24}, 0},
		{"IPv6 unicast", "::/0", &apipb.Family{Afi: 2, Safi: 1},
			&apipb.IPAddressPrefix{Prefix: "::"}, 0},
		{"VPNv4", "192.0.2.1:1:198.51.100.0/24", &apipb.Family{Afi: 1, Safi: 128},
			&apipb.LabeledVPNIPAddressPrefix{Rd: rd, Labels: []uint32{3}, Prefix: "198.51.100.0", PrefixLen: 24}, 3},
		{"VPNv6 of a two-octet AS", "65000:70000:2001:db8::/32", &apipb.Family{Afi: 2, Safi: 128},
			&apipb.LabeledVPNIPAddressPrefix{
				Rd: message(&apipb.RouteDistinguisherTwoOctetASN{Admin: 65000, Assigned: 70000}), Labels: []uint32{16}, Prefix: "2001:db8::", PrefixLen: 32,
			}, 16},
		{"type 5 of a four-octet AS", "[5]:[4200000000:5]:[77]:[2001:db8::/32]", evpn,
			&apipb.EVPNIPPrefixRoute{
				Rd: message(&apipb.RouteDistinguisherFourOctetASN{Admin: 4200000000, Assigned: 5}), Esi: esi, EthernetTag: 77,
				IpPrefix: "2001:db8::", IpPrefixLen: 32, GwAddress: "::", Label: 1<<24 - 1,
			}, 1<<24 - 1},
		{"type 2", "[2]:[192.0.2.1:1]:[0]:[02:00:00:00:00:01]:[198.51.100.7/32]", evpn,
			&apipb.EVPNMACIPAdvertisementRoute{Rd: rd, Esi: esi, MacAddress: "02:00:00:00:00:01", IpAddress: "198.51.100.7", Labels: []uint32{1, 200}}, 200},
		{"type 2 without an address", "[2]:[192.0.2.1:1]:[0]:[02:00:00:00:00:01]:[invalid Prefix]", evpn,
			&apipb.EVPNMACIPAdvertisementRoute{Rd: rd, Esi: esi, MacAddress: "02:00:00:00:00:01", IpAddress: "<nil>", Labels: []uint32{1}}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, err := newIncoming(netip.MustParseAddr("192.0.2.1")).path(&apipb.Path{
				Family: row.family, Nlri: message(row.nlri), IsWithdraw: true, NeighborIp: "<nil>",
			})
			if err != nil {
				t.Fatal(err)
			}
			u, why, ok := newDecoder().update(path)
			if !ok || why != skipNothing || u.NLRI.String() != row.want || u.Label != row.label || u.Neighbor.String() != "192.0.2.1" {
				t.Errorf("skip %v, ok %v: %+v", why, ok, u)
			}
		})
	}
}

func TestNextHopsOfEventsAreRead(t *testing.T) {
	for _, row := range []struct {
		nextHops []string
		want     string
	}{
		{[]string{"2001:db8::9"}, "2001:db8::9"},
		{[]string{"2001:db8::9", "fe80::9"}, "2001:db8::9"},
		{[]string{"::", "fe80::9"}, "fe80::9"},
		{[]string{"::ffff:192.0.2.9"}, "192.0.2.9"},
	} {
		path, err := newIncoming(zero4).path(event(&apipb.MpReachNLRIAttribute{Family: evpn, NextHops: row.nextHops}))
		if err != nil {
			t.Fatal(err)
		}
		path.Attrs = path.Attrs[:1] // event appends another one
		if u, why, ok := newDecoder().update(path); !ok || u.Withdraw || u.Attributes.NextHop.String() != row.want {
			t.Errorf("%v: skip %v, ok %v: %+v", row.nextHops, why, ok, u)
		}
	}
}

func TestNLRIThatCannotBeReadIsAnError(t *testing.T) {
	for _, row := range []struct {
		name string
		nlri *anypb.Any
		want skip
	}{
		{"nothing", nil, skipMalformed},
		{"no message of gobgpd", &anypb.Any{TypeUrl: "type.googleapis.com/apipb.Nothing"}, skipMalformed},
		{"half a message", &anypb.Any{TypeUrl: "type.googleapis.com/apipb.EVPNIPPrefixRoute", Value: []byte{10}}, skipMalformed},
		{"multicast", message(&apipb.EVPNInclusiveMulticastEthernetTagRoute{Rd: message(rd1)}), skipUnsupported},
		{"no route distinguisher", type5(func(n *apipb.EVPNIPPrefixRoute) { n.Rd = nil }), skipMalformed},
		{"another route distinguisher", type5(func(n *apipb.EVPNIPPrefixRoute) { n.Rd = message(n.Esi) }), skipMalformed},
		{"address of a route distinguisher", type5(func(n *apipb.EVPNIPPrefixRoute) {
			n.Rd = message(&apipb.RouteDistinguisherIPAddress{Admin: "2001:db8::1"})
		}), skipMalformed},
		{"no prefix", type5(func(n *apipb.EVPNIPPrefixRoute) { n.IpPrefix = "<nil>" }), skipMalformed},
		{"long prefix", type5(func(n *apipb.EVPNIPPrefixRoute) { n.IpPrefixLen = 33 }), skipMalformed},
		{"longer prefix", type5(func(n *apipb.EVPNIPPrefixRoute) { n.IpPrefixLen = 1<<32 - 1 }), skipMalformed},
		{"no gateway", type5(func(n *apipb.EVPNIPPrefixRoute) { n.GwAddress = "" }), skipMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := newIncoming(zero4).path(&apipb.Path{Family: evpn, Nlri: row.nlri})
			if err == nil {
				t.Fatal("no error")
			}
			if got := whySkipped(err); got != row.want {
				t.Errorf("skip %v, want %v: %v", got, row.want, err)
			}
		})
	}
}

func TestAttributesThatCannotBeReadMakeAWithdrawal(t *testing.T) {
	sid := func(m proto.Message) proto.Message {
		return &apipb.PrefixSID{Tlvs: messages(&apipb.SRv6L3ServiceTLV{SubTlvs: map[uint32]*apipb.SRv6TLV{1: {Tlv: messages(m)}}})}
	}
	for _, row := range []struct {
		name string
		attr proto.Message
	}{
		{"next hop", &apipb.NextHopAttribute{NextHop: "<nil>"}},
		{"next hop of the NLRI", &apipb.MpReachNLRIAttribute{NextHops: []string{"nowhere"}}},
		{"address of a community", &apipb.ExtendedCommunitiesAttribute{Communities: messages(&apipb.IPv4AddressSpecificExtended{Address: "::1"})}},
		{"MAC", &apipb.ExtendedCommunitiesAttribute{Communities: messages(&apipb.RouterMacExtended{Mac: "02:00"})}},
		{"short community", &apipb.ExtendedCommunitiesAttribute{Communities: messages(&apipb.UnknownExtended{Value: []byte{1}})}},
		{"short opaque community", &apipb.ExtendedCommunitiesAttribute{Communities: messages(&apipb.OpaqueExtended{})}},
		{"community of another API", &apipb.ExtendedCommunitiesAttribute{Communities: []*anypb.Any{{TypeUrl: "type.googleapis.com/apipb.Nothing"}}}},
		{"short SID", sid(&apipb.SRv6InformationSubTLV{Sid: make([]byte, 15)})},
		{"IPv4 SID", sid(&apipb.SRv6InformationSubTLV{Sid: make([]byte, 4)})},
		{"no SID", sid(&apipb.SRv6StructureSubSubTLV{})},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, err := newIncoming(zero4).path(event(row.attr))
			if err != nil {
				t.Fatal(err)
			}
			if u, why, ok := newDecoder().update(path); !ok || why != skipMalformed || !u.Withdraw {
				t.Errorf("skip %v, ok %v: %+v", why, ok, u)
			}
		})
	}
}

func TestBytesThatCannotBeReadMakeAWithdrawal(t *testing.T) {
	in := newIncoming(zero4)
	for _, raw := range [][]byte{{}, {0x40}, {0x40, 14}, {0x80, 14, 2, 0}, {0xc0, 16, 200, 0}} {
		path, err := in.path(&apipb.Path{Family: evpn, Nlri: type5(nil), PattrsBinary: [][]byte{raw}})
		if err != nil {
			t.Fatal(err)
		}
		if u, why, ok := newDecoder().update(path); !ok || why != skipMalformed || !u.Withdraw {
			t.Errorf("%x: skip %v, ok %v: %+v", raw, why, ok, u)
		}
	}
	for _, raw := range [][]byte{{5}, {5, 34}, {5, 200, 1}} {
		if _, err := in.path(&apipb.Path{Family: evpn, NlriBinary: raw}); err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%x: error %v", raw, err)
		}
	}
}

func TestOwnPathsAreTold(t *testing.T) {
	o := newOutgoing(65001, netip.MustParseAddr("192.0.2.1"))
	encode := newEncoder(65001)
	u := prefixRoute("192.0.2.1:1", "198.51.100.0/24", 200, vxlan("192.0.2.1"))
	p, err := encode.path(&u, 0)
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.path(p)
	if err != nil {
		t.Fatal(err)
	}
	out.NeighborIp = "<nil>" // as gobgpd gives it back
	for _, row := range []struct {
		name   string
		change func(*apipb.Path)
		want   bool
	}{
		{"ours", func(*apipb.Path) {}, true},
		{"an operator's", func(p *apipb.Path) { p.SourceAsn, p.SourceId = 0, "<nil>" }, false},
		{"a neighbour's with our router ID", func(p *apipb.Path) { p.NeighborIp = "192.0.2.9" }, false},
		{"of another bridge", func(p *apipb.Path) { p.SourceId = "192.0.2.2" }, false},
	} {
		c := proto.Clone(out).(*apipb.Path)
		if row.change(c); o.isOwn(c) != row.want {
			t.Errorf("%s: own is %v", row.name, !row.want)
		}
	}
}
