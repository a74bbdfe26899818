package interop

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// What hypervisors see of the uplink's default routes, which they need most.

func TestDefaultRouteStaysOverAFlapOfTheUplink(t *testing.T) {
	for _, row := range []struct {
		name   string
		uplink func(*lab.Node) router
	}{
		{"FRR", func(n *lab.Node) router { return frrUplink(n, apart, "0.0.0.0/0", "::/0") }},
		{"BIRD", func(n *lab.Node) router { return birdUplink(n, 65000, []int{1}, nil, "0.0.0.0/0", "::/0") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			up := row.uplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"))
			const holdDown = 4 * time.Second
			bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, apart, `
    originate: [{prefix: 0.0.0.0/0, hold-down: 4s}, {prefix: "::/0", hold-down: 4s}]
`))
			h := l.Node("h", "2001:db8::a/64").Hypervisor()
			h.Do("subscribe 100")
			h.Connect(serverAt)
			h.WaitRoutes(30*time.Second, defaults...)

			t.Log("a flap is not seen")
			for _, offers := range []float64{0, 2} {
				for _, p := range []string{"0.0.0.0/0", "::/0"} {
					up.offer(p, offers > 0)
				}
				lab.Eventually(t, 3*time.Second, "offers", func() error {
					if n := bridge.Metric("mbbgp_originated_offers"); n != offers {
						return fmt.Errorf("%v, want %v", n, offers)
					}
					return nil
				})
			}
			lab.Settled(t, holdDown+time.Second, 10*time.Second, "what the hypervisor hears", h.Heard)
			for _, d := range defaults {
				prefix := strings.TrimSuffix(d, "#2001:db8:f::100")
				if story := h.Story(prefix); story != "+2001:db8:f::100" {
					t.Errorf("the hypervisor was told %s of %s", story, prefix)
				}
			}

			t.Log("each family goes and comes alone")
			begun := time.Now()
			up.offer("0.0.0.0/0", false)
			h.WaitRoutes(15*time.Second, defaults[1])
			if held := time.Since(begun); held < holdDown {
				t.Errorf("the default was held for %s, want %s", held, holdDown)
			}
			up.offer("0.0.0.0/0", true)
			h.WaitRoutes(10*time.Second, defaults...)
		})
	}
}

// metalnet looks for a default route about 0.6 s after it has subscribed to the
// public VNI, and gives up without.
func TestDefaultRouteIsThereWhenHypervisorsCanConnect(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	h := l.Node("h", "2001:db8::a/64")
	hypervisor := h.Hypervisor()
	hypervisor.Do("subscribe 100")
	hypervisor.Do("connect %s", serverAt) // tried every second from now on
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	bridge := node.Bridge(publicBridge(1, apart+"  settle: 60s\n", `
    originate: [0.0.0.0/0, "::/0"]
`))
	open := func() error {
		conn, err := h.Dial(t.Context(), "tcp", serverAt)
		if err == nil {
			conn.Close()
		}
		return err
	}
	uplinkNode := l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64")
	if open() == nil {
		t.Error("hypervisors can connect before there is an uplink")
	}
	up := birdUplink(uplinkNode, 65000, []int{1}, nil, "0.0.0.0/0", "::/0")
	lab.Eventually(t, 30*time.Second, "MetalBond listener", open)
	if err := bridge.Holds(defaults...); err != nil {
		t.Error("the listener is open: ", err)
	}
	hypervisor.WaitState(serverAt, "ESTABLISHED", 10*time.Second)
	hypervisor.WaitRoutes(600*time.Millisecond, defaults...)

	t.Log("without an uplink they wait no longer than configured")
	up.kill()
	if status := bridge.Stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	begun := time.Now()
	node.Bridge(publicBridge(1, apart+"  settle: 3s\n", `
    originate: [0.0.0.0/0, "::/0"]
`))
	lab.Eventually(t, 10*time.Second, "MetalBond listener", open)
	if waited := time.Since(begun); waited < 3*time.Second {
		t.Errorf("the listener was open after %s", waited)
	}
	hypervisor.WaitState(serverAt, "ESTABLISHED", 10*time.Second)
	hypervisor.WaitRoutes(time.Second)
	up.start()
	hypervisor.WaitRoutes(20*time.Second, defaults...)
}

// Two bridges hand out one gateway address, which the fabric routes to whichever
// of them is there.
func TestDefaultRouteOfTwoBridgesOutlivesOneOfThem(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	up := birdUplink(l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64"), 65000, []int{1, 3}, nil, "0.0.0.0/0", "::/0")
	var bridges []*lab.MetalBond
	var servers []string
	for _, i := range []int{1, 3} {
		n := l.Node(fmt.Sprintf("bridge%d", i), fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("2001:db8::%d/64", i))
		bridges = append(bridges, n.Bridge(publicBridge(i, apart, `
    originate: [0.0.0.0/0, "::/0"]
    aggregates: [198.51.100.0/24]
`)))
		servers = append(servers, fmt.Sprintf("[2001:db8::%d]:4711", i))
	}
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Do("subscribe 100")
	h.Connect(servers...)
	h.WaitRoutes(30*time.Second, defaults...)
	h.Do("announce 100#198.51.100.7/32#2001:db8::a")
	for _, p := range []string{"198.51.100.7/32", "198.51.100.0/24"} {
		lab.WaitTold(t, 10*time.Second, up, p, 2)
	}

	bridges[0].Kill()
	h.WaitState(servers[0], "RETRY", 20*time.Second)
	for _, p := range []string{"198.51.100.7/32", "198.51.100.0/24"} {
		r := lab.WaitTold(t, 20*time.Second, up, p, 1)[0]
		if r.NextHop != "10.0.0.3" {
			t.Errorf("%s via %s, want the bridge that is left", p, r.NextHop)
		}
	}
	lab.Settled(t, time.Second, 10*time.Second, "what the hypervisor hears", h.Heard)
	h.WaitRoutes(time.Second, defaults...)
	for _, p := range []string{"100#0.0.0.0/0", "100#::/0"} {
		const gw = "2001:db8:f::100"
		if got, want := h.Story(p), "+"+gw+" +"+gw+" -"+gw; got != want { // of both, and lost with one
			t.Errorf("the hypervisor was told %s of %s, want %s", got, p, want)
		}
	}
}

// The default of one uplink takes the place of the other's without a gap.
func TestDefaultRouteOfTwoUplinksOutlivesOneOfThem(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	first := birdUplink(l.Node("bird", "10.0.0.2/24", "2001:db8::2/64"), 65000, []int{1}, nil, "0.0.0.0/0", "::/0")
	second := l.Node("frr", "10.0.0.4/24", "2001:db8::4/64").Unicast(lab.UnicastOptions{
		ASN: 65004, RouterID: "10.0.0.4", Networks: map[string][]string{"ipv4": {"0.0.0.0/0"}, "ipv6": {"::/0"}},
		Neighbors: []lab.FRRNeighbor{
			{Address: "10.0.0.1", ASN: 65001, Families: []string{"ipv4"}},
			{Address: "2001:db8::1", ASN: 65001, Families: []string{"ipv6"}},
		},
	})
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, apart+`
    - {address: 10.0.0.4, asn: 65004, families: [ipv4], timers: {connect-retry: 1s}}
    - {address: "2001:db8::4", asn: 65004, families: [ipv6], timers: {connect-retry: 1s}}
`, `
    originate: [{prefix: 0.0.0.0/0, hold-down: 0s}, {prefix: "::/0", hold-down: 0s}]
`))
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Do("subscribe 100")
	h.Connect(serverAt)
	sessions := func(want float64) {
		t.Helper()
		lab.Eventually(t, 30*time.Second, "BGP sessions", func() error {
			if n := bridge.Metric("mbbgp_bgp_neighbor_up"); n != want {
				return fmt.Errorf("%v are up, want %v", n, want)
			}
			return nil
		})
	}
	// Whichever of them is the best one, it is lost once.
	for _, up := range []router{first, {kill: second.BGP.Kill, start: second.StartBGP}} {
		sessions(4)
		h.WaitRoutes(10*time.Second, defaults...)
		heard := h.Heard()
		up.kill()
		sessions(2)
		lab.Settled(t, time.Second, 10*time.Second, "what the hypervisor hears", h.Heard)
		if n := h.Heard(); n != heard {
			t.Errorf("the hypervisor has heard %d times of the loss of one uplink", n-heard)
		}
		up.start()
	}
}

// A router that restarts keeps forwarding meanwhile (RFC 4724): hypervisors
// hear nothing of it, unless it takes longer than it said.
func TestRoutesStayWhileBIRDRestarts(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	b := l.Node("uplink", "10.0.0.2/24", "2001:db8::2/64").BIRD(`
router id 10.0.0.2;
vpn4 table vpntab4;
vpn6 table vpntab6;
protocol static public4 { ipv4; route 0.0.0.0/0 blackhole; }
protocol static public6 { ipv6; route ::/0 blackhole; }
protocol static customer4 {
  vpn4;
  route 10.0.0.2:1 192.168.2.0/24 via 10.0.0.2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
protocol static customer6 {
  vpn6;
  route 10.0.0.2:1 fd00:2::/64 via 2001:db8::2 mpls 102 { bgp_ext_community.add((rt, 65000, 200)); };
}
protocol bgp bridge {
  local 10.0.0.2 as 65000;
  neighbor 10.0.0.1 as 65001;
  graceful restart on;
  graceful restart time 12;
  connect retry time 1;
  error wait time 1, 1;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; };
  vpn4 mpls { import all; export where source = RTS_STATIC; };
  vpn6 mpls { import all; export where source = RTS_STATIC; };
}
`)
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(publicBridge(1, `
  next-hops: [10.0.0.1, "2001:db8::1"]
  neighbors: [{address: 10.0.0.2, asn: 65000, families: [ipv4, ipv6, vpnv4, vpnv6], timers: {connect-retry: 1s}}]
`, `
    originate: [{prefix: 0.0.0.0/0, hold-down: 0s}, {prefix: "::/0", hold-down: 0s}]
  - vni: 200
    encapsulation: mpls
    label: 1000
    gateway: 2001:db8:f::200
    import: ["65000:200"]
    export: ["65000:200"]
`))
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Do("subscribe 100")
	h.Do("subscribe 200")
	h.Connect(serverAt)
	all := append(viaGateway, defaults...)
	h.WaitRoutes(20*time.Second, all...)
	heard := h.Heard()

	b.Daemon.Kill()
	bridge.WaitLog("BGP session down", 10*time.Second)
	b.StartDaemon()
	b.WaitEstablished("bridge", 20*time.Second)
	lab.Settled(t, 2*time.Second, 10*time.Second, "what the hypervisor hears", h.Heard)
	h.WaitRoutes(time.Second, all...)
	if n := h.Heard(); n != heard {
		t.Errorf("the hypervisor has heard %d times of the restart", n-heard)
	}

	b.Daemon.Kill()
	h.WaitRoutes(25 * time.Second)
}
