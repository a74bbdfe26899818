package metrics

import (
	"fmt"
	"strings"
	"testing"

	"mbbgp/test/lab"
)

// readyConfig is that of a bridge with a neighbour, a server and a table in the
// kernel.
const readyConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond: {listen: "[::]:4711", keepalive: 1s, servers: ["[2001:db8::a]:4711"]}
bgp:
  neighbors: [{address: 10.0.0.3, asn: 65003, families: [ipv4], timers: {connect-retry: 1s}}]
kernel: {tunnel: seg6, device: seg, decapsulation: off, settle: 1s}
vnis:
  - vni: 100
    family: unicast
    gateway: 2001:db8:f::100
    table: 100
    import: {prefixes: [{allow: 198.18.0.0/15, le: 32}]}
`

// The neighbour, the server and the kernel have 300 routes each before the
// bridge may say that it is ready.
func TestReadyWhenTheFirstTablesAreIn(t *testing.T) {
	lab.Need(t, "lab", "bird")
	const routes = 300
	l := lab.New(t)
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.Run("sh", "-ec", "ip link add seg up type veth peer name gap; ip link set gap up")
	server := l.Node("server", "2001:db8::a/64")
	server.MetalBondServer("--keepalive", "1")
	filler := server.Hypervisor("-keepalive", "1")
	filler.Connect("[::1]:4711")
	filler.Do("fill 100 %d 2001:db8::6", routes)
	server.Unplug()
	bridge := node.Bridge(readyConfig)

	ready := func() (string, error) {
		page, err := node.Get("http://127.0.0.1:4712/readyz")
		return string(page), err
	}
	t.Log("it lives, and names what it waits for")
	lab.Eventually(t, patience, "the bridge", func() error {
		_, err := ready()
		for _, line := range []string{"503 Service Unavailable", "ok      metalbond-listener", "ok      bgp-speaker", "ok      kernel",
			"waiting bgp-neighbor 10.0.0.3", "waiting metalbond-server [2001:db8::a]:4711"} {
			if err == nil || !strings.Contains(err.Error(), line) {
				return fmt.Errorf("no %q: %v", line, err)
			}
		}
		return nil
	})
	if page, err := node.Get("http://127.0.0.1:4712/healthz"); err != nil || string(page) != "ok\n" {
		t.Errorf("/healthz: %q, %v", page, err)
	}

	t.Log("with both it is ready, and has all of both, in the kernel, too")
	server.Plug()
	statics := make([]string, routes)
	for i := range statics {
		statics[i] = fmt.Sprintf("route 198.18.%d.%d/32 blackhole;", i>>8, i&255)
	}
	l.Node("upstream", "10.0.0.3/24").BIRD(strings.Replace(upstream, "route 0.0.0.0/0 blackhole;", strings.Join(statics, " "), 1))
	var page string
	lab.Eventually(t, patience, "the bridge", func() (err error) {
		page, err = ready()
		return err
	})
	for metric, want := range map[string]float64{
		"mbbgp_metalbond_server_routes": routes, "mbbgp_vni_imported_routes": routes, "mbbgp_kernel_routes": 2 * routes, "mbbgp_kernel_synced": 1,
	} {
		if got := bridge.Metric(metric); got != want {
			t.Errorf("it is ready with %s %v, want %v:\n%s", metric, got, want, page)
		}
	}
}
