package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// OpenBGPD is a node that runs OpenBSD's routing daemon as it is ported to
// Linux, where it has no hand in the kernel's routes: every next hop is valid to
// it, and it cannot have VPNs of its own.
type OpenBGPD struct {
	*Node
	Daemon *Process
}

const (
	openbgpd       = "/usr/sbin/bgpd" // FRR's has another path
	openbgpctl     = "/usr/sbin/bgpctl"
	openbgpdChroot = "/run/openbgpd"
	openbgpdConf   = "/run/bgpd.conf"
	openbgpdSocket = openbgpdChroot + "/control"
)

// OpenBGPD starts OpenBGPD with a configuration, ahead of which all routes are
// let through.
func (n *Node) OpenBGPD(config string) *OpenBGPD {
	n.t.Helper()
	Need(n.t, "openbgpd", openbgpctl)
	o := &OpenBGPD{Node: n}
	n.WriteFile(openbgpdConf, fmt.Sprintf("socket %q\nfib-update no\nallow from any\nallow to any\n%s", openbgpdSocket, config))
	n.Run("chmod", "600", openbgpdConf) // or it is not read
	n.Run("mkdir", openbgpdChroot)
	o.StartDaemon()
	return o
}

// StartDaemon starts OpenBGPD, again after a test has stopped it.
func (o *OpenBGPD) StartDaemon() {
	o.t.Helper()
	o.Daemon = o.Start(openbgpd, "-d", "-v", "-f", openbgpdConf)
	Eventually(o.t, 20*time.Second, o.Daemon.Name, func() error {
		if !o.Daemon.Running() {
			o.t.Fatalf("%s ended at once:\n%s", o.Daemon.Name, o.Daemon.Tail(tailLines))
		}
		_, err := o.ask("show")
		return err
	})
}

// ask runs a command of bgpctl and returns what it printed.
func (o *OpenBGPD) ask(command ...string) (string, error) {
	return o.Try(openbgpctl, append([]string{"-j", "-s", openbgpdSocket}, command...)...)
}

func (o *OpenBGPD) must(command ...string) {
	o.t.Helper()
	if _, err := o.ask(command...); err != nil {
		o.t.Fatal(err)
	}
}

// Originate makes a unicast prefix one of the daemon's own.
func (o *OpenBGPD) Originate(prefix string) { o.t.Helper(); o.must("network", "add", prefix) }

// Withdraw ends Originate, or what the configuration says of a prefix.
func (o *OpenBGPD) Withdraw(prefix string) { o.t.Helper(); o.must("network", "delete", prefix) }

// Clear ends the session with a neighbour, to be made anew.
func (o *OpenBGPD) Clear(neighbor string) { o.t.Helper(); o.must("neighbor", neighbor, "clear") }

// openbgpdRoute is a path in bgpctl's words. It does not tell labels.
type openbgpdRoute struct {
	Prefix      string // "rd RD PREFIX" of a VPN
	ASPath      string
	NextHop     string                       `json:"exit_nexthop"`
	MED         uint32                       `json:"metric"`
	Neighbor    struct{ Description string } // LOCAL: the daemon itself
	Communities []string                     // well-known ones by name
	Large       []string                     `json:"large_communities"`
	Extended    []string                     `json:"extended_communities"`
}

var openbgpdWords = strings.NewReplacer("rt ", "RT:", "soo ", "SoO:")

// Told returns the paths of a prefix in all address families, without labels.
func (o *OpenBGPD) Told(prefix string) ([]Route, error) {
	out, err := o.ask("show", "rib", "detail")
	if err != nil {
		return nil, err
	}
	var table struct{ RIB []openbgpdRoute }
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		return nil, fmt.Errorf("%s: %w in %.500s", o.Name, err, out)
	}
	var routes []Route
	for _, r := range table.RIB {
		rd, isPrefix := strings.CutSuffix(r.Prefix, prefix)
		if !isPrefix || r.Neighbor.Description == "LOCAL" || rd != "" && !strings.HasSuffix(rd, " ") {
			continue
		}
		routes = append(routes, r.route(strings.TrimSpace(strings.TrimPrefix(rd, "rd "))))
	}
	return routes, nil
}

func (r *openbgpdRoute) route(rd string) Route {
	communities := slices.Concat(r.Communities, r.Large)
	for _, c := range r.Extended {
		communities = append(communities, openbgpdWords.Replace(c))
	}
	return Route{RD: rd, NextHop: r.NextHop, ASPath: r.ASPath, MED: r.MED, Communities: communities}
}
