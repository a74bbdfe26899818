package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// leakConfig has VNIs 200 and 300 with each other's routes, and 400 with those
// of both.
func leakConfig(t fataler) *config.Config {
	cfg := testConfig(t)
	cfg.VNIs[0].ImportFrom = []uint32{300}
	cfg.VNIs[1].ImportFrom = []uint32{200}
	cfg.VNIs[2].ImportFrom = []uint32{300, 200}
	return cfg
}

// leaking runs the leaks of a bridge until the test ends, or stop is called.
func leaking(t interface{ Cleanup(func()) }, b *Bridge) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Leak(ctx) // it has no error
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// leakedHops are the next hops that a VNI has of another one, and those that it
// should have by what the other holds.
func leakedHops(b *Bridge, l *leak) (got, want []string) {
	b.Table().Walk(l.from, func(i rib.RouteInfo) bool {
		native := slices.ContainsFunc(i.Claims, func(c rib.Claim) bool { return c.Source != rib.Leaked })
		if i.Visible && native && i.NextHop.TargetVNI == 0 {
			i.NextHop.TargetVNI = l.from
			want = append(want, fmt.Sprint(i.Prefix, i.NextHop))
		}
		return true
	})
	b.Table().Walk(l.vni, func(i rib.RouteInfo) bool {
		if slices.ContainsFunc(i.Claims, func(c rib.Claim) bool { return c.Origin == l.origin }) {
			got = append(got, fmt.Sprint(i.Prefix, i.NextHop))
		}
		return true
	})
	slices.Sort(got)
	slices.Sort(want)
	return got, want
}

// checkLeaks compares each leak with its source. What found no room must wait,
// and nothing waits while there is room.
func checkLeaks(t fataler, b *Bridge) {
	t.Helper()
	for i, s := range b.Leaks() {
		l := b.leaks.list[i]
		got, want := leakedHops(b, l)
		if s.Routes != len(got) {
			t.Fatal(fmt.Sprintf("%d into %d: counted %d, there are %d", l.from, l.vni, s.Routes, len(got)))
		}
		if s.Waiting == 0 && !slices.Equal(got, want) {
			t.Fatal(fmt.Sprintf("%d into %d: %v, want %v", l.from, l.vni, got, want))
		}
		for _, hop := range got {
			if !slices.Contains(want, hop) {
				t.Fatal(fmt.Sprintf("%d into %d: %s is over", l.from, l.vni, hop))
			}
		}
		if used := b.Table().Stats(l.vni).Prefixes; s.Waiting > 0 && used < l.admitted.Max {
			t.Fatal(fmt.Sprintf("%d into %d: %d wait, and there is room: %d of %d", l.from, l.vni, s.Waiting, used, l.admitted.Max))
		}
	}
}

func TestLeaksFollowTheirSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			cfg := leakConfig(t)
			cfg.VNIs[2].MaxPrefixes = rapid.SampledFrom([]int{0, 2, 3}).Draw(t, "max")
			b := newBridge(t, cfg)
			channels := []*Channel{b.Open(rib.Client, "a"), b.Open(rib.Server, "s"), b.Open(rib.Static, "static")}
			stop := leaking(t, b)
			draw := func(t *rapid.T) (*Channel, rib.VNI, netip.Prefix, rib.NextHop) {
				nh := hop(fmt.Sprintf("2001:db8:%s::%d", rapid.SampledFrom([]string{"1", "1", "f"}).Draw(t, "net"), rapid.IntRange(1, 2).Draw(t, "hop")))
				nh.TargetVNI = rapid.SampledFrom([]rib.VNI{0, 0, 0, 200, 300, 7}).Draw(t, "target VNI")
				if rapid.IntRange(0, 4).Draw(t, "type") == 0 {
					nh.Type, nh.NATFrom, nh.NATTo = rib.NAT, 1, 2
				}
				return rapid.SampledFrom(channels).Draw(t, "channel"), rapid.SampledFrom([]rib.VNI{200, 300, 400}).Draw(t, "vni"),
					prefix(fmt.Sprintf("10.0.0.%d/32", rapid.IntRange(0, 4).Draw(t, "prefix"))), nh
			}
			t.Repeat(map[string]func(*rapid.T){
				"announce": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					if reason := reasonOf(c.Announce(vni, p, nh)); reason != Accepted && reason != VNILimit {
						t.Fatal(reason)
					}
				},
				"withdraw": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					c.Withdraw(vni, p, nh)
				},
				"import": func(t *rapid.T) {
					_, vni, p, nh := draw(t)
					b.BGP().Import([]Update{say(type5(1, p.String()), ipipPath(nh.Target.String(), rt(65000, uint32(vni))))})
				},
				"lose": func(t *rapid.T) {
					_, _, p, _ := draw(t)
					b.BGP().Import([]Update{unsay(type5(1, p.String()))})
				},
				"start again": func(t *rapid.T) {
					stop()
					stop = leaking(t, b)
				},
				"catch up": func(t *rapid.T) {
					time.Sleep(leakRetry + time.Millisecond)
					synctest.Wait()
					checkLeaks(t, b)
				},
			})
			for _, c := range channels {
				c.Close()
			}
			b.BGP().Forget(fabric)
			time.Sleep(leakRetry + time.Millisecond)
			synctest.Wait()
			for _, s := range b.Leaks() {
				if s.Routes+s.Waiting != 0 {
					t.Fatalf("left: %+v", s)
				}
			}
			for _, vni := range b.Table().VNIs() {
				if n := b.Table().Stats(vni).Prefixes; n != 0 {
					t.Fatalf("vni %d: %d prefixes go round", vni, n)
				}
			}
			stop()
		})
	})
}

func TestLeakedRouteNamesItsVNIAndHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, leakConfig(t))
		leaking(t, b)
		c := b.Open(rib.Client, "a")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		announce(t, c, 300, "10.0.0.1/32", "2001:db8:f::9") // a gateway's: the least that a VNI can have
		synctest.Wait()
		for _, i := range b.Table().Lookup(300, prefix("10.0.0.1/32")) {
			if !i.Visible {
				t.Errorf("%v is hidden", i.NextHop)
			}
		}
		announce(t, c, 300, "10.0.0.1/32", "2001:db8:1::3")
		synctest.Wait()
		for _, i := range b.Table().Lookup(300, prefix("10.0.0.1/32")) {
			if native := i.NextHop == hop("2001:db8:1::3"); i.Visible != native {
				t.Errorf("%v: visible %v", i.NextHop, i.Visible)
			}
		}
		want := []string{"2001:db8:1::1", "2001:db8:1::3 (vni 300)"}
		if got := targets(b, 200, prefix("10.0.0.1/32")); !slices.Equal(got, want) {
			t.Errorf("vni 200: %v, want %v", got, want)
		}
	})
}

func TestOtherBridgesLeaksCountAsMuchAsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, leakConfig(t))
		leaking(t, b)
		announce(t, b.Open(rib.Client, "a"), 200, "10.0.0.1/32", "2001:db8:1::1")
		s := b.Open(rib.Server, "s")
		for _, vni := range []rib.VNI{200, 7} { // 300 has the routes of 200 only
			theirs := hop("2001:db8:1::9")
			theirs.TargetVNI = vni
			if err := s.Announce(300, prefix("10.0.0.1/32"), theirs); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, i := range b.Table().Lookup(300, prefix("10.0.0.1/32")) {
				if native := i.NextHop.TargetVNI == 7; i.Visible != (native || vni == 200) {
					t.Errorf("%v: visible %v", i.NextHop, i.Visible)
				}
			}
		}
	})
}

func TestLeakedRouteIsNotExported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, leakConfig(t))
		leaking(t, b)
		announce(t, b.Open(rib.Client, "a"), 300, "10.0.0.1/32", "2001:db8:1::1")
		out := &adjOut{routes: map[NLRI]*Attributes{}}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.BGP().Export(ctx, out.send) }()
		synctest.Wait()
		out.take(t)
		if len(out.routes) != 1 {
			t.Errorf("%d routes in BGP, want that of vni 300 only: %v", len(out.routes), out.routes)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLeaksThatMakeNoSenseAreRefused(t *testing.T) {
	for name, from := range map[string][]uint32{"itself": {200}, "twice": {300, 7, 300}} {
		cfg := testConfig(t)
		cfg.VNIs[0].ImportFrom = from
		if _, err := New(cfg, rib.New(rib.Options{}), quiet()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
