package lab

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"time"
)

// BIRD is a node that runs the BIRD routing daemon.
type BIRD struct {
	*Node
	Daemon *Process
}

const (
	bird        = "/usr/sbin/bird"
	birdc       = "/usr/sbin/birdc"
	birdConf    = "/run/bird.conf"
	birdControl = "/run/bird.ctl"
)

// BIRD starts BIRD with a configuration, to which log and device protocol are
// added.
func (n *Node) BIRD(config string) *BIRD {
	n.t.Helper()
	Need(n.t, bird, birdc)
	b := &BIRD{Node: n}
	n.WriteFile(birdConf, "log stderr all;\nprotocol device {}\n"+config)
	b.StartDaemon()
	return b
}

// StartDaemon starts BIRD, again after a test has stopped it.
func (b *BIRD) StartDaemon() {
	b.t.Helper()
	b.Daemon = b.Start(bird, "-f", "-c", birdConf, "-s", birdControl)
	Eventually(b.t, 20*time.Second, b.Daemon.Name, func() error {
		if !b.Daemon.Running() {
			b.t.Fatalf("%s ended at once:\n%s", b.Daemon.Name, b.Daemon.Tail(tailLines))
		}
		_, err := b.Ask("show status")
		return err
	})
}

// Ask runs a command of birdc and returns what it printed.
func (b *BIRD) Ask(command string) (string, error) {
	return b.Try(birdc, "-s", birdControl, command)
}

// Enable lets a protocol of the configuration run.
func (b *BIRD) Enable(protocol string) { b.t.Helper(); b.must("enable " + protocol) }

// Disable ends a protocol: its sessions, or its static routes.
func (b *BIRD) Disable(protocol string) { b.t.Helper(); b.must("disable " + protocol) }

func (b *BIRD) must(command string) {
	b.t.Helper()
	if _, err := b.Ask(command); err != nil {
		b.t.Fatal(err)
	}
}

// WaitEstablished waits for the session of a BGP protocol.
func (b *BIRD) WaitEstablished(protocol string, within time.Duration) {
	b.t.Helper()
	Eventually(b.t, within, b.Name, func() error {
		out, err := b.Ask("show protocols " + protocol)
		if err == nil && !strings.Contains(out, "Established") {
			err = fmt.Errorf("%s is not established: %s", protocol, out)
		}
		return err
	})
}

// BIRDRoute is a route in one of BIRD's tables.
type BIRDRoute struct {
	Table      string
	RD         string // "" in tables that are not of VPNs
	Prefix     string
	Best       bool
	Attributes map[string]string // as BIRD prints them, such as "BGP.next_hop": "10.0.0.1"
}

// Has reports whether an attribute that is a list, such as
// "BGP.large_community", holds an element, such as "(65000, 1, 2)".
func (r BIRDRoute) Has(attribute, element string) bool {
	return strings.Contains(r.Attributes[attribute], element)
}

// Routes returns the routes that a protocol has brought, of all tables, sorted
// by prefix.
func (b *BIRD) Routes(protocol string) ([]BIRDRoute, error) {
	out, err := b.Ask("show route table all protocol " + protocol + " all")
	if err != nil {
		return nil, err
	}
	var routes []BIRDRoute
	var table, network string // of the lines so far; further paths of a network do not repeat it
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		line := lines.Text()
		fields := strings.Fields(line)
		attribute, value, isAttribute := strings.Cut(strings.TrimSpace(line), ": ")
		origin := strings.Index(line, "["+protocol+" ")
		switch {
		case len(fields) == 2 && fields[0] == "Table":
			table = strings.TrimSuffix(fields[1], ":")
		case origin >= 0: // NETWORK KIND [PROTOCOL TIME] * (PREFERENCE)
			if !strings.HasPrefix(line, " ") {
				head := strings.Fields(line[:origin])
				network = strings.Join(head[:len(head)-1], " ")
			}
			rd, prefix, isVPN := strings.Cut(network, " ")
			if !isVPN {
				rd, prefix = "", network
			}
			routes = append(routes, BIRDRoute{
				Table: table, RD: rd, Prefix: prefix, Best: slices.Contains(fields, "*"),
				Attributes: make(map[string]string),
			})
		case isAttribute && len(routes) > 0:
			routes[len(routes)-1].Attributes[attribute] = value
		}
	}
	slices.SortStableFunc(routes, func(x, y BIRDRoute) int { return strings.Compare(x.Prefix, y.Prefix) })
	return routes, nil
}

// WaitPrefixes waits until a protocol has brought exactly these prefixes and
// returns its routes.
func (b *BIRD) WaitPrefixes(within time.Duration, protocol string, want ...string) []BIRDRoute {
	b.t.Helper()
	var routes []BIRDRoute
	Eventually(b.t, within, "routes of "+b.Name, func() (err error) {
		routes, err = b.Routes(protocol)
		if err != nil {
			return err
		}
		var got []string
		for _, r := range routes {
			got = append(got, r.Prefix)
		}
		return Differ(got, want)
	})
	return routes
}
