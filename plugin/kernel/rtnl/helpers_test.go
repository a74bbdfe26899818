package rtnl

import (
	"net"
	"slices"
	"strings"
	"testing"

	"mbbgp/plugin/kernel/internal/netns"
)

// What the tests call theirs.
const (
	testTable    = 1000
	testProtocol = 254
	testMetric   = 77
)

// dial returns a connection in the network namespace of the goroutine.
func dial(t testing.TB) *Conn {
	t.Helper()
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// scene makes a network namespace with d0, a link with addresses whose other end
// is d1, and vx, a device that takes packets to encapsulate.
func scene(t testing.TB) *Conn {
	t.Helper()
	netns.New(t)
	ip(t, "link add d0 type veth peer name d1")
	ip(t, "link set d0 up")
	ip(t, "link set d1 up")
	ip(t, "address add 192.0.2.1/24 dev d0")
	ip(t, "address add 2001:db8:1::1/64 dev d0 nodad")
	ip(t, "link add vx type vxlan external dstport 4790")
	ip(t, "link set vx up")
	return dial(t)
}

// ip runs the program of iproute2 with the words of a command.
func ip(t testing.TB, command string) string {
	t.Helper()
	return netns.Run(t, "ip", strings.Fields(command)...)
}

// device returns the index of an interface.
func device(t testing.TB, name string) int {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Index
}

// execute carries out a batch, of which nothing may be refused.
func execute(t testing.TB, c *Conn, b *Batch) {
	t.Helper()
	refusals, err := c.Execute(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refusals {
		t.Fatalf("request %d of %d: %v", r.Request, b.Len(), r.Err)
	}
}

// do carries out one request.
func do(t testing.TB, c *Conn, add func(b *Batch)) {
	t.Helper()
	var b Batch
	add(&b)
	execute(t, c, &b)
}

// never is for dumps of what does not change.
func never(t testing.TB) func() {
	return func() { t.Error("the dump starts again") }
}

// routes returns the routes that a filter wants.
func routes(t testing.TB, c *Conn, f RouteFilter) []Route {
	t.Helper()
	var list []Route
	err := c.Routes(f, never(t), func(r *Route) error {
		copied := *r
		copied.Hops = slices.Clone(r.Hops)
		list = append(list, copied)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// nextHops returns all next hop objects.
func nextHops(t testing.TB, c *Conn) []NextHop {
	t.Helper()
	var list []NextHop
	err := c.NextHops(never(t), func(n *NextHop) error {
		copied := *n
		copied.Group = slices.Clone(n.Group)
		list = append(list, copied)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
