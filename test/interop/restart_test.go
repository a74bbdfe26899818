package interop

import (
	"fmt"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// What a neighbour said stays with the hypervisors while it restarts (RFC 4724),
// and longer if both want that (RFC 9494). BIRD knows both.
func TestStaleRoutesStayAsLongAsAgreed(t *testing.T) {
	for _, row := range []struct {
		name, bird, bridge string
		stay               time.Duration // at least, after BIRD is gone
	}{
		{"graceful restart", "graceful restart on; graceful restart time 8;", "helper", 7 * time.Second},
		{"long-lived", "graceful restart on; graceful restart time 2; long lived graceful restart on; long lived stale time 8;",
			"{mode: helper, long-lived: 60s}", 8 * time.Second},
		{"neither", "graceful restart off; long lived graceful restart off;", "off", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			bird := l.Node("bird", "10.0.0.2/24").BIRD(fmt.Sprintf(`
router id 10.0.0.2;
protocol static { ipv4; route 192.0.2.0/24 blackhole; route 198.51.100.0/24 blackhole; }
protocol bgp bridge {
  local 10.0.0.2 as 65000;
  neighbor 10.0.0.1 as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  %s
  ipv4 { import none; export where source = RTS_STATIC; };
}
`, row.bird))
			l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(fmt.Sprintf(`
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond: {listen: "[::]:4711"}
bgp:
  neighbors:
    - address: 10.0.0.2
      asn: 65000
      families: [ipv4]
      timers: {connect-retry: 1s}
      graceful-restart: %s
vnis:
  - vni: 100
    family: unicast
    gateway: 2001:db8:f::100
    import: {prefixes: [{allow: 0.0.0.0/0, le: 32}]}
`, row.bridge))
			h := l.Node("h", "2001:db8::a/64").Hypervisor()
			h.Do("subscribe 100")
			h.Connect(serverAt)
			all := []string{"100#192.0.2.0/24#2001:db8:f::100", "100#198.51.100.0/24#2001:db8:f::100"}
			h.WaitRoutes(30*time.Second, all...)

			if row.stay > 0 {
				t.Log("BIRD dies and is back in time: nobody notices")
				heard := h.Heard()
				bird.Daemon.Kill()
				bird.StartDaemon()
				bird.WaitEstablished("bridge", 30*time.Second)
				lab.Settled(t, 2*time.Second, 10*time.Second, "what the hypervisor hears", h.Heard)
				if n := h.Heard() - heard; n != 0 {
					t.Errorf("the hypervisor heard %d messages, want none: %v", n, h.Routes())
				}
			}

			t.Log("it dies and does not come back")
			gone := time.Now()
			bird.Daemon.Kill()
			h.WaitRoutes(60 * time.Second)
			if stayed := time.Since(gone); stayed < row.stay {
				t.Errorf("the routes stayed for %s, want at least %s", stayed, row.stay)
			}
			bird.StartDaemon()
			h.WaitRoutes(30*time.Second, all...)
		})
	}
}
