package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// A customer behind FRR and VMs behind two hypervisors, of which one runs the
// stock client for IPv4, which is all that it can install.
func TestPacketsCrossTheGateway(t *testing.T) {
	w := newWorld(t)
	_, customer := w.leaf()
	// Flows of one pair of hosts take different ways.
	w.gateway.Run("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1")
	w.start(", mss: auto")
	w.a.MetalBondClient("--server", server, "--keepalive", "1", "--subscribe", "200", "--announce", w.a.routes4,
		"--install-routes", "200#"+lab.OverlayTable, "--tun", "overlay-tun")
	w.a.connect(t, w.a.routes6)
	w.a.Install(customers6, gatewayTarget)
	w.b.connect(t, w.b.routes4, w.b.routes6)
	w.b.Install(customers4, gatewayTarget)
	w.b.Install(customers6, gatewayTarget)

	t.Log("everybody reaches everybody")
	reach(t, customer, w.a.vm4, w.a.vm6, w.b.vm4, w.b.vm6)
	for _, h := range []*host{w.a, w.b} {
		reach(t, h.vm, customer4, customer6)
	}

	t.Log("customers are told of packets that the tunnels have no room for, and TCP sends none")
	out, err := customer.Try("ping", "-n", "-M", "do", "-s", "1472", "-c", "1", w.a.vm4)
	if err == nil {
		t.Errorf("a packet of 1500 bytes came through:\n%s", out)
	} else if !strings.Contains(err.Error(), "Frag needed and DF set (mtu = 1452)") {
		t.Error(err)
	}
	for _, h := range []*host{w.a, w.b} {
		for _, address := range []string{h.vm4, h.vm6} {
			if err := customer.Transfer(h.vm, address, 1<<20, slow); err != nil {
				t.Errorf("customer to %s: %v", address, err)
			}
		}
		for _, address := range []string{customer4, customer6} {
			if err := h.vm.Transfer(customer, address, 1<<20, slow); err != nil {
				t.Errorf("%s to %s: %v", h.vm.Name, address, err)
			}
		}
	}

	t.Log("two hypervisors share the flows to an address of both")
	capture := w.underlay.Capture()
	w.a.announce(w.a.shared...)
	w.b.announce(w.b.shared...)
	w.waitTable(slow, "-4", shared4, w.b.target)
	w.waitTable(slow, "-6", shared6, w.b.target)
	for _, address := range []string{shared4, shared6} {
		ports := make([]int, 40)
		for i := range ports {
			ports[i] = 10000 + i
		}
		if err := customer.Send("udp", address, ports...); err != nil {
			t.Fatal(err)
		}
		ways := waysTo(t, capture, address, len(ports))
		if ways[w.a.target] == 0 || ways[w.b.target] == 0 {
			t.Errorf("packets to %s went to %v, want some to each of %s and %s", address, ways, w.a.target, w.b.target)
		}
	}
}

// waysTo waits for packets to an inner address, and returns how many went to
// each outer one.
func waysTo(t *testing.T, capture *lab.Capture, inner string, want int) map[string]int {
	t.Helper()
	to := netip.MustParseAddr(inner)
	var ways map[string]int
	lab.Eventually(t, slow, "packets to "+inner, func() error {
		ways = make(map[string]int)
		n := 0
		for _, p := range capture.Packets() {
			if p.InnerDst == to {
				ways[p.Dst.String()]++
				n++
			}
		}
		if n < want {
			return fmt.Errorf("%d packets, want %d", n, want)
		}
		return nil
	})
	return ways
}

// A hypervisor that is lost, one way or another, and VMs that move. The fabric
// side keeps still.
func TestTrafficFollowsHypervisors(t *testing.T) {
	w := newWorld(t)
	customer := w.plainLeaf("leaf", vtepAddress, "02:00:00:00:00:02")
	w.start("")
	announce(w.speaker(), vtepAddress, "02:00:00:00:00:02")
	for _, h := range []*host{w.a, w.b} {
		h.connect(t, h.shared...)
		h.Install(customers4, gatewayTarget)
		h.Install(customers6, gatewayTarget)
	}
	capture := w.underlay.Capture()

	for _, row := range []struct {
		name  string
		lose  func(h *host)
		again func(h *host)
		most  time.Duration // without an answer
	}{
		{
			name: "a session ends", most: 0, // packets to a host that still forwards are not lost
			lose:  func(h *host) { h.session.Kill() },
			again: func(h *host) { h.connect(t, h.shared...) },
		},
		{
			name: "the underlay loses a hypervisor", most: 2 * time.Second,
			lose:  func(h *host) { w.gateway.Run("ip", "route", "del", h.locator()) },
			again: func(h *host) { w.gateway.Run("ip", "route", "add", h.locator(), "via", h.address) },
		},
	} {
		for _, address := range []string{shared4, shared6} {
			t.Logf("%s; packets to %s", row.name, address)
			w.waitBoth()
			ping := customer.Ping(10*time.Millisecond, address)
			lost, left := w.using(t, capture, address)
			row.lose(lost)
			w.waitUse(t, capture, address, left)
			loss := ping.End(slow)
			t.Logf("%v", loss)
			if loss.Longest > row.most {
				t.Errorf("%s: the longest gap is %s, want %s at most", row.name, loss.Longest, row.most)
			}
			row.again(lost)
		}
	}
	w.waitBoth()
	w.b.withdraw(w.b.shared...)

	for _, row := range []struct {
		name string
		move func(from, to *host, i int)
		gap  bool
	}{
		{"the new one first", func(from, to *host, i int) {
			to.announce(to.shared[i])
			// They are two sessions: what the second one says could be first.
			w.waitTable(slow, []string{"-4", "-6"}[i], []string{shared4, shared6}[i], to.target)
			from.withdraw(from.shared[i])
		}, false},
		{"the old one first", func(from, to *host, i int) { from.withdraw(from.shared[i]); to.announce(to.shared[i]) }, true},
	} {
		from, to := w.a, w.b
		for i, address := range []string{shared4, shared6} {
			t.Logf("a VM moves, %s; packets to %s", row.name, address)
			ping := customer.Ping(2*time.Millisecond, address)
			w.waitUse(t, capture, address, from)
			begin := time.Now()
			row.move(from, to, i)
			said := time.Since(begin)
			first := w.waitUse(t, capture, address, to)
			loss := ping.End(slow)
			t.Logf("%v; announced within %s; the first packet went the new way after %s", loss, said, first.Sub(begin))
			// Emulated, the gateway may need a little longer than the hypervisors.
			if most := said + 500*time.Millisecond; row.gap && loss.Longest > most || !row.gap && loss.Lost > 0 {
				t.Errorf("%s: %v, announced within %s", row.name, loss, said)
			}
			from.announce(from.shared[i])
			to.withdraw(to.shared[i])
		}
	}
}

// locator is the prefix of the host's tunnel endpoints.
func (h *host) locator() string {
	return netip.PrefixFrom(netip.MustParseAddr(h.target), 64).Masked().String()
}

// waitBoth waits until the shared addresses have two next hops.
func (w *world) waitBoth() {
	w.t.Helper()
	for family, address := range map[string]string{"-4": shared4, "-6": shared6} {
		w.waitTable(slow, family, address, w.a.target)
		w.waitTable(slow, family, address, w.b.target)
	}
}

// using returns the host that packets to an address go to now, and the other
// one.
func (w *world) using(t *testing.T, capture *lab.Capture, address string) (used, other *host) {
	t.Helper()
	capture.Forget()
	if waysTo(t, capture, address, 1)[w.a.target] > 0 {
		return w.a, w.b
	}
	return w.b, w.a
}

// waitUse waits until packets to an address go to a host only, and returns when
// the first one did.
func (w *world) waitUse(t *testing.T, capture *lab.Capture, address string, h *host) (first time.Time) {
	t.Helper()
	inner, outer := netip.MustParseAddr(address), netip.MustParseAddr(h.target)
	lab.Eventually(t, slow, "way to "+address, func() error {
		packets := slices.DeleteFunc(slices.Clone(capture.Packets()), func(p lab.Packet) bool { return p.InnerDst != inner })
		const enough = 10 // in a row
		i := len(packets)
		for i > 0 && packets[i-1].Dst == outer {
			i--
		}
		if len(packets)-i < enough {
			return fmt.Errorf("%d of the last packets went to %s, want %d", len(packets)-i, outer, enough)
		}
		first = packets[i].At
		return nil
	})
	capture.Forget()
	return first
}
