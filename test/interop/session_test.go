package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// What a neighbour may want of the session, with FRR on the other end.
func TestSessionsWithFRRComeUpWith(t *testing.T) {
	for _, row := range []struct {
		name     string
		neighbor string   // the neighbours of our configuration
		frr      []string // lines of FRR's neighbour
		peer     string   // our end, if it is not 10.0.0.1
		asn      uint32   // ours in FRR's eyes, if it is not 65001
		hop      bool     // the leaf is another loopback away
	}{
		{
			name:     "a password",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, password-file: /run/key, timers: {connect-retry: 1s}}]",
			frr:      []string{"password secret"},
		},
		{
			name:     "us waiting for it",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, passive: true}]",
		},
		{
			name:     "it waiting for us",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, timers: {connect-retry: 1s}}]",
			frr:      []string{"passive"},
		},
		{
			name:     "a neighbour that we know by its prefix only",
			neighbor: "dynamic-neighbors: [{prefix: 10.0.0.0/24, asn: 65000}]",
		},
		{
			name:     "several hops between",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, multihop: 3, local-address: 10.9.9.1, timers: {connect-retry: 1s}}]",
			frr:      []string{"ebgp-multihop 3"},
			peer:     "10.9.9.1", hop: true,
		},
		{
			name:     "another AS number of ours",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, local-asn: 64999, timers: {connect-retry: 1s}}]",
			asn:      64999,
		},
		{
			name:     "short timers",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, timers: {hold: 3s, keepalive: 1s, connect-retry: 1s}}]",
		},
		{
			name:     "no graceful restart",
			neighbor: "neighbors: [{address: 10.0.0.2, asn: 65000, graceful-restart: off, timers: {connect-retry: 1s}}]",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			peer, asn := "10.0.0.1", uint32(65001)
			if row.peer != "" {
				peer = row.peer
			}
			if row.asn != 0 {
				asn = row.asn
			}
			leafNode := l.Node("leaf", "10.0.0.2/24")
			node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
			node.WriteFile("/run/key", "secret\n")
			if row.hop {
				node.Run("ip", "address", "add", "10.9.9.1/32", "dev", "lo")
				leafNode.Run("ip", "route", "add", "10.9.9.1/32", "via", "10.0.0.1")
			}
			f := leafNode.FRR(lab.FRROptions{
				ASN: 65000, RouterID: "10.0.0.2", VNI: 200, MAC: "02:00:00:00:00:fe", // targets: FRR's default
				Neighbors: []lab.FRRNeighbor{{Address: peer, ASN: asn, Options: row.frr}},
				Connected: []string{"192.168.2.1/24", "fd00:2::1/64"},
			})
			node.Bridge(fmt.Sprintf(`
router-id: 10.0.0.1
asn: 65001
domain: 65001:1
bgp:
  %s
vnis:
  - vni: 200 # targets: the default, which is FRR's
    gateway: 2001:db8:f::200
`, row.neighbor))
			h := l.Node("h", "2001:db8::a/64").Hypervisor()
			h.Do("subscribe 200")
			h.Connect(serverAt)
			f.WaitEstablished(peer, 30*time.Second)
			h.WaitRoutes(20*time.Second, viaGateway...)
			h.Do("announce 200#10.1.0.0/16#2001:db8::a")
			f.WaitRoute(20*time.Second, "10.1.0.0/16")
		})
	}
}

func TestWrongPasswordKeepsTheSessionDown(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	f := l.Node("leaf", "10.0.0.2/24").FRR(lab.FRROptions{
		ASN: 65000, RouterID: "10.0.0.2", VNI: 200, MAC: "02:00:00:00:00:fe",
		Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001, Options: []string{"password secret"}}},
	})
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.WriteFile("/run/key", "wrong\n")
	bridge := node.Bridge(`
router-id: 10.0.0.1
asn: 65001
domain: 65001:1
bgp:
  neighbors: [{address: 10.0.0.2, asn: 65000, password-file: /run/key, timers: {connect-retry: 1s}}]
vnis: [{vni: 200, gateway: "2001:db8:f::200"}]
`)
	// Both sides try every second; the kernel counts what it drops for its digest.
	lab.Eventually(t, 20*time.Second, "refused segments", func() error {
		for _, n := range []*lab.Node{node, f.Node} {
			out, err := n.Try("cat", "/proc/net/netstat")
			if err != nil {
				return err
			}
			if netstat(out, "TcpExt", "TCPMD5Failure") == 0 {
				return fmt.Errorf("%s has dropped nothing", n.Name)
			}
		}
		return nil
	})
	if n := bridge.Times("BGP session up"); n > 0 {
		t.Errorf("the session came up %d times", n)
	}
}

// netstat picks a counter out of /proc/net/netstat: a line of names, a line of
// values.
func netstat(text, group, name string) (value int) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != group+":":
		case names == nil:
			names = f
		default:
			if i := slices.Index(names, name); i > 0 {
				fmt.Sscan(f[i], &value)
			}
			return value
		}
	}
	return 0
}

func TestBridgeRunsWithAConfigurationOfGoBGPD(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.WriteFile("/run/gobgpd.toml", `
[global.config]
  as = 65001
  router-id = "10.0.0.1"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.0.0.2"
    peer-as = 65000
  [neighbors.timers.config]
    connect-retry = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
`)
	node.Bridge(`
router-id: 10.0.0.1
asn: 65001
domain: 65001:1
bgp: {gobgp-config: /run/gobgpd.toml}
vnis: [{vni: 200, gateway: "2001:db8:f::200", import: ["target:65000:200"], export: ["target:65000:200"]}]
`)
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Do("subscribe 200")
	h.Connect(serverAt)
	h.Do("announce 200#10.1.0.0/16#2001:db8::a")
	s.WaitPrefixes(20*time.Second, "10.1.0.0/16")
	s.Do("announce 10.0.0.2:7 10.7.0.0/16 200 10.0.0.2 65000:200 02:00:00:00:00:02")
	h.WaitRoutes(10*time.Second, "200#10.7.0.0/16#2001:db8:f::200")
}

// A route distinguisher is part of what a route is for everybody else: a restart
// that shuffles them is a flap of everything.
func TestRouteDistinguishersSurviveARestart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.Run("mkdir", "/run/state")
	start := func(vnis ...int) *lab.MetalBond {
		var list []string
		for _, v := range vnis {
			list = append(list, fmt.Sprintf(`{vni: %d, encapsulation: ip-in-ip, export: ["target:65000:%d"]}`, v, v))
		}
		return node.Bridge(fmt.Sprintf(`
router-id: 10.0.0.1
asn: 65001
domain: 65001:1
state-directory: /run/state
bgp: {neighbors: [{address: 10.0.0.2, asn: 65000, timers: {connect-retry: 1s}}]}
vnis: [%s]
`, strings.Join(list, ", ")))
	}
	bridge := start(200, 300)
	for _, name := range []string{"a", "b", "c"} {
		h := l.Node(name, "2001:db8::"+name+"/64").Hypervisor()
		for _, vni := range []int{200, 300} {
			for i := range 5 {
				h.Do("announce %d#10.1.%d.0/24#2001:db8::%s", vni, i, name)
			}
		}
		h.Connect(serverAt)
	}
	const paths = 3 * 2 * 5
	distinguishers := func() map[string]string {
		s.WaitCount(30*time.Second, paths)
		rds := make(map[string]string)
		for _, p := range s.Paths() {
			rds[fmt.Sprintf("%s %d via %s", p.Prefix, p.Label, p.NextHop)] = p.RD
		}
		if len(rds) != paths {
			t.Fatalf("%d different paths, want %d", len(rds), paths)
		}
		return rds
	}
	before := distinguishers()
	if status := bridge.Stop(15); status != 0 {
		t.Errorf("exit status %d", status)
	}
	s.WaitCount(20*time.Second, 0)
	start(300, 200) // the order of the file does not matter
	// Which of a VNI's RDs a next hop gets may depend on who comes first. That it is
	// one of that VNI's may not.
	ofVNI := make(map[string]bool)
	for path, rd := range before {
		ofVNI[strings.Fields(path)[1]+" "+rd] = true
	}
	for path, rd := range distinguishers() {
		if !ofVNI[strings.Fields(path)[1]+" "+rd] {
			t.Errorf("%s has RD %s, which no path of the VNI had before (it was %s)", path, rd, before[path])
		}
	}
}

// metalnet and dpservice keep one STANDARD next hop per prefix. When a machine
// moves, its new host announces the prefix before the old one withdraws it.
func TestOneNextHopIsShownAndRepairedWhenAMachineMoves(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(`
metalbond: {listen: "[::]:4711"}
vnis: [{vni: 200, nexthops: one}, {vni: 300}]
`)
	watcher := l.Node("watcher", "2001:db8::f/64").Hypervisor()
	watcher.Do("subscribe 200")
	watcher.Do("subscribe 300")
	watcher.Connect(serverAt)
	from, to := l.Node("from", "2001:db8::a/64").Hypervisor(), l.Node("to", "2001:db8::b/64").Hypervisor()
	from.Connect(serverAt)
	to.Connect(serverAt)
	for _, vni := range []int{200, 300} {
		from.Do("announce %d#10.1.0.7/32#2001:db8::a", vni)
	}
	watcher.WaitRoutes(5*time.Second, "200#10.1.0.7/32#2001:db8::a", "300#10.1.0.7/32#2001:db8::a")
	for _, vni := range []int{200, 300} {
		to.Do("announce %d#10.1.0.7/32#2001:db8::b", vni)
	}
	watcher.WaitRoutes(5*time.Second, "200#10.1.0.7/32#2001:db8::b", "300#10.1.0.7/32#2001:db8::a", "300#10.1.0.7/32#2001:db8::b")
	for _, vni := range []int{200, 300} {
		from.Do("withdraw %d#10.1.0.7/32#2001:db8::a", vni)
	}
	watcher.WaitRoutes(5*time.Second, "200#10.1.0.7/32#2001:db8::b", "300#10.1.0.7/32#2001:db8::b")
	// Who keeps one next hop and deletes by prefix is left with the right one only
	// if the old one goes before the new one comes.
	if got, want := watcher.Story("200#10.1.0.7/32"), "+2001:db8::a -2001:db8::a +2001:db8::b"; got != want {
		t.Errorf("the watcher was told %s, want %s", got, want)
	}
}
