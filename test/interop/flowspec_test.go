package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The port ranges of a NAT address as flow specifications, as other daemons
// read them. Neither BIRD nor FRR 8.4 acts on the redirection.
func TestFlowSpecificationsOfPortRanges(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	bird := l.Node("bird", "10.0.0.2/24").BIRD(`
router id 10.0.0.2;
flow4 table ports4;
flow6 table ports6;
protocol bgp bridge {
  local 10.0.0.2 as 65000;
  neighbor 10.0.0.1 as 65001;
  flow4 { table ports4; import all; export none; };
  flow6 { table ports6; import all; export none; };
}
`)
	frr := l.Node("frr", "10.0.0.3/24").Unicast(lab.UnicastOptions{
		ASN: 65000, RouterID: "10.0.0.3", Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}},
	})
	lab.Eventually(t, 10*time.Second, "FRR", func() error {
		_, err := frr.Try("vtysh", "-c", "configure terminal", "-c", "router bgp 65000",
			"-c", "address-family ipv4 flowspec", "-c", "neighbor 10.0.0.1 activate")
		return err
	})
	neighbor := func(n int) string {
		return fmt.Sprintf(`
    - address: 10.0.0.%d
      asn: 65000
      families: [evpn, ipv4, ipv4-flowspec, ipv6-flowspec]
      timers: {connect-retry: 1s}`, n)
	}
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(`
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond: {listen: "[::]:4711"}
bgp:
  neighbors:` + neighbor(2) + neighbor(3) + `
vnis:
  - vni: 200
    gateway: 2001:db8:f::200
    export:
      flowspec: redirect-ip
`)
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Connect(serverAt)

	first, other := "200#198.51.100.7/32#2001:db8::a#NAT#1024#2048", "200#2001:db8:c::7/128#2001:db8::a#NAT#2048#4096"
	h.Do("announce %s", first)
	h.Do("announce %s", other)
	h.Do("announce 200#198.51.100.8/32#2001:db8::a") // has no ports
	ofBIRD := func(table string, want ...string) {
		t.Helper()
		lab.Eventually(t, 30*time.Second, "BIRD", func() error {
			out, err := bird.Ask("show route table " + table)
			if err != nil {
				return err
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					return fmt.Errorf("%q is not in %s", w, out)
				}
			}
			if n := strings.Count(out, "flow"); n != len(want) {
				return fmt.Errorf("%d flow specifications, want %d: %s", n, len(want), out)
			}
			return nil
		})
	}
	ofBIRD("ports4",
		"flow4 { dst 198.51.100.7/32; proto 6; dport 1024..2047; }",
		"flow4 { dst 198.51.100.7/32; proto 17; dport 1024..2047; }")
	ofBIRD("ports6",
		"flow6 { dst 2001:db8:c::7/128; next header 6; dport 2048..4095; }",
		"flow6 { dst 2001:db8:c::7/128; next header 17; dport 2048..4095; }")
	lab.Eventually(t, 30*time.Second, "FRR", func() error {
		out, err := frr.Try("vtysh", "-c", "show bgp ipv4 flowspec detail")
		if err != nil {
			return err
		}
		for _, w := range []string{"Destination Address 198.51.100.7/32", "IP Protocol = 6", "IP Protocol = 17", "Destination Port >= 1024 , <= 2047"} {
			if !strings.Contains(out, w) {
				return fmt.Errorf("%q is not in %s", w, out)
			}
		}
		return nil
	})

	t.Log("a range moves to another hypervisor, and goes")
	h.Do("withdraw %s", other)
	h.Do("announce 200#198.51.100.7/32#2001:db8::b#NAT#2048#2050")
	ofBIRD("ports6")
	ofBIRD("ports4",
		"dport 1024..2047; }", "proto 17; dport 1024..2047", "proto 6; dport 2048..2049", "proto 17; dport 2048..2049")
	h.Kill()
	ofBIRD("ports4")
	bird.WaitEstablished("bridge", 5*time.Second)
	if n := bridge.Metric("mbbgp_bgp_neighbor_sessions_total"); n != 2 {
		t.Errorf("%v sessions were made, want 2: each peer lives with what it is told", n)
	}
}
