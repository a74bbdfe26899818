package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// fib is one size and kind of routes.
type fib struct {
	routes   int
	nexthops int
	six      bool   // IPv6
	tunnel   string // seg6 or ip6tnl
	ways     []string
	programs string // folder
	work     string // folder
}

const (
	table  = 100
	vni    = 100
	metric = 4711
	device = "overlay" // that routes leave by
)

// network makes what every way of installing routes needs: an underlay that
// reaches all hypervisors, and a device for the tunnel. The stock client's
// routes, too, go where there is no ip6tnl: the kernel takes `encap ip6` on any
// device.
func (f *fib) network(ctx context.Context) error {
	tunnel := "ip link add " + device + " up type veth peer name far"
	if f.tunnel == "ip6tnl" {
		tunnel = "ip link add " + device + " up type ip6tnl mode any external"
	}
	return shell(ctx, `
		ip link set lo up
		ip link add under up type veth peer name beyond
		ip link set beyond up
		`+tunnel+`
		ip link show far >/dev/null 2>&1 && ip link set far up
		ip address add 2001:db8::1/64 dev under nodad
		ip -6 route add 2001:db8:1::/48 via 2001:db8::2
		ip -6 neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev under nud permanent
		sysctl -qw net.ipv6.route.max_size=16777216 2>/dev/null || :`)
}

func shell(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w in %s", err, strings.TrimSpace(script))
	}
	return nil
}

// family is what ip calls it.
func (f *fib) family() string {
	if f.six {
		return "-6"
	}
	return "-4"
}

// prefix returns a route's: a host of 10.0.0.0/8 or of 2001:db8:a::/48.
func (f *fib) prefix(i int) netip.Prefix {
	if f.six {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0xa}
		binary.BigEndian.PutUint32(a[12:], uint32(i))
		return netip.PrefixFrom(netip.AddrFrom16(a), 128)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

// hop is the number of a route's hypervisor.
func (f *fib) hop(i int) int { return i * f.nexthops / f.routes }

// target is the underlay address of a hypervisor.
func target(hop int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, 6: byte(hop >> 8), 7: byte(hop), 15: 1})
}

// encap is what ip calls the encapsulation toward a hypervisor.
func (f *fib) encap(hop int) string {
	if f.tunnel == "seg6" {
		return fmt.Sprintf("encap seg6 mode encap.red segs %s dev %s", target(hop), device)
	}
	return fmt.Sprintf("encap ip6 dst %s hoplimit 64 dev %s", target(hop), device)
}

// batch writes a file for ip -batch: "add" of all routes or "replace", with
// their hypervisors moved on by shift, and with next hop objects or without.
func (f *fib) batch(verb string, shift int, objects bool) (string, error) {
	file, err := os.CreateTemp(f.work, "batch-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	if objects {
		for h := range f.nexthops {
			fmt.Fprintf(w, "nexthop replace id %d proto 254 %s\n", h+1, f.encap(h))
		}
	}
	for i := range f.routes {
		hop := (f.hop(i) + shift) % f.nexthops
		to := f.encap(hop)
		if objects {
			to = fmt.Sprint("nhid ", hop+1)
		}
		fmt.Fprintf(w, "route %s %s table %d proto 254 metric %d %s\n", verb, f.prefix(i), table, metric, to)
	}
	return file.Name(), w.Flush()
}
