package lab

import (
	"text/template"
)

// VPNOptions describe a provider edge of VPNv4 and VPNv6 as a BGP peer: what it
// says and hears is in its tables, but not in the kernel, for which SRv6 is.
type VPNOptions struct {
	ASN       uint32
	RouterID  string // IPv4
	Neighbors []FRRNeighbor
	Target    string   // route target of the VRF, both ways
	Label     uint32   // MPLS label of the VRF; next hops are FRR's addresses of the session
	Locator   string   // instead of Label: prefix of its SIDs (RFC 9252)
	NextHop   string   // BGP next hop of its routes; "": FRR chooses
	Connected []string // addresses with lengths on the customer link; redistributed
	IBGP      bool     // neighbours of the own AS are route reflector clients
	AddPath   bool     // neighbours are sent all paths (RFC 7911)
}

// Families are those of the VRF, in FRR's words.
func (VPNOptions) Families() []string { return []string{"ipv4", "ipv6"} }

var vpnZebra = template.Must(template.New("zebra").Parse(`hostname {{.RouterID}}
{{- if .Locator}}
segment-routing
 srv6
  locators
   locator main
    prefix {{.Locator}}
   exit
  exit
 exit
exit
{{- end}}
`))

var vpnBGP = template.Must(template.New("bgpd").Parse(frrInstance + `{{- if .Locator}}
 segment-routing srv6
  locator main
 exit
{{- end}}
{{- range $family := .Families}}
 address-family {{$family}} vpn
{{- range $.Neighbors}}
{{- if .Speaks $family}}
  neighbor {{.Address}} activate
{{- if $.IBGP}}
  neighbor {{.Address}} route-reflector-client
{{- end}}
{{- if $.AddPath}}
  neighbor {{.Address}} addpath-tx-all-paths
{{- end}}
{{- end}}
{{- end}}
 exit-address-family
{{- end}}
router bgp {{.ASN}} vrf red
 bgp router-id {{.RouterID}}
 no bgp ebgp-requires-policy
{{- range .Families}}
 address-family {{.}} unicast
  redistribute connected
{{- if $.Locator}}
  sid vpn export auto
{{- else}}
  label vpn export {{$.Label}}
{{- end}}
{{- if $.NextHop}}
  nexthop vpn export {{$.NextHop}}
{{- end}}
  rd vpn export {{$.RouterID}}:1
  rt vpn both {{$.Target}}
  export vpn
  import vpn
 exit-address-family
{{- end}}
`))

// VPN sets the node up as a provider edge of VPNs and starts the daemons. Its
// VRF is a network namespace (zebra -n) with a customer link "c0".
func (n *Node) VPN(o VPNOptions) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh")
	n.Run("sh", "-ec", forward+`
		ip netns add red
		ip netns exec red sysctl -qw net.ipv6.conf.default.accept_dad=0
		ip -n red link set lo up
		ip -n red link add c0 type veth peer name c1
		ip -n red link set c1 up
		ip -n red link set c0 up`)
	for _, a := range o.Connected {
		n.Run("ip", "-n", "red", "address", "add", a, "dev", "c0")
	}
	f := &FRR{Node: n, session: "ipv4 vpn", table: "vpn", showRoutes: "-n red %s route show"}
	f.start(vpnZebra, vpnBGP, o, "-n")
	return f
}
