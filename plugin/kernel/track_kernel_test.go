package kernel

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/test/lab"
)

// underlayScript makes an underlay in a fresh network namespace: two links, eth1
// to 192.0.2.2 and 2001:db8:1::2 and eth2 to 198.51.100.2 and 2001:db8:2::2, and
// routes to 203.0.113.0/24 and 2001:db8:3::/48 by eth1.
const underlayScript = `
	link add eth1 type veth peer name far1; link set eth1 up; link set far1 up
	link add eth2 type veth peer name far2; link set eth2 up; link set far2 up
	addr add 192.0.2.1/24 dev eth1; addr add 2001:db8:1::1/64 dev eth1 nodad
	addr add 198.51.100.1/24 dev eth2; addr add 2001:db8:2::1/64 dev eth2 nodad
	route add 203.0.113.0/24 via 192.0.2.2; route add 2001:db8:3::/48 via 2001:db8:1::2`

// followed is a tracker that is told what the kernel says.
type followed struct {
	*tracker
	events chan *rtnl.Event
}

func follow(t *testing.T, viaDefault bool) *followed {
	t.Helper()
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := rtnl.Listen([]uint32{conn.Port()}, groups...)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan *rtnl.Event, 1024)
	go func() { _ = hear(listener, events) }()
	t.Cleanup(func() {
		_ = listener.Close()
		for range events { // until it is closed
		}
		_ = conn.Close()
	})
	return &followed{events: events, tracker: newTracker(conn, underlay{
		viaDefault: viaDefault,
		ignore:     func(table uint32) bool { return table == fakeTable },
		tunnel:     func(int) bool { return false },
		encap:      rtnl.EncapSeg6,
	})}
}

// until resolves whenever there is reason to, until every address is reached as
// wanted: by the name of a device, "" for not at all.
func (f *followed) until(t *testing.T, devices map[string]int, want map[string]string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		if _, err := f.resolve(); err != nil {
			t.Fatal(err)
		}
		var wrong string
		for a, device := range want {
			s := f.state(addrOf(a))
			if s.Reachable != (device != "") || s.Device != devices[device] {
				wrong = a
			}
		}
		if wrong == "" {
			return
		}
		select {
		case e := <-f.events:
			f.event(e)
		case <-late:
			t.Fatalf("%s is %+v, want %q (%v)", wrong, f.state(addrOf(wrong)), want[wrong], devices)
		}
	}
}

func TestTrackerFollowsTheKernel(t *testing.T) {
	lab.Need(t, "lab")
	const far, far6 = "203.0.113.7", "2001:db8:3::7"
	for _, test := range []struct {
		name          string
		viaDefault    bool
		change        string // commands of ip, with semicolons between them
		before, after string // by which device the addresses are reached
		back          string // takes the change back; "": not
	}{
		{name: "a route is removed", before: "eth1", change: "route del 203.0.113.0/24; route del 2001:db8:3::/48",
			back: "route add 203.0.113.0/24 via 192.0.2.2; route add 2001:db8:3::/48 via 2001:db8:1::2"},
		{name: "a route moves", before: "eth1", after: "eth2",
			change: "route replace 203.0.113.0/24 via 198.51.100.2; route replace 2001:db8:3::/48 via 2001:db8:2::2",
			back:   "route replace 203.0.113.0/24 via 192.0.2.2; route replace 2001:db8:3::/48 via 2001:db8:1::2"},
		{name: "a better route comes", before: "eth1", after: "eth2",
			change: "route add 203.0.113.7 via 198.51.100.2; route add 2001:db8:3::7 via 2001:db8:2::2",
			back:   "route del 203.0.113.7; route del 2001:db8:3::7"},
		{name: "a blackhole comes", before: "eth1", change: "route add blackhole 203.0.113.7; route add blackhole 2001:db8:3::7",
			back: "route del 203.0.113.7; route del 2001:db8:3::7"},
		{name: "a route into our own tunnel comes", before: "eth1",
			change: `route add 203.0.113.7 encap seg6 mode encap.red segs 2001:db8:3::7 dev eth2
				nexthop add id 6 via 2001:db8:2::2 encap seg6 mode encap.red segs 2001:db8:3::7 dev eth2
				route add 2001:db8:3::7 nhid 6`,
			back: "route del 203.0.113.7; route del 2001:db8:3::7"},
		{name: "a link goes down", before: "eth1", change: "link set eth1 down",
			back: "link set eth1 up; addr replace 2001:db8:1::1/64 dev eth1 nodad; route add 203.0.113.0/24 via 192.0.2.2; route replace 2001:db8:3::/48 via 2001:db8:1::2"},
		{name: "a link is removed", before: "eth1", change: "link del eth1"},
		{name: "a next hop object goes", before: "eth1", after: "eth2",
			change: `nexthop add id 4 via 198.51.100.2 dev eth2; nexthop add id 6 via 2001:db8:2::2 dev eth2
				route add 203.0.113.7 nhid 4; route add 2001:db8:3::7 nhid 6`,
			back: "nexthop del id 4; nexthop del id 6"},
		{name: "a next hop object changes", before: "eth1", after: "eth2",
			change: `nexthop add id 4 via 192.0.2.2 dev eth1; nexthop add id 6 via 2001:db8:1::2 dev eth1
				route add 203.0.113.7 nhid 4; route add 2001:db8:3::7 nhid 6
				nexthop replace id 4 via 198.51.100.2 dev eth2; nexthop replace id 6 via 2001:db8:2::2 dev eth2`},
		{name: "a preferred source goes", before: "eth1", after: "eth2",
			change: `addr add 198.51.100.9/24 dev eth2
				route add 203.0.113.7 via 198.51.100.2 src 198.51.100.9; route add 2001:db8:3::7 via 2001:db8:2::2`,
			back: "addr del 198.51.100.9/24 dev eth2; route del 2001:db8:3::7"},
		{name: "a rule comes", before: "eth1", change: "rule add to 203.0.113.0/24 unreachable; route del 2001:db8:3::/48",
			back: "rule del to 203.0.113.0/24 unreachable; route add 2001:db8:3::/48 via 2001:db8:1::2"},
		{name: "a default route is left and does not count", before: "eth1",
			change: "route add default via 198.51.100.2; route add default via 2001:db8:2::2; route del 203.0.113.0/24; route del 2001:db8:3::/48"},
		{name: "a default route is left and counts", viaDefault: true, before: "eth1", after: "eth2",
			change: "route add default via 198.51.100.2; route add default via 2001:db8:2::2; route del 203.0.113.0/24; route del 2001:db8:3::/48"},
	} {
		t.Run(test.name, func(t *testing.T) {
			netns.New(t)
			ip(t, strings.Split(underlayScript, ";")...)
			devices := map[string]int{"": 0, "eth1": deviceIndex(t, "eth1"), "eth2": deviceIndex(t, "eth2")}
			f := follow(t, test.viaDefault)
			f.watch(addrOf(far))
			f.watch(addrOf(far6))
			f.until(t, devices, map[string]string{far: test.before, far6: test.before})
			ip(t, strings.Split(test.change, ";")...)
			f.until(t, devices, map[string]string{far: test.after, far6: test.after})
			if test.back != "" {
				ip(t, strings.Split(test.back, ";")...)
				f.until(t, devices, map[string]string{far: test.before, far6: test.before})
			}
		})
	}
}

func deviceIndex(t *testing.T, name string) int {
	t.Helper()
	l, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Index
}

// Ten thousand next hops are looked up in one go, and a route that flaps has none
// of them looked up that is not inside.
func BenchmarkLookup(b *testing.B) {
	lab.Need(b, "lab")
	netns.New(b)
	ip(b, strings.Split(underlayScript, ";")...)
	conn, err := rtnl.Dial()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	k := newTracker(conn, underlay{ignore: func(uint32) bool { return false }, tunnel: func(int) bool { return false }})
	for i := range 10_000 {
		k.watch(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 3, 0, byte(i >> 8), byte(i)}))
	}
	for _, test := range []struct {
		name  string
		event *rtnl.Event
	}{
		{"all", &rtnl.Event{Kind: rtnl.OverrunEvent}},
		{"one", routeEvent("2001:db8:3:1:100::/72", 254)},
		{"none", routeEvent("2001:db8:4::/48", 254)},
	} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				k.event(test.event)
				if _, err := k.resolve(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
