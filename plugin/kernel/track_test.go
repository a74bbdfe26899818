package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
)

// fakeFIB is a kernel's routing of which tests know all.
type fakeFIB struct {
	routes map[netip.Prefix]int // device
	down   map[int]bool
	asked  []netip.Addr // by the last Resolve
	err    error
}

func newFakeFIB(routes map[netip.Prefix]int) *fakeFIB {
	return &fakeFIB{routes: routes, down: make(map[int]bool)}
}

// Resolve implements resolver.
func (f *fakeFIB) Resolve(addrs []netip.Addr, out []rtnl.Resolution) error {
	f.asked = slices.Clone(addrs)
	if f.err != nil {
		return f.err
	}
	for i, a := range addrs {
		out[i] = f.lookup(a)
	}
	return nil
}

func (f *fakeFIB) lookup(a netip.Addr) rtnl.Resolution {
	best, found := netip.Prefix{}, rtnl.Resolution{}
	for p, device := range f.routes {
		if p.Contains(a.WithZone("")) && !f.down[device] && (!best.IsValid() || p.Bits() > best.Bits()) {
			best, found = p, rtnl.Resolution{Reachable: true, Default: p.Bits() == 0, Device: device}
			if device == fakeEncap {
				found.Encap = rtnl.EncapSeg6
			}
		}
	}
	return found
}

const (
	fakeTunnel = 9   // a tunnel of ours
	fakeEncap  = 8   // routes by this device encapsulate
	fakeTable  = 200 // of a VNI
)

func newFakeTracker(f *fakeFIB, viaDefault bool) *tracker {
	return newTracker(f, underlay{
		viaDefault: viaDefault,
		ignore:     func(table uint32) bool { return table == fakeTable },
		tunnel:     func(device int) bool { return device == fakeTunnel },
		encap:      encapOf(config.TunnelSeg6),
	})
}

func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func routeEvent(p string, table uint32) *rtnl.Event {
	return &rtnl.Event{Kind: rtnl.RouteEvent, Route: rtnl.Route{Table: table, Prefix: prefixOf(p)}}
}

func linkEvent(device int, up bool) *rtnl.Event {
	return &rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: device, Up: up, Carrier: up}}
}

// settled returns a tracker that has resolved addrs.
func settled(t *testing.T, f *fakeFIB, viaDefault bool, addrs ...string) *tracker {
	t.Helper()
	k := newFakeTracker(f, viaDefault)
	for _, a := range addrs {
		k.watch(addrOf(a))
	}
	if _, err := k.resolve(); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOnlyAddressesThatFeelAnEventAreLookedUp(t *testing.T) {
	routes := map[netip.Prefix]int{prefixOf("2001:db8:1::/64"): 1, prefixOf("192.0.2.0/24"): 2, prefixOf("fe80::/10"): 1}
	watched := []string{"2001:db8:1::1", "2001:db8:1::2", "192.0.2.1", "fe80::1%a", "fe80::1%b"}
	for _, test := range []struct {
		name  string
		event *rtnl.Event
		want  []string
	}{
		{"a route of a host", routeEvent("2001:db8:1::2/128", 254), []string{"2001:db8:1::2"}},
		{"a route of a prefix", routeEvent("2001:db8:1::/64", 254), []string{"2001:db8:1::1", "2001:db8:1::2"}},
		{"a default route of IPv4", routeEvent("0.0.0.0/0", 254), []string{"192.0.2.1"}},
		{"a route that nobody uses", routeEvent("2001:db8:2::/64", 254), nil},
		{"a route to link-local addresses", routeEvent("fe80::/64", 254), []string{"fe80::1%a", "fe80::1%b"}},
		{"a route in a VNI's table", routeEvent("::/0", fakeTable), nil},
		{"a link that is lost", linkEvent(2, false), []string{"192.0.2.1"}},
		{"a link that is removed", &rtnl.Event{Kind: rtnl.LinkEvent, Removed: true, Link: rtnl.Link{Index: 2}}, []string{"192.0.2.1"}},
		{"a link that is there", linkEvent(3, true), watched},
		{"a next hop object", &rtnl.Event{Kind: rtnl.NextHopEvent}, watched},
		{"a rule", &rtnl.Event{Kind: rtnl.RuleEvent}, watched},
		{"a lost event", &rtnl.Event{Kind: rtnl.OverrunEvent}, watched},
		{"a new address", &rtnl.Event{Kind: rtnl.AddressEvent}, nil},
		{"an address that is removed", &rtnl.Event{Kind: rtnl.AddressEvent, Removed: true}, watched},
		{"a neighbor", &rtnl.Event{Kind: rtnl.NeighborEvent}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeFIB(routes)
			k := settled(t, f, true, watched...)
			f.asked = nil
			k.event(test.event)
			if k.pending() != (test.want != nil) {
				t.Errorf("pending %v", k.pending())
			}
			changed, err := k.resolve()
			if err != nil || len(changed) > 0 {
				t.Errorf("changed %v, error %v", changed, err)
			}
			var want []netip.Addr
			for _, a := range test.want {
				want = append(want, addrOf(a))
			}
			slices.SortFunc(want, netip.Addr.Compare)
			slices.SortFunc(f.asked, netip.Addr.Compare)
			if !slices.Equal(f.asked, want) {
				t.Errorf("looked up %v, want %v", f.asked, want)
			}
			if k.pending() {
				t.Error("still pending")
			}
		})
	}
}

func TestLinkEventsWithoutNewsAreForNobody(t *testing.T) {
	f := newFakeFIB(map[netip.Prefix]int{prefixOf("::/0"): 1})
	k := settled(t, f, true, "2001:db8::1")
	k.event(linkEvent(1, true))
	if _, err := k.resolve(); err != nil {
		t.Fatal(err)
	}
	k.event(linkEvent(1, true)) // of its MTU, or alias
	if k.pending() {
		t.Error("the same state of a link again is looked at")
	}
	enslaved := linkEvent(1, true)
	enslaved.Link.Master = 5
	k.event(enslaved)
	if !k.pending() {
		t.Error("a new master of a link is not looked at")
	}
}

func TestSomeRoutesMakeNothingReachable(t *testing.T) {
	for _, test := range []struct {
		name       string
		route      string
		device     int
		viaDefault bool
		want       bool
	}{
		{"a default route", "::/0", 1, false, false},
		{"a default route that may", "::/0", 1, true, true},
		{"another route", "2001:db8::/32", 1, false, true},
		{"a route into our own tunnel", "2001:db8::/32", fakeTunnel, true, false},
		{"a route that encapsulates as ours", "2001:db8::/32", fakeEncap, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeFIB(map[netip.Prefix]int{prefixOf(test.route): test.device})
			k := settled(t, f, test.viaDefault, "2001:db8::1")
			if got := k.state(addrOf("2001:db8::1")).Reachable; got != test.want {
				t.Errorf("reachable %v, want %v", got, test.want)
			}
		})
	}
}

// There are no events of routes that we make ourselves.
func TestOwnRoutesInTheMainTableAreFelt(t *testing.T) {
	f := newFakeFIB(map[netip.Prefix]int{prefixOf("::/0"): 1})
	k := settled(t, f, true, "2001:db8::1")
	k.touch(fakeTable, prefixOf("2001:db8::/32"))
	if k.pending() {
		t.Error("a route in a VNI's table is felt")
	}
	f.routes[prefixOf("2001:db8::/32")] = fakeTunnel
	k.touch(254, prefixOf("2001:db8::/32"))
	changed, err := k.resolve()
	if err != nil || len(changed) != 1 || k.state(addrOf("2001:db8::1")).Reachable {
		t.Errorf("changed %v, error %v", changed, err)
	}
}

func TestLastUnwatchForgets(t *testing.T) {
	f := newFakeFIB(map[netip.Prefix]int{prefixOf("::/0"): 1})
	k := settled(t, f, true, "2001:db8::1", "2001:db8::1")
	a := addrOf("2001:db8::1")
	k.unwatch(a)
	if !k.state(a).Reachable {
		t.Error("forgotten with one of two uses")
	}
	k.event(&rtnl.Event{Kind: rtnl.OverrunEvent})
	k.unwatch(a)
	k.unwatch(a)
	if k.state(a).Reachable || k.pending() {
		t.Error("not forgotten with the last use")
	}
	if changed, err := k.resolve(); err != nil || len(changed) > 0 {
		t.Errorf("changed %v, error %v", changed, err)
	}
}

func TestNothingIsForgottenIfTheKernelDoesNotAnswer(t *testing.T) {
	f := newFakeFIB(map[netip.Prefix]int{prefixOf("::/0"): 1})
	k := newFakeTracker(f, true)
	k.watch(addrOf("2001:db8::1"))
	f.err = errors.New("no buffer space available")
	if _, err := k.resolve(); !errors.Is(err, f.err) || !k.pending() {
		t.Fatalf("error %v, pending %v", err, k.pending())
	}
	f.err = nil
	changed, err := k.resolve()
	if err != nil || len(changed) != 1 || !k.state(addrOf("2001:db8::1")).Reachable {
		t.Errorf("changed %v, error %v", changed, err)
	}
}

// Addresses that come and go while no route does leave nothing behind.
func TestChurnLeavesNothingBehind(t *testing.T) {
	f := newFakeFIB(nil)
	k := settled(t, f, true, "2001:db8::1")
	for i := range 10000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		k.watch(a)
		k.unwatch(a)
		if _, err := k.resolve(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(k.index) + len(k.unsorted) + len(k.marked); n > 10 {
		t.Errorf("%d entries for one address", n)
	}
}

// The tracker agrees with a kernel that is asked for everything, and names
// exactly what is another one than before.
func TestTrackerAgreesWithTheKernel(t *testing.T) {
	prefixes := []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1/32", "::/0", "2001:db8::/32", "2001:db8:1::/64", "2001:db8:1::1/128", "fe80::/64"}
	addrs := []string{"10.1.1.1", "10.1.1.2", "10.2.0.1", "11.0.0.1", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", "2001:db9::1", "fe80::1%a", "fe80::1%b"}
	rapid.Check(t, func(t *rapid.T) {
		f := newFakeFIB(make(map[netip.Prefix]int))
		k := newFakeTracker(f, rapid.Bool().Draw(t, "resolve via default"))
		uses := make(map[netip.Addr]int)
		before := make(map[netip.Addr]rtnl.Resolution)
		drawPrefix := func() netip.Prefix { return prefixOf(rapid.SampledFrom(prefixes).Draw(t, "prefix")) }
		drawAddr := func() netip.Addr { return addrOf(rapid.SampledFrom(addrs).Draw(t, "address")) }
		drawDevice := func() int { return rapid.SampledFrom([]int{1, 2, fakeTunnel, fakeEncap}).Draw(t, "device") }
		t.Repeat(map[string]func(*rapid.T){
			"watch": func(*rapid.T) {
				a := drawAddr()
				k.watch(a)
				uses[a]++
			},
			"unwatch": func(*rapid.T) {
				a := drawAddr()
				if uses[a] == 0 {
					return
				}
				k.unwatch(a)
				if uses[a]--; uses[a] == 0 {
					delete(uses, a)
					delete(before, a)
				}
			},
			"route": func(*rapid.T) {
				p := drawPrefix()
				f.routes[p] = drawDevice()
				k.event(routeEvent(p.String(), 254))
			},
			"no route": func(*rapid.T) {
				p := drawPrefix()
				delete(f.routes, p)
				k.event(routeEvent(p.String(), 254))
			},
			"link": func(*rapid.T) {
				device := drawDevice()
				f.down[device] = !f.down[device] // its routes go and come without a word
				k.event(linkEvent(device, !f.down[device]))
			},
			"resolve": func(*rapid.T) {
				changed, err := k.resolve()
				if err != nil {
					t.Fatal(err)
				}
				var want []netip.Addr
				for a := range uses {
					now := k.judge(f.lookup(a))
					if now != before[a] {
						want = append(want, a)
					}
					before[a] = now
					if k.state(a) != now {
						t.Errorf("%v: %+v, want %+v", a, k.state(a), now)
					}
				}
				slices.SortFunc(want, netip.Addr.Compare)
				slices.SortFunc(changed, netip.Addr.Compare)
				if !slices.Equal(changed, want) {
					t.Errorf("changed %v, want %v", changed, want)
				}
			},
		})
	})
}

// A flapping underlay costs little beside what the kernel has to be asked for.
func BenchmarkEvent(b *testing.B) {
	for _, watched := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(watched), func(b *testing.B) {
			k := newFakeTracker(newFakeFIB(nil), true)
			for i := range watched {
				k.watch(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}))
			}
			if _, err := k.resolve(); err != nil {
				b.Fatal(err)
			}
			e := routeEvent("2001:db8:1:200::/64", 254)
			for b.Loop() {
				k.event(e)
			}
		})
	}
}
