package interop

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Stock Go metalbond v0.5.0 on the other side, its server as well as its
// client.

const serverAt = "[2001:db8::1]:4711"

// allTypes are routes of every type and both families, with a hypervisor's
// next hop.
func allTypes(nexthop string) []string {
	return []string{
		"200#10.1.0.0/16#" + nexthop,
		"200#10.1.2.3/32#" + nexthop + "#NAT#1024#2047",
		"200#192.0.2.1/32#" + nexthop + "#LB",
		"200#2001:db8:1::/48#" + nexthop,
		"200#2001:db8:1::3/128#" + nexthop + "#NAT#2048#4095",
		"200#2001:db8:2::1/128#" + nexthop + "#LB",
	}
}

func announce(h *lab.Hypervisor, routes []string) {
	for _, r := range routes {
		h.Do("announce %s", r)
	}
}

func TestStockClientsExchangeAllRouteTypesThroughOurServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	node := l.Node("server", "2001:db8::1/64")
	server := node.Server()
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	ofA, ofB := allTypes("2001:db8::a"), allTypes("2001:db8::b")
	for i := range ofB { // the stock client hides what others say of a prefix that it announces itself
		ofB[i] = strings.NewReplacer("#10.1.", "#10.2.", "#192.0.2.1/", "#192.0.2.2/", "#2001:db8:1:", "#2001:db8:11:", "#2001:db8:2:", "#2001:db8:12:").Replace(ofB[i])
	}
	for h, mine := range map[*lab.Hypervisor][]string{a: ofA, b: ofB} {
		h.Do("subscribe 200")
		announce(h, mine) // before there is a session
		h.Connect(serverAt)
	}
	a.WaitRoutes(5*time.Second, ofB...)
	b.WaitRoutes(5*time.Second, ofA...)
	server.WaitRoutes(5*time.Second, append(ofA, ofB...)...)

	t.Log("one route of each type is withdrawn, and one comes while the session lasts")
	for _, r := range ofA[:3] {
		a.Do("withdraw %s", r)
	}
	a.Do("announce 200#10.9.0.0/16#2001:db8::a")
	b.WaitRoutes(5*time.Second, append(ofA[3:], "200#10.9.0.0/16#2001:db8::a")...)

	t.Log("a hypervisor leaves")
	a.Do("disconnect %s", serverAt)
	b.WaitRoutes(5 * time.Second)

	t.Log("the server dies and comes back")
	server.Kill()
	server = node.Server()
	b.WaitState(serverAt, "ESTABLISHED", 20*time.Second)
	server.WaitRoutes(5*time.Second, ofB...)
	if n := b.Sessions(serverAt); n != 2 {
		t.Errorf("b had %d sessions, want 2: nothing but the death of the server ends one", n)
	}
	if a.Duplicates()+b.Duplicates() > 0 {
		t.Errorf("a was told %d routes twice, b %d", a.Duplicates(), b.Duplicates())
	}
}

func TestClientThatDiesOrFreezesLosesItsRoutes(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Node("server", "2001:db8::1/64").Server()
	watcher := l.Node("watcher", "2001:db8::a/64").Hypervisor()
	watcher.Do("subscribe 200")
	watcher.Connect(serverAt)
	stock := l.Node("b", "2001:db8::b/64").Hypervisor("-keepalive", "1")
	announce(stock, allTypes("2001:db8::b"))
	stock.Connect(serverAt)
	const route = "200#10.3.0.0/16#2001:db8::c"
	ours := l.Node("c", "2001:db8::c/64").Client("--server", serverAt, "--keepalive", "1", "--announce", route)
	watcher.WaitRoutes(5*time.Second, append(allTypes("2001:db8::b"), route)...)

	stock.Freeze() // noticed after 2.5 intervals of 1 s
	watcher.WaitRoutes(5*time.Second, route)
	ours.Freeze()
	watcher.WaitRoutes(5 * time.Second)

	t.Log("ours comes back when it may; the stock client does not always survive this, whatever the server")
	ours.Thaw()
	watcher.WaitRoutes(20*time.Second, route)
	ours.Kill()
	watcher.WaitRoutes(2 * time.Second)
}

func TestOurClientAndStockServerExchangeAllRouteTypes(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	node := l.Node("server", "2001:db8::1/64")
	server := node.MetalBondServer()
	b := l.Node("b", "2001:db8::b/64").Hypervisor()
	ofB := allTypes("2001:db8::b")
	announce(b, ofB)
	b.Do("subscribe 300")
	b.Connect(serverAt)

	ours := []string{
		"300#10.3.0.0/16#2001:db8::c", "300#10.3.0.1/32#2001:db8::c#NAT#1#1023",
		"300#2001:db8:3::/48#2001:db8::c", "300#192.0.2.3/32#2001:db8::c#LB",
	}
	args := []string{"--server", serverAt, "--subscribe", "200", "--keepalive", "1"}
	for _, r := range ours {
		args = append(args, "--announce", r)
	}
	c := l.Node("c", "2001:db8::c/64").Client(args...)
	b.WaitRoutes(10*time.Second, ours...)
	c.WaitRoutes(10*time.Second, append(ofB, ours...)...)

	t.Log("routes come and go")
	b.Do("withdraw %s", ofB[0])
	b.Do("announce 200#10.9.0.0/16#2001:db8::b")
	now := append(append(ofB[1:], "200#10.9.0.0/16#2001:db8::b"), ours...)
	c.WaitRoutes(5*time.Second, now...)

	t.Log("the server dies and comes back")
	server.Kill()
	c.WaitRoutes(5*time.Second, ours...)
	server = node.MetalBondServer()
	c.WaitRoutes(30*time.Second, now...)
	b.WaitRoutes(30*time.Second, ours...)
	server.WaitRoutes(5*time.Second, now...)

	t.Log("our client ends, and its routes with it")
	if status := c.Stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	b.WaitRoutes(5 * time.Second)
}

func TestRouteStaysWhileOneOfTwoStockServersHasIt(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	one := l.Node("one", "2001:db8::1/64").MetalBondServer()
	two := l.Node("two", "2001:db8::2/64").MetalBondServer()
	servers := []string{"[2001:db8::1]:4711", "[2001:db8::2]:4711"}
	b := l.Node("b", "2001:db8::b/64").Hypervisor()
	announce(b, allTypes("2001:db8::b"))
	b.Do("subscribe 300")
	b.Connect(servers...)
	ours := "300#10.3.0.0/16#2001:db8::c"
	c := l.Node("c", "2001:db8::c/64").Client("--server", servers[0], "--server", servers[1], "--subscribe", "200", "--announce", ours, "--json")
	all := append(allTypes("2001:db8::b"), ours)
	c.WaitRoutes(10*time.Second, all...)
	for _, s := range []*lab.MetalBond{one, two} {
		s.WaitRoutes(10*time.Second, all...)
	}

	one.Kill()
	b.WaitState(servers[0], "CONNECTING", 20*time.Second) // both have noticed
	c.WaitRoutes(5*time.Second, all...)
	b.WaitRoutes(5*time.Second, ours)
	if n := c.Times(`"remove"`); n > 0 {
		t.Errorf("our client reported %d withdrawals when one of two servers stopped", n)
	}
	b.Do("disconnect %s", servers[1])
	c.WaitRoutes(5*time.Second, ours)
	if n := c.Times(`"event":"add"`); n != len(all)-1 {
		t.Errorf("our client reported %d routes, want each of %d once:\n%s", n, len(all)-1, c.Log())
	}
}

func TestRouteStaysWhileOneOfTwoOfOurServersHasIt(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	one := l.Node("one", "2001:db8::1/64").Server()
	l.Node("two", "2001:db8::2/64").Server()
	servers := []string{"[2001:db8::1]:4711", "[2001:db8::2]:4711"}
	b := l.Node("b", "2001:db8::b/64").Hypervisor()
	announce(b, allTypes("2001:db8::b"))
	b.Connect(servers...)
	a := l.Node("a", "2001:db8::a/64").Hypervisor()
	a.Do("subscribe 200")
	a.Connect(servers...)
	a.WaitRoutes(5*time.Second, allTypes("2001:db8::b")...)
	one.Kill()
	a.WaitState(servers[0], "CONNECTING", 20*time.Second)
	a.WaitRoutes(5*time.Second, allTypes("2001:db8::b")...)
	b.Do("disconnect %s", servers[1])
	a.WaitRoutes(5 * time.Second)
}

// A bridge that serves hypervisors and is a client of an existing server joins
// the two, in VNIs that it has never heard of, too.
func TestOurServerPassesRoutesBetweenItsClientsAndAStockServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Node("server", "2001:db8::2/64").MetalBondServer()
	bridge := l.Node("bridge", "2001:db8::1/64").Bridge(`
metalbond: {listen: "[::]:4711", servers: ["[2001:db8::2]:4711"]}
vnis: [{vni: 200}]
`)
	bridge.WaitReady(20 * time.Second)
	a, b := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	var ofA, ofB []string
	for h, at := range map[*lab.Hypervisor]string{a: serverAt, b: "[2001:db8::2]:4711"} {
		h.Do("subscribe 200")
		h.Do("subscribe 999")
		h.Connect(at)
	}
	for i, vni := range []int{200, 999} {
		ofA = append(ofA, fmt.Sprintf("%d#10.1.%d.0/24#2001:db8::a", vni, i))
		ofB = append(ofB, fmt.Sprintf("%d#10.2.%d.0/24#2001:db8::b", vni, i))
	}
	announce(a, ofA)
	announce(b, ofB)
	a.WaitRoutes(10*time.Second, ofB...)
	b.WaitRoutes(10*time.Second, ofA...)
	b.Do("withdraw %s", ofB[1])
	a.WaitRoutes(10*time.Second, ofB[0])
	a.Kill()
	b.WaitRoutes(10 * time.Second)
}

// The same command lines for both implementations, each through the other's
// server.
func TestStockProgramAndOursStandInForEachOther(t *testing.T) {
	for _, row := range []struct {
		name           string
		server, client func(*lab.Node, ...string) *lab.MetalBond
	}{
		{"our server, stock client", (*lab.Node).Server, (*lab.Node).MetalBondClient},
		{"stock server, our client", (*lab.Node).MetalBondServer, (*lab.Node).Client},
		{"our server, our client", (*lab.Node).Server, (*lab.Node).Client},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			server := row.server(l.Node("server", "2001:db8::1/64"), "--keepalive", "2")
			client := func(name string) (*lab.MetalBond, []string) {
				nexthop := "2001:db8::" + name
				args := []string{"--server", serverAt, "--subscribe", "200", "--keepalive", "3", "--verbose"}
				var routes []string
				for i, kind := range []string{"", "#LB", "#NAT#1024#2047"} {
					r := fmt.Sprintf("200#10.%d.%d.0/24#%s%s", name[0], i, nexthop, kind)
					routes = append(routes, r)
					args = append(args, "--announce", r)
				}
				return row.client(l.Node(name, nexthop+"/64"), args...), routes
			}
			a, ofA := client("a")
			b, ofB := client("b")
			all := append(ofA, ofB...)
			server.WaitRoutes(15*time.Second, all...)
			for c, others := range map[*lab.MetalBond][]string{a: ofB, b: ofA} {
				lab.Eventually(t, 15*time.Second, c.Name, func() error { return c.Holds(others...) })
			}
			a.Stop(syscall.SIGINT)
			server.WaitRoutes(15*time.Second, ofB...)
		})
	}
}
