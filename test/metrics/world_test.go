package metrics

import (
	"fmt"
	"testing"
	"time"

	"mbbgp/test/lab"
)

const patience = 60 * time.Second

// config is that of a bridge which has something of everything that is counted.
const config = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond:
  listen: "[::]:4711"
  keepalive: 10s
  servers: ["[2001:db8::a]:4711", "[2001:db8::b]:4711"]
bgp:
  neighbors:
    - {address: 10.0.0.2, asn: 65000, families: [evpn], timers: {connect-retry: 1s}, max-prefixes: 1000}
    - {address: 10.0.0.3, asn: 65003, families: [ipv4], timers: {connect-retry: 1s}}
kernel: {tunnel: seg6, device: seg, decapsulation: off, settle: 1s}
vnis:
  - vni: 200
    name: red
    import:
      targets: ["65000:200"]
      max-prefixes: 2000
      rules: [{name: nines, when: {prefixes: [{prefix: 10.9.0.0/16, le: 32}]}, then: refuse}]
    export: {targets: ["65000:200"], max-prefixes: 2000}
    gateway: 2001:db8:f::200
    table: 200
    max-prefixes: 3000
    import-from: [300]
  - vni: 300
    name: blue
    gateway: 2001:db8:f::300
  - vni: 100
    name: public
    family: unicast
    gateway: 2001:db8:f::100
    originate: [0.0.0.0/0]
    aggregates: [203.0.113.0/24]
`

// upstream is the stock BIRD of the public VNI, whose routes stay for a while
// when it dies.
const upstream = `
router id 10.0.0.3;
protocol static { ipv4; route 0.0.0.0/0 blackhole; }
protocol bgp bridge {
  local 10.0.0.3 as 65003;
  neighbor 10.0.0.1 as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  graceful restart on; graceful restart time 600;
  ipv4 { import none; export where source = RTS_STATIC; };
}
`

// world is a bridge between two stock MetalBond servers, a hypervisor of its
// own and two BGP neighbours.
type world struct {
	t          *testing.T
	node       *lab.Node
	bridge     *lab.MetalBond
	hypervisor *lab.Hypervisor // of the bridge
	remote     *lab.Hypervisor // of the first server only
	leaf       *lab.Speaker
	upstream   *lab.BIRD
}

func newWorld(t *testing.T) *world {
	lab.Need(t, "lab", "bird")
	l := lab.New(t)
	w := &world{t: t, node: l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")}
	for _, name := range []string{"a", "b"} {
		l.Node(name, "2001:db8::"+name+"/64").MetalBondServer("--keepalive", "10")
	}
	w.leaf = l.Node("leaf", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	w.upstream = l.Node("upstream", "10.0.0.3/24").BIRD(upstream)
	w.node.Run("sh", "-ec", "ip link add seg up type veth peer name gap; ip link set gap up")
	w.bridge = w.node.Bridge(config)
	w.hypervisor = l.Node("hypervisor", "2001:db8::5/64").Hypervisor("-keepalive", "10")
	w.hypervisor.Do("subscribe 200")
	w.hypervisor.Connect("[2001:db8::1]:4711")
	w.remote = l.Node("remote", "2001:db8::6/64").Hypervisor("-keepalive", "10")
	w.remote.Connect("[2001:db8::a]:4711")
	w.leaf.WaitEstablished("10.0.0.1", patience)
	return w
}

// wait waits until a metric has a value: the sum of the series with all labels.
func (w *world) wait(want float64, name string, labels ...string) {
	w.t.Helper()
	lab.Eventually(w.t, patience, name, func() error {
		if got := w.bridge.Metric(name, labels...); got != want {
			return fmt.Errorf("%s%q is %v, want %v", name, labels, got, want)
		}
		return nil
	})
}

// announce lets the leaf announce a prefix to a route target.
func (w *world) announce(prefix, target string) {
	w.t.Helper()
	w.leaf.Do("announce 65000:1 %s 200 10.0.0.2 %s 02:00:00:00:00:02", prefix, target)
}

// everything makes a bridge count what it can.
func (w *world) everything() {
	w.t.Helper()
	w.announce("192.168.1.0/24", "65000:200")
	w.announce("10.9.1.0/24", "65000:200")   // refused by a rule
	w.announce("192.168.2.0/24", "65000:77") // for nobody
	w.hypervisor.Do("announce 200#10.1.0.1/32#2001:db8::5")
	w.hypervisor.Do("announce 200#10.1.0.2/32#ff02::1")                    // no next hop
	w.hypervisor.Do("announce 200#10.1.0.50/32#2001:db8::5#NAT#1000#2000") // not for BGP
	w.hypervisor.Do("announce 300#10.3.0.1/32#2001:db8::5")
	w.hypervisor.Do("announce 100#203.0.113.7/32#2001:db8::5")
	w.node.Run("ip", "route", "add", "10.1.0.77/32", "dev", "lan", "table", "200", "proto", "static", "metric", "4711") // somebody else's
	w.hypervisor.Do("announce 200#10.1.0.77/32#2001:db8::5")
	w.remote.Do("announce 200#10.2.0.1/32#2001:db8::6")
	w.wait(1, "mbbgp_originated", `vni="100"`)
	w.wait(1, "mbbgp_vni_imported_routes", `vni="200"`)
	w.wait(1, "mbbgp_metalbond_server_routes", `peer="[2001:db8::a]:4711"`, `vni="200"`)
	w.wait(1, "mbbgp_kernel_conflicting_prefixes", `vni="200"`)
	w.upstream.Daemon.Kill()
	w.wait(1, "mbbgp_bgp_neighbor_stale", `neighbor="10.0.0.3"`)
}
