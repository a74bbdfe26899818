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

// VPNv4 and VPNv6 with provider edges: FRR with a VRF, and BIRD, whose VPN
// tables are the test's to fill.

// vpnBridge bridges VNI 200. Neighbours are mappings of AS 65000.
func vpnBridge(vni string, neighbors ...string) string {
	return fmt.Sprintf(`
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond:
  listen: "[::]:4711"
  gateways: ["2001:db8:f::/64"]
bgp:
  next-hops: [10.0.0.1, "2001:db8::1"]
  neighbors:
    - {%s, asn: 65000, timers: {connect-retry: 1s}}
vnis:
  - vni: 200
    gateway: 2001:db8:f::200
    import: ["65000:200"]
    export: ["65000:200"]
%s
`, strings.Join(neighbors, ", asn: 65000, timers: {connect-retry: 1s}}\n    - {"), vni)
}

// router is a peer in the fabric that the test controls.
type router struct {
	lab.Router
	offer       func(prefix string, on bool) // of its own prefixes, all of which it offers at first
	kill, start func()                       // of the daemon
}

// frrEdge and birdEdge are provider edges with the prefixes 192.168.2.0/24 and
// fd00:2::/64.
func frrEdge(n *lab.Node, o lab.VPNOptions) router {
	o.ASN, o.RouterID, o.Target = 65000, "10.0.0.2", "65000:200"
	o.Connected = []string{"192.168.2.1/24", "fd00:2::1/64"}
	f := n.VPN(o)
	return router{f, func(prefix string, on bool) {
		address := o.Connected[0]
		if strings.Contains(prefix, ":") {
			address = o.Connected[1]
		}
		f.Run("ip", "-n", "red", "address", map[bool]string{true: "add", false: "del"}[on], address, "dev", "c0")
	}, func() { f.BGP.Kill() }, f.StartBGP}
}

// birdEdge has a session over each of IPv4 and IPv6 that channels are given for.
func birdEdge(n *lab.Node, channels4, channels6 string) router {
	session := "protocol bgp { local %s as 65000; neighbor %s as 65001; connect retry time 1; error wait time 1, 1; %s }\n"
	config := `
router id 10.0.0.2;
vpn4 table vpntab4;
vpn6 table vpntab6;
protocol static customer4 {
  vpn4;
  route 10.0.0.2:1 192.168.2.0/24 via 10.0.0.2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
protocol static customer6 {
  vpn6;
  route 10.0.0.2:1 fd00:2::/64 via 2001:db8::2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
`
	if channels4 != "" {
		config += fmt.Sprintf(session, "10.0.0.2", "10.0.0.1", channels4)
	}
	if channels6 != "" {
		config += fmt.Sprintf(session, "2001:db8::2", "2001:db8::1", channels6)
	}
	b := n.BIRD(config)
	return router{b, func(prefix string, on bool) {
		protocol := "customer4"
		if strings.Contains(prefix, ":") {
			protocol = "customer6"
		}
		b.Enable(protocol, on)
	}, func() { b.Daemon.Kill() }, b.StartDaemon}
}

const (
	vpn4 = "vpn4 mpls { import all; export all; }; "
	vpn6 = "vpn6 mpls { import all; export all; }; "
	// vpn4over6 has the capability of RFC 8950, as vpn4 has not.
	vpn4over6 = "vpn4 mpls { import all; export all; extended next hop; }; "
)

func TestVPNRoutesWithLabelsCrossBetweenHypervisorAnd(t *testing.T) {
	const (
		neighbor4 = "address: 10.0.0.2, families: [vpnv4]"
		neighbor6 = `address: "2001:db8::2", families: [vpnv6]`
	)
	for _, row := range []struct {
		name      string
		edge      func(*lab.Node) router
		neighbors []string
	}{
		{
			name: "FRR over a session for each family",
			edge: func(n *lab.Node) router {
				return frrEdge(n, lab.VPNOptions{Label: 102, Neighbors: []lab.FRRNeighbor{
					{Address: "10.0.0.1", ASN: 65001, Families: []string{"ipv4"}},
					{Address: "2001:db8::1", ASN: 65001, Families: []string{"ipv6"}},
				}})
			},
			neighbors: []string{neighbor4, neighbor6},
		},
		{
			name: "FRR over one IPv4 session",
			edge: func(n *lab.Node) router {
				return frrEdge(n, lab.VPNOptions{Label: 102, Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}}})
			},
			neighbors: []string{`address: 10.0.0.2, families: [vpnv4, vpnv6]`},
		},
		{
			name: "BIRD over a session for each family",
			edge: func(n *lab.Node) router {
				return birdEdge(n, vpn4, vpn6)
			},
			neighbors: []string{neighbor4, neighbor6},
		},
		{
			name: "BIRD over one IPv6 session",
			edge: func(n *lab.Node) router {
				return birdEdge(n, "", vpn4over6+vpn6)
			},
			neighbors: []string{`address: "2001:db8::2", families: [vpnv4, vpnv6]`},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			pe := row.edge(l.Node("pe", "10.0.0.2/24", "2001:db8::2/64"))
			bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(vpnBridge(
				"    encapsulation: mpls\n    label: 1000", row.neighbors...))
			a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
			a.Do("subscribe 200")
			a.Connect(serverAt)
			b.Connect(serverAt)

			t.Log("the customer is known to a hypervisor")
			a.WaitRoutes(30*time.Second, viaGateway...)

			t.Log("prefixes of a hypervisor are known to the provider edge")
			b.Do("announce 200#10.1.0.7/32#2001:db8::b")
			b.Do("announce 200#2001:db8:1::/48#2001:db8::b")
			for prefix, nexthop := range map[string]string{"10.1.0.7/32": "10.0.0.1", "2001:db8:1::/48": "2001:db8::1"} {
				r := lab.WaitTold(t, 10*time.Second, pe, prefix, 1)[0]
				if r.Label != 1000 || r.RD != "10.0.0.1:200" || r.NextHop != nexthop || r.ASPath != "65001" ||
					!slices.Equal(r.Communities, []string{"RT:65000:200", "SoO:65001:1"}) {
					t.Errorf("%s is %+v, want label 1000, RD 10.0.0.1:200, next hop %s, target and origin", prefix, r, nexthop)
				}
			}

			t.Log("changes cross")
			b.Do("withdraw 200#10.1.0.7/32#2001:db8::b")
			lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 0)
			b.Do("announce 200#10.1.0.7/32#2001:db8::b")
			pe.offer("192.168.2.0/24", false)
			mine := []string{"200#10.1.0.7/32#2001:db8::b", "200#2001:db8:1::/48#2001:db8::b"}
			a.WaitRoutes(10*time.Second, append(mine, viaGateway[1])...)
			pe.offer("192.168.2.0/24", true)
			pe.offer("fd00:2::/64", false)
			a.WaitRoutes(10*time.Second, append(mine, viaGateway[0])...)
			pe.offer("fd00:2::/64", true)
			a.WaitRoutes(10*time.Second, append(mine, viaGateway...)...)
			lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 1)

			t.Log("the provider edge dies and comes back")
			pe.kill()
			a.WaitRoutes(10*time.Second, mine...)
			pe.start()
			a.WaitRoutes(30*time.Second, append(mine, viaGateway...)...)
			lab.WaitTold(t, 30*time.Second, pe, "2001:db8:1::/48", 1)

			t.Log("a hypervisor dies, and its routes with it")
			b.Kill()
			lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 0)
			lab.WaitTold(t, 10*time.Second, pe, "2001:db8:1::/48", 0)

			t.Log("the bridge ends, and its routes with it")
			a.Do("announce 200#10.1.0.7/32#2001:db8::a")
			lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 1)
			if status := bridge.Stop(syscall.SIGTERM); status != 0 {
				t.Errorf("exit status %d", status)
			}
			lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 0)
		})
	}
}

func TestSRv6RoutesCrossBetweenHypervisorAndFRR(t *testing.T) {
	for _, row := range []struct {
		name, options string
		nexthops      map[string]string // of the routes of 2001:db8::b, by FRR's family
	}{
		{
			name:     "next hop is the hypervisor",
			nexthops: map[string]string{"ipv4": "2001:db8::b", "ipv6": "2001:db8::b"},
		},
		{
			name: "next hop is the bridge", options: "srv6: {next-hop: self}",
			nexthops: map[string]string{"ipv4": "10.0.0.1", "ipv6": "2001:db8::1"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			n := l.Node("pe", "10.0.0.2/24", "2001:db8::2/64")
			pe := frrEdge(n, lab.VPNOptions{
				Locator: "2001:db8:2:1::/64", NextHop: "2001:db8::2",
				Neighbors: []lab.FRRNeighbor{{Address: "2001:db8::1", ASN: 65001, Options: []string{"capability extended-nexthop"}}},
			})
			l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(vpnBridge(
				"    encapsulation: srv6\n    "+row.options, `address: "2001:db8::2", families: [vpnv4, vpnv6]`))
			a := l.Node("a", "2001:db8::a/64").Hypervisor()
			b, c := l.Node("b", "2001:db8::b/64").Hypervisor(), l.Node("c", "2001:db8::c/64").Hypervisor()
			a.Do("subscribe 200")
			for _, h := range []*lab.Hypervisor{a, b, c} {
				h.Connect(serverAt)
			}

			t.Log("a hypervisor gets the SIDs of the VRF, with the bits that are in the labels")
			sids := []string{"200#192.168.2.0/24#2001:db8:2:1:100::", "200#fd00:2::/64#2001:db8:2:1:200::"}
			a.WaitRoutes(30*time.Second, sids...)

			t.Log("the provider edge gets hypervisors as SIDs")
			for _, prefix := range []string{"10.1.0.7/32", "2001:db8:1::/48"} {
				b.Do("announce 200#%s#2001:db8::b", prefix)
				r := lab.WaitTold(t, 10*time.Second, pe, prefix, 1)[0]
				if r.SID != "2001:db8::b" || r.Label != 3 || r.RD != "10.0.0.1:200" ||
					!slices.Equal(r.Communities, []string{"RT:65000:200", "SoO:65001:1"}) {
					t.Errorf("%s is %+v, want SID 2001:db8::b, label 3, RD 10.0.0.1:200, target and origin", prefix, r)
				}
			}
			for family, nexthop := range row.nexthops {
				// The structure of a SID, and IPv6 next hops of IPv4, are in this form only.
				table := n.Run("vtysh", "-c", "show bgp "+family+" vpn")
				if !strings.Contains(table, "sid=2001:db8::b sid_structure=[48,16,64,0]") {
					t.Errorf("SID and its structure are not in\n%s", table)
				}
				if !strings.Contains(table, " "+nexthop+" ") {
					t.Errorf("next hop %s is not in\n%s", nexthop, table)
				}
			}

			t.Log("a second next hop has a path of its own, and a machine moves")
			c.Do("announce 200#10.1.0.7/32#2001:db8::c")
			both := lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 2)
			if both[0].RD == both[1].RD || both[0].SID == both[1].SID {
				t.Errorf("paths %+v, want two RDs and two SIDs", both)
			}
			b.Do("withdraw 200#10.1.0.7/32#2001:db8::b")
			if r := lab.WaitTold(t, 10*time.Second, pe, "10.1.0.7/32", 1)[0]; r.SID != "2001:db8::c" {
				t.Errorf("%+v, want SID 2001:db8::c", r)
			}
			mine := []string{"200#10.1.0.7/32#2001:db8::c", "200#2001:db8:1::/48#2001:db8::b"}

			t.Log("the provider edge dies and comes back")
			pe.kill()
			a.WaitRoutes(10*time.Second, mine...)
			pe.start()
			a.WaitRoutes(30*time.Second, append(mine, sids...)...)
			lab.WaitTold(t, 30*time.Second, pe, "10.1.0.7/32", 1)
			b.Kill()
			lab.WaitTold(t, 10*time.Second, pe, "2001:db8:1::/48", 0)
		})
	}
}

// RFC 8950: who has not said that it takes IPv6 next hops of VPNv4 routes must
// not be sent any, and may end the session otherwise.
func TestIPv6NextHopsOfVPNv4ReachOnlyWhoCanTakeThem(t *testing.T) {
	frr := func(options ...string) func(*lab.Node) lab.Router {
		return func(n *lab.Node) lab.Router {
			return frrEdge(n, lab.VPNOptions{
				Locator: "2001:db8:2:1::/64", NextHop: "2001:db8::2",
				Neighbors: []lab.FRRNeighbor{{Address: "2001:db8::1", ASN: 65001, Options: options}},
			})
		}
	}
	for _, row := range []struct {
		name  string
		peer  func(*lab.Node) lab.Router
		taken bool
	}{
		{"FRR without the capability", frr(), false},
		{"FRR with it", frr("capability extended-nexthop"), true},
		{"BIRD without the capability", func(n *lab.Node) lab.Router { return birdEdge(n, "", vpn4+vpn6) }, false},
		{"BIRD with it", func(n *lab.Node) lab.Router { return birdEdge(n, "", vpn4over6+vpn6) }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			peer := row.peer(l.Node("pe", "10.0.0.2/24", "2001:db8::2/64"))
			bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(vpnBridge(
				"    encapsulation: srv6", `address: "2001:db8::2", families: [vpnv4, vpnv6]`))
			h := l.Node("h", "2001:db8::a/64").Hypervisor()
			h.Connect(serverAt)
			h.Do("announce 200#10.1.0.7/32#2001:db8::a")
			h.Do("announce 200#2001:db8:1::/48#2001:db8::a")
			lab.WaitTold(t, 30*time.Second, peer, "2001:db8:1::/48", 1)
			h.Do("announce 200#10.2.0.7/32#2001:db8::a")
			h.Do("announce 200#2001:db8:2::/48#2001:db8::a") // the last one
			lab.WaitTold(t, 10*time.Second, peer, "2001:db8:2::/48", 1)
			want := map[bool]int{true: 1, false: 0}[row.taken]
			lab.WaitTold(t, 5*time.Second, peer, "10.1.0.7/32", want)
			lab.WaitTold(t, 5*time.Second, peer, "10.2.0.7/32", want)
			if downs := bridge.Times("BGP session down"); downs > 0 {
				t.Errorf("the session was lost %d times", downs)
			}
		})
	}
}
