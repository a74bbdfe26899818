package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Three sites, each a MetalBond domain of its own with an mbbgp as its server,
// kept in step by BGP through a route reflector: what a hypervisor announces in
// one is what hypervisors of all three read, in every field.

// sites is that topology.
type sites struct {
	t         *testing.T
	reflector func() *lab.Process // starts it, again after it was ended
	running   *lab.Process
	list      []*site
}

type site struct {
	node                *lab.Node
	config              string
	bridge              *lab.MetalBond
	announcer, listener *lab.Hypervisor
	routes              map[string]bool // announced now
}

func (s *site) server() string { return "[::1]:4711" }

// siteConfig is the bridge of site i. Lossless in both VNIs.
func siteConfig(i int, encapsulation, families string) string {
	vni := func(n int) string {
		return fmt.Sprintf(`  - vni: %d
    encapsulation: %s
    import: ["65000:%[1]d"]
    export:
      targets: ["65000:%[1]d"]
      types: [standard, nat, loadbalancer-target]
`, n, encapsulation)
	}
	return fmt.Sprintf(`
router-id: 10.0.0.%d
asn: 65000
domain: "65000:%[1]d"
metalbond:
  listen: "[::]:4711"
bgp:
  neighbors:
    - address: 10.0.0.9
      asn: 65000
      families: [%s]
      timers: {connect-retry: 1s}
vnis:
`, i, families) + vni(200) + vni(300)
}

// newSites starts three sites around a reflector, which is started on a node
// that has the address 10.0.0.9.
func newSites(t *testing.T, encapsulation, families string, reflector func(*lab.Node) func() *lab.Process) *sites {
	l := lab.New(t)
	s := &sites{t: t}
	node := l.Node("reflector", "10.0.0.9/24", "2001:db8::9/64")
	s.reflector = reflector(node)
	s.running = s.reflector()
	for i := 1; i <= 3; i++ {
		x := &site{
			node:   l.Node(fmt.Sprintf("site%d", i), fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("2001:db8::%d/64", i)),
			config: siteConfig(i, encapsulation, families),
			routes: make(map[string]bool),
		}
		x.bridge = x.node.Bridge(x.config)
		x.announcer, x.listener = x.node.Hypervisor("-quiet"), x.node.Hypervisor("-quiet")
		x.listener.Do("subscribe 200")
		for _, h := range []*lab.Hypervisor{x.announcer, x.listener} {
			h.Connect(x.server())
		}
		s.list = append(s.list, x)
	}
	return s
}

// set announces or withdraws a route in a site.
func (x *site) set(route string, on bool) {
	if x.routes[route] == on {
		return
	}
	command := "announce"
	if !on {
		command = "withdraw"
	}
	x.announcer.Do("%s %s", command, route)
	x.routes[route] = on
}

// expect waits until the listeners of all sites read the routes of all sites.
func (s *sites) expect(what string, within time.Duration) {
	s.t.Helper()
	s.t.Log(what)
	var want []string
	for _, x := range s.list {
		for r, on := range x.routes {
			if on {
				want = append(want, r)
			}
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, x := range s.list {
		x.listener.WaitRoutes(within, want...)
	}
}

// routesOf are routes of site i, of all types and families. Some of the
// prefixes are announced in every site, each with next hops of its own.
func routesOf(i int) []string {
	hop := func(n int) string { return fmt.Sprintf("2001:db8:%d::%x", i, n) }
	return []string{
		fmt.Sprintf("200#10.%d.0.1/32#%s", i, hop(1)),
		fmt.Sprintf("200#10.%d.0.0/16#%s", i, hop(2)),
		fmt.Sprintf("200#2001:db8:c:%d::/64#%s", i, hop(1)),
		fmt.Sprintf("200#10.77.0.1/32#%s", hop(1)),
		fmt.Sprintf("200#10.77.0.1/32#%s", hop(2)),
		fmt.Sprintf("200#2001:db8:c:77::1/128#%s", hop(3)),
		fmt.Sprintf("200#198.51.100.%d/32#%s#NAT#1024#2048", i, hop(4)),
		fmt.Sprintf("200#198.51.100.77/32#%s#NAT#%d#%d", hop(5), i*2000, i*2000+1999),
		fmt.Sprintf("200#198.51.100.77/32#%s#NAT#%d#%d", hop(5), i*2000+10000, i*2000+10064),
		fmt.Sprintf("200#203.0.113.%d/32#%s#LB", i, hop(6)),
		fmt.Sprintf("200#203.0.113.77/32#%s#LB", hop(6)),
		fmt.Sprintf("200#203.0.113.77/32#%s#LB", hop(7)),
		fmt.Sprintf("200#10.%d.9.0/24#%s@300", i, hop(8)),
		fmt.Sprintf("200#0.0.0.0/0#%s", hop(9)),
		fmt.Sprintf("200#198.51.100.88/32#%s#NAT#0#65535", hop(9)),
	}
}

// stepTime is long enough for a session to be made anew on a busy machine.
const stepTime = 40 * time.Second

// constrain checks that a bridge gets what its hypervisors subscribe to, and
// nothing else.
func (s *sites) constrain() {
	t := s.t
	t.Log("a VNI that no hypervisor of a site reads does not come to its bridge")
	from, to := s.list[0], s.list[2]
	const route = "300#10.30.0.1/32#2001:db8:1::1"
	from.announcer.Do("announce " + route)
	s.list[1].listener.Do("subscribe 300")
	lab.Eventually(t, stepTime, "VNI 300 of site 2", func() error { return s.list[1].listener.Holds(route) })
	if n := to.bridge.Metric("mbbgp_vni_prefixes", `vni="300"`); n != 0 {
		t.Errorf("site 3 has %v prefixes of VNI 300, and nobody asked", n)
	}
	if n := to.bridge.Metric("mbbgp_bgp_neighbor_updates_total"); n == 0 {
		t.Errorf("site 3 has heard nothing at all")
	}
	to.listener.Do("subscribe 300")
	lab.Eventually(t, stepTime, "VNI 300 of site 3", func() error { return to.listener.Holds(route) })
	from.announcer.Do("withdraw " + route)
	for _, x := range s.list[1:] {
		lab.Eventually(t, stepTime, "VNI 300", func() error {
			if x.listener.Holds(route) == nil {
				return errors.New("still there")
			}
			return nil
		})
		x.listener.Do("unsubscribe 300")
	}
}

func (s *sites) run() {
	t := s.t
	for i, x := range s.list {
		for _, r := range routesOf(i + 1) {
			x.set(r, true)
		}
	}
	s.expect("all routes of all sites are in all sites", stepTime)

	if strings.Contains(s.list[0].config, "rtc") {
		s.constrain()
	}

	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		i := random.IntN(3)
		all := routesOf(i + 1)
		s.list[i].set(all[random.IntN(len(all))], random.IntN(2) == 0)
	}
	s.expect("and equal after churn", stepTime)

	t.Log("a site is killed: its routes are gone from the others")
	lost := s.list[1]
	lost.bridge.Kill()
	kept := lost.routes
	lost.routes = nil
	remain := []*site{s.list[0], s.list[2]}
	all := s.list
	s.list = remain
	s.expect("the others stay in step", 2*stepTime)

	lost.routes = kept
	s.list = all
	lost.bridge = lost.node.Bridge(lost.config)
	s.expect("and are in step with it when it is back", stepTime)

	s.running.Stop(syscall.SIGTERM)
	for i, x := range s.list {
		x.set(fmt.Sprintf("200#10.%d.0.99/32#2001:db8:%d::99", i+1, i+1), true)
		x.set(routesOf(i + 1)[6], false)
	}
	s.running = s.reflector()
	s.expect("what changed while there was no reflector is known when it is back", 2*stepTime)
}

// reflectorConfig makes a route reflector of an mbbgp without VNIs.
const reflectorConfig = `
router-id: 10.0.0.9
asn: 65000
bgp:
  dynamic-neighbors:
    - prefix: 10.0.0.0/24
      asn: 65000
      families: [evpn, vpnv4, vpnv6, rtc]
      route-reflector-client: true
`

// throughMBBGP reflects with an mbbgp, which is GoBGP.
func throughMBBGP(n *lab.Node) func() *lab.Process {
	return func() *lab.Process { return n.Bridge(reflectorConfig).Process }
}

// throughFRR reflects with FRR.
func throughFRR(n *lab.Node) func() *lab.Process {
	var f *lab.FRR
	return func() *lab.Process {
		if f != nil {
			f.StartBGP()
			return f.BGP
		}
		n.Run("ip", "-6", "route", "add", "2001:db8::/32", "dev", "lan") // to the hypervisors: FRR tracks next hops
		var clients []lab.FRRNeighbor
		for i := 1; i <= 3; i++ {
			clients = append(clients, lab.FRRNeighbor{Address: fmt.Sprintf("10.0.0.%d", i), ASN: 65000})
		}
		f = n.FRR(lab.FRROptions{ASN: 65000, RouterID: "10.0.0.9", VNI: 999, MAC: "02:00:00:00:00:fe", IBGP: true, Neighbors: clients})
		return f.BGP
	}
}

func TestSitesStayInStepThroughAReflector(t *testing.T) {
	for _, row := range []struct {
		name, encapsulation, families string
		reflector                     func(*lab.Node) func() *lab.Process
	}{
		{"IP in IP, EVPN through FRR", "ip-in-ip", "evpn", throughFRR},
		{"SRv6, VPN with route target constraint through GoBGP", "srv6", "vpnv4, vpnv6, rtc", throughMBBGP},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			newSites(t, row.encapsulation, row.families, row.reflector).run()
		})
	}
}
