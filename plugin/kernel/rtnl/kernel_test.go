package rtnl

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// What iproute2 writes we read, and what we write it reads as its own.

var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

var (
	hypervisor = netip.MustParseAddr("2001:db8::9")
	neighbor4  = netip.MustParseAddr("192.0.2.7")
	neighbor6  = netip.MustParseAddr("2001:db8:1::7")
	vtep       = netip.MustParseAddr("::ffff:192.0.2.7")
	toIP6      = Encap{Kind: EncapIP6, Dst: hypervisor, HopLimit: 3}
	toSeg6     = Encap{Kind: EncapSeg6, Dst: hypervisor}
)

func TestRoutesAreThoseOfIproute2(t *testing.T) {
	c := scene(t)
	rich := enrich(t)
	d0, vx := device(t, "d0"), device(t, "vx")
	ip(t, "-6 nexthop add id 7 encap ip6 dst 2001:db8::9 hoplimit 3 dev vx")
	ip(t, "-6 nexthop add id 8 encap seg6 mode encap.red segs 2001:db8::9 dev d0")
	ip(t, "nexthop add id 9 group 7,2/8,3")
	tests := []struct {
		name    string
		command string // ip route add table 1000 proto 254 metric 77 ...
		route   Route  // but for table, protocol and metric, and what is said of its prefix
		prefix  string
		rich    bool // not every kernel has it
		foreign bool // is read only
	}{
		{
			name: "next hop object of an IPv4 route", command: "10.0.0.0/24 nhid 7",
			prefix: "10.0.0.0/24", route: Route{NextHopID: 7},
		},
		{
			name: "group of an IPv6 route", command: "2001:db8:6::/48 nhid 9",
			prefix: "2001:db8:6::/48", route: Route{NextHopID: 9},
		},
		{
			name: "default route", command: "default nhid 9",
			prefix: "0.0.0.0/0", route: Route{NextHopID: 9},
		},
		{
			name: "IPv6 default route", command: "::/0 nhid 9",
			prefix: "::/0", route: Route{NextHopID: 9},
		},
		{
			name: "discard", command: "blackhole 10.0.0.0/24",
			prefix: "10.0.0.0/24", route: Route{Type: unix.RTN_BLACKHOLE},
		},
		{
			name: "IPv6 discard", command: "blackhole 2001:db8:6::/48",
			prefix: "2001:db8:6::/48", route: Route{Type: unix.RTN_BLACKHOLE},
		},
		{
			name: "unreachable", command: "unreachable 10.0.0.0/24",
			prefix: "10.0.0.0/24", route: Route{Type: unix.RTN_UNREACHABLE},
		},
		{
			name: "link", command: "10.0.0.0/24 dev d0",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0}}},
		},
		{
			name: "gateway", command: "10.0.0.0/24 via 192.0.2.7 dev d0",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Gateway: neighbor4}}},
		},
		{
			name: "gateway on link", command: "10.0.0.0/24 via 198.51.100.1 dev d0 onlink",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Gateway: netip.MustParseAddr("198.51.100.1"), OnLink: true}}},
		},
		{
			name: "IPv4 by an IPv6 gateway", command: "10.0.0.0/24 via inet6 2001:db8:1::7 dev d0",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Gateway: neighbor6}}},
		},
		{
			name: "IPv6 gateway", command: "2001:db8:6::/48 via 2001:db8:1::7 dev d0",
			prefix: "2001:db8:6::/48", route: Route{Hops: []Hop{{Device: d0, Gateway: neighbor6}}},
		},
		{
			name: "ip6", command: "10.0.0.0/24 encap ip6 dst 2001:db8::9 hoplimit 3 dev vx",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: vx, Encap: toIP6}}},
		},
		{
			name: "ip6 with a source", command: "2001:db8:6::/48 encap ip6 dst 2001:db8::9 src 2001:db8::1 hoplimit 3 dev vx",
			prefix: "2001:db8:6::/48",
			route: Route{Hops: []Hop{{Device: vx, Encap: Encap{
				Kind: EncapIP6, Dst: hypervisor, Src: netip.MustParseAddr("2001:db8::1"), HopLimit: 3,
			}}}},
		},
		{
			name: "ip6 with a traffic class, which Encap cannot say", foreign: true,
			command: "10.0.0.0/24 encap ip6 dst 2001:db8::9 tc 4 dev vx",
			prefix:  "10.0.0.0/24", route: Route{Hops: []Hop{{Device: vx, Encap: Encap{Kind: EncapOther}}}},
		},
		{
			name: "ip, which Encap cannot say", foreign: true,
			command: "10.0.0.0/24 encap ip dst 192.0.2.9 dev vx",
			prefix:  "10.0.0.0/24", route: Route{Hops: []Hop{{Device: vx, Encap: Encap{Kind: EncapOther}}}},
		},
		{
			name: "seg6 with two segments, which Encap cannot say", foreign: true,
			command: "10.0.0.0/24 encap seg6 mode encap.red segs 2001:db8::9,2001:db8::10 dev d0",
			prefix:  "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Encap: Encap{Kind: EncapOther}}}},
		},
		{
			name: "seg6 with a header, which Encap cannot say", foreign: true,
			command: "10.0.0.0/24 encap seg6 mode encap segs 2001:db8::9 dev d0",
			prefix:  "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Encap: Encap{Kind: EncapOther}}}},
		},
		{
			name: "seg6", command: "10.0.0.0/24 encap seg6 mode encap.red segs 2001:db8::9 dev d0",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Encap: toSeg6}}},
		},
		{
			name: "mpls", rich: true, command: "10.0.0.0/24 encap mpls 77 via 192.0.2.7 dev d0",
			prefix: "10.0.0.0/24", route: Route{Hops: []Hop{{Device: d0, Gateway: neighbor4, Encap: Encap{Kind: EncapMPLS, Label: 77}}}},
		},
		{
			name: "several hops with an encapsulation each",
			command: "10.0.0.0/24 nexthop via inet6 2001:db8:1::7 dev d0 " +
				"nexthop encap ip6 dst 2001:db8::9 hoplimit 3 dev vx weight 3 " +
				"nexthop encap seg6 mode encap.red segs 2001:db8::9 dev d0 " +
				"nexthop via 198.51.100.1 dev d0 onlink",
			prefix: "10.0.0.0/24",
			route: Route{Hops: []Hop{
				{Device: d0, Gateway: neighbor6},
				{Device: vx, Encap: toIP6, Weight: 2},
				{Device: d0, Encap: toSeg6},
				{Device: d0, Gateway: netip.MustParseAddr("198.51.100.1"), OnLink: true},
			}},
		},
		{
			name: "several IPv6 gateways", command: "2001:db8:6::/48 nexthop via 2001:db8:1::7 dev d0 nexthop via 2001:db8:1::8 dev d0",
			prefix: "2001:db8:6::/48",
			route: Route{Hops: []Hop{
				{Device: d0, Gateway: neighbor6},
				{Device: d0, Gateway: netip.MustParseAddr("2001:db8:1::8")},
			}},
		},
		{
			name: "End.DT6", command: "2001:db8:6::/48 encap seg6local action End.DT6 table 1000 dev d0",
			prefix: "2001:db8:6::/48",
			route:  Route{Hops: []Hop{{Device: d0, Encap: Encap{Kind: EncapSeg6Local, Action: ActionDT6, Table: 1000}}}},
		},
		{
			name: "End.DT4", command: "2001:db8:6::/48 encap seg6local action End.DT4 vrftable 1001 dev red", rich: true,
			prefix: "2001:db8:6::/48",
			route:  Route{Hops: []Hop{{Device: rich, Encap: Encap{Kind: EncapSeg6Local, Action: ActionDT4, Table: 1001}}}},
		},
		{
			name: "End.DT46", command: "2001:db8:6::/48 encap seg6local action End.DT46 vrftable 1001 dev red", rich: true,
			prefix: "2001:db8:6::/48",
			route:  Route{Hops: []Hop{{Device: rich, Encap: Encap{Kind: EncapSeg6Local, Action: ActionDT46, Table: 1001}}}},
		},
		{
			name:    "End.DT6 into a VRF, which Encap cannot say",
			command: "2001:db8:6::/48 encap seg6local action End.DT6 vrftable 1001 dev red", rich: true, foreign: true,
			prefix: "2001:db8:6::/48",
			route:  Route{Hops: []Hop{{Device: rich, Encap: Encap{Kind: EncapOther}}}},
		},
	}
	for _, test := range tests {
		if test.rich && rich == 0 {
			continue
		}
		want := test.route
		want.Prefix = netip.MustParsePrefix(test.prefix)
		want.Table, want.Protocol, want.Metric = testTable, testProtocol, testMetric
		want.Type = max(want.Type, unix.RTN_UNICAST)
		family := "-4 "
		if want.Prefix.Addr().Is6() {
			family = "-6 "
		}
		show := family + "-details route show table 1000"
		filter := RouteFilter{Table: testTable, Protocol: testProtocol}

		ip(t, family+"route add table 1000 proto 254 metric 77 "+test.command)
		theirs := ip(t, show)
		if diff := cmp.Diff([]Route{want}, routes(t, c, filter), equal); diff != "" {
			t.Errorf("%s: iproute2's, as we read it:\n%s", test.name, diff)
		}
		do(t, c, func(b *Batch) { b.DeleteRoute(&want) })
		if out := ip(t, show); out != "" {
			t.Errorf("%s: is still there: %s", test.name, out)
		}
		if test.foreign {
			continue
		}
		do(t, c, func(b *Batch) { b.AddRoute(&want) })
		if ours := ip(t, show); ours != theirs {
			t.Errorf("%s: ours is  %siproute2's is %s", test.name, ours, theirs)
		}
		do(t, c, func(b *Batch) { b.ReplaceRoute(&want) })
		if diff := cmp.Diff([]Route{want}, routes(t, c, filter), equal); diff != "" {
			t.Errorf("%s: ours, as we read it:\n%s", test.name, diff)
		}
		do(t, c, func(b *Batch) { b.DeleteRoute(&want) })
	}
}

func TestNextHopsAreThoseOfIproute2(t *testing.T) {
	c := scene(t)
	rich := enrich(t)
	d0, vx := device(t, "d0"), device(t, "vx")
	ip(t, "-6 nexthop add id 1 encap ip6 dst 2001:db8::9 hoplimit 3 dev vx proto 254")
	ip(t, "-6 nexthop add id 2 encap seg6 mode encap.red segs 2001:db8::9 dev d0 proto 254")
	tests := []struct {
		name    string
		command string // ip nexthop add id 7 ... proto 254
		nextHop NextHop
		rich    bool // not every kernel has it
	}{
		{
			name: "ip6", command: "encap ip6 dst 2001:db8::9 hoplimit 3 dev vx",
			nextHop: NextHop{Hop: Hop{Device: vx, Encap: toIP6}},
		},
		{
			name: "seg6", command: "encap seg6 mode encap.red segs 2001:db8::9 dev d0",
			nextHop: NextHop{Hop: Hop{Device: d0, Encap: toSeg6}},
		},
		{
			name: "mpls", command: "encap mpls 77 via 2001:db8:1::7 dev d0", rich: true,
			nextHop: NextHop{Hop: Hop{Device: d0, Gateway: neighbor6, Encap: Encap{Kind: EncapMPLS, Label: 77}}},
		},
		{
			name: "VTEP", command: "via ::ffff:192.0.2.7 dev vx onlink",
			nextHop: NextHop{Hop: Hop{Device: vx, Gateway: vtep, OnLink: true}},
		},
		{
			name: "gateway", command: "via 2001:db8:1::7 dev d0",
			nextHop: NextHop{Hop: Hop{Device: d0, Gateway: neighbor6}},
		},
		{
			name: "IPv4 gateway", command: "via 192.0.2.7 dev d0",
			nextHop: NextHop{Hop: Hop{Device: d0, Gateway: neighbor4}},
		},
		{
			name: "link", command: "dev d0",
			nextHop: NextHop{Hop: Hop{Device: d0}},
		},
		{
			name: "discard", command: "blackhole",
			nextHop: NextHop{Blackhole: true},
		},
		{
			name: "group", command: "group 1,2/2,3",
			nextHop: NextHop{Group: []Member{{ID: 1, Weight: 1}, {ID: 2, Weight: 2}}},
		},
	}
	for _, test := range tests {
		if test.rich && rich == 0 {
			continue
		}
		want := test.nextHop
		want.ID, want.Protocol = 7, testProtocol
		family := "-6 "
		if len(want.Group) > 0 || want.Hop.Gateway.Is4() {
			family = ""
		}
		const show = "-details nexthop show id 7"

		ip(t, family+"nexthop add id 7 "+test.command+" proto 254")
		theirs := ip(t, show)
		if diff := cmp.Diff(want, nextHops(t, c)[2], equal); diff != "" {
			t.Errorf("%s: iproute2's, as we read it:\n%s", test.name, diff)
		}
		do(t, c, func(b *Batch) { b.DeleteNextHop(7) })
		if n := len(nextHops(t, c)); n != 2 {
			t.Errorf("%s: is still there", test.name)
		}
		do(t, c, func(b *Batch) { b.ReplaceNextHop(&want) })
		if ours := ip(t, show); ours != theirs {
			t.Errorf("%s: ours is  %siproute2's is %s", test.name, ours, theirs)
		}
		do(t, c, func(b *Batch) { b.ReplaceNextHop(&want) })
		do(t, c, func(b *Batch) { b.DeleteNextHop(7) })
	}
}

func TestLabelRoutesAreThoseOfIproute2(t *testing.T) {
	c := scene(t)
	rich := enrich(t)
	labels := func() (list []LabelRoute) {
		if err := c.LabelRoutes(never(t), func(r *LabelRoute) error {
			list = append(list, *r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return list
	}
	want := LabelRoute{Label: 777, Device: rich, Protocol: testProtocol}
	if rich == 0 {
		var b Batch
		b.AddLabelRoute(&want)
		if refusals, err := c.Execute(&b); err != nil || len(refusals) != 1 {
			t.Errorf("a kernel without MPLS takes a route: %v %v", refusals, err)
		}
		if list := labels(); len(list) != 0 {
			t.Errorf("a kernel without MPLS has %v", list)
		}
		return
	}
	ip(t, "-f mpls route add 778 as 779 via inet 192.0.2.7 dev d0") // is no LabelRoute
	ip(t, "-f mpls route add 777 dev red proto 254")
	theirs := ip(t, "-f mpls -details route show 777")
	if diff := cmp.Diff([]LabelRoute{want}, labels()); diff != "" {
		t.Errorf("iproute2's, as we read it:\n%s", diff)
	}
	do(t, c, func(b *Batch) { b.DeleteLabelRoute(&want) })
	if list := labels(); len(list) != 0 {
		t.Errorf("%v is still there", list)
	}
	do(t, c, func(b *Batch) { b.AddLabelRoute(&want) })
	if ours := ip(t, "-f mpls -details route show 777"); ours != theirs {
		t.Errorf("ours is  %siproute2's is %s", ours, theirs)
	}
	if diff := cmp.Diff([]LabelRoute{want}, labels()); diff != "" {
		t.Errorf("ours, as we read it:\n%s", diff)
	}
	l := listenTo(t, nil, unix.RTNLGRP_MPLS_ROUTE)
	ip(t, "-f mpls route del 777")
	await(t, l, "the label goes", func(e *Event) bool { return e.Kind == LabelEvent && e.Removed && e.Label == want })
}
