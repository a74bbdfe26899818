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
	n.Router()
	commands := []string{
		"link add overlay-tun up type ip6tnl mode any external",
		"rule add pref 100 iif overlay-tun lookup " + OverlayTable,
	}
	for _, t := range targets {
		commands = append(commands, "address add "+t+" dev lo")
	}
	n.ip(commands...)
	n.Run("ip", "-6", "rule", "add", "pref", "100", "iif", "overlay-tun", "lookup", OverlayTable)
}

// Router lets the node forward.
func (n *Node) Router() { n.t.Helper(); n.Run("sh", "-ec", forward) }

// VM adds a machine behind an Overlay, which has addresses (10.0.0.7,
// 2001:db8::7) of no subnet and sends everything to the hypervisor. Where it
// begins to talk it does so from the first ones.
func (n *Node) VM(name string, addresses ...string) *Node {
	n.t.Helper()
	vm := n.lab.node(name)
	host := []string{
		fmt.Sprintf("link add %s up type veth peer name uplink netns %d", name, vm.pid),
		"address add 169.254.1.1/32 dev " + name,
		"address add fe80::1/64 dev " + name,
		"rule add pref 100 iif " + name + " lookup " + OverlayTable,
	}
	guest := []string{"link set uplink up"}
	families := make(map[bool]bool) // whether there is an address, by IPv4
	for _, a := range addresses {
		host = append(host, "route add "+a+" dev "+name+" table "+OverlayTable,
			// The host's own errors to the VM, such as «packet too big», come from no
			// interface and no rule leads them to that table.
			"route add "+a+" dev "+name)
		addr := netip.MustParseAddr(a)
		command := fmt.Sprintf("address add %s/%d dev uplink", a, addr.BitLen())
		if families[addr.Is4()] {
			command += " preferred_lft 0"
		}
		families[addr.Is4()] = true
		guest = append(guest, command)
	}
	guest = append(guest, "route add 0.0.0.0/0 via 169.254.1.1 dev uplink onlink", "route add ::/0 via fe80::1 dev uplink")
	n.ip(host...)
	n.Run("ip", "-6", "rule", "add", "pref", "100", "iif", name, "lookup", OverlayTable)
	vm.ip(guest...)
	return vm
}

// ip carries out commands of ip with one process: to start one takes longer than
// all that it does.
func (n *Node) ip(commands ...string) {
	n.t.Helper()
	cmd := n.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: ip: %v: %s of\n%s", n.Name, err, out, strings.Join(commands, "\n"))
	}
}

// Install puts a route to a prefix behind another hypervisor or a gateway into
// the table of an Overlay, which the stock client cannot do for IPv6.
func (n *Node) Install(prefix, target string) {
	n.t.Helper()
	n.Run("ip", "route", "replace", prefix, "table", OverlayTable, "encap", "ip6", "dst", target, "dev", "overlay-tun")
}
