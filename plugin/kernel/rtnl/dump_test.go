package rtnl

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDumpHoldsWhatTheFilterWants(t *testing.T) {
	c := scene(t)
	var b Batch
	for _, table := range []uint32{100, 254, 1000, 70000} {
		for _, protocol := range []uint8{17, 254} {
			for _, prefix := range []string{"10.0.0.0/24", "2001:db8:6::/48"} {
				b.AddRoute(&Route{
					Table: table, Protocol: protocol, Metric: uint32(protocol),
					Prefix: netip.MustParsePrefix(prefix), Type: unix.RTN_BLACKHOLE,
				})
			}
		}
	}
	execute(t, c, &b)
	tests := []struct {
		filter RouteFilter
		want   int
	}{
		{RouteFilter{Table: 1000}, 4},
		{RouteFilter{Table: 70000, Protocol: 254}, 2},
		{RouteFilter{Table: 254, Protocol: 17, Family: unix.AF_INET6}, 1},
		{RouteFilter{Protocol: 254}, 8},
		{RouteFilter{Protocol: 17, Family: unix.AF_INET}, 4},
		{RouteFilter{Table: 7}, 0}, // there is no such table
		{RouteFilter{Table: 1000, Protocol: 3}, 0},
	}
	for _, test := range tests {
		got := routes(t, c, test.filter)
		if len(got) != test.want {
			t.Errorf("%+v: %d routes, want %d", test.filter, len(got), test.want)
		}
		for _, r := range got {
			if !test.filter.wants(&r) {
				t.Errorf("%+v: has %+v", test.filter, r)
			}
		}
	}
	if all := routes(t, c, RouteFilter{}); len(all) <= 16 {
		t.Errorf("without a filter: %d routes, not those of the local table", len(all))
	}
}

func TestDumpEndsWithTheErrorOfItsVisitor(t *testing.T) {
	c := scene(t)
	var b Batch
	for n := range 5000 {
		r := hostRoute(n)
		b.AddRoute(&r)
	}
	execute(t, c, &b)
	enough := errors.New("enough")
	visits := 0
	err := c.Routes(RouteFilter{Table: testTable}, never(t), func(*Route) error {
		visits++
		return enough
	})
	if !errors.Is(err, enough) || visits != 1 {
		t.Errorf("%d visits, then %v", visits, err)
	}
	if n := len(routes(t, c, RouteFilter{Table: testTable})); n != 5000 {
		t.Errorf("then a dump holds %d routes", n)
	}
}

// objects makes n next hop objects, so that a dump takes several receptions.
func objects(t testing.TB, c *Conn, n int) {
	t.Helper()
	var b Batch
	for i := range n {
		b.ReplaceNextHop(&NextHop{ID: uint32(i + 1), Blackhole: true})
	}
	execute(t, c, &b)
}

func TestInterruptedDumpStartsAgain(t *testing.T) {
	c := scene(t)
	other := dial(t)
	objects(t, c, 5000)
	visits, restarts := 0, 0
	err := c.NextHops(func() { visits = 0; restarts++ }, func(*NextHop) error {
		visits++
		if visits == 1 && restarts < 3 {
			do(t, other, func(b *Batch) { b.ReplaceNextHop(&NextHop{ID: uint32(10000 + restarts), Blackhole: true}) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if restarts != 3 || visits != 5003 {
		t.Errorf("%d restarts, then %d next hops", restarts, visits)
	}
}

func TestDumpInterruptedAgainAndAgainIsGivenUp(t *testing.T) {
	c := scene(t)
	other := dial(t)
	objects(t, c, 2000)
	visits, restarts := 0, 0
	err := c.NextHops(func() { visits = 0; restarts++ }, func(*NextHop) error {
		visits++
		if visits == 1 {
			do(t, other, func(b *Batch) { b.ReplaceNextHop(&NextHop{ID: uint32(10000 + restarts), Blackhole: true}) })
		}
		return nil
	})
	if !errors.Is(err, ErrInterrupted) || restarts != maxDumps {
		t.Errorf("after %d restarts: %v", restarts, err)
	}
}

// The kernel does not say when routes change while they are read, and of IPv6
// may miss or repeat some then. What it reads is one table, though.
func TestChangesOfAnotherTableDoNotDisturbADump(t *testing.T) {
	c := scene(t)
	other := dial(t)
	const total = 10000
	var b Batch
	for n := range total {
		r := hostRoute6(n)
		b.AddRoute(&r)
	}
	execute(t, c, &b)
	seen := map[netip.Prefix]int{}
	visits := 0
	err := c.Routes(RouteFilter{Table: testTable}, never(t), func(r *Route) error {
		seen[r.Prefix]++
		visits++
		if visits%100 == 0 {
			do(t, other, func(b *Batch) {
				r := hostRoute6(total - visits)
				r.Table++
				b.AddRoute(&r)
				if visits%500 == 0 {
					b.DeleteRoute(&r)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != total || visits != total {
		t.Errorf("%d visits show %d of %d routes", visits, len(seen), total)
	}
}
