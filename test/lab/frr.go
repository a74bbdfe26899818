package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
)

// FRR is a node that runs FRR's zebra and bgpd as a provider edge with a VRF
// "red".
type FRR struct {
	*Node
	Zebra, BGP *Process

	session    string // address family of the sessions, in FRR's words
	table      string // what Told reads: "vpn", or unicast
	showRoutes string // ip's arguments that show the VRF's routes, with a %s for the family
}

// FRRNeighbor is a BGP neighbour.
type FRRNeighbor struct {
	Address string
	ASN     uint32
	Options []string // further lines of the neighbour, such as "password secret"
	// Families of the sessions of VPN provider edges, of "ipv4" and "ipv6"; none:
	// both.
	Families []string
}

// Speaks reports whether the sessions carry a family.
func (n FRRNeighbor) Speaks(family string) bool {
	return len(n.Families) == 0 || slices.Contains(n.Families, family)
}

// frrInstance begins the configuration of bgpd: the default instance with its
// neighbours. Options that use it have ASN, RouterID and Neighbors.
const frrInstance = `hostname {{.RouterID}}
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
`

// forward makes a router of a network namespace.
const forward = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 " +
	"net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"

// start starts the daemons with their configurations, of which o fills in the
// blanks.
func (f *FRR) start(zebra, bgpd *template.Template, o any, zebraArgs ...string) {
	f.t.Helper()
	f.Run("sh", "-ec", `
		mount -t tmpfs etc /etc/frr
		touch /etc/frr/vtysh.conf
		mkdir /run/frr
		chown -R frr:frr /run/frr /etc/frr`)
	for _, t := range []*template.Template{zebra, bgpd} {
		var conf strings.Builder
		if err := t.Execute(&conf, o); err != nil {
			f.t.Fatal(err)
		}
		f.WriteFile("/run/frr/"+t.Name()+".conf", conf.String())
	}
	f.Zebra = f.Start("/usr/lib/frr/zebra", append(zebraArgs,
		"-f", "/run/frr/zebra.conf", "-i", "/run/frr/zebra.pid", "--log", "stdout")...)
	Eventually(f.t, 20*time.Second, "zebra of "+f.Name, func() error {
		_, err := f.Try("vtysh", "-d", "zebra", "-c", "show vrf")
		return err
	})
	f.StartBGP()
}

// StartBGP starts bgpd, again after a test has stopped it.
func (f *FRR) StartBGP() {
	f.t.Helper()
	f.BGP = f.Start("/usr/lib/frr/bgpd", "-f", "/run/frr/bgpd.conf", "-i", "/run/frr/bgpd.pid", "--log", "stdout")
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
		if err := f.Show(&summary, "show bgp "+f.session+" summary"); err != nil {
			return err
		}
		if s := summary.Peers[peer].State; s != "Established" {
			return fmt.Errorf("session with %s is %q", peer, s)
		}
		return nil
	})
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
	var routes string
	for _, family := range []string{"-4", "-6"} {
		out, err := f.Try("ip", strings.Fields(fmt.Sprintf(f.showRoutes, family))...)
		if err != nil {
			return "", err
		}
		routes += out
	}
	return routes, nil
}
