package interop

import (
	"fmt"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Two MetalBond domains with a bridge each, and a route reflector of another
// make between them: what has several next hops in one has them in the other.

const reflectorAt = "2001:db8::9"

// frrReflector and birdReflector reflect VPN routes among 2001:db8::1 to
// 2001:db8::3, all paths of them. They return how to end and to start the
// daemon.
func frrReflector(n *lab.Node) (kill, start func()) {
	o := lab.VPNOptions{ASN: 65000, RouterID: "10.0.0.9", Target: "65000:999", Label: 99, IBGP: true, AddPath: true}
	for _, address := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		o.Neighbors = append(o.Neighbors, lab.FRRNeighbor{
			Address: address, ASN: 65000, Options: []string{"capability extended-nexthop"},
		})
	}
	f := n.VPN(o)
	return func() { f.BGP.Kill() }, f.StartBGP
}

func birdReflector(n *lab.Node) (kill, start func()) {
	config := "router id 10.0.0.9;\nvpn4 table vpntab4;\nvpn6 table vpntab6;\n"
	for i := 1; i <= 3; i++ {
		config += fmt.Sprintf(`
protocol bgp client%d {
  local %s as 65000;
  neighbor 2001:db8::%[1]d as 65000;
  rr client;
  connect retry time 1;
  error wait time 1, 1;
  vpn4 mpls { import all; export all; add paths tx; extended next hop; };
  vpn6 mpls { import all; export all; add paths tx; };
}
`, i, reflectorAt)
	}
	b := n.BIRD(config)
	return func() { b.Daemon.Kill() }, b.StartDaemon
}

func TestNextHopsOfAPrefixComeThroughAReflectorAsOneSet(t *testing.T) {
	for _, row := range []struct {
		name      string
		reflector func(*lab.Node) (kill, start func())
	}{
		{"FRR", frrReflector},
		{"BIRD", birdReflector},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			kill, start := row.reflector(l.Node("reflector", "10.0.0.9/24", reflectorAt+"/64"))
			for i := 1; i <= 2; i++ {
				l.Node(fmt.Sprintf("bridge%d", i), fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("2001:db8::%d/64", i)).Bridge(fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 65000
domain: "65000:%[1]d"
metalbond: {listen: "[::]:4711"}
bgp:
  neighbors:
    - {address: %q, asn: 65000, families: [vpnv4, vpnv6], timers: {connect-retry: 1s}}
vnis:
  - vni: 200
    encapsulation: srv6
    import: ["65000:200"]
    export:
      targets: ["65000:200"]
      rules:
        - name: preferred
          when: {prefixes: [10.2.0.0/16, "2001:db8:2::/48"], nexthops: ["2001:db8::c/128"]}
          set: {local-preference: 200}
`, i, reflectorAt))
			}
			hypervisors := make(map[string]*lab.Hypervisor)
			for _, name := range []string{"a", "b", "c"} {
				hypervisors[name] = l.Node(name, "2001:db8::"+name+"/64").Hypervisor()
				hypervisors[name].Connect(serverAt)
			}
			far := l.Node("far", "2001:db8::f/64").Hypervisor()
			far.Do("subscribe 200")
			far.Connect("[2001:db8::2]:4711")
			say := func(command, prefix string, names ...string) {
				for _, n := range names {
					hypervisors[n].Do("%s 200#%s#2001:db8::%s", command, prefix, n)
				}
			}
			expect := func(within time.Duration, routes map[string]string) {
				t.Helper()
				var want []string
				for prefix, names := range routes {
					for _, n := range names {
						want = append(want, fmt.Sprintf("200#%s#2001:db8::%c", prefix, n))
					}
				}
				far.WaitRoutes(within, want...)
			}

			t.Log("every next hop arrives, of IPv4 and of IPv6")
			say("announce", "10.1.0.0/16", "a", "b", "c")
			say("announce", "2001:db8:1::/48", "a", "b", "c")
			expect(30*time.Second, map[string]string{"10.1.0.0/16": "abc", "2001:db8:1::/48": "abc"})

			t.Log("one goes, another comes back")
			say("withdraw", "10.1.0.0/16", "a")
			expect(10*time.Second, map[string]string{"10.1.0.0/16": "bc", "2001:db8:1::/48": "abc"})
			say("announce", "10.1.0.0/16", "a")
			say("withdraw", "2001:db8:1::/48", "b", "c")
			expect(10*time.Second, map[string]string{"10.1.0.0/16": "abc", "2001:db8:1::/48": "a"})

			t.Log("a preference chooses among them")
			say("announce", "10.2.0.0/16", "a", "b", "c")
			say("announce", "2001:db8:2::/48", "a", "c")
			all := map[string]string{"10.1.0.0/16": "abc", "2001:db8:1::/48": "a", "10.2.0.0/16": "c", "2001:db8:2::/48": "c"}
			expect(10*time.Second, all)
			say("withdraw", "10.2.0.0/16", "c")
			all["10.2.0.0/16"] = "ab"
			expect(10*time.Second, all)

			t.Log("the reflector dies and comes back")
			kill()
			expect(20*time.Second, nil)
			start()
			expect(30*time.Second, all)
		})
	}
}

// With ADD-PATH (RFC 7911) next hops of a prefix need no RD of their own.
func TestNextHopsWithOneDistinguisherComeThroughAReflectorWithAddPath(t *testing.T) {
	for _, row := range []struct {
		name      string
		reflector func(*lab.Node) (kill, start func())
	}{
		{"FRR", frrReflector},
		{"BIRD", birdReflector},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			kill, start := row.reflector(l.Node("reflector", "10.0.0.9/24", reflectorAt+"/64"))
			hypervisors := make([]*lab.Hypervisor, 4) // one at each bridge
			for i := 1; i <= 3; i++ {
				n := l.Node(fmt.Sprintf("bridge%d", i), fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("2001:db8::%d/64", i))
				n.Bridge(fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 65000
domain: "65000:%[1]d"
metalbond: {listen: "[::]:4711"}
bgp:
  neighbors:
    - {address: %q, asn: 65000, families: [vpnv4, vpnv6], add-path: receive, timers: {connect-retry: 1s}}
vnis:
  - {vni: 200, encapsulation: srv6, rd: "65000:200", import: ["65000:200"], export: ["65000:200"]}
`, i, reflectorAt))
				hypervisors[i] = n.Hypervisor()
				hypervisors[i].Do("subscribe 200")
				hypervisors[i].Connect("[::1]:4711")
			}
			for _, prefix := range []string{"10.1.0.0/16", "2001:db8:1::/48"} {
				hypervisors[1].Do("announce 200#%s#2001:db8::a", prefix)
				hypervisors[2].Do("announce 200#%s#2001:db8::b", prefix)
			}
			all := []string{
				"200#10.1.0.0/16#2001:db8::a", "200#10.1.0.0/16#2001:db8::b",
				"200#2001:db8:1::/48#2001:db8::a", "200#2001:db8:1::/48#2001:db8::b",
			}
			far := hypervisors[3]
			far.WaitRoutes(30*time.Second, all...)

			t.Log("one goes and comes")
			hypervisors[1].Do("withdraw %s", all[0])
			far.WaitRoutes(10*time.Second, all[1:]...)
			hypervisors[1].Do("announce %s", all[0])
			hypervisors[2].Do("withdraw %s", all[3])
			far.WaitRoutes(10*time.Second, all[:3]...)
			hypervisors[2].Do("announce %s", all[3])
			far.WaitRoutes(10*time.Second, all...)

			t.Log("the reflector dies and comes back")
			kill()
			far.WaitRoutes(20 * time.Second)
			start()
			far.WaitRoutes(30*time.Second, all...)
		})
	}
}
