package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// FRROptions describe an EVPN provider edge.
type FRROptions struct {
	ASN       uint32
	RouterID  string        // IPv4, also the VTEP; must be an address of the node
	Neighbors []FRRNeighbor // of l2vpn evpn
	VNI       uint32        // L3 VNI of the VRF
	Target    string        // route target of the VRF, both ways; "": FRR's default
	MAC       string        // router MAC of the VRF
	Connected []string      // addresses with lengths on the customer link; redistributed
	IBGP      bool          // neighbours of the own AS are route reflector clients
}

var evpnZebra = template.Must(template.New("zebra").Parse(`hostname {{.RouterID}}
vrf red
 vni {{.VNI}}
exit-vrf
`))

var evpnBGP = template.Must(template.New("bgpd").Parse(frrInstance + ` address-family l2vpn evpn
{{- range .Neighbors}}
  neighbor {{.Address}} activate
{{- if $.IBGP}}
  neighbor {{.Address}} route-reflector-client
{{- end}}
{{- end}}
  advertise-all-vni
 exit-address-family
router bgp {{.ASN}} vrf red
 bgp router-id {{.RouterID}}
 no bgp ebgp-requires-policy
 address-family ipv4 unicast
  redistribute connected
  redistribute kernel
 exit-address-family
 address-family ipv6 unicast
  redistribute connected
  redistribute kernel
 exit-address-family
 address-family l2vpn evpn
  advertise ipv4 unicast
  advertise ipv6 unicast
{{- if .Target}}
  route-target export {{.Target}}
  route-target import {{.Target}}
{{- end}}
 exit-address-family
`))

// FRR sets the node up as an EVPN provider edge and starts the daemons. Its VRF
// is a network namespace (zebra -n), so that no VRF device is needed, with a
// VXLAN of the L3 VNI in it and a customer link "c0".
func (n *Node) FRR(o FRROptions) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh", "bridge")
	n.evpnVRF(o)
	f := &FRR{Node: n, session: "l2vpn evpn", showRoutes: "-n red %s route show"}
	f.start(evpnZebra, evpnBGP, o, "-n")
	return f
}

// evpnVRF makes the VRF.
func (n *Node) evpnVRF(o FRROptions) {
	n.t.Helper()
	var b strings.Builder
	for _, a := range o.Connected {
		fmt.Fprintf(&b, "ip -n red address add %s dev c0\n", a)
	}
	n.Run("sh", "-ec", fmt.Sprintf(`
		%[1]s
		ip netns add red
		ip netns exec red sh -c '%[1]s; sysctl -qw net.ipv6.conf.default.accept_dad=0'
		ip link add vx%[2]d type vxlan id %[2]d local %[3]s dev lan dstport 4789 nolearning
		ip link set vx%[2]d netns red
		ip -n red link set lo up
		ip -n red link add br%[2]d type bridge
		ip -n red link set br%[2]d address %[4]s addrgenmode none
		ip -n red link set vx%[2]d master br%[2]d addrgenmode none
		ip -n red link set br%[2]d up
		ip -n red link set vx%[2]d up
		ip -n red link add c0 type veth peer name c1
		ip -n red link set c1 up
		ip -n red link set c0 up
		%[5]s`, forward, o.VNI, o.RouterID, o.MAC, b.String()))
}

// Host adds a machine on the customer link of an EVPN provider edge, with its
// default routes to it. near are the addresses of FRROptions.Connected, far the
// machine's.
func (f *FRR) Host(name string, near, far []string) *Node {
	f.t.Helper()
	h := f.lab.node(name)
	f.Run("ip", "-n", "red", "link", "set", "c1", "name", "uplink", "netns", strconv.Itoa(h.pid))
	h.customer(near, far)
	return h
}

// FRRRoute is a type 5 route in bgpd's EVPN table.
type FRRRoute struct {
	RD        string
	Prefix    string
	Peer      string // who sent it
	Valid     bool
	Best      bool
	VNI       uint32
	NextHops  []string
	Community string // extended communities as FRR prints them
}

// Type5 returns the type 5 routes that neighbours sent.
func (f *FRR) Type5() ([]FRRRoute, error) {
	var table map[string]json.RawMessage
	if err := f.Show(&table, "show bgp l2vpn evpn route detail type prefix"); err != nil {
		return nil, err
	}
	var routes []FRRRoute
	for rd, raw := range table {
		var prefixes map[string]json.RawMessage
		if json.Unmarshal(raw, &prefixes) != nil {
			continue // a number beside the RDs
		}
		for _, raw := range prefixes {
			var entry struct {
				IP    string
				IPLen int
				Paths [][]frrPath
			}
			if json.Unmarshal(raw, &entry) != nil {
				continue // the RD beside the prefixes
			}
			for _, p := range slices.Concat(entry.Paths...) {
				if p.Local {
					continue
				}
				r := FRRRoute{
					RD: rd, Prefix: fmt.Sprintf("%s/%d", entry.IP, entry.IPLen), Peer: p.Peer.PeerID,
					Valid: p.Valid, Best: p.BestPath.Overall, Community: p.ExtendedCommunity.String,
				}
				if _, err := fmt.Sscan(p.VNI, &r.VNI); err != nil {
					return nil, fmt.Errorf("%s: VNI %q of %s", f.Name, p.VNI, entry.IP)
				}
				for _, h := range p.NextHops {
					r.NextHops = append(r.NextHops, h.IP)
				}
				routes = append(routes, r)
			}
		}
	}
	return routes, nil
}

// frrPath is a path in FRR's JSON.
type frrPath struct {
	Valid             bool
	Local             bool
	VNI               string
	BestPath          struct{ Overall bool }
	Peer              struct{ PeerID string }
	NextHops          []struct{ IP string }
	ExtendedCommunity struct{ String string }
}
