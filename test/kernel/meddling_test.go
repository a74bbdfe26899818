package kernel

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// stateCommands show all that the gateway has in the kernel, and what is there
// of others.
const stateCommands = `ip -o -batch - <<END
route show table 200
route show
nexthop show
rule show
neigh show dev vx200 nud permanent
link show type vrf
link show type vxlan
link show type ip6tnl
END
ip -6 -o -batch - <<END
route show table 200
rule show
address show dev lo
END
bridge fdb show dev vx200`

// changing are the parts of their output that are others after a device or a
// next hop was made again.
var changing = regexp.MustCompile(`(?m)^[0-9]+: | nhid [0-9]+|^id [0-9]+ |permaddr [0-9a-f:]+| group [0-9/]+| used [0-9/]+| expires [0-9]+sec`)

// gatewayState returns what the gateway's kernel has, in a form that can be
// compared.
func (w *world) gatewayState(t *testing.T) string {
	t.Helper()
	lines := strings.Split(w.gateway.Run("sh", "-ec", stateCommands), "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(changing.ReplaceAllString(l, "")), " ")
	}
	return strings.Join(lines, "\n")
}

// Whatever somebody does to what is ours is undone, and what is somebody else's
// is not touched.
func TestMeddlingIsUndone(t *testing.T) {
	w := newWorld(t)
	customer := w.plainLeaf("leaf", vtepAddress, "02:00:00:00:00:02")
	announce(w.speaker(), vtepAddress, "02:00:00:00:00:02")
	w.start("")
	for _, h := range []*host{w.a, w.b} {
		h.connect(t, append(h.shared, h.routes4, h.routes6)...)
		h.Install(customers4, gatewayTarget)
		h.Install(customers6, gatewayTarget)
	}
	w.waitBoth()
	reach(t, customer, w.a.vm4, w.a.vm6, w.b.vm4, w.b.vm6)
	foreign := `
		ip route add 203.0.113.0/24 dev lan table 200 proto static
		ip -6 route add 2001:db8:77::/48 dev lan table 200 proto static
		ip route add 198.51.100.0/24 dev lan table 200 proto 254 metric 7
		ip nexthop add id 7 dev lan
		ip rule add pref 77 to 203.0.113.0/24 lookup 200 proto static`
	w.gateway.Run("sh", "-ec", foreign)
	before := w.gatewayState(t)

	for _, row := range []struct{ name, command string }{
		{"routes are deleted", `ip route del 10.1.0.97 table 200; ip -6 route del fd00:1::a table 200`},
		{"a route is replaced", `ip route replace 10.1.0.97 table 200 proto 254 metric 4711 dev lan`},
		{"all routes are deleted", `for f in -4 -6; do
			ip $f route show table 200 | grep ' metric 4711 ' | sed 's/ .*//; s/.*/route del & table 200 metric 4711/' | ip $f -batch -
			done`},
		{"the next hops are flushed", `ip nexthop flush proto 254`},
		{"a next hop is replaced", `id=$(ip nexthop show proto 254 | sed -n 's/^id \([0-9]*\) .*encap ip6 .*/\1/p' | head -n 1)
			ip -6 nexthop replace id $id proto 254 encap ip6 dst 2001:db8:0:dead::7 dev overlay`},
		{"a neighbour and its FDB entry are deleted", `ip neigh flush dev vx200 nud permanent; ip -6 neigh flush dev vx200 nud permanent
			bridge fdb del 02:00:00:00:00:02 dev vx200 self`},
		{"the tunnel goes down", `ip link set overlay down`},
		{"the VXLAN device goes down and up", `ip link set vx200 down; ip link set vx200 up`},
		{"the tunnel is deleted", `ip link del overlay`},
		{"the VXLAN device is deleted", `ip link del vx200`},
		{"the decapsulation is deleted", `ip link del mb200`},
		{"the gateway's address is deleted", `ip -6 address del ` + gatewayTarget + `/128 dev lo`},
		{"the VRF loses a device", `ip link set vx200 nomaster`},
	} {
		begin := time.Now()
		w.gateway.Run("sh", "-c", row.command)
		w.waitState(t, row.name, before)
		t.Logf("%s: undone within %s", row.name, time.Since(begin))
		reach(t, customer, w.a.vm4, shared6)
		reach(t, w.b.vm, customer6)
	}

	t.Log("the VRF is deleted, and with it all routes of its table, others' too")
	w.gateway.Run("ip", "link", "del", "red")
	reach(t, customer, w.a.vm4, w.a.vm6, shared4, shared6)
	reach(t, w.b.vm, customer4, customer6)
}

// waitState waits until the kernel is in a state again.
func (w *world) waitState(t *testing.T, after, want string) {
	t.Helper()
	lab.Eventually(t, slow, after, func() error {
		return lab.Differ(strings.Split(w.gatewayState(t), "\n"), strings.Split(want, "\n"))
	})
	if n := w.daemon.Metric("mbbgp_kernel_pending_prefixes"); n != 0 {
		t.Errorf("%s: %.0f prefixes are pending", after, n)
	}
}
