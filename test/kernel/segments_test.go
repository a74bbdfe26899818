package kernel

import (
	"strings"
	"testing"
)

// A gateway without ip6tnl: it sends with a segment and no routing header, and
// its address is a segment.
func TestGatewayForwardsWithSegments(t *testing.T) {
	w := newWorld(t)
	w.gateway.Run("sh", "-ec", `modprobe -q vrf || :
		ip link add probe type vrf table 999 # there is no strict mode before the first one
		sysctl -qw net.vrf.strict_mode=1
		ip link del probe`)
	customer := w.plainLeaf("leaf", vtepAddress, "02:00:00:00:00:02")
	announce(w.speaker(), vtepAddress, "02:00:00:00:00:02")
	w.start(", tunnel: seg6, mss: 1300")
	w.a.connect(t, w.a.routes4, w.a.routes6)
	w.a.Install(customers4, gatewayTarget)
	w.a.Install(customers6, gatewayTarget)
	reach(t, customer, w.a.vm4, w.a.vm6)
	reach(t, w.a.vm, customer4, customer6)
	for _, address := range []string{w.a.vm4, w.a.vm6} {
		if err := customer.Transfer(w.a.vm, address, 1<<18, slow); err != nil {
			t.Errorf("customer to %s: %v", address, err)
		}
	}
	if links := w.gateway.Run("ip", "-o", "link", "show", "type", "ip6tnl", "up"); links != "" {
		t.Errorf("tunnel devices are in use:\n%s", links)
	}
	if routes := w.gateway.Run("ip", "-6", "route", "show", "table", "200"); !strings.Contains(routes, "encap seg6 mode encap.red segs 1 [ "+w.a.target+" ]") {
		t.Errorf("no segment in\n%s", routes)
	}
}
