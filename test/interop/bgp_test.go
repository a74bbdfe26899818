package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The fabric's side: FRR as a leaf with a VRF, and a GoBGP speaker where a test
// wants to see every path, or to say something that FRR would not.

// bridgeConfig bridges VNI 200 with the fabric's route target 65000:200.
// metalbond and vni are added to their sections.
func bridgeConfig(id string, asn int, neighbor string, neighborAS int, metalbond, vni string) string {
	return fmt.Sprintf(`
router-id: %s
asn: %d
domain: "65001:1"
metalbond:
  gateways: ["2001:db8:f::/64"]
%s
bgp:
  api: 127.0.0.1:50051
  neighbors:
    - address: %s
      asn: %d
      timers: {connect-retry: 1s}
vnis:
  - vni: 200
    name: tenant-a
    import: ["target:65000:200"]
    export: ["target:65000:200"]
%s
`, id, asn, metalbond, neighbor, neighborAS, vni)
}

const (
	listenHere = `  listen: "[::]:4711"`
	gateway    = `    gateway: 2001:db8:f::200`
)

// leaf is an FRR with VNI 200.
func leaf(n *lab.Node, id string, asn uint32, neighbor string, neighborAS uint32) *lab.FRR {
	return n.FRR(lab.FRROptions{
		ASN: asn, RouterID: id, VNI: 200, Target: "65000:200", MAC: "02:00:00:00:00:fe",
		Neighbors: []lab.FRRNeighbor{{Address: neighbor, ASN: neighborAS}},
		Connected: []string{"192.168.2.1/24", "fd00:2::1/64"},
	})
}

// viaGateway are the routes of the leaf's customer as hypervisors see them.
var viaGateway = []string{
	"200#192.168.2.0/24#2001:db8:f::200",
	"200#fd00:2::/64#2001:db8:f::200",
}

func TestRoutesCrossBetweenHypervisorAndFRR(t *testing.T) {
	for _, row := range []struct {
		name         string
		bridge, leaf string // ends of the BGP session
		asn, leafASN uint32
	}{
		{name: "eBGP over IPv4", bridge: "10.0.0.1", leaf: "10.0.0.2", asn: 65001, leafASN: 65000},
		{name: "eBGP over IPv6", bridge: "2001:db8::1", leaf: "2001:db8::2", asn: 65001, leafASN: 65000},
		{name: "iBGP over IPv4", bridge: "10.0.0.1", leaf: "10.0.0.2", asn: 65000, leafASN: 65000},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			f := leaf(l.Node("leaf", "10.0.0.2/24", "2001:db8::2/64"), "10.0.0.2", row.leafASN, row.bridge, row.asn)
			node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
			bridge := node.Bridge(bridgeConfig("10.0.0.1", int(row.asn), row.leaf, int(row.leafASN), listenHere, gateway))
			a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
			a.Do("subscribe 200")
			a.Connect(serverAt)
			b.Connect(serverAt)

			t.Log("the customer of the leaf is known to a hypervisor")
			a.WaitRoutes(30*time.Second, viaGateway...)
			bridge.WaitReady(10 * time.Second)

			t.Log("prefixes of a hypervisor are in the leaf's VRF")
			b.Do("announce 200#10.1.0.7/32#2001:db8::b")
			b.Do("announce 200#2001:db8:1::/48#2001:db8::b")
			f.WaitRoute(10*time.Second, "10.1.0.7")
			f.WaitRoute(10*time.Second, "2001:db8:1::/48")
			routes, err := f.Type5()
			if err != nil {
				t.Fatal(err)
			}
			if len(routes) != 2 {
				t.Errorf("%d routes, want 2: %+v", len(routes), routes)
			}
			for _, r := range routes {
				if !strings.HasPrefix(r.RD, "10.0.0.1:") || r.VNI != 200 || !r.Valid || !r.Best || !slices.Equal(r.NextHops, []string{"10.0.0.1"}) {
					t.Errorf("route %+v, want RD 10.0.0.1:N, VNI 200, valid, best, next hop 10.0.0.1", r)
				}
				for _, c := range []string{"RT:65000:200", "SoO:65001:1", "ET:8", "Rmac:02:00:0a:00:00:01"} {
					if !slices.Contains(strings.Fields(r.Community), c) {
						t.Errorf("%s is not among the communities %q of %s", c, r.Community, r.Prefix)
					}
				}
			}

			t.Log("withdrawals cross, too")
			b.Do("withdraw 200#10.1.0.7/32#2001:db8::b")
			f.WaitNoRoute(10*time.Second, "10.1.0.7")
			f.Run("ip", "-n", "red", "address", "del", "192.168.2.1/24", "dev", "c0")
			a.WaitRoutes(10*time.Second, viaGateway[1], "200#2001:db8:1::/48#2001:db8::b")
			f.Run("ip", "-n", "red", "address", "add", "192.168.2.1/24", "dev", "c0")
			a.WaitRoutes(10*time.Second, append(viaGateway, "200#2001:db8:1::/48#2001:db8::b")...)

			t.Log("a hypervisor dies, and its routes with it")
			b.Kill()
			f.WaitNoRoute(10*time.Second, "2001:db8:1::/48")

			t.Log("the leaf dies and comes back")
			f.BGP.Kill()
			a.WaitRoutes(10 * time.Second)
			f.StartBGP()
			a.WaitRoutes(30*time.Second, viaGateway...)

			t.Log("the bridge ends in order, and the hypervisors learn of it")
			if status := bridge.Stop(15); status != 0 {
				t.Errorf("exit status %d", status)
			}
			a.WaitRoutes(5 * time.Second)
		})
	}
}

func TestStockGoBGPCommandShowsTheRunningBridge(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.Bridge(bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Connect(serverAt)
	h.Do("announce 200#10.1.0.0/16#2001:db8::a")
	s.WaitPrefixes(20*time.Second, "10.1.0.0/16")
	s.Do("announce 10.0.0.2:7 10.7.0.0/16 200 10.0.0.2 65000:200 02:00:00:00:00:02")

	var neighbors []struct {
		State struct {
			NeighborAddress string `json:"neighbor_address"`
			PeerASN         uint32 `json:"peer_asn"`
			SessionState    any    `json:"session_state"`
		} `json:"state"`
	}
	if err := node.GoBGP(&neighbors, "neighbor"); err != nil {
		t.Fatal(err)
	}
	if len(neighbors) != 1 || neighbors[0].State.NeighborAddress != "10.0.0.2" || neighbors[0].State.PeerASN != 65000 {
		t.Errorf("gobgp neighbor: %+v", neighbors)
	}
	lab.Eventually(t, 10*time.Second, "gobgp global rib", func() error {
		out, err := node.Try(lab.Program("gobgp"), "-p", "50051", "global", "rib", "-a", "evpn")
		if err != nil {
			return err
		}
		for _, prefix := range []string{"10.1.0.0/16", "10.7.0.0/16"} {
			if !strings.Contains(out, "[prefix:"+prefix+"]") {
				return fmt.Errorf("%s is not in\n%s", prefix, out)
			}
		}
		return nil
	})
}

func TestEachNextHopOfAPrefixHasItsOwnPath(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, "    encapsulation: ip-in-ip"))
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	for h, nexthop := range map[*lab.Hypervisor]string{a: "2001:db8::a", b: "2001:db8::b"} {
		h.Connect(serverAt)
		h.Do("announce 200#10.1.0.0/16#%s", nexthop)
	}
	s.WaitCount(20*time.Second, 2)
	paths := s.Paths()
	if paths[0].RD == paths[1].RD {
		t.Errorf("both paths have RD %s", paths[0].RD)
	}
	var nexthops []string
	for _, p := range paths {
		nexthops = append(nexthops, p.NextHop)
		if p.Label != 200 || !p.Has("65000:200") || p.Tag != 0 || p.Gateway != "" {
			t.Errorf("path %+v, want label 200, target 65000:200, no tag, no gateway", p)
		}
	}
	slices.Sort(nexthops)
	if !slices.Equal(nexthops, []string{"2001:db8::a", "2001:db8::b"}) {
		t.Errorf("next hops %v, want the hypervisors", nexthops)
	}
	a.Kill()
	lab.Eventually(t, 10*time.Second, "paths after the death of one hypervisor", func() error {
		if p := s.Paths(); len(p) != 1 || p[0].NextHop != "2001:db8::b" {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func TestOnlyStandardRoutesLeaveMetalBond(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	announce(h, allTypes("2001:db8::a"))
	h.Do("announce 200#10.50.0.0/16#2001:db8:f::201") // another gateway's word
	h.Do("announce 201#10.60.0.0/16#2001:db8::a")     // a VNI that is not bridged
	h.Do("announce 200#10.70.0.0/16#2001:db8::a")     // the last one
	h.Connect(serverAt)
	s.WaitPrefixes(20*time.Second, "10.1.0.0/16", "10.70.0.0/16", "2001:db8:1::/48")
	lab.Settled(t, time.Second, 10*time.Second, "what the fabric hears", s.Heard)
	s.WaitPrefixes(time.Second, "10.1.0.0/16", "10.70.0.0/16", "2001:db8:1::/48")
}

func TestOnlyRoutesOfTheVNIAndOfOthersComeFromBGP(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Do("subscribe 200")
	h.Connect(serverAt)
	s.WaitEstablished("10.0.0.1", 20*time.Second)
	const attributes = "200 10.0.0.2 %s 02:00:00:00:00:02"
	s.Do("announce 10.0.0.2:7 10.10.0.0/16 "+attributes, "65000:200,soo:65001:1") // went out from this domain
	s.Do("announce 10.0.0.2:7 10.20.0.0/16 "+attributes, "65000:201")             // another tenant's
	s.Do("announce 10.0.0.2:7 10.30.0.0/16 "+attributes, "65000:200,soo:65002:1") // another domain's
	s.Do("announce 10.0.0.2:7 10.40.0.0/16 "+attributes, "65000:201,65000:200")   // ours, too
	s.Do("announce 10.0.0.2:8 10.40.0.0/16 "+attributes, "65000:200")             // the same from another VRF
	s.Do("announce 10.0.0.2:7 2001:db8:40::/48 "+attributes, "65000:200")
	s.Do("host 10.0.0.2:7 02:00:00:00:00:77 10.77.0.1 5077 200 10.0.0.2 65000:200 02:00:00:00:00:02")
	want := []string{
		"200#10.30.0.0/16#2001:db8:f::200", "200#10.40.0.0/16#2001:db8:f::200",
		"200#10.77.0.1/32#2001:db8:f::200", "200#2001:db8:40::/48#2001:db8:f::200",
	}
	h.WaitRoutes(10*time.Second, want...)

	t.Log("the prefix stays while one of two VRFs has it")
	s.Do("withdraw 10.0.0.2:7 10.40.0.0/16")
	s.Do("withdraw 10.0.0.2:7 10.30.0.0/16")
	h.WaitRoutes(10*time.Second, want[1:]...)
	s.Do("withdraw 10.0.0.2:8 10.40.0.0/16")
	h.WaitRoutes(10*time.Second, want[2:]...)
}

func TestPrefixOfAHypervisorIsNotReplacedByTheFabrics(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	a.Do("subscribe 200")
	a.Connect(serverAt)
	b.Connect(serverAt)
	s.WaitEstablished("10.0.0.1", 20*time.Second)
	native, redistributed := "200#10.1.0.0/16#2001:db8::b", "200#10.1.0.0/16#2001:db8:f::200"
	s.Do("announce 10.0.0.2:7 10.1.0.0/16 200 10.0.0.2 65000:200 02:00:00:00:00:02")
	a.WaitRoutes(10*time.Second, redistributed)
	b.Do("announce %s", native)
	a.WaitRoutes(10*time.Second, native)
	s.WaitPrefixes(10*time.Second, "10.1.0.0/16")
	b.Do("withdraw %s", native)
	a.WaitRoutes(10*time.Second, redistributed)
	s.WaitPrefixes(10 * time.Second)
}
