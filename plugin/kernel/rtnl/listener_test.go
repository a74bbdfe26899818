package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

// allGroups is everything that Event has a kind for.
var allGroups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
}

func listenTo(t *testing.T, ignore []uint32, groups ...uint32) *Listener {
	t.Helper()
	l, err := Listen(ignore, groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// await returns the first event that passes, and fails when there is none.
func await(t *testing.T, l *Listener, what string, pass func(*Event) bool) *Event {
	t.Helper()
	if err := l.file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for {
		e, err := l.Next()
		if err != nil {
			t.Fatalf("%s: no such event (%v) but:\n%v", what, err, seen)
		}
		if pass(e) {
			return e
		}
		seen = append(seen, fmt.Sprintf("%+v\n", e))
	}
}

func TestEventsAreThoseOfIproute2(t *testing.T) {
	scene(t)
	l := listenTo(t, nil, allGroups...)
	d0 := device(t, "d0")
	prefix4, prefix6 := netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8:6::/48")
	tests := []struct {
		command string
		want    Event // but for the port
	}{
		{
			"route add blackhole 10.0.0.0/24 table 1000 proto 17 metric 5",
			Event{Kind: RouteEvent, Route: Route{Table: 1000, Prefix: prefix4, Type: unix.RTN_BLACKHOLE, Protocol: 17, Metric: 5}},
		},
		{
			"route del blackhole 10.0.0.0/24 table 1000",
			Event{Kind: RouteEvent, Removed: true, Route: Route{Table: 1000, Prefix: prefix4, Type: unix.RTN_BLACKHOLE, Protocol: 17, Metric: 5}},
		},
		{
			"-6 route add 2001:db8:6::/48 via 2001:db8:1::7 table 1000 proto 17 metric 5",
			Event{Kind: RouteEvent, Route: Route{
				Table: 1000, Prefix: prefix6, Type: unix.RTN_UNICAST, Protocol: 17, Metric: 5, Hops: []Hop{{Device: d0, Gateway: neighbor6}},
			}},
		},
		{
			"-6 nexthop add id 7 encap seg6 mode encap.red segs 2001:db8::9 dev d0 proto 17",
			Event{Kind: NextHopEvent, NextHop: NextHop{ID: 7, Protocol: 17, Hop: Hop{Device: d0, Encap: toSeg6}}},
		},
		{
			"nexthop add id 8 group 7 proto 17",
			Event{Kind: NextHopEvent, NextHop: NextHop{ID: 8, Protocol: 17, Group: []Member{{ID: 7}}}},
		},
		{
			"nexthop del id 8",
			Event{Kind: NextHopEvent, Removed: true, NextHop: NextHop{ID: 8, Protocol: 17, Group: []Member{{ID: 7}}}},
		},
		{
			"link set d0 alias hello",
			Event{Kind: LinkEvent, Link: Link{Index: d0, Name: "d0", Kind: "veth", Alias: "hello", MTU: 1500, Up: true, Carrier: true}},
		},
		{
			"link set d0 mtu 1400",
			Event{Kind: LinkEvent, Link: Link{Index: d0, Name: "d0", Kind: "veth", Alias: "hello", MTU: 1400, Up: true, Carrier: true}},
		},
		{"rule add priority 5 table 1000", Event{Kind: RuleEvent, Family: unix.AF_INET}},
		{"-6 rule add priority 5 table 1000", Event{Kind: RuleEvent, Family: unix.AF_INET6}},
		{"-6 rule del priority 5 table 1000", Event{Kind: RuleEvent, Removed: true, Family: unix.AF_INET6}},
		{"neighbor add 2001:db8:1::7 lladdr 02:00:00:00:00:07 dev d0", Event{Kind: NeighborEvent, Family: unix.AF_INET6, Device: d0}},
		{"neighbor del 2001:db8:1::7 dev d0", Event{Kind: NeighborEvent, Removed: true, Family: unix.AF_INET6, Device: d0}},
		{"address add 192.0.2.3/32 dev d0", Event{Kind: AddressEvent, Family: unix.AF_INET, Device: d0}},
		{"address del 192.0.2.3/32 dev d0", Event{Kind: AddressEvent, Removed: true, Family: unix.AF_INET, Device: d0}},
		{"-6 address add 2001:db8:3::3/128 dev d0", Event{Kind: AddressEvent, Family: unix.AF_INET6, Device: d0}},
	}
	for _, test := range tests {
		ip(t, test.command)
		await(t, l, test.command, func(e *Event) bool {
			got := *e
			got.Port = 0
			return cmp.Equal(got, test.want, equal)
		})
	}
	ip(t, "link del d0")
	await(t, l, "a link goes", func(e *Event) bool { return e.Kind == LinkEvent && e.Removed && e.Link.Index == d0 })
}

func TestOwnChangesAreNotHeard(t *testing.T) {
	own := scene(t)
	other, foreign := dial(t), dial(t)
	l := listenTo(t, []uint32{own.Port(), other.Port()}, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP)
	var b Batch
	b.ReplaceNextHop(&NextHop{ID: 7, Protocol: testProtocol, Hop: Hop{Device: device(t, "d0"), Encap: toSeg6}})
	for n := range 5000 {
		r, r6 := hostRoute(n), hostRoute6(n)
		r6.Type, r6.NextHopID = 0, 7
		b.AddRoute(&r)
		b.AddRoute(&r6)
	}
	execute(t, own, &b)
	r := hostRoute(5000)
	do(t, other, func(b *Batch) { b.AddRoute(&r) })
	r = hostRoute(5001)
	do(t, foreign, func(b *Batch) { b.AddRoute(&r) })
	await(t, l, "a route of somebody else", func(e *Event) bool {
		if e.Port != foreign.Port() && e.Port != 0 {
			t.Errorf("heard: %+v", e)
		}
		return e.Port == foreign.Port() && e.Route.Prefix == r.Prefix
	})
}

// When a link goes down, or loses its carrier, the kernel removes next hop
// objects and does not say so, and routes that use them of which it names those
// of IPv6 only.
func TestLossOfCarrierIsHeard(t *testing.T) {
	c := scene(t)
	d0 := device(t, "d0")
	l := listenTo(t, []uint32{c.Port()}, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_ROUTE)
	var b Batch
	b.ReplaceNextHop(&NextHop{ID: 7, Protocol: testProtocol, Hop: Hop{Device: d0, Encap: toSeg6}})
	r, r6 := hostRoute(1), hostRoute6(1)
	r.Type, r.NextHopID = 0, 7
	r6.Type, r6.NextHopID = 0, 7
	b.AddRoute(&r)
	b.AddRoute(&r6)
	execute(t, c, &b)
	ip(t, "link set d1 down")
	await(t, l, "the kernel removes an IPv6 route", func(e *Event) bool {
		return e.Kind == RouteEvent && e.Removed && e.Port == 0 && e.Route.Prefix == r6.Prefix
	})
	await(t, l, "d0 loses its carrier", func(e *Event) bool {
		return e.Kind == LinkEvent && e.Link.Index == d0 && e.Link.Up && !e.Link.Carrier
	})
	if list := nextHops(t, c); len(list) != 0 {
		t.Errorf("next hop objects without carrier: %+v", list)
	}
	if list := routes(t, c, RouteFilter{Table: testTable}); len(list) != 0 {
		t.Errorf("routes without next hop objects: %+v", list)
	}
}

func TestOverrunIsToldAndReadingGoesOn(t *testing.T) {
	c := scene(t)
	l := listenTo(t, nil, unix.RTNLGRP_IPV4_ROUTE)
	if err := l.conn.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	var b Batch
	for n := range 1000 {
		r := hostRoute(n)
		b.AddRoute(&r)
	}
	execute(t, c, &b)
	await(t, l, "events are lost", func(e *Event) bool { return e.Kind == OverrunEvent })
	r := hostRoute(1000)
	do(t, c, func(b *Batch) { b.AddRoute(&r) })
	await(t, l, "what comes after the loss, and nothing before it", func(e *Event) bool {
		if e.Kind != RouteEvent || e.Route.Prefix != r.Prefix {
			t.Errorf("heard: %+v", e)
		}
		return true
	})
}

func TestCloseEndsNext(t *testing.T) {
	scene(t)
	l := listenTo(t, nil, unix.RTNLGRP_NEXTHOP)
	ended := make(chan error)
	go func() {
		_, err := l.Next()
		ended <- err
	}()
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Next waits on")
	}
	if _, err := l.Next(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

func TestSocketsBelongToTheNamespaceOfTheirThread(t *testing.T) {
	c := scene(t)
	l := listenTo(t, nil, unix.RTNLGRP_LINK)
	done := make(chan error)
	go func() { // in another namespace
		_, err := net.InterfaceByName("d0")
		if err == nil {
			t.Error("this goroutine is in the namespace of the test")
		}
		var b Batch
		b.ReplaceNextHop(&NextHop{ID: 7, Blackhole: true})
		_, err = c.Execute(&b)
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(nextHops(t, c)); n != 1 {
		t.Errorf("%d next hop objects", n)
	}
	ip(t, "link set d0 alias hello")
	await(t, l, "an alias", func(e *Event) bool { return e.Link.Alias == "hello" })
}
