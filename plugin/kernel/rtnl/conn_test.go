package rtnl

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostRoute is the n-th of many routes that are told apart by prefix.
func hostRoute(n int) Route {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24+uint32(n))
	return Route{
		Table: testTable, Protocol: testProtocol, Metric: testMetric,
		Prefix: netip.PrefixFrom(netip.AddrFrom4(b), 32), Type: unix.RTN_BLACKHOLE,
	}
}

// hostRoute6 is the same of IPv6.
func hostRoute6(n int) Route {
	r := hostRoute(n)
	b := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8}
	binary.BigEndian.PutUint32(b[12:], uint32(n))
	r.Prefix = netip.PrefixFrom(netip.AddrFrom16(b), 128)
	return r
}

func TestRefusalsTellWhichRequest(t *testing.T) {
	c := scene(t)
	const requests = 10000 // several sends
	want := []int{0, 1, 4999, 5000, requests - 1}
	var b Batch
	for _, n := range want {
		r := hostRoute(n)
		b.AddRoute(&r)
	}
	execute(t, c, &b)
	b.Reset()
	for n := range requests {
		r := hostRoute(n)
		if got := b.AddRoute(&r); got != n {
			t.Fatalf("request %d has the number %d", n, got)
		}
	}
	if b.Len() != requests {
		t.Fatalf("%d of %d requests", b.Len(), requests)
	}
	refusals, err := c.Execute(&b)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range refusals {
		got = append(got, r.Request)
		if !errors.Is(r.Err, unix.EEXIST) {
			t.Errorf("request %d: %v", r.Request, r.Err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("refused: %v, want %v", got, want)
	}
	if n := len(routes(t, c, RouteFilter{Table: testTable})); n != requests {
		t.Errorf("%d routes, want %d", n, requests)
	}
}

func TestEveryRequestMayBeRefused(t *testing.T) {
	for _, buffer := range []int{0, 64 << 10} { // 0: as large as it is
		c := scene(t)
		if buffer != 0 {
			if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer/2); err != nil {
				t.Fatal(err)
			}
			c.received = buffer
		}
		const requests = 20000
		var b Batch
		for n := range requests {
			r := hostRoute(n)
			r.Type, r.NextHopID = 0, 4711 // is not there
			b.AddRoute(&r)
		}
		refusals, err := c.Execute(&b)
		if err != nil {
			t.Fatalf("buffer %d: %v", buffer, err)
		}
		if len(refusals) != requests {
			t.Fatalf("buffer %d: %d of %d requests are refused", buffer, len(refusals), requests)
		}
		for n, r := range refusals {
			if r.Request != n || !errors.Is(r.Err, unix.EINVAL) {
				t.Fatalf("buffer %d: refusal %d is of request %d: %v", buffer, n, r.Request, r.Err)
			}
		}
	}
}

func TestLostRefusalsAreNoticed(t *testing.T) {
	c := scene(t)
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	var b Batch
	for n := range 1000 {
		r := hostRoute(n)
		b.DeleteRoute(&r)
	}
	if _, err := c.Execute(&b); !errors.Is(err, ErrLost) {
		t.Fatalf("a full receive buffer: %v", err)
	}
	b.Reset()
	r := hostRoute(0)
	b.AddRoute(&r)
	execute(t, c, &b) // goes on with the next one
	if n := len(routes(t, c, RouteFilter{Table: testTable})); n != 1 {
		t.Errorf("%d routes", n)
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	c := scene(t)
	var b Batch
	r := hostRoute(0)
	r.Type, r.NextHopID = 0, 4711
	b.AddRoute(&r)
	b.DeleteNextHop(4711)
	b.AddRoute(&Route{}) // without a prefix
	refusals, err := c.Execute(&b)
	if err != nil || len(refusals) != 3 {
		t.Fatalf("%v %v", refusals, err)
	}
	if text := refusals[0].Err.Error(); !errors.Is(refusals[0].Err, unix.EINVAL) || !strings.Contains(text, "invalid argument: Nexthop id does not exist") {
		t.Errorf("a route without its next hop object: %s", text)
	}
	if err := refusals[1].Err; !errors.Is(err, unix.ENOENT) {
		t.Errorf("a next hop object that is not there: %v", err)
	}
	if err := refusals[2].Err; !errors.Is(err, unix.EINVAL) {
		t.Errorf("a route without a prefix: %v", err)
	}
}

func TestEmptyBatchIsNothing(t *testing.T) {
	c := scene(t)
	if refusals, err := c.Execute(new(Batch)); refusals != nil || err != nil {
		t.Errorf("%v %v", refusals, err)
	}
	if !c.SupportsNextHopObjects() {
		t.Error("no next hop objects")
	}
}

// IPv6 has lists of routes of one metric, to which a careless replacement would
// add.
func TestReplacedRouteIsNoSecondOne(t *testing.T) {
	c := scene(t)
	d0 := device(t, "d0")
	var b Batch
	b.ReplaceNextHop(&NextHop{ID: 7, Hop: Hop{Device: d0, Encap: toSeg6}})
	b.ReplaceNextHop(&NextHop{ID: 8, Hop: Hop{Device: d0, Gateway: neighbor6}})
	b.ReplaceNextHop(&NextHop{ID: 9, Group: []Member{{ID: 7}, {ID: 8}}})
	execute(t, c, &b)
	for _, prefix := range []string{"10.0.0.0/24", "2001:db8:6::/48"} {
		r := Route{Table: testTable, Prefix: netip.MustParsePrefix(prefix), Protocol: testProtocol, Metric: testMetric}
		changes := []Route{
			{NextHopID: 7}, {NextHopID: 9}, {NextHopID: 8}, {Type: unix.RTN_BLACKHOLE}, {NextHopID: 9},
			{Hops: []Hop{{Device: d0, Gateway: neighbor6}}}, {NextHopID: 9}, {Hops: []Hop{{Device: d0, Encap: toSeg6}}},
			{Type: unix.RTN_BLACKHOLE}, {NextHopID: 8}, {NextHopID: 8},
		}
		for i, change := range changes {
			r.Type, r.NextHopID, r.Hops = max(change.Type, unix.RTN_UNICAST), change.NextHopID, change.Hops
			do(t, c, func(b *Batch) { b.ReplaceRoute(&r) })
			if got := routes(t, c, RouteFilter{Table: testTable}); len(got) != 1 || got[0].NextHopID != r.NextHopID || got[0].Type != r.Type {
				t.Errorf("%s: after change %d (%+v): %+v", prefix, i, change, got)
			}
		}
		do(t, c, func(b *Batch) { b.DeleteRoute(&r) })
	}
}

func TestForeignRouteIsNotDeleted(t *testing.T) {
	c := scene(t)
	for _, prefix := range []string{"10.0.0.0/24", "2001:db8:6::/48"} {
		ip(t, "route add blackhole "+prefix+" proto 17 metric 77 table 1000")
		ip(t, "route add blackhole "+prefix+" proto 254 metric 78 table 1000")
		r := Route{Table: testTable, Prefix: netip.MustParsePrefix(prefix), Protocol: testProtocol, Metric: testMetric}
		var b Batch
		b.DeleteRoute(&r)
		refusals, err := c.Execute(&b)
		if err != nil || len(refusals) != 1 || !errors.Is(refusals[0].Err, unix.ESRCH) {
			t.Errorf("%s: %v %v", prefix, refusals, err)
		}
	}
	if n := len(routes(t, c, RouteFilter{Table: testTable})); n != 4 {
		t.Errorf("%d routes are left", n)
	}
}
