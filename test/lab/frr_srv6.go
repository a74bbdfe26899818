package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// SRv6Options describe an SRv6 provider edge (RFC 9252, VPNv4 and VPNv6).
type SRv6Options struct {
	ASN       uint32
	RouterID  string        // IPv4
	Address   string        // IPv6, of the node; BGP next hop of its routes
	Locator   string        // prefix of its SIDs
	Neighbors []FRRNeighbor // of VPNv4 and VPNv6
	Target    string        // route target of the VRF, both ways
}

// SRv6 sets the node up as an SRv6 provider edge and starts the daemons. It
// needs a kernel with VRF devices (KernelMain).
func (n *Node) SRv6(o SRv6Options) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh")
	n.VRF()
	f := &FRR{Node: n, session: "ipv4 vpn", showRoutes: "%s route show vrf red"}
	v := VPNOptions{ASN: o.ASN, RouterID: o.RouterID, Target: o.Target, Locator: o.Locator, NextHop: o.Address}
	for _, x := range o.Neighbors {
		x.Options = append([]string{"capability extended-nexthop"}, x.Options...)
		v.Neighbors = append(v.Neighbors, x)
	}
	f.start(vpnZebra, vpnBGP, v)
	return f
}

// VRF makes the node a router with a VRF device "red", and lets it forward by
// segments.
func (n *Node) VRF() {
	n.t.Helper()
	n.Run("sh", "-ec", forward+`
		sysctl -qw net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.lan.seg6_enabled=1
		sysctl -qw net.vrf.strict_mode=1 # End.DT46 wants a table to be of one VRF only
		ip link add red type vrf table 1000
		ip link set red up`)
}

// Customer adds a machine behind the node's VRF, with its default routes to it.
// near are the node's addresses on their link, far the machine's.
func (n *Node) Customer(name string, near, far []string) *Node {
	n.t.Helper()
	c := n.lab.node(name)
	n.Run("sh", "-ec", fmt.Sprintf(`
		ip link add %[1]s type veth peer name uplink netns %[2]d
		ip link set %[1]s master red up
		%[3]s`, name, c.pid, addressLines(name, near)))
	c.customer(near, far)
	return c
}

// customer gives the interface "uplink" addresses, and default routes to a
// router with addresses near.
func (n *Node) customer(near, far []string) {
	n.t.Helper()
	var routes strings.Builder
	for _, a := range near {
		gateway := netip.MustParsePrefix(a).Addr()
		anywhere := netip.PrefixFrom(gateway, 0).Masked()
		fmt.Fprintf(&routes, "ip route add %s via %s\n", anywhere, gateway)
	}
	n.Run("sh", "-ec", "ip link set uplink up\n"+addressLines("uplink", far)+routes.String())
}

// addressLines are the commands that add addresses to an interface.
func addressLines(device string, addresses []string) string {
	var b strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&b, "ip address add %s dev %s\n", a, device)
	}
	return b.String()
}
