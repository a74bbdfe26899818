package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Two bridges between the same fabric and the same MetalBond servers: the usual
// way to run them, and the one in which a route could run in circles: from a
// hypervisor through one bridge into the fabric, from there through the other
// bridge back into MetalBond, and so on.

// pair is that topology: hypervisors h1 and h2 on servers s1 and s2, bridges b1
// and b2 on both, and a fabric that passes everything on to everybody.
type pair struct {
	servers []string
	h1, h2  *lab.Hypervisor
	fabric  *lab.Speaker
	b1, b2  *lab.MetalBond
	nodes   map[string]*lab.Node
}

func bridgeOfPair(n *lab.Node, i int, servers []string, asn int, neighborAS int) *lab.MetalBond {
	metalbond := fmt.Sprintf("  servers: [%q, %q]", servers[0], servers[1])
	return n.Bridge(bridgeConfig(fmt.Sprintf("10.0.0.%d", i), asn, "10.0.0.9", neighborAS, metalbond,
		fmt.Sprintf("    gateway: 2001:db8:f::%d", i)))
}

func newPair(t *testing.T, asns [2]int, fabricAS int, server func(*lab.Node, ...string) *lab.MetalBond, fabric ...string) *pair {
	l := lab.New(t)
	p := &pair{nodes: make(map[string]*lab.Node)}
	for i := 1; i <= 2; i++ {
		server(l.Node(fmt.Sprintf("server%d", i), fmt.Sprintf("2001:db8::5%d/64", i)))
		p.servers = append(p.servers, fmt.Sprintf("[2001:db8::5%d]:4711", i))
	}
	p.fabric = l.Node("fabric", "10.0.0.9/24").Speaker(uint32(fabricAS), "10.0.0.9",
		fmt.Sprintf("10.0.0.1=%d,10.0.0.2=%d", asns[0], asns[1]), fabric...)
	for i, b := range []**lab.MetalBond{&p.b1, &p.b2} {
		name := fmt.Sprintf("bridge%d", i+1)
		n := l.Node(name, fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("2001:db8::%d/64", i+1))
		p.nodes[name] = n
		*b = bridgeOfPair(n, i+1, p.servers, asns[i], fabricAS)
	}
	for i, h := range []**lab.Hypervisor{&p.h1, &p.h2} {
		*h = l.Node(fmt.Sprintf("h%d", i+1), fmt.Sprintf("2001:db8::a%d/64", i+1)).Hypervisor("-quiet")
		(*h).Do("subscribe 200")
		(*h).Connect(p.servers...)
	}
	p.fabric.WaitEstablished("10.0.0.1", 20*time.Second)
	p.fabric.WaitEstablished("10.0.0.2", 20*time.Second)
	return p
}

// messages counts everything that any of them has heard.
func (p *pair) messages() int { return p.h1.Heard() + p.h2.Heard() + p.fabric.Heard() }

// expect waits until everybody knows exactly these prefixes of h1 and of the
// fabric, and then for silence.
func (p *pair) expect(t *testing.T, native, redistributed []string, bridges ...int) {
	t.Helper()
	var atH2, atH1, atFabric []string
	for _, prefix := range native {
		atH2 = append(atH2, "200#"+prefix+"#2001:db8::a1")
		for _, b := range bridges {
			atFabric = append(atFabric, fmt.Sprintf("10.0.0.%d %s", b, prefix))
		}
	}
	for _, prefix := range redistributed {
		for _, b := range bridges {
			r := fmt.Sprintf("200#%s#2001:db8:f::%d", prefix, b)
			atH1, atH2 = append(atH1, r), append(atH2, r)
		}
	}
	check := func() {
		t.Helper()
		p.h1.WaitRoutes(20*time.Second, atH1...)
		p.h2.WaitRoutes(20*time.Second, atH2...)
		lab.Eventually(t, 20*time.Second, "fabric", func() error {
			var got []string
			for _, path := range p.fabric.Paths() {
				got = append(got, path.Peer+" "+path.Prefix)
			}
			return lab.Differ(got, atFabric)
		})
	}
	check()
	lab.Settled(t, 2*time.Second, 20*time.Second, "number of messages", p.messages)
	check()
}

func TestTwoBridgesMakeNoLoop(t *testing.T) {
	for _, row := range []struct {
		name   string
		asns   [2]int
		fabric int
		server func(*lab.Node, ...string) *lab.MetalBond
		args   []string
	}{
		{"stock servers, eBGP from two AS", [2]int{65001, 65002}, 65000, (*lab.Node).MetalBondServer, nil},
		{"stock servers, iBGP through a route reflector", [2]int{65000, 65000}, 65000, (*lab.Node).MetalBondServer, []string{"-reflector"}},
		{"our servers, eBGP from two AS", [2]int{65001, 65002}, 65000, (*lab.Node).Server, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, row.asns, row.fabric, row.server, row.args...)
			const rd = "10.0.0.9:7"
			const attributes = "200 10.0.0.9 65000:200 02:00:00:00:00:09"

			t.Log("both sides have a route")
			p.h1.Do("announce 200#10.1.0.0/16#2001:db8::a1")
			p.fabric.Do("announce %s 10.9.0.0/16 %s", rd, attributes)
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1, 2)

			t.Log("churn on both sides ends in silence")
			before := p.messages()
			const rounds, width = 30, 10
			for range rounds {
				for i := range width {
					p.h1.Do("announce 200#10.1.%d.0/24#2001:db8::a1", i)
					p.fabric.Do("announce %s 10.9.%d.0/24 %s", rd, i, attributes)
				}
				for i := range width {
					p.h1.Do("withdraw 200#10.1.%d.0/24#2001:db8::a1", i)
					p.fabric.Do("withdraw %s 10.9.%d.0/24", rd, i)
				}
			}
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1, 2)
			// One change of a hypervisor's route is told to h2 by two servers and to the
			// fabric by two bridges, which say it twice if one server is so far behind the
			// other that a bridge sees the route go and come in between; one of the
			// fabric's to two hypervisors by two servers about two gateways. A loop would
			// have no such bound.
			if n, most := p.messages()-before, 2*rounds*width*(2+4+8); n > most {
				t.Errorf("%d messages for %d changes on each side, want %d at most", n, 2*rounds*width, most)
			}

			t.Log("the same prefix on both sides: the hypervisor's wins, and its end brings the fabric's back")
			p.fabric.Do("announce %s 10.1.0.0/16 %s", rd, attributes)
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1, 2)
			p.h1.Do("withdraw 200#10.1.0.0/16#2001:db8::a1")
			p.expect(t, nil, []string{"10.1.0.0/16", "10.9.0.0/16"}, 1, 2)
			p.fabric.Do("withdraw %s 10.1.0.0/16", rd)
			p.h1.Do("announce 200#10.1.0.0/16#2001:db8::a1")
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1, 2)

			t.Log("one bridge dies, the other goes on; it comes back")
			p.b2.Kill()
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1)
			p.b2 = bridgeOfPair(p.nodes["bridge2"], 2, p.servers, row.asns[1], row.fabric)
			p.expect(t, []string{"10.1.0.0/16"}, []string{"10.9.0.0/16"}, 1, 2)

			t.Log("everything goes")
			p.h1.Do("withdraw 200#10.1.0.0/16#2001:db8::a1")
			p.fabric.Do("withdraw %s 10.9.0.0/16", rd)
			p.expect(t, nil, nil)
			for _, b := range []*lab.MetalBond{p.b1, p.b2} {
				if routes, err := b.Routes(); err != nil || len(routes) > 0 {
					t.Errorf("%s still has %s (%v)", b.Name, strings.Join(routes, ", "), err)
				}
			}
		})
	}
}
