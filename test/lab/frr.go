package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
)

// FRR is a node that runs FRR's zebra and bgpd as an EVPN provider edge. Its
// VRF "red" is a network namespace (zebra -n), so that no VRF device is needed,
// with a VXLAN of the L3 VNI in it and a customer link "c0".
type FRR struct {
	*Node
	options    FRROptions
	Zebra, BGP *Process
}

// FRROptions describe a provider edge.
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

// FRRNeighbor is a BGP neighbour.
type FRRNeighbor struct {
	Address string
	ASN     uint32
	Options []string // further lines of the neighbour, such as "password secret"
}

const zebraConf = `hostname {{.RouterID}}
vrf red
 vni {{.VNI}}
exit-vrf
`

var bgpdConf = template.Must(template.New("bgpd").Parse(`hostname {{.RouterID}}
router bgp {{.ASN}}
 bgp router-id {{.RouterID}}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
{{- range .Neighbors}}
 neighbor {{.Address}} remote-as {{.ASN}}
 neighbor {{.Address}} timers connect 1
 neighbor {{.Address}} advertisement-interval 0
{{- $address := .Address}}
{{- range .Options}}
 neighbor {{$address}} {{.}}
{{- end}}
{{- end}}
 address-family l2vpn evpn
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

// FRR sets the node up and starts the daemons.
func (n *Node) FRR(o FRROptions) *FRR {
	n.t.Helper()
	Need(n.t, "frr", "vtysh", "bridge")
	f := &FRR{Node: n, options: o}
	f.network()

	n.Run("sh", "-ec", `
		mount -t tmpfs etc /etc/frr
		touch /etc/frr/vtysh.conf
		mkdir /run/frr
		chown -R frr:frr /run/frr /etc/frr`)
	var conf strings.Builder
	if err := template.Must(template.New("zebra").Parse(zebraConf)).Execute(&conf, o); err != nil {
		n.t.Fatal(err)
	}
	n.WriteFile("/run/frr/zebra.conf", conf.String())
	conf.Reset()
	if err := bgpdConf.Execute(&conf, o); err != nil {
		n.t.Fatal(err)
	}
	n.WriteFile("/run/frr/bgpd.conf", conf.String())

	f.Zebra = n.Start("/usr/lib/frr/zebra", "-n", "-f", "/run/frr/zebra.conf", "-i", "/run/frr/zebra.pid", "--log", "stdout")
	Eventually(n.t, 20*time.Second, "zebra of "+n.Name, func() error {
		_, err := n.Try("vtysh", "-d", "zebra", "-c", "show vrf")
		return err
	})
	f.StartBGP()
	return f
}

// StartBGP starts bgpd, again after a test has stopped it.
func (f *FRR) StartBGP() {
	f.t.Helper()
	f.BGP = f.Start("/usr/lib/frr/bgpd", "-f", "/run/frr/bgpd.conf", "-i", "/run/frr/bgpd.pid", "--log", "stdout")
}

// network makes the VRF.
func (f *FRR) network() {
	f.t.Helper()
	forward := "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 " +
		"net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
	var b strings.Builder
	for _, a := range f.options.Connected {
		fmt.Fprintf(&b, "ip -n red address add %s dev c0\n", a)
	}
	o := f.options
	f.Run("sh", "-ec", fmt.Sprintf(`
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

// Show runs a show command of bgpd or zebra and returns its JSON.
func (f *FRR) Show(into any, command string) error {
	out, err := f.Try("vtysh", "-c", command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s: %s: %w in %.500s", f.Name, command, err, out)
	}
	return nil
}

// WaitEstablished waits for the session with a neighbour.
func (f *FRR) WaitEstablished(peer string, within time.Duration) {
	f.t.Helper()
	Eventually(f.t, within, f.Name, func() error {
		var summary struct {
			Peers map[string]struct{ State string }
		}
		if err := f.Show(&summary, "show bgp l2vpn evpn summary"); err != nil {
			return err
		}
		if s := summary.Peers[peer].State; s != "Established" {
			return fmt.Errorf("session with %s is %q", peer, s)
		}
		return nil
	})
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

// WaitRoute waits for a prefix in the kernel's routing table of the VRF and
// returns its line.
func (f *FRR) WaitRoute(within time.Duration, prefix string) string {
	f.t.Helper()
	var line string
	Eventually(f.t, within, "kernel of "+f.Name, func() error {
		out, err := f.KernelRoutes()
		if err != nil {
			return err
		}
		for _, line = range strings.Split(out, "\n") {
			if strings.HasPrefix(line, prefix+" ") {
				return nil
			}
		}
		return fmt.Errorf("%s is not in\n%s", prefix, out)
	})
	return line
}

// WaitNoRoute waits until a prefix is gone from the kernel's routing table of
// the VRF.
func (f *FRR) WaitNoRoute(within time.Duration, prefix string) {
	f.t.Helper()
	Eventually(f.t, within, "kernel of "+f.Name, func() error {
		out, err := f.KernelRoutes()
		if err == nil && strings.Contains(out, prefix+" ") {
			err = fmt.Errorf("%s is still there", prefix)
		}
		return err
	})
}

// KernelRoutes returns the kernel's routes of the VRF, both families.
func (f *FRR) KernelRoutes() (string, error) {
	four, err := f.Try("ip", "-n", "red", "-4", "route", "show")
	if err != nil {
		return "", err
	}
	six, err := f.Try("ip", "-n", "red", "-6", "route", "show")
	return four + six, err
}
