package kernel

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"mbbgp/test/lab"

	"golang.org/x/sys/unix"
)

// Two hypervisors share one address with different ranges of ports.
func TestFlowsToPortRangesArriveWhereTheyBelong(t *testing.T) {
	w := newWorld(t)
	customer := w.plainLeaf("leaf", vtepAddress, "02:00:00:00:00:02")
	announce(w.speaker(), vtepAddress, "02:00:00:00:00:02")
	w.start(", scan: 5s") // nothing tells of changes in nftables
	w.a.connect(t)
	w.b.connect(t)
	for _, h := range []*host{w.a, w.b} { // so that connections are refused
		h.Install(customers4, gatewayTarget)
		h.Install(customers6, gatewayTarget)
	}
	ranges := func(h *host, from, to int) []string {
		return []string{
			fmt.Sprintf("200#%s/32#%s#NAT#%d#%d", nat4, h.target, from, to),
			fmt.Sprintf("200#%s/128#%s#NAT#%d#%d", nat6, h.target, from, to),
		}
	}
	capture := w.underlay.Capture()
	check := func(where map[int]*host) {
		t.Helper()
		for _, network := range []string{"udp", "tcp"} {
			for _, address := range []string{nat4, nat6} {
				want := make(map[int]string)
				for port, h := range where {
					want[port] = h.target
				}
				lab.Eventually(t, slow, network+" to "+address, func() error {
					capture.Forget()
					for port := range where {
						if err := customer.Send(network, address, port); err != nil {
							return err
						}
					}
					got := arrivals(capture, network, address)
					if !maps.Equal(got, want) {
						return fmt.Errorf("ports arrived at %v, want %v", got, want)
					}
					return nil
				})
			}
		}
	}

	w.a.announce(ranges(w.a, 1024, 2048)...)
	w.b.announce(ranges(w.b, 2048, 4096)...)
	check(map[int]*host{1024: w.a, 1500: w.a, 2047: w.a, 2048: w.b, 4095: w.b})

	t.Log("somebody deletes what steers them")
	w.gateway.Run("sh", "-ec", `
		nft delete table inet mbbgp_254
		for f in -4 -6; do
			ip $f rule show | sed -n 's/^\([0-9]*\):.* proto 254$/rule del pref \1/p' | ip $f -batch -
		done`)
	check(map[int]*host{1024: w.a, 2047: w.a, 2048: w.b})

	t.Log("a part of the ports moves")
	w.b.withdraw(ranges(w.b, 2048, 4096)...)
	w.a.announce(ranges(w.a, 2048, 3000)...)
	w.b.announce(ranges(w.b, 3000, 4096)...)
	check(map[int]*host{1024: w.a, 2048: w.a, 2999: w.a, 3000: w.b, 4095: w.b})

	t.Log("all of them do")
	w.a.withdraw(append(ranges(w.a, 1024, 2048), ranges(w.a, 2048, 3000)...)...)
	check(map[int]*host{1024: w.b, 2048: w.b, 3500: w.b})

	t.Log("and nothing is left of it")
	w.b.withdraw(ranges(w.b, 3000, 4096)...)
	lab.Eventually(t, slow, "steering", func() error {
		if n := w.daemon.Metric("mbbgp_kernel_steered_ranges"); n != 0 {
			return fmt.Errorf("%.0f ranges are steered", n)
		}
		return nil
	})
}

// arrivals returns the tunnel endpoint that packets to each port of an address
// went to.
func arrivals(capture *lab.Capture, network, inner string) map[int]string {
	protocol := uint8(unix.IPPROTO_UDP)
	if network == "tcp" {
		protocol = unix.IPPROTO_TCP
	}
	to := netip.MustParseAddr(inner)
	at := make(map[int]string)
	for _, p := range capture.Packets() {
		if p.InnerDst == to && p.Protocol == protocol {
			at[int(p.Port)] = p.Dst.String()
		}
	}
	return at
}
