package lab

import "text/template"

// UnicastOptions describe a router of IPv4 and IPv6 unicast.
type UnicastOptions struct {
	ASN       uint32
	RouterID  string // IPv4
	Neighbors []FRRNeighbor
	Networks  map[string][]string // prefixes that it originates, by family: "ipv4", "ipv6"
}

// Families are those of the sessions, in FRR's words.
func (UnicastOptions) Families() []string { return []string{"ipv4", "ipv6"} }

var unicastZebra = template.Must(template.New("zebra").Parse("hostname {{.RouterID}}\n"))

var unicastBGP = template.Must(template.New("bgpd").Parse(frrInstance + ` no bgp network import-check
{{- range $family := .Families}}
 address-family {{$family}} unicast
{{- range index $.Networks $family}}
  network {{.}}
{{- end}}
{{- range $.Neighbors}}
{{- if .Speaks $family}}
  neighbor {{.Address}} activate
{{- end}}
{{- end}}
 exit-address-family
{{- end}}
`))

// Unicast makes the node a router of unicast and starts the daemons.
func (n *Node) Unicast(o UnicastOptions) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh")
	n.Run("sh", "-ec", forward)
	f := &FRR{Node: n, session: "ipv4 unicast", showRoutes: "%s route show"}
	f.start(unicastZebra, unicastBGP, o)
	return f
}
