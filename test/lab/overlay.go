package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// OverlayTable is the routing table of the virtual machines of an Overlay.
const OverlayTable = "1000"

// Overlay makes the node the data plane of a hypervisor, as Linux hosts have it
// with the stock client: a tunnel device "overlay-tun" in external mode, packets
// to these addresses come out of it, and a table of its own says where they go.
func (n *Node) Overlay(targets ...string) {
	n.t.Helper()
	n.Run("sh", "-ec", forward+`
		ip link add overlay-tun up type ip6tnl mode any external
		ip rule add pref 100 iif overlay-tun lookup `+OverlayTable+`
		ip -6 rule add pref 100 iif overlay-tun lookup `+OverlayTable+`
		`+addressLines("lo", targets))
}

// Router lets the node forward.
func (n *Node) Router() { n.t.Helper(); n.Run("sh", "-ec", forward) }

// VM adds a machine behind an Overlay, which has addresses (10.0.0.7,
// 2001:db8::7) of no subnet and sends everything to the hypervisor.
func (n *Node) VM(name string, addresses ...string) *Node {
	n.t.Helper()
	vm := n.lab.node(name)
	var host, guest strings.Builder
	fmt.Fprintf(&host, `
		ip link add %[1]s type veth peer name uplink netns %[2]d
		ip link set %[1]s up
		ip address add 169.254.1.1/32 dev %[1]s
		ip address add fe80::1/64 dev %[1]s
		ip rule add pref 100 iif %[1]s lookup %[3]s
		ip -6 rule add pref 100 iif %[1]s lookup %[3]s
		`, name, vm.pid, OverlayTable)
	guest.WriteString("ip link set uplink up\n")
	for _, a := range addresses {
		fmt.Fprintf(&host, "ip route add %s dev %s table %s\n", a, name, OverlayTable)
		// The host's own errors to the VM, such as «packet too big», come from no
		// interface and no rule leads them to that table.
		fmt.Fprintf(&host, "ip route add %s dev %s\n", a, name)
		addr := netip.MustParseAddr(a)
		fmt.Fprintf(&guest, "ip address add %s/%d dev uplink\n", a, addr.BitLen())
	}
	guest.WriteString("ip route add default via 169.254.1.1 dev uplink onlink\nip -6 route add default via fe80::1 dev uplink\n")
	n.Run("sh", "-ec", host.String())
	vm.Run("sh", "-ec", guest.String())
	return vm
}

// Install puts a route to a prefix behind another hypervisor or a gateway into
// the table of an Overlay, which the stock client cannot do for IPv6.
func (n *Node) Install(prefix, target string) {
	n.t.Helper()
	n.Run("ip", "route", "replace", prefix, "table", OverlayTable, "encap", "ip6", "dst", target, "dev", "overlay-tun")
}
