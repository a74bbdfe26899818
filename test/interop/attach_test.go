package interop

import (
	"testing"
	"time"

	"mbbgp/test/lab"
)

// An mbbgp that is a plugin of Debian's gobgpd, which has the sessions.

const gobgpdConfig = `
[global.config]
  as = 65001
  router-id = "10.0.0.1"
  [[global.afi-safis]]
    [global.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.0.0.2"
    peer-as = 65000
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
`

const attachedConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond:
  gateways: ["2001:db8:f::/64"]
  listen: "[::]:4711"
bgp:
  attach: 127.0.0.1:50051
  attach-hold: 20s
vnis:
  - vni: 200
    import: ["65000:200"]
    export: ["65000:200"]
    gateway: 2001:db8:f::200
`

func TestBridgeAttachedToGobgpd(t *testing.T) {
	t.Parallel()
	lab.Need(t, "gobgpd")
	l := lab.New(t)
	f := leaf(l.Node("leaf", "10.0.0.2/24"), "10.0.0.2", 65000, "10.0.0.1", 65001)
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	node.WriteFile("/run/gobgpd.toml", gobgpdConfig)
	gobgpd := func() *lab.Process {
		return node.Start("gobgpd", "-f", "/run/gobgpd.toml", "--api-hosts", "127.0.0.1:50051")
	}
	daemon := gobgpd()
	bridge := node.Bridge(attachedConfig)
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	a.Do("subscribe 200")
	a.Connect(serverAt)
	b.Connect(serverAt)
	b.Do("announce 200#10.1.0.7/32#2001:db8::b")
	b.Do("announce 200#2001:db8:1::/48#2001:db8::b")
	of := func(routes ...string) []string {
		return append(routes, "200#10.1.0.7/32#2001:db8::b", "200#2001:db8:1::/48#2001:db8::b")
	}

	t.Log("routes cross")
	a.WaitRoutes(30*time.Second, of(viaGateway...)...)
	f.WaitRoute(20*time.Second, "10.1.0.7")
	f.WaitRoute(20*time.Second, "2001:db8:1::/48")

	t.Log("gobgpd is killed: what it said stays")
	heard := a.Heard()
	daemon.Kill()
	f.WaitNoRoute(20*time.Second, "10.1.0.7")
	b.Do("withdraw 200#10.1.0.7/32#2001:db8::b")
	b.Do("announce 200#10.1.0.8/32#2001:db8::b")

	t.Log("it is back: it is told everything again, what has changed, too")
	daemon = gobgpd()
	f.WaitRoute(30*time.Second, "10.1.0.8")
	f.WaitRoute(20*time.Second, "2001:db8:1::/48")
	f.WaitNoRoute(20*time.Second, "10.1.0.7")
	if n := a.Heard() - heard; n != 2 {
		t.Errorf("a hypervisor heard %d messages while gobgpd was gone, want 2: %v", n, a.Routes())
	}

	t.Log("the bridge leaves and takes its routes with it, the rest stays as it is")
	if status := bridge.Stop(15); status != 0 {
		t.Errorf("exit status %d", status)
	}
	f.WaitNoRoute(20*time.Second, "10.1.0.8")
	f.WaitNoRoute(20*time.Second, "2001:db8:1::/48")
	if !daemon.Running() {
		t.Error("gobgpd ended")
	}
	f.WaitEstablished("10.0.0.1", 5*time.Second)

	t.Log("one that is killed leaves routes behind; the next one sweeps what is over")
	bridge = node.Bridge(attachedConfig)
	f.WaitRoute(30*time.Second, "10.1.0.8")
	bridge.Kill()
	b.Kill()
	f.WaitRoute(time.Second, "10.1.0.8")
	node.Bridge(attachedConfig)
	c := l.Node("c", "2001:db8::c/64").Hypervisor()
	c.Connect(serverAt)
	c.Do("announce 200#2001:db8:1::/48#2001:db8::b")
	f.WaitNoRoute(2*time.Minute, "10.1.0.8")
	f.WaitRoute(20*time.Second, "2001:db8:1::/48")
	a.WaitRoutes(30*time.Second, append(viaGateway, "200#2001:db8:1::/48#2001:db8::b")...)
}
