package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// A server that says which client may do what. Nothing of it is known to stock
// clients: they say what they like, and are told nothing but KEEPALIVEs.
const authorised = `metalbond:
  listen: "[::]:4711"
  clients:
    - source: 2001:db8::a/128
      announce: [200]
      subscribe: [100, 200]
      prefixes: [10.1.0.0/16, "2001:db8:1::/48"]
      nexthops: [own/128]
      types: [standard, nat]
    - source: 2001:db8::b/128
      vnis: %s
      max-routes: 3
log: {level: debug}
`

// refused returns how often routes of a client were refused for a reason.
func refused(m *lab.MetalBond, client, reason string) float64 {
	return m.Metric("mbbgp_metalbond_session_refused_total", `peer="`+client+`"`, `reason="`+reason+`"`)
}

func TestStockClientIsRefusedWhatItMayNotAndAnotherIsToldTheRest(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	node := l.Node("server", "2001:db8::1/64")
	server := node.Bridge(fmt.Sprintf(authorised, "[200-299]"))
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()

	b.Do("subscribe 200")
	b.Do("subscribe 300") // it may not
	b.Connect(serverAt)
	a.Do("subscribe 200")
	good := []string{
		"200#10.1.2.0/24#2001:db8::a",
		"200#2001:db8:1:2::/64#2001:db8::a",
		"200#10.1.0.1/32#2001:db8::a#NAT#1024#2047",
	}
	announce(a, good)
	announce(a, []string{
		"300#10.1.3.0/24#2001:db8::a",       // another VNI
		"200#10.2.0.0/24#2001:db8::a",       // another prefix
		"200#10.0.0.0/8#2001:db8::a",        // one that is wider
		"200#10.1.4.0/24#2001:db8::b",       // somebody else's address
		"200#10.1.5.1/32#2001:db8::a#LB",    // another type
		"200#2001:db8:2::1/128#2001:db8::a", // another prefix
	})
	a.Connect(serverAt)
	b.WaitRoutes(10*time.Second, good...)
	server.WaitRoutes(10*time.Second, good...)
	for reason, want := range map[string]float64{"client-vni": 1, "client-prefix": 3, "client-next-hop": 1, "client-type": 1} {
		if got := refused(server, "2001:db8::a", reason); got != want {
			t.Errorf("%s: %v routes of a were refused, want %v", reason, got, want)
		}
	}
	if got := refused(server, "2001:db8::b", "client-subscribe"); got != 1 {
		t.Errorf("%v subscriptions of b were refused", got)
	}

	t.Log("the withdrawal of a refused route is no error, and the session goes on")
	a.Do("withdraw 200#10.2.0.0/24#2001:db8::a")
	a.Do("withdraw %s", good[0])
	b.WaitRoutes(10*time.Second, good[1:]...)
	announce(a, good[:1])
	b.WaitRoutes(10*time.Second, good...)

	t.Log("a client that is on no list")
	l.Node("c", "2001:db8::c/64").MetalBondClient("--server", serverAt, "--subscribe", "200", "--announce", "200#10.3.0.0/24#2001:db8::c")
	lab.Eventually(t, 20*time.Second, "it is turned away", func() error {
		if server.Metric("mbbgp_metalbond_connections_refused_total", `reason="unlisted"`) == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})

	t.Log("more routes than b may announce")
	four := []string{"250#10.4.0.1/32#2001:db8::b", "250#10.4.0.2/32#2001:db8::b", "250#10.4.0.3/32#2001:db8::b", "250#10.4.0.4/32#2001:db8::b"}
	announce(b, four)
	server.WaitRoutes(10*time.Second, append(four[:3:3], good...)...)

	t.Log("a reload that lets b read and announce in other VNIs, in the session that it has")
	node.WriteFile("/run/mbbgp.yaml", strings.Replace(fmt.Sprintf(authorised, "[200, 300]"), "announce: [200]", "announce: [200, 300]", 1))
	node.Run(lab.Program("mbbgp"), "reload")
	server.WaitRoutes(20*time.Second, append([]string{"300#10.1.3.0/24#2001:db8::a"}, good...)...)
	b.WaitRoutes(20*time.Second, append([]string{"300#10.1.3.0/24#2001:db8::a"}, good...)...)
	if n := strings.Count(server.Log(), "session ended"); n != 0 {
		t.Errorf("%d sessions have ended", n)
	}
}
