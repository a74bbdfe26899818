package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"text/template"
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

var srv6Zebra = template.Must(template.New("zebra").Parse(`hostname {{.RouterID}}
segment-routing
 srv6
  locators
   locator main
    prefix {{.Locator}}
   exit
  exit
 exit
exit
`))

var srv6BGP = template.Must(template.New("bgpd").Parse(`hostname {{.RouterID}}
router bgp {{.ASN}}
 bgp router-id {{.RouterID}}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
{{- range .Neighbors}}
 neighbor {{.Address}} remote-as {{.ASN}}
 neighbor {{.Address}} timers connect 1
 neighbor {{.Address}} advertisement-interval 0
 neighbor {{.Address}} capability extended-nexthop
{{- $address := .Address}}
{{- range .Options}}
 neighbor {{$address}} {{.}}
{{- end}}
{{- end}}
 segment-routing srv6
  locator main
 exit
{{- range $family := $.Families}}
 address-family {{$family}} vpn
{{- range $.Neighbors}}
  neighbor {{.Address}} activate
{{- end}}
 exit-address-family
{{- end}}
router bgp {{.ASN}} vrf red
 bgp router-id {{.RouterID}}
 no bgp ebgp-requires-policy
{{- range .Families}}
 address-family {{.}} unicast
  redistribute connected
  sid vpn export auto
  rd vpn export {{$.RouterID}}:1
  nexthop vpn export {{$.Address}}
  rt vpn both {{$.Target}}
  export vpn
  import vpn
 exit-address-family
{{- end}}
`))

// Families are those of the VRF, in FRR's words.
func (SRv6Options) Families() []string { return []string{"ipv4", "ipv6"} }

// SRv6 sets the node up as an SRv6 provider edge and starts the daemons. It
// needs a kernel with VRF devices (KernelMain).
func (n *Node) SRv6(o SRv6Options) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh")
	n.VRF()
	f := &FRR{Node: n, session: "ipv4 vpn", showRoutes: "%s route show vrf red"}
	f.start(srv6Zebra, srv6BGP, o)
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
	var routes strings.Builder
	for _, a := range near {
		gateway := netip.MustParsePrefix(a).Addr()
		anywhere := netip.PrefixFrom(gateway, 0).Masked()
		fmt.Fprintf(&routes, "ip route add %s via %s\n", anywhere, gateway)
	}
	c.Run("sh", "-ec", "ip link set uplink up\n"+addressLines("uplink", far)+routes.String())
	return c
}

// addressLines are the commands that add addresses to an interface.
func addressLines(device string, addresses []string) string {
	var b strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&b, "ip address add %s dev %s\n", a, device)
	}
	return b.String()
}
