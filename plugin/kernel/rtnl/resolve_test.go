package rtnl

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/internal/netns"
)

func TestResolveSaysWhereTheKernelSends(t *testing.T) {
	c := scene(t)
	d0, lo := device(t, "d0"), device(t, "lo")
	for _, command := range []string{
		"route add 198.51.100.0/24 via 192.0.2.7",
		"route add unreachable 203.0.113.0/28",
		"route add blackhole 203.0.113.16/28",
		"route add prohibit 203.0.113.32/28",
		"route add 203.0.113.48/28 via inet6 2001:db8:1::7 dev d0",
		"nexthop add id 1 via 192.0.2.7 dev d0",
		"nexthop add id 2 group 1",
		"nexthop add id 3 blackhole",
		"route add 203.0.113.80/28 nhid 1",
		"route add 203.0.113.96/28 nhid 2",
		"route add 203.0.113.112/28 nhid 3",
		"route add throw 203.0.113.128/28",

		"-6 route add 2001:db8:2::/48 via 2001:db8:1::7",
		"-6 route add unreachable 2001:db8:3::/48",
		"-6 route add blackhole 2001:db8:4::/48",
		"-6 route add prohibit 2001:db8:5::/48",
		"-6 nexthop add id 11 via 2001:db8:1::7 dev d0",
		"nexthop add id 12 group 11",
		"-6 nexthop add id 13 blackhole",
		"-6 route add 2001:db8:7::/48 nhid 11",
		"-6 route add 2001:db8:8::/48 nhid 12",
		"-6 route add 2001:db8:9::/48 nhid 13",
	} {
		ip(t, command)
	}
	connected := Resolution{Reachable: true, Device: d0}
	by4 := Resolution{Reachable: true, Device: d0, Gateway: neighbor4}
	by6 := Resolution{Reachable: true, Device: d0, Gateway: neighbor6}
	tests := []struct {
		addr string
		want Resolution
	}{
		{"192.0.2.7", connected},
		{"::ffff:192.0.2.7", connected},
		{"192.0.2.1", Resolution{Reachable: true, Local: true, Device: d0}},
		{"127.0.0.1", Resolution{Reachable: true, Local: true, Device: lo}},
		{"198.51.100.1", by4},
		{"203.0.113.1", Resolution{}},
		{"203.0.113.17", Resolution{}},
		{"203.0.113.33", Resolution{}},
		{"203.0.113.49", by6},
		{"203.0.113.81", by4},
		{"203.0.113.97", by4},
		{"203.0.113.113", Resolution{}},
		{"203.0.113.129", Resolution{}},
		{"203.0.113.200", Resolution{}},
		{"0.0.0.0", Resolution{}},
		{"255.255.255.255", Resolution{}},
		{"224.0.0.1", Resolution{}},

		{"2001:db8:1::7", connected},
		{"2001:db8:1::1", Resolution{Reachable: true, Local: true, Device: d0}},
		{"::1", Resolution{Reachable: true, Local: true, Device: lo}},
		{"2001:db8:2::1", by6},
		{"2001:db8:3::1", Resolution{}},
		{"2001:db8:4::1", Resolution{}},
		{"2001:db8:5::1", Resolution{}},
		{"2001:db8:7::1", by6},
		{"2001:db8:8::1", by6},
		{"2001:db8:9::1", Resolution{}},
		{"2001:db8:ffff::1", Resolution{}},
		{"::", Resolution{}},
		{"ff02::1", Resolution{}},
		{"fe80::7%d0", connected},
		{"fe80::7%nowhere", Resolution{}},
	}
	addrs := make([]netip.Addr, len(tests))
	for i, test := range tests {
		addrs[i] = netip.MustParseAddr(test.addr)
	}
	out := make([]Resolution, len(addrs))
	// In the other mode the kernel names next hop objects and not what they are.
	for _, compat := range []string{"1", "0"} {
		netns.Run(t, "sysctl", "-w", "net.ipv4.nexthop_compat_mode="+compat)
		if err := c.Resolve(addrs, out); err != nil {
			t.Fatal(err)
		}
		for i, test := range tests {
			if out[i] != test.want {
				t.Errorf("%s: %+v, want %+v (compat mode %s)", test.addr, out[i], test.want, compat)
			}
		}
	}
	ip(t, "route add default via 192.0.2.7")
	ip(t, "-6 route add default via 2001:db8:1::7")
	by4.Default, by6.Default = true, true
	addrs = append(addrs[:0], netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("2001:db8:ffff::1"))
	if err := c.Resolve(addrs, out[:len(addrs)]); err != nil {
		t.Fatal(err)
	}
	if out[0] != by4 || out[1] != by6 {
		t.Errorf("by default: %+v", out[:2])
	}
}

func TestResolveTakesAHopThatWorks(t *testing.T) {
	c := scene(t)
	for _, command := range []string{
		"link add e0 type veth peer name e1",
		"link set e0 up",
		"link set e1 up",
		"address add 198.51.100.1/24 dev e0",
		"address add 2001:db8:2::1/64 dev e0 nodad",
		"route add 203.0.113.0/24 nexthop via 198.51.100.7 nexthop via 192.0.2.7",
		"-6 route add 2001:db8:3::/48 nexthop via 2001:db8:2::7 nexthop via 2001:db8:1::7",
	} {
		ip(t, command)
	}
	d0, e0 := device(t, "d0"), device(t, "e0")
	l := listenTo(t, nil, unix.RTNLGRP_LINK)
	addrs := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:3::1")}
	out := make([]Resolution, len(addrs))
	resolve := func() {
		t.Helper()
		if err := c.Resolve(addrs, out); err != nil {
			t.Fatal(err)
		}
	}
	resolve()
	for i, r := range out {
		if !r.Reachable || r.Device != d0 && r.Device != e0 || !r.Gateway.IsValid() {
			t.Errorf("%v: %+v", addrs[i], r)
		}
	}
	for _, command := range []string{"link set e1 down", "link set e0 down"} { // no carrier, then down
		ip(t, command)
		await(t, l, command, func(e *Event) bool { return e.Link.Index == e0 && !e.Link.Carrier })
		resolve()
		if out[0] != (Resolution{Reachable: true, Device: d0, Gateway: neighbor4}) {
			t.Errorf("%s: %+v", command, out[0])
		}
		if out[1] != (Resolution{Reachable: true, Device: d0, Gateway: neighbor6}) {
			t.Errorf("%s: %+v", command, out[1])
		}
	}
}

func TestResolveOfManyAddresses(t *testing.T) {
	c := scene(t)
	addrs := make([]netip.Addr, 10000)
	out := make([]Resolution, len(addrs))
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{192, 0, byte(2 + i%2), byte(2 + i%200)})
	}
	if err := c.Resolve(addrs, out); err != nil {
		t.Fatal(err)
	}
	for i, r := range out {
		if r.Reachable != (i%2 == 0) {
			t.Fatalf("%v: %+v", addrs[i], r)
		}
	}
}
