package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// A hundred thousand routes in one burst, each way. They are told in one go; what
// matters is that none is missing, none comes twice, and none is left at the
// end, and that no session is lost on the way. The times allowed are for a busy
// machine, not a promise.

const (
	many     = 100_000
	manyTime = 3 * time.Minute
)

// fill and drain at a speaker: the first addresses of 10.0.0.0/8.
func fill(s *lab.Speaker) {
	s.Do("fill 10.0.0.2:7 %d 200 10.0.0.2 65000:200 02:00:00:00:00:02", many)
}

func drain(s *lab.Speaker) { s.Do("drain 10.0.0.2:7 %d", many) }

func TestManyRoutesFromBGPToMetalBondAndBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	c := l.Node("client", "2001:db8::c/64").Client("--server", serverAt, "--subscribe", "200")
	s.WaitEstablished("10.0.0.1", 20*time.Second)

	begin := time.Now()
	fill(s)
	t.Logf("originated in %s", time.Since(begin))
	c.WaitCount(manyTime, many)
	t.Logf("from BGP to a client in %s", time.Since(begin))
	if n := c.Times("+ vni 200"); n != many {
		t.Errorf("the client was told %d routes, want each of %d once", n, many)
	}
	bridge.WaitCount(10*time.Second, many)
	if s.Count() != 0 {
		t.Errorf("%d of the fabric's own routes came back to it", s.Count())
	}

	begin = time.Now()
	drain(s)
	c.WaitCount(manyTime, 0)
	t.Logf("withdrawn in %s", time.Since(begin))
	if n := c.Times("- vni 200"); n != many {
		t.Errorf("the client was told %d withdrawals, want each of %d once", n, many)
	}
	if n := c.Times("session ended"); n > 0 {
		t.Errorf("the client lost its session")
	}
}

func TestManyRoutesFromMetalBondToBGP(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	bridge := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(
		bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000, listenHere, gateway))
	h := l.Node("h", "2001:db8::a/64").Hypervisor("-quiet")
	h.Connect(serverAt)
	s.WaitEstablished("10.0.0.1", 20*time.Second)

	begin := time.Now()
	h.Do("fill 200 %d 2001:db8::a", many)
	t.Logf("announced in %s", time.Since(begin))
	s.WaitCount(manyTime, many)
	t.Logf("from MetalBond to BGP in %s", time.Since(begin))
	if n := s.Heard(); n != many {
		t.Errorf("the fabric heard %d announcements, want each of %d once", n, many)
	}
	bridge.WaitCount(10*time.Second, many)

	begin = time.Now()
	h.Do("disconnect %s", serverAt) // dies with everything that it said
	s.WaitCount(manyTime, 0)
	t.Logf("withdrawn in %s", time.Since(begin))
	if n := s.Heard(); n != 2*many {
		t.Errorf("the fabric heard %d announcements and withdrawals, want %d of each", n, many)
	}
}

// The stock server's reader resets a session that is written to carelessly, so
// that the stock client can never announce this much.
func TestManyRoutesThroughAStockServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.2/24").Speaker(65000, "10.0.0.2", "10.0.0.1=65001")
	server := l.Node("server", "2001:db8::e/64").MetalBondServer()
	const at = "[2001:db8::e]:4711"
	l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64").Bridge(bridgeConfig("10.0.0.1", 65001, "10.0.0.2", 65000,
		"  servers: [\""+at+"\"]", gateway))
	c := l.Node("client", "2001:db8::c/64").Client("--server", at, "--subscribe", "200")
	s.WaitEstablished("10.0.0.1", 20*time.Second)
	server.WaitLog("Peer [2001:db8::c]", 20*time.Second)

	begin := time.Now()
	fill(s)
	c.WaitCount(manyTime, many)
	t.Logf("from BGP through a stock server to a client in %s", time.Since(begin))
	server.WaitCount(10*time.Second, many)
	if n := c.Times("+ vni 200"); n != many {
		t.Errorf("the client was told %d routes, want each of %d once", n, many)
	}

	begin = time.Now()
	drain(s)
	c.WaitCount(manyTime, 0)
	t.Logf("withdrawn in %s", time.Since(begin))
	server.WaitCount(10*time.Second, 0)
	if n := server.Times("Connection established"); n != 2 {
		t.Errorf("the server had %d sessions, want the bridge's and the client's", n)
	}
}

// The stock client loses its session when it has 64 KiB to read: from a stock
// server it never gets a table like this.
func TestStockClientGetsALargeTableInOneSession(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	const count = 50_000
	server := l.Node("server", "2001:db8::1/64").Server()
	a := l.Node("a", "2001:db8::a/64").Hypervisor("-quiet")
	a.Connect(serverAt)
	a.Do("fill 200 %d 2001:db8::a", count)
	server.WaitCount(30*time.Second, count)
	b := l.Node("b", "2001:db8::b/64").Hypervisor("-quiet")
	b.Do("subscribe 200")
	b.Do("connect %s", serverAt)
	begin := time.Now()
	b.WaitCount(manyTime, count)
	t.Logf("a stock client has %d routes after %s", count, time.Since(begin))
	a.Do("drain 200 %d 2001:db8::a", count)
	b.WaitCount(manyTime, 0)
	if n := b.Sessions(serverAt); n != 1 {
		t.Errorf("it had %d sessions, want 1", n)
	}
}

func TestRoutesPageMatchesTheTable(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Node("server", "2001:db8::1/64").Server()
	h := l.Node("h", "2001:db8::a/64").Hypervisor("-quiet")
	h.Connect(serverAt)
	h.Do("fill 200 5000 2001:db8::a")
	server.WaitCount(20*time.Second, 5000)
	routes, err := server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, r := range routes {
		if seen[r] {
			t.Fatalf("%s is there twice", r)
		}
		seen[r] = true
	}
	if want := fmt.Sprintf("200#10.0.%d.%d/32#2001:db8::a", 4999>>8, 4999&255); !seen[want] {
		t.Errorf("%s is missing in a page of %d routes", want, len(routes))
	}
	if yaml, err := server.Page("/routes.yaml"); err != nil || !strings.Contains(yaml, "2001:db8::a") {
		t.Errorf("routes.yaml: %v: %.100s", err, yaml)
	}
}
