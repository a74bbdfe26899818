package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The public VNI (100) with uplinks that speak plain unicast: BIRD and FRR.

// publicBridge bridges VNI 100 with AS 65000 on 10.0.0.2 and 2001:db8::2. i is
// the number of the bridge.
func publicBridge(i int, bgp, vni string) string {
	return fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 65001
domain: "65001:1"
metalbond:
  listen: "[::]:4711"
  gateways: ["2001:db8:f::/64"]
bgp:
%s
vnis:
  - vni: 100
    name: public
    family: unicast
    gateway: 2001:db8:f::100
%s
`, i, bgp, vni)
}

// Sessions of the bridge: one for each family, or one over IPv4 for both.
const (
	apart = `  neighbors:
    - {address: 10.0.0.2, asn: 65000, families: [ipv4], timers: {connect-retry: 1s}}
    - {address: "2001:db8::2", asn: 65000, families: [ipv6], timers: {connect-retry: 1s}}
`
	together = `  next-hops: [10.0.0.1, "2001:db8::1"]
  neighbors:
    - {address: 10.0.0.2, asn: 65000, families: [ipv4, ipv6], timers: {connect-retry: 1s}}
`
)

// The default routes as hypervisors see them.
var defaults = []string{"100#0.0.0.0/0#2001:db8:f::100", "100#::/0#2001:db8:f::100"}

// uplink is a router of the fabric with addresses 10.0.0.2 and 2001:db8::2.
type uplink struct {
	lab.Router
	offer       func(prefix string, on bool)
	kill, start func() // of the daemon
}

func family(prefix string) string {
	if strings.Contains(prefix, ":") {
		return "ipv6"
	}
	return "ipv4"
}

// frrUplink originates prefixes. With sessions apart it has one for each family.
func frrUplink(n *lab.Node, sessions string, prefixes ...string) uplink {
	o := lab.UnicastOptions{ASN: 65000, RouterID: "10.0.0.2", Networks: make(map[string][]string)}
	if sessions == apart {
		o.Neighbors = []lab.FRRNeighbor{
			{Address: "10.0.0.1", ASN: 65001, Families: []string{"ipv4"}},
			{Address: "2001:db8::1", ASN: 65001, Families: []string{"ipv6"}},
		}
	} else {
		o.Neighbors = []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}}
	}
	for _, p := range prefixes {
		o.Networks[family(p)] = append(o.Networks[family(p)], p)
	}
	f := n.Unicast(o)
	return uplink{f, func(prefix string, on bool) {
		command := map[bool]string{true: "network ", false: "no network "}[on]
		f.Configure("router bgp 65000", "address-family "+family(prefix)+" unicast", command+prefix)
	}, func() { f.BGP.Kill() }, f.StartBGP}
}

// birdUplink originates prefixes, each with the attributes given in BIRD's
// words, toward the bridges 10.0.0.N and 2001:db8::N for each N.
func birdUplink(n *lab.Node, bridges []int, attributes map[string]string, prefixes ...string) uplink {
	config := "router id 10.0.0.2;\n"
	protocols := make(map[string]string)
	for i, p := range prefixes {
		protocols[p] = fmt.Sprintf("offer%d", i)
		config += fmt.Sprintf("protocol static %s { %s; route %s blackhole { %s }; }\n", protocols[p], family(p), p, attributes[p])
	}
	for _, i := range bridges {
		for _, s := range [][3]string{{"ipv4", "10.0.0.2", "10.0.0."}, {"ipv6", "2001:db8::2", "2001:db8::"}} {
			config += fmt.Sprintf("protocol bgp %s_%d { local %s as 65000; neighbor %s%[2]d as 65001; "+
				"connect retry time 1; error wait time 1, 1; %[1]s { import all; export where source = RTS_STATIC; }; }\n", s[0], i, s[1], s[2])
		}
	}
	b := n.BIRD(config)
	return uplink{b, func(prefix string, on bool) {
		if on {
			b.Enable(protocols[prefix])
		} else {
			b.Disable(protocols[prefix])
		}
	}, func() { b.Daemon.Kill() }, b.StartDaemon}
}

func TestPublicRoutesCrossBetweenHypervisorAnd(t *testing.T) {
	const vni = `
    originate: [0.0.0.0/0, "::/0"]
    aggregates:
      - 198.51.100.0/24
      - 2001:db8:200::/48
      - {prefix: 192.0.2.0/24, summary-only: true}
      - {prefix: "2001:db8:201::/48", summary-only: true}
    import:
      prefixes: [{allow: 203.0.113.0/24, le: 25}, {allow: "2001:db8:aaaa::/48"}]
`
	offered := []string{"0.0.0.0/0", "::/0", "203.0.113.0/24", "203.0.113.128/26", "172.16.0.0/12", "2001:db8:aaaa::/48", "2001:db8:bbbb::/48"}
	for _, row := range []struct {
		name     string
		sessions string
		uplink   func(*lab.Node) uplink
	}{
		{"FRR over a session for each family", apart, func(n *lab.Node) uplink { return frrUplink(n, apart, offered...) }},
		{"FRR over one session", together, func(n *lab.Node) uplink { return frrUplink(n, together, offered...) }},
		{"BIRD over a session for each family", apart, func(n *lab.Node) uplink { return birdUplink(n, []int{1}, nil, offered...) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			up := row.uplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"))
			l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, row.sessions, vni))
			a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
			a.Do("subscribe 100")
			a.Connect(serverAt)
			b.Connect(serverAt)

			t.Log("the default and what the filter allows reach a hypervisor")
			imported := []string{"100#203.0.113.0/24#2001:db8:f::100", "100#2001:db8:aaaa::/48#2001:db8:f::100"}
			a.WaitRoutes(30*time.Second, append(imported, defaults...)...)

			t.Log("only standard routes leave, and only they make an aggregate")
			b.Do("announce 100#198.51.100.8/32#2001:db8::b#NAT#1024#2047")
			b.Do("announce 100#198.51.100.9/32#2001:db8::b#LB")
			b.Do("announce 100#2001:db8:200::8/128#2001:db8::b#LB")
			b.Do("announce 100#198.18.0.7/32#2001:db8::b") // the last one
			b.Do("announce 100#2001:db8:202::7/128#2001:db8::b")
			for prefix, nexthop := range map[string]string{"198.18.0.7/32": "10.0.0.1", "2001:db8:202::7/128": "2001:db8::1"} {
				r := lab.WaitTold(t, 10*time.Second, up, prefix, 1)[0]
				if r.NextHop != nexthop || r.ASPath != "65001" || !slices.Equal(r.Communities, []string{"SoO:65001:1"}) {
					t.Errorf("%s is %+v, want next hop %s, AS path 65001 and origin", prefix, r, nexthop)
				}
			}
			for _, p := range []string{"198.51.100.8/32", "198.51.100.9/32", "2001:db8:200::8/128", "198.51.100.0/24", "2001:db8:200::/48"} {
				lab.WaitTold(t, 5*time.Second, up, p, 0)
			}

			t.Log("aggregates come with the first contributor and go with the last")
			b.Do("announce 100#198.51.100.7/32#2001:db8::b")
			b.Do("announce 100#2001:db8:200::7/128#2001:db8::b")
			b.Do("announce 100#192.0.2.7/32#2001:db8::b")
			b.Do("announce 100#2001:db8:201::7/128#2001:db8::b")
			for prefix, nexthop := range map[string]string{
				"198.51.100.7/32": "10.0.0.1", "198.51.100.0/24": "10.0.0.1", "192.0.2.0/24": "10.0.0.1",
				"2001:db8:200::7/128": "2001:db8::1", "2001:db8:200::/48": "2001:db8::1", "2001:db8:201::/48": "2001:db8::1",
			} {
				r := lab.WaitTold(t, 10*time.Second, up, prefix, 1)[0]
				if r.NextHop != nexthop || !r.Has("SoO:65001:1") {
					t.Errorf("%s is %+v, want next hop %s and origin", prefix, r, nexthop)
				}
			}
			b.Do("announce 100#198.51.100.1/32#2001:db8::b")
			b.Do("withdraw 100#198.51.100.7/32#2001:db8::b")
			lab.WaitTold(t, 10*time.Second, up, "198.51.100.7/32", 0)
			lab.WaitTold(t, 10*time.Second, up, "198.51.100.1/32", 1)
			for _, p := range []string{"192.0.2.7/32", "2001:db8:201::7/128"} {
				lab.WaitTold(t, 5*time.Second, up, p, 0) // summary-only
			}
			lab.WaitTold(t, 5*time.Second, up, "198.51.100.0/24", 1)
			b.Do("withdraw 100#198.51.100.1/32#2001:db8::b")
			b.Do("withdraw 100#2001:db8:201::7/128#2001:db8::b")
			lab.WaitTold(t, 10*time.Second, up, "198.51.100.0/24", 0)
			lab.WaitTold(t, 10*time.Second, up, "2001:db8:201::/48", 0)
			lab.WaitTold(t, 5*time.Second, up, "192.0.2.0/24", 1)

			t.Log("the uplink changes its mind")
			up.offer("203.0.113.0/24", false)
			up.offer("2001:db8:aaaa::/48", false)
			lab.Eventually(t, 10*time.Second, "table of a", func() error { return gone(a, imported...) })
			up.offer("203.0.113.0/24", true)
			lab.Eventually(t, 10*time.Second, "table of a", func() error { return holds(a, imported[0]) })

			t.Log("the uplink dies and comes back")
			b.Do("withdraw 100#2001:db8:202::7/128#2001:db8::b")
			up.kill()
			lab.Eventually(t, 20*time.Second, "table of a", func() error { return gone(a, append(imported, defaults...)...) })
			up.start()
			lab.Eventually(t, 30*time.Second, "table of a", func() error { return holds(a, append(imported, defaults...)...) })
			lab.WaitTold(t, 10*time.Second, up, "198.18.0.7/32", 1)
			lab.WaitTold(t, 10*time.Second, up, "2001:db8:202::7/128", 0)
		})
	}
}

// holds returns an error unless all routes are in the table of a hypervisor.
func holds(h *lab.Hypervisor, routes ...string) error {
	got := h.Routes()
	for _, r := range routes {
		if !slices.Contains(got, r) {
			return fmt.Errorf("%s is not there", r)
		}
	}
	return nil
}

// gone returns an error if a route is in the table of a hypervisor.
func gone(h *lab.Hypervisor, routes ...string) error {
	got := h.Routes()
	for _, r := range routes {
		if slices.Contains(got, r) {
			return fmt.Errorf("%s is there", r)
		}
	}
	return nil
}
