package interop

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// OpenBGPD as the uplink of the public VNI, and as one that passes VPN routes
// on. It knows no EVPN.

// openbgpdUplink is OpenBGPD in AS 65000 on 10.0.0.2 and 2001:db8::2, with
// prefixes of its own. Sessions are the families, "IPv4" and "IPv6", of each
// neighbour.
func openbgpdUplink(n *lab.Node, sessions map[string][]string, prefixes ...string) *lab.OpenBGPD {
	config := "AS 65000\nrouter-id 10.0.0.2\nconnect-retry 1\n"
	for _, p := range prefixes {
		config += "network " + p + "\n"
	}
	for address, families := range sessions {
		announce := map[string]string{"IPv4": "none", "IPv6": "none"}
		for _, f := range families {
			announce[f] = "unicast"
		}
		config += fmt.Sprintf("neighbor %s {\nremote-as 65001\nannounce IPv4 %s\nannounce IPv6 %s\n", address, announce["IPv4"], announce["IPv6"])
		if len(families) > 1 {
			config += "multihop 2\n" // lets the rules below set the next hop
		}
		config += "}\n"
	}
	// In a session of the other family it takes the loopback for its own address.
	config += "match to any inet set nexthop 10.0.0.2\nmatch to any inet6 set nexthop 2001:db8::2\nmatch to any set nexthop no-modify\n"
	return n.OpenBGPD(config)
}

func TestPublicRoutesCrossBetweenHypervisorAndOpenBGPD(t *testing.T) {
	const vni = `
    originate: [{prefix: 0.0.0.0/0, hold-down: 1s}, {prefix: "::/0", hold-down: 1s}]
    aggregates: [198.51.100.0/24, {prefix: "2001:db8:200::/48", summary-only: true}]
    import:
      prefixes: [{allow: 203.0.113.0/24, le: 25}, {allow: "2001:db8:aaaa::/48"}]
    export:
      rules: [{name: ours, set: {communities: ["65000:100"], large-communities: ["65000:1:2"], med: 10}}]
`
	for _, row := range []struct {
		name     string
		neighbor string
		sessions map[string][]string
	}{
		{"over a session for each family", apart, map[string][]string{"10.0.0.1": {"IPv4"}, "2001:db8::1": {"IPv6"}}},
		{"over one session of IPv4", together, map[string][]string{"10.0.0.1": {"IPv4", "IPv6"}}},
		{"over one session of IPv6", `  next-hops: [10.0.0.1, "2001:db8::1"]
  neighbors:
    - {address: "2001:db8::2", asn: 65000, families: [ipv4, ipv6], timers: {connect-retry: 1s}}
`, map[string][]string{"2001:db8::1": {"IPv4", "IPv6"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			up := openbgpdUplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"), row.sessions,
				"0.0.0.0/0", "::/0", "203.0.113.0/24", "203.0.113.128/26", "172.16.0.0/12", "2001:db8:aaaa::/48", "2001:db8:bbbb::/48")
			l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, row.neighbor, vni))
			a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
			a.Do("subscribe 100")
			a.Connect(serverAt)
			b.Connect(serverAt)

			t.Log("the defaults and what the filter allows reach a hypervisor")
			imported := append([]string{"100#203.0.113.0/24#2001:db8:f::100", "100#2001:db8:aaaa::/48#2001:db8:f::100"}, defaults...)
			a.WaitRoutes(30*time.Second, imported...)

			t.Log("host routes and aggregates reach OpenBGPD")
			b.Do("announce 100#198.51.100.7/32#2001:db8::b")
			b.Do("announce 100#2001:db8:200::7/128#2001:db8::b")
			b.Do("announce 100#2001:db8:202::7/128#2001:db8::b")
			marked := []string{"65000:100", "65000:1:2", "SoO:65001:1"} // aggregates, too: rules see them as routes
			for prefix, want := range map[string]lab.Route{
				"198.51.100.7/32":     {NextHop: "10.0.0.1", MED: 10, Communities: marked},
				"2001:db8:202::7/128": {NextHop: "2001:db8::1", MED: 10, Communities: marked},
				"198.51.100.0/24":     {NextHop: "10.0.0.1", MED: 10, Communities: marked},
				"2001:db8:200::/48":   {NextHop: "2001:db8::1", MED: 10, Communities: marked},
			} {
				want.ASPath = "65001"
				if r := lab.WaitTold(t, 10*time.Second, up, prefix, 1)[0]; !reflect.DeepEqual(r, want) {
					t.Errorf("%s is %+v, want %+v", prefix, r, want)
				}
			}
			lab.WaitTold(t, time.Second, up, "2001:db8:200::7/128", 0) // summary-only

			t.Log("both change their minds")
			for _, p := range []string{"0.0.0.0/0", "2001:db8:aaaa::/48"} {
				up.Withdraw(p)
			}
			b.Do("withdraw 100#198.51.100.7/32#2001:db8::b")
			b.Do("withdraw 100#2001:db8:200::7/128#2001:db8::b")
			lab.Eventually(t, 10*time.Second, "table of a", func() error { return gone(a, imported[1], imported[2]) })
			for _, p := range []string{"198.51.100.7/32", "198.51.100.0/24", "2001:db8:200::/48"} {
				lab.WaitTold(t, 10*time.Second, up, p, 0)
			}
			for _, p := range []string{"0.0.0.0/0", "2001:db8:aaaa::/48"} {
				up.Originate(p)
			}
			lab.Eventually(t, 10*time.Second, "table of a", func() error { return holds(a, imported...) })

			t.Log("OpenBGPD makes the sessions anew")
			for peer := range row.sessions {
				up.Clear(peer)
			}
			lab.Eventually(t, 10*time.Second, "table of a", func() error { return gone(a, imported...) })
			lab.Eventually(t, 30*time.Second, "table of a", func() error { return holds(a, imported...) })
			lab.WaitTold(t, 10*time.Second, up, "2001:db8:202::7/128", 1)

			t.Log("OpenBGPD dies and comes back")
			up.Daemon.Kill()
			b.Do("announce 100#198.51.100.8/32#2001:db8::b")
			b.Do("withdraw 100#2001:db8:202::7/128#2001:db8::b")
			lab.Eventually(t, 20*time.Second, "table of a", func() error { return gone(a, imported...) })
			up.StartDaemon()
			lab.Eventually(t, 30*time.Second, "table of a", func() error { return holds(a, imported...) })
			lab.WaitTold(t, 10*time.Second, up, "198.51.100.8/32", 1)
			lab.WaitTold(t, 10*time.Second, up, "2001:db8:202::7/128", 0)
		})
	}
}

// openbgpdReflector is OpenBGPD in AS 65000 on 10.0.0.9 as a reflector of VPN
// routes between 10.0.0.1 and 10.0.0.2: what it can do with them on Linux, where
// it cannot have any of its own (a vpn in its configuration is on an interface
// mpe). Version 7.7 misreads every withdrawal of them, so that only the end of a
// session makes it forget one. bgpctl does not show labels: the other client
// does.
func openbgpdReflector(n *lab.Node) *lab.OpenBGPD {
	return n.OpenBGPD(`
AS 65000
router-id 10.0.0.9
connect-retry 1
group clients {
	remote-as 65000
	route-reflector
	announce IPv4 none
	announce IPv6 none
	announce IPv4 vpn
	announce IPv6 vpn
	neighbor 10.0.0.1
	neighbor 10.0.0.2
}
`)
}

// reflectedVPN is the configuration of bridge i, a client of openbgpdReflector.
func reflectedVPN(i int, vni string) string {
	return fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 65000
domain: "65000:%[1]d"
metalbond:
  listen: "[::]:4711"
  gateways: ["2001:db8:f::/64"]
bgp:
  next-hops: [10.0.0.%[1]d, "2001:db8::%[1]d"]
  neighbors:
    - {address: 10.0.0.9, asn: 65000, families: [vpnv4, vpnv6], timers: {connect-retry: 1s}}
vnis:
  - vni: 200
    gateway: 2001:db8:f::200
    import: ["65000:200"]
    export: ["65000:200"]
%s
`, i, vni)
}

func TestLabelsCrossOpenBGPD(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	reflector := openbgpdReflector(l.Node("reflector", "10.0.0.9/24", "2001:db8::9/64"))
	pe := l.Node("pe", "10.0.0.2/24", "2001:db8::2/64").BIRD(`
router id 10.0.0.2;
vpn4 table vpntab4;
vpn6 table vpntab6;
protocol static {
  vpn4;
  route 10.0.0.2:1 192.168.2.0/24 via 10.0.0.2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
protocol static {
  vpn6;
  route 10.0.0.2:1 fd00:2::/64 via 2001:db8::2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
protocol bgp {
  local 10.0.0.2 as 65000;
  neighbor 10.0.0.9 as 65000;
  direct;
  connect retry time 1;
  error wait time 1, 1;
  vpn4 mpls { import all; export all; next hop address 10.0.0.2; };
  vpn6 mpls { import all; export all; next hop address 2001:db8::2; };
}
`)
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(reflectedVPN(1, "    encapsulation: mpls\n    label: 1000"))
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	a.Do("subscribe 200")
	a.Connect(serverAt)
	b.Connect(serverAt)

	t.Log("the customer is known to a hypervisor")
	a.WaitRoutes(30*time.Second, viaGateway...)

	t.Log("prefixes of a hypervisor are in OpenBGPD's table, and known to the provider edge")
	b.Do("announce 200#10.1.0.7/32#2001:db8::b")
	b.Do("announce 200#2001:db8:1::/48#2001:db8::b")
	for prefix, nexthop := range map[string]string{"10.1.0.7/32": "10.0.0.1", "2001:db8:1::/48": "2001:db8::1"} {
		want := lab.Route{RD: "10.0.0.1:200", NextHop: nexthop, Communities: []string{"SoO:65000:1", "RT:65000:200"}}
		if r := lab.WaitTold(t, 10*time.Second, reflector, prefix, 1)[0]; !reflect.DeepEqual(r, want) {
			t.Errorf("%s in OpenBGPD is %+v, want %+v", prefix, r, want)
		}
		want.Label = 1000
		if r := lab.WaitTold(t, 10*time.Second, pe, prefix, 1)[0]; !reflect.DeepEqual(r, want) {
			t.Errorf("%s is %+v, want %+v", prefix, r, want)
		}
	}

	t.Log("OpenBGPD dies and comes back")
	mine := []string{"200#10.1.0.7/32#2001:db8::b", "200#2001:db8:1::/48#2001:db8::b"}
	reflector.Daemon.Kill()
	a.WaitRoutes(20*time.Second, mine...)
	b.Do("withdraw %s", mine[0])
	reflector.StartDaemon()
	a.WaitRoutes(30*time.Second, append(viaGateway, mine[1])...)
	lab.WaitTold(t, 10*time.Second, pe, "2001:db8:1::/48", 1)
	lab.WaitTold(t, 5*time.Second, pe, "10.1.0.7/32", 0)

	t.Log("the bridge dies, and its routes with it")
	bridge.Kill()
	lab.WaitTold(t, 10*time.Second, pe, "2001:db8:1::/48", 0)
}

func TestSIDsCrossOpenBGPD(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	reflector := openbgpdReflector(l.Node("reflector", "10.0.0.9/24", "2001:db8::9/64"))
	var bridges []*lab.MetalBond
	var hypervisors []*lab.Hypervisor
	for i, options := range []string{"    srv6: {next-hop: self}", ""} {
		n := l.Node(fmt.Sprintf("bridge%d", i+1), fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("2001:db8::%d/64", i+1))
		bridges = append(bridges, n.Bridge(reflectedVPN(i+1, "    encapsulation: srv6\n"+options)))
		h := n.Hypervisor()
		h.Do("subscribe 200")
		h.Connect(fmt.Sprintf("[2001:db8::%d]:4711", i+1))
		hypervisors = append(hypervisors, h)
	}

	t.Log("SIDs come through as they are")
	first := []string{"200#10.1.0.7/32#2001:db8:b::1", "200#2001:db8:1::/48#2001:db8:b::1"}
	for _, r := range first {
		hypervisors[0].Do("announce %s", r)
	}
	hypervisors[1].WaitRoutes(30*time.Second, first...)
	if r := lab.WaitTold(t, time.Second, reflector, "10.1.0.7/32", 1)[0]; r.NextHop != "10.0.0.1" {
		t.Errorf("next hop of 10.1.0.7/32 is %s, want the bridge", r.NextHop)
	}

	t.Log("IPv4 with an IPv6 next hop is not sent: OpenBGPD has not said that it takes such (RFC 8950)")
	second := []string{"200#10.2.0.7/32#2001:db8:b::2", "200#2001:db8:2::/48#2001:db8:b::2"}
	for _, r := range second {
		hypervisors[1].Do("announce %s", r)
	}
	hypervisors[0].WaitRoutes(30*time.Second, second[1])
	if r := lab.WaitTold(t, time.Second, reflector, "2001:db8:2::/48", 1)[0]; r.NextHop != "2001:db8:b::2" {
		t.Errorf("next hop of 2001:db8:2::/48 is %s, want its SID", r.NextHop)
	}
	lab.WaitTold(t, time.Second, reflector, "10.2.0.7/32", 0)
	for _, b := range bridges {
		if downs := b.Times("BGP session down"); downs > 0 {
			t.Errorf("a session was lost %d times", downs)
		}
	}

	t.Log("a bridge dies, and its routes with it")
	bridges[0].Kill()
	hypervisors[1].WaitRoutes(10 * time.Second)
}
