package interop

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
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

func family(prefix string) string {
	if strings.Contains(prefix, ":") {
		return "ipv6"
	}
	return "ipv4"
}

// frrUplink is a router at 10.0.0.2 and 2001:db8::2 that originates prefixes.
// With sessions apart it has one for each family.
func frrUplink(n *lab.Node, sessions string, prefixes ...string) router {
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
	return router{f, func(prefix string, on bool) {
		command := map[bool]string{true: "network ", false: "no network "}[on]
		f.Configure("router bgp 65000", "address-family "+family(prefix)+" unicast", command+prefix)
	}, func() { f.BGP.Kill() }, f.StartBGP}
}

// birdUplink originates prefixes in an AS, each with the attributes given in
// BIRD's words, toward the bridges 10.0.0.N and 2001:db8::N for each N.
func birdUplink(n *lab.Node, asn int, bridges []int, attributes map[string]string, prefixes ...string) router {
	config := "router id 10.0.0.2;\n"
	protocols := make(map[string]string)
	for i, p := range prefixes {
		protocols[p] = fmt.Sprintf("offer%d", i)
		config += fmt.Sprintf("protocol static %s { %s; route %s blackhole { %s }; }\n", protocols[p], family(p), p, attributes[p])
	}
	for _, i := range bridges {
		for _, s := range [][3]string{{"ipv4", "10.0.0.2", "10.0.0."}, {"ipv6", "2001:db8::2", "2001:db8::"}} {
			config += fmt.Sprintf("protocol bgp %s_%d { local %s as %d; neighbor %s%[2]d as 65001; "+
				"connect retry time 1; error wait time 1, 1; %[1]s { import all; export where source = RTS_STATIC; }; }\n", s[0], i, s[1], asn, s[2])
		}
	}
	b := n.BIRD(config)
	return router{b, func(prefix string, on bool) {
		b.Enable(protocols[prefix], on)
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
		path     string // AS path of our routes
		uplink   func(*lab.Node) router
	}{
		{"FRR over a session for each family", apart, "65001", func(n *lab.Node) router { return frrUplink(n, apart, offered...) }},
		{"FRR over one session", together, "65001", func(n *lab.Node) router { return frrUplink(n, together, offered...) }},
		{"BIRD over a session for each family", apart, "65001", func(n *lab.Node) router { return birdUplink(n, 65000, []int{1}, nil, offered...) }},
		{"BIRD over iBGP", strings.ReplaceAll(apart, "65000", "65001"), "", func(n *lab.Node) router { return birdUplink(n, 65001, []int{1}, nil, offered...) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			up := row.uplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"))
			bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, row.sessions, vni))
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
				if r.NextHop != nexthop || r.ASPath != row.path || !slices.Equal(r.Communities, []string{"SoO:65001:1"}) {
					t.Errorf("%s is %+v, want next hop %s, AS path %q and origin", prefix, r, nexthop, row.path)
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

			t.Log("the bridge ends, and its routes with it")
			if status := bridge.Stop(syscall.SIGTERM); status != 0 {
				t.Errorf("exit status %d", status)
			}
			lab.WaitTold(t, 10*time.Second, up, "198.18.0.7/32", 0)
			lab.WaitTold(t, 10*time.Second, up, "192.0.2.0/24", 0)
		})
	}
}

func TestUnicastOverASessionOfTheOtherFamily(t *testing.T) {
	const (
		ipv4     = "ipv4 { import all; export none; }; "
		ipv6     = "ipv6 { import all; export none; };"
		extended = "ipv4 { import all; export none; extended next hop; }; "
	)
	for _, row := range []struct {
		name          string
		nexthops      string // bgp.next-hops
		local, remote string // of the session, BIRD's and ours
		channels      string
		want4, want6  string // next hops of our routes; "": there are none
	}{
		{"IPv4 over IPv6 is not for who cannot take it", "", "2001:db8::2", "2001:db8::1", ipv4 + ipv6, "", "2001:db8::1"},
		{"IPv4 over IPv6", "", "2001:db8::2", "2001:db8::1", extended + ipv6, "2001:db8::1", "2001:db8::1"},
		{"IPv4 over IPv6 with an IPv4 next hop", "10.0.0.1", "2001:db8::2", "2001:db8::1", ipv4 + ipv6, "10.0.0.1", "2001:db8::1"},
		{"IPv6 over IPv4 has no next hop", "", "10.0.0.2", "10.0.0.1", ipv4 + ipv6, "10.0.0.1", ""},
		{"IPv6 over IPv4 with an IPv6 next hop", `"2001:db8::1"`, "10.0.0.2", "10.0.0.1", ipv4 + ipv6, "10.0.0.1", "2001:db8::1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			b := l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64").BIRD(fmt.Sprintf(`
router id 10.0.0.2;
protocol bgp bridge { local %s as 65000; neighbor %s as 65001; connect retry time 1; error wait time 1, 1; %s }
`, row.local, row.remote, row.channels))
			bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, fmt.Sprintf(`
  next-hops: [%s]
  neighbors: [{address: %q, asn: 65000, families: [ipv4, ipv6], timers: {connect-retry: 1s}}]
`, row.nexthops, row.local), ""))
			h := l.Node("h", "2001:db8::a/64").Hypervisor()
			h.Connect(serverAt)
			b.WaitEstablished("bridge", 20*time.Second)
			var absent []string
			for _, last := range []string{"1", "2"} { // when the second ones are there, the first ones have been sent
				for prefix, nexthop := range map[string]string{"198.51.100." + last + "/32": row.want4, "2001:db8:2::" + last + "/128": row.want6} {
					h.Do("announce 100#%s#2001:db8::a", prefix)
					if nexthop == "" {
						absent = append(absent, prefix)
					} else if r := lab.WaitTold(t, 10*time.Second, b, prefix, 1)[0]; r.NextHop != nexthop {
						t.Errorf("%s via %s, want %s", prefix, r.NextHop, nexthop)
					}
				}
			}
			for _, p := range absent {
				lab.WaitTold(t, time.Second, b, p, 0)
			}
			if downs := bridge.Times("BGP session down"); downs > 0 {
				t.Errorf("the session was lost %d times", downs)
			}
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

func TestPolicyIsSeenByTheUplink(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	up := birdUplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"), 65000, []int{1}, map[string]string{
		"203.0.113.0/25":     "bgp_community.add((65000, 1));",
		"203.0.113.128/25":   "bgp_community.add((65000, 666));",
		"203.0.112.0/24":     "bgp_large_community.add((65000, 6, 6)); bgp_community.add((65000, 1));",
		"2001:db8:aaaa::/48": "bgp_community.add((65000, 1));",
		"2001:db8:aaab::/48": "bgp_large_community.add((65000, 6, 6));",
	}, "203.0.113.0/25", "203.0.113.128/25", "203.0.112.0/24", "2001:db8:aaaa::/48", "2001:db8:aaab::/48")
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, apart, `
    import:
      prefixes: [{allow: 203.0.112.0/23, le: 32}, {allow: "2001:db8::/32", le: 64}]
      rules:
        - {name: bad, when: {communities: ["65000:666"]}, then: refuse}
        - {name: large, when: {large-communities: ["65000:6:6"]}, then: refuse}
    export:
      rules:
        - {name: secret, when: {prefixes: [{prefix: 198.51.100.128/25, ge: 25}, {prefix: "2001:db8:2:8000::/49", ge: 49}]}, then: refuse}
        - {name: ours, set: {communities: ["65000:100", no-peer], large-communities: ["65000:1:2"], med: 10}}
        - {name: rack b, when: {nexthops: ["2001:db8::b/128"], communities: ["65000:100"]}, set: {communities: ["65000:200"], med: 20}, then: accept}
`))
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	a.Do("subscribe 100")
	a.Connect(serverAt)
	b.Connect(serverAt)

	t.Log("the import rules refuse by community")
	a.WaitRoutes(30*time.Second, "100#203.0.113.0/25#2001:db8:f::100", "100#2001:db8:aaaa::/48#2001:db8:f::100")
	for rule, refused := range map[string]float64{"bad": 1, "large": 2} {
		if n := bridge.Metric("mbbgp_policy_rule_refusals_total", `rule="`+rule+`"`, `direction="import"`); n != refused {
			t.Errorf("import rule %s has refused %v routes, want %v", rule, n, refused)
		}
	}

	t.Log("the export rules set communities and MED")
	for _, prefix := range []string{"198.51.100.200/32", "198.51.100.7/32", "198.51.100.8/32", "2001:db8:2:8000::7/128", "2001:db8:2::7/128", "2001:db8:2::8/128"} {
		h, address := a, "2001:db8::a"
		if strings.Contains(prefix, "8/") {
			h, address = b, "2001:db8::b"
		}
		h.Do("announce 100#%s#%s", prefix, address)
	}
	for _, prefix := range []string{"198.51.100.7/32", "198.51.100.8/32", "2001:db8:2::7/128", "2001:db8:2::8/128"} {
		want, med := []string{"65000:100", "65535:65284", "65000:1:2", "SoO:65001:1"}, uint32(10)
		if strings.Contains(prefix, "8/") {
			want, med = []string{"65000:100", "65000:200", "65535:65284", "65000:1:2", "SoO:65001:1"}, 20
		}
		r := lab.WaitTold(t, 10*time.Second, up, prefix, 1)[0]
		if err := lab.Differ(r.Communities, want); err != nil || r.MED != med {
			t.Errorf("%s: %v; MED %d, want %d", prefix, err, r.MED, med)
		}
	}
	lab.WaitTold(t, time.Second, up, "198.51.100.200/32", 0)
	lab.WaitTold(t, time.Second, up, "2001:db8:2:8000::7/128", 0)
	if n := bridge.Metric("mbbgp_policy_rule_refusals_total", `rule="secret"`, `direction="export"`); n != 2 {
		t.Errorf("the export rule has refused %v routes, want 2", n)
	}

	t.Log("a machine moves to rack b, and its route changes")
	b.Do("announce 100#198.51.100.7/32#2001:db8::b")
	a.Do("withdraw 100#198.51.100.7/32#2001:db8::a")
	lab.Eventually(t, 10*time.Second, "198.51.100.7/32", func() error {
		routes, err := up.Told("198.51.100.7/32")
		if err == nil && (len(routes) != 1 || !routes[0].Has("65000:200") || routes[0].MED != 20) {
			err = fmt.Errorf("%+v, want community 65000:200 and MED 20", routes)
		}
		return err
	})
}

// Two bridges of one MetalBond domain, in two autonomous systems, behind a
// router that passes everything on.
func TestOwnRoutesDoNotComeBackThroughTheUplink(t *testing.T) {
	for _, row := range []struct {
		name   string
		uplink func(*lab.Node) lab.Router
	}{
		{"FRR", func(n *lab.Node) lab.Router {
			return n.Unicast(lab.UnicastOptions{
				ASN: 65000, RouterID: "10.0.0.2", Networks: map[string][]string{"ipv4": {"203.0.113.0/24"}},
				Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}, {Address: "10.0.0.3", ASN: 65003}},
			})
		}},
		{"BIRD", func(n *lab.Node) lab.Router {
			return n.BIRD(`
router id 10.0.0.2;
protocol static { ipv4; route 203.0.113.0/24 blackhole; }
template bgp bridge { local 10.0.0.2 as 65000; connect retry time 1; ipv4 { import all; export all; }; }
protocol bgp from bridge { neighbor 10.0.0.1 as 65001; }
protocol bgp from bridge { neighbor 10.0.0.3 as 65003; }
`)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			up := row.uplink(l.Node("uplink", "10.0.0.2/24"))
			hypervisors := make(map[int]*lab.Hypervisor)
			var far *lab.MetalBond
			for _, i := range []int{1, 3} {
				n := l.Node(fmt.Sprintf("bridge%d", i), fmt.Sprintf("10.0.0.%d/24", i))
				far = n.Bridge(fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 6500%[1]d
domain: "65001:1"
metalbond: {listen: "[::]:4711"}
bgp: {neighbors: [{address: 10.0.0.2, asn: 65000, families: [ipv4], timers: {connect-retry: 1s}}]}
vnis:
  - vni: 100
    family: unicast
    gateway: 2001:db8:f::%[1]d
    aggregates: [198.51.100.0/24]
    import: {prefixes: [{allow: 0.0.0.0/0, le: 32}]}
`, i))
				hypervisors[i] = n.Hypervisor()
				hypervisors[i].Do("subscribe 100")
				hypervisors[i].Connect("[::1]:4711")
			}
			hypervisors[3].WaitRoutes(20*time.Second, "100#203.0.113.0/24#2001:db8:f::3")
			hypervisors[1].Do("announce 100#198.51.100.7/32#2001:db8::a")
			lab.WaitTold(t, 10*time.Second, up, "198.51.100.0/24", 1)
			lab.Eventually(t, 10*time.Second, "refusals", func() error { // of the route and the aggregate
				if n := far.Metric("mbbgp_import_refused_total", `reason="own-domain"`); n < 2 {
					return fmt.Errorf("%v, want 2", n)
				}
				return nil
			})
			hypervisors[3].WaitRoutes(time.Second, "100#203.0.113.0/24#2001:db8:f::3")
		})
	}
}
