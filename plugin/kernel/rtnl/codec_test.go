package rtnl

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// golden are requests, byte for byte, of a machine whose low bytes come first.
// In a message of a route or a next hop object the same bytes say what there is.
var golden = []struct {
	name    string
	add     func(b *Batch) int
	bytes   []string
	route   *Route   // what is read out of it, if it is not a removal
	nextHop *NextHop // the same
	label   *LabelRoute
}{
	{
		name: "IPv4 route by a next hop object",
		add: func(b *Batch) int {
			return b.AddRoute(&Route{Table: 1000, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Protocol: 254, Metric: 77, NextHopID: 7})
		},
		bytes: []string{
			"3c000000 1800 0106 00000000 00000000", // RTM_NEWROUTE; request, create, exclusive
			"02 18 00 00 00 fe 00 01 00000000",     // IPv4, /24, table below, protocol, universe, unicast
			"0800 0100 c6336400",                   // RTA_DST
			"0800 0600 4d000000",                   // RTA_PRIORITY
			"0800 0f00 e8030000",                   // RTA_TABLE
			"0800 1e00 07000000",                   // RTA_NH_ID
		},
		route: &Route{
			Table: 1000, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Type: unix.RTN_UNICAST,
			Protocol: 254, Metric: 77, NextHopID: 7,
		},
	},
	{
		name: "IPv6 default route that discards, in the place of another one",
		add: func(b *Batch) int {
			return b.ReplaceRoute(&Route{Table: 254, Prefix: netip.MustParsePrefix("::/0"), Type: unix.RTN_BLACKHOLE, Protocol: 254})
		},
		bytes: []string{
			"1c000000 1800 0105 00000000 00000000", // request, create, replace
			"0a 00 00 00 fe fe 00 06 00000000",
		},
		route: &Route{Table: 254, Prefix: netip.MustParsePrefix("::/0"), Type: unix.RTN_BLACKHOLE, Protocol: 254},
	},
	{
		name: "removal, which does not say where the route goes",
		add: func(b *Batch) int {
			return b.DeleteRoute(&Route{
				Table: 100, Prefix: netip.MustParsePrefix("2001:db8::/32"), Protocol: 254, Metric: 77,
				Type: unix.RTN_BLACKHOLE, NextHopID: 7, Hops: []Hop{{Device: 3}},
			})
		},
		bytes: []string{
			"38000000 1900 0100 00000000 00000000", // RTM_DELROUTE
			"0a 20 00 00 64 fe ff 00 00000000",     // nowhere, which matches any
			"1400 0100 20010db8000000000000000000000000",
			"0800 0600 4d000000",
		},
	},
	{
		name: "IPv4 route over two hops",
		add: func(b *Batch) int {
			return b.AddRoute(&Route{
				Table: 100, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Protocol: 254,
				Hops: []Hop{
					{Device: 3, Gateway: netip.MustParseAddr("192.0.2.7"), OnLink: true, Encap: Encap{Kind: EncapMPLS, Label: 77}},
					{Device: 4, Gateway: netip.MustParseAddr("2001:db8::7"), Weight: 2},
				},
			})
		},
		bytes: []string{
			"6c000000 1800 0106 00000000 00000000",
			"02 18 00 00 64 fe 00 01 00000000",
			"0800 0100 c6336400",
			"4800 0900",           // RTA_MULTIPATH
			"2400 04 00 03000000", // on link, weight 1
			"0800 0500 c0000207",  // RTA_GATEWAY
			"0600 1500 0100 0000", // RTA_ENCAP_TYPE: MPLS
			"0c00 1600",           // RTA_ENCAP
			"0800 0100 0004d100",  // label 77, bottom of the stack
			"2000 00 02 04000000", // weight 3
			"1600 1200 0a00",      // RTA_VIA: IPv6
			"20010db8000000000000000000000007 0000",
		},
		route: &Route{
			Table: 100, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Type: unix.RTN_UNICAST, Protocol: 254,
			Hops: []Hop{
				{Device: 3, Gateway: netip.MustParseAddr("192.0.2.7"), OnLink: true, Encap: Encap{Kind: EncapMPLS, Label: 77}},
				{Device: 4, Gateway: netip.MustParseAddr("2001:db8::7"), Weight: 2},
			},
		},
	},
	{
		name: "segment that decapsulates",
		add: func(b *Batch) int {
			return b.AddRoute(&Route{
				Table: 100, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Protocol: 254,
				Hops: []Hop{{Device: 3, Encap: Encap{Kind: EncapSeg6Local, Action: ActionDT46, Table: 1000}}},
			})
		},
		bytes: []string{
			"54000000 1800 0106 00000000 00000000",
			"0a 80 00 00 64 fe 00 01 00000000",
			"1400 0100 20010db8000000000000000000000001",
			"0800 0400 03000000",  // RTA_OIF
			"0600 1500 0700 0000", // RTA_ENCAP_TYPE: seg6local
			"1400 1600",
			"0800 0100 10000000", // SEG6_LOCAL_ACTION: End.DT46
			"0800 0900 e8030000", // SEG6_LOCAL_VRFTABLE
		},
		route: &Route{
			Table: 100, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Type: unix.RTN_UNICAST, Protocol: 254,
			Hops: []Hop{{Device: 3, Encap: Encap{Kind: EncapSeg6Local, Action: ActionDT46, Table: 1000}}},
		},
	},
	{
		name: "next hop object: ip6",
		add: func(b *Batch) int {
			return b.ReplaceNextHop(&NextHop{ID: 7, Protocol: 254, Hop: Hop{Device: 3, Encap: Encap{
				Kind: EncapIP6, Dst: netip.MustParseAddr("2001:db8::9"), Src: netip.MustParseAddr("2001:db8::1"), HopLimit: 64,
			}}})
		},
		bytes: []string{
			"64000000 6800 0105 00000000 00000000",       // RTM_NEWNEXTHOP
			"0a 00 fe 00 00000000",                       // IPv6, protocol
			"0800 0100 07000000",                         // NHA_ID
			"0800 0500 03000000",                         // NHA_OIF
			"0600 0700 0400 0000",                        // NHA_ENCAP_TYPE: ip6
			"3400 0880",                                  // NHA_ENCAP, nested
			"1400 0200 20010db8000000000000000000000009", // LWTUNNEL_IP6_DST
			"1400 0300 20010db8000000000000000000000001", // LWTUNNEL_IP6_SRC
			"0500 0400 40 000000",                        // LWTUNNEL_IP6_HOPLIMIT
		},
		nextHop: &NextHop{ID: 7, Protocol: 254, Hop: Hop{Device: 3, Encap: Encap{
			Kind: EncapIP6, Dst: netip.MustParseAddr("2001:db8::9"), Src: netip.MustParseAddr("2001:db8::1"), HopLimit: 64,
		}}},
	},
	{
		name: "next hop object: seg6",
		add: func(b *Batch) int {
			return b.ReplaceNextHop(&NextHop{ID: 7, Hop: Hop{Device: 3, Encap: Encap{Kind: EncapSeg6, Dst: netip.MustParseAddr("2001:db8::9")}}})
		},
		bytes: []string{
			"54000000 6800 0105 00000000 00000000",
			"0a 00 00 00 00000000",
			"0800 0100 07000000",
			"0800 0500 03000000",
			"0600 0700 0500 0000", // seg6
			"2400 0880",
			"2000 0100 03000000",     // SEG6_IPTUNNEL_SRH: mode encap.red
			"00 02 04 00 00 00 0000", // segment routing header
			"20010db8000000000000000000000009",
		},
		nextHop: &NextHop{ID: 7, Hop: Hop{Device: 3, Encap: Encap{Kind: EncapSeg6, Dst: netip.MustParseAddr("2001:db8::9")}}},
	},
	{
		name: "next hop object: VTEP",
		add: func(b *Batch) int {
			return b.ReplaceNextHop(&NextHop{ID: 7, Hop: Hop{Device: 3, Gateway: netip.MustParseAddr("::ffff:192.0.2.7"), OnLink: true}})
		},
		bytes: []string{
			"3c000000 6800 0105 00000000 00000000",
			"0a 00 00 00 04000000", // on link
			"0800 0100 07000000",
			"0800 0500 03000000",
			"1400 0600 00000000000000000000ffffc0000207", // NHA_GATEWAY
		},
		nextHop: &NextHop{ID: 7, Hop: Hop{Device: 3, Gateway: netip.MustParseAddr("::ffff:192.0.2.7"), OnLink: true}},
	},
	{
		name: "next hop group",
		add: func(b *Batch) int {
			return b.ReplaceNextHop(&NextHop{ID: 9, Protocol: 254, Group: []Member{{ID: 7}, {ID: 8, Weight: 2}}})
		},
		bytes: []string{
			"34000000 6800 0105 00000000 00000000",
			"00 00 fe 00 00000000",
			"0800 0100 09000000",
			"1400 0200", // NHA_GROUP
			"07000000 00 00 0000",
			"08000000 02 00 0000",
		},
		nextHop: &NextHop{ID: 9, Protocol: 254, Group: []Member{{ID: 7}, {ID: 8, Weight: 2}}},
	},
	{
		name: "next hop that discards",
		add:  func(b *Batch) int { return b.ReplaceNextHop(&NextHop{ID: 9, Blackhole: true}) },
		bytes: []string{
			"24000000 6800 0105 00000000 00000000",
			"0a 00 00 00 00000000",
			"0800 0100 09000000",
			"0400 0400", // NHA_BLACKHOLE
		},
		nextHop: &NextHop{ID: 9, Blackhole: true},
	},
	{
		name: "removal of a next hop object",
		add:  func(b *Batch) int { return b.DeleteNextHop(9) },
		bytes: []string{
			"20000000 6900 0100 00000000 00000000", // RTM_DELNEXTHOP
			"00 00 00 00 00000000",
			"0800 0100 09000000",
		},
	},
	{
		name: "MPLS route",
		add:  func(b *Batch) int { return b.AddLabelRoute(&LabelRoute{Label: 777, Device: 3, Protocol: 254}) },
		bytes: []string{
			"2c000000 1800 0106 00000000 00000000",
			"1c 14 00 00 fe fe 00 01 00000000", // MPLS, /20, main table
			"0800 0100 00309100",
			"0800 0400 03000000",
		},
		label: &LabelRoute{Label: 777, Device: 3, Protocol: 254},
	},
	{
		name: "removal of an MPLS route",
		add:  func(b *Batch) int { return b.DeleteLabelRoute(&LabelRoute{Label: 777, Device: 3, Protocol: 254}) },
		bytes: []string{
			"24000000 1900 0100 00000000 00000000",
			"1c 14 00 00 fe fe 00 01 00000000",
			"0800 0100 00309100",
		},
	},
}

// unhex joins pieces that are written with spaces.
func unhex(t testing.TB, pieces []string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(pieces, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestsByteForByte(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("this machine has its high bytes first")
	}
	for _, test := range golden {
		want := unhex(t, test.bytes)
		var b Batch
		if n := test.add(&b); n != 0 || !slices.Equal(b.ends, []int{len(want)}) {
			t.Errorf("%s: request %d, ends at %v", test.name, n, b.ends)
		}
		if !bytes.Equal(b.b, want) {
			t.Errorf("%s:\n%x, want\n%x", test.name, b.b, want)
		}
		m, rest, err := take(want)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%s: %v, %x is left", test.name, err, rest)
		}
		if test.route != nil {
			var r Route
			if _, err := r.decode(m.body); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			if diff := cmp.Diff(*test.route, r, equal); diff != "" {
				t.Errorf("%s: is read as:\n%s", test.name, diff)
			}
		}
		if test.nextHop != nil {
			var n NextHop
			if err := n.decode(m.body); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			if diff := cmp.Diff(*test.nextHop, n, equal); diff != "" {
				t.Errorf("%s: is read as:\n%s", test.name, diff)
			}
		}
		if test.label != nil {
			var l LabelRoute
			if ok, err := l.decode(m.body); err != nil || !ok || l != *test.label {
				t.Errorf("%s: is read as %+v, %v, %v", test.name, l, ok, err)
			}
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	tests := []struct {
		name string
		kind uint16
		body string
	}{
		{"nothing", unix.RTM_NEWROUTE, ""},
		{"half of a route", unix.RTM_NEWROUTE, "02 18 00 00 64 fe"},
		{"prefix longer than an address", unix.RTM_NEWROUTE, "02 21 00 00 64 fe 00 01 00000000"},
		{"attribute longer than the message", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0900 0100 c6336400"},
		{"attribute shorter than its header", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0300 0100 c6336400"},
		{"address of three bytes", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0700 0100 c6336400"},
		{"metric of two bytes", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0600 0600 0100 0000"},
		{"gateway without family", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0500 1200 02 000000"},
		{"half of a hop", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0800 0900 0800 00 00"},
		{"hop longer than its list", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0c00 0900 1000 00 00 03000000"},
		{"hop shorter than its header", unix.RTM_NEWROUTE, "02 18 00 00 64 fe 00 01 00000000 0c00 0900 0400 00 00 03000000"},
		{"attribute of an encapsulation too long", unix.RTM_NEWROUTE, "0a 20 00 00 64 fe 00 01 00000000 0800 0400 03000000 0600 1500 0400 0000 0c00 1600 0900 0200 00000000"},
		{"half of a next hop object", unix.RTM_NEWNEXTHOP, "0a 00 fe 00"},
		{"id of two bytes", unix.RTM_NEWNEXTHOP, "0a 00 fe 00 00000000 0600 0100 0700 0000"},
		{"half of a member", unix.RTM_NEWNEXTHOP, "00 00 fe 00 00000000 0800 0200 07000000"},
		{"half of a link", unix.RTM_NEWLINK, "00 00 0100 03000000"},
		{"MTU of two bytes", unix.RTM_NEWLINK, "00 00 0100 03000000 00000000 00000000 0600 0400 dc05 0000"},
		{"kind of a link too long", unix.RTM_NEWLINK, "00 00 0100 03000000 00000000 00000000 0c00 1200 0900 0100 00000000"},
		{"half of a neighbour", unix.RTM_NEWNEIGH, "02 00 0000 03000000"},
		{"half of an address", unix.RTM_NEWADDR, "02 18 00 00"},
	}
	for _, test := range tests {
		var e Event
		ok, err := e.decode(message{kind: test.kind, body: unhex(t, []string{test.body})})
		if !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, %v, %+v", test.name, ok, err, e)
		}
	}
	for _, text := range []string{"", "00", "10000000 1800 0000 00000000", "0f000000 1800 0000 00000000 00000000", "11000000 1800 0000 00000000 00000000"} {
		if m, _, err := take(unhex(t, []string{text})); !errors.Is(err, errMalformed) {
			t.Errorf("header %s: %+v, %v", text, m, err)
		}
	}
}

func TestMessagesThatAreNoEvents(t *testing.T) {
	tests := []struct {
		name string
		kind uint16
		body string
	}{
		{"bridge port", unix.RTM_DELLINK, "07 00 0100 03000000 00000000 00000000"},
		{"MPLS route to a gateway", unix.RTM_NEWROUTE, "1c 14 00 00 fe fe 00 01 00000000 0800 0100 00309100 0a00 1200 0200 c0000207 0000"},
		{"route of a bridge's groups", unix.RTM_NEWROUTE, "07 00 00 00 fe fe 00 01 00000000"},
		{"cached IPv6 route", unix.RTM_NEWROUTE, "0a 80 00 00 fe 00 00 01 00020000"},
		{"queueing discipline", unix.RTM_NEWQDISC, "00"},
	}
	for _, test := range tests {
		var e Event
		if ok, err := e.decode(message{kind: test.kind, body: unhex(t, []string{test.body})}); ok || err != nil {
			t.Errorf("%s: %v, %v, %+v", test.name, ok, err, e)
		}
	}
}
