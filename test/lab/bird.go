package lab

import (
	"fmt"
	"regexp"
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

// Enable lets a protocol of the configuration run, or ends it: its session, or
// its static routes.
func (b *BIRD) Enable(protocol string, on bool) {
	b.t.Helper()
	command := map[bool]string{true: "enable ", false: "disable "}[on]
	if _, err := b.Ask(command + protocol); err != nil {
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

// The first line of a route: the network, unless it is that of the route above,
// and what becomes of packets to it; and an element of a community attribute.
var (
	birdRoute     = regexp.MustCompile(`^(\S.*?)?\s+(?:unicast|unreachable|blackhole|prohibit) \[`)
	birdCommunity = regexp.MustCompile(`\((.*?)\)`)
)

// Told returns the paths of a prefix in all of BIRD's tables.
func (b *BIRD) Told(prefix string) ([]Route, error) {
	out, err := b.Ask("show route table all all")
	if err != nil {
		return nil, err
	}
	var routes []Route
	var network string               // of the route being read: the prefix, behind the RD if there is one
	var attributes map[string]string // of it, by the names that BIRD prints
	add := func() error {
		rd, isPrefix := strings.CutSuffix(network, prefix)
		if !isPrefix || !strings.HasPrefix(attributes["Type"], "BGP") || rd != "" && !strings.HasSuffix(rd, " ") {
			return nil
		}
		r, err := routeOfBIRD(attributes)
		r.RD = strings.TrimSpace(rd)
		routes = append(routes, r)
		return err
	}
	for line := range strings.Lines(out) {
		if first := birdRoute.FindStringSubmatch(line); first != nil {
			if err := add(); err != nil {
				return nil, err
			}
			attributes = make(map[string]string)
			if first[1] != "" {
				network = first[1]
			}
		} else if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && attributes != nil {
			attributes[name] = value
		}
	}
	err = add()
	slices.SortFunc(routes, func(x, y Route) int { return strings.Compare(x.RD, y.RD) })
	return routes, err
}

func routeOfBIRD(attributes map[string]string) (r Route, err error) {
	nexthop, _, _ := strings.Cut(attributes["BGP.next_hop"], " ") // a link-local one may follow
	r.NextHop, r.ASPath = nexthop, attributes["BGP.as_path"]
	for name, into := range map[string]*uint32{"BGP.mpls_label_stack": &r.Label, "BGP.med": &r.MED} {
		if value := attributes[name]; value != "" {
			if _, err := fmt.Sscan(value, into); err != nil {
				return r, fmt.Errorf("%s: %s: %w", name, value, err)
			}
		}
	}
	words := strings.NewReplacer(" ", "", ",", ":", "rt", "RT", "ro", "SoO")
	for _, name := range []string{"BGP.community", "BGP.large_community", "BGP.ext_community"} {
		for _, element := range birdCommunity.FindAllStringSubmatch(attributes[name], -1) {
			r.Communities = append(r.Communities, words.Replace(element[1]))
		}
	}
	return r, nil
}
