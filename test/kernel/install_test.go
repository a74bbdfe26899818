package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mbbgp/test/lab"
)

// installer is a host with the device that clients install routes of, and a
// server that has routes with one and with two next hops, of both families.
type installer struct {
	t    *testing.T
	host *lab.Node
}

func newInstaller(t *testing.T) *installer {
	l := lab.New(t)
	c := &installer{t: t, host: l.Node("host", "2001:db8::a/64")}
	c.host.Run("sh", "-ec", `
		ip link add overlay type ip6tnl external
		ip link set overlay up
		ip route add 2001:db8:1::/48 via 2001:db8::1`)
	server := l.Node("server", "2001:db8::1/64")
	server.MetalBondServer()
	one, two := server.Hypervisor(), server.Hypervisor()
	for _, prefix := range []string{"10.0.1.0/24", "10.0.2.0/24", "fd00:1::/64", "fd00:2::/64"} {
		one.Do("announce 100#%s#2001:db8:1::1", prefix)
	}
	for _, prefix := range []string{"10.0.2.0/24", "fd00:2::/64"} {
		two.Do("announce 100#%s#2001:db8:1::2", prefix)
	}
	one.Connect("[::1]:4711")
	two.Connect("[::1]:4711")
	return c
}

// start starts a client, metalbond's or ours, that has a route itself.
func (c *installer) start(program, mapping string, args ...string) *lab.Process {
	args = append([]string{"client", "--server", "[2001:db8::1]:4711", "--subscribe", "100", "--announce", "100#10.0.9.0/24#2001:db8::a",
		"--install-routes", mapping, "--tun", "overlay"}, args...)
	return c.host.Start(lab.Program(program), args...)
}

var nextHopID = regexp.MustCompile(`nhid \d+ `)

// routes returns a table as ip shows it, but for ids of next hop objects and the
// order.
func (c *installer) routes(family string, table int) []string {
	out, err := c.host.Try("ip", family, "route", "show", "table", fmt.Sprint(table))
	if err != nil { // nothing was ever in the table
		return nil
	}
	out = strings.ReplaceAll(nextHopID.ReplaceAllString(out, ""), "\n\t", " ")
	var list []string
	for line := range strings.Lines(out) {
		hops := strings.Split(strings.Join(strings.Fields(line), " "), " nexthop ")
		slices.Sort(hops[1:])
		list = append(list, strings.Join(hops, " nexthop "))
	}
	slices.Sort(list)
	return list
}

// waitRoutes waits until a table has a number of routes.
func (c *installer) waitRoutes(family string, table, want int) {
	c.t.Helper()
	lab.Eventually(c.t, slow, fmt.Sprintf("routes of table %d", table), func() error {
		if got := c.routes(family, table); len(got) != want {
			return fmt.Errorf("%d routes, want %d: %q", len(got), want, got)
		}
		return nil
	})
}

func TestRoutesOfTheClientLookLikeThoseOfTheStockOne(t *testing.T) {
	c := newInstaller(t)
	stock := c.start("metalbond", "100#1000", "--ipv4-only")
	ours := c.start("mbbgp", "100#2000")
	c.waitRoutes("-4", 1000, 2)
	c.waitRoutes("-4", 2000, 2)
	c.waitRoutes("-6", 2000, 2) // which metalbond's cannot
	lab.Eventually(t, slow, "the tables", func() error {
		if a, b := c.routes("-4", 1000), c.routes("-4", 2000); !slices.Equal(a, b) {
			return fmt.Errorf("metalbond's are\n%s\nours are\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
		return nil
	})
	if list := c.routes("-6", 2000); !strings.Contains(list[1], "2001:db8:1::1") || !strings.Contains(list[1], "2001:db8:1::2") {
		t.Errorf("IPv6 routes are %q, want one with two next hops", list)
	}
	if status := ours.Stop(syscall.SIGINT); status != 0 {
		t.Errorf("exit status %d", status)
	}
	c.waitRoutes("-4", 2000, 2) // no --cleanup

	// What metalbond's has left serves until ours has it.
	stock.Kill()
	ours = c.start("mbbgp", "100#1000", "--ipv4-only", "--cleanup")
	lab.Eventually(t, slow, "next hop objects", func() error {
		out := c.host.Run("ip", "route", "show", "table", "1000")
		if strings.Count(out, "nhid") != 2 {
			return fmt.Errorf("not taken over: %s", out)
		}
		return nil
	})
	if list := c.routes("-6", 1000); len(list) > 0 {
		t.Errorf("--ipv4-only has %q", list)
	}
	if status := ours.Stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if list := c.routes("-4", 1000); len(list) > 0 {
		t.Errorf("after --cleanup: %q", list)
	}
}
