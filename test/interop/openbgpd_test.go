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
			marked, plain := []string{"65000:100", "65000:1:2", "SoO:65001:1"}, []string{"SoO:65001:1"} // rules are for routes, not for aggregates
			for prefix, want := range map[string]lab.Route{
				"198.51.100.7/32":     {NextHop: "10.0.0.1", MED: 10, Communities: marked},
				"2001:db8:202::7/128": {NextHop: "2001:db8::1", MED: 10, Communities: marked},
				"198.51.100.0/24":     {NextHop: "10.0.0.1", Communities: plain},
				"2001:db8:200::/48":   {NextHop: "2001:db8::1", Communities: plain},
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
