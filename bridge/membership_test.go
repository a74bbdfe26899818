package bridge

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// asked is what BGP was asked for, by the text of the targets.
type asked struct {
	mu      sync.Mutex
	targets map[string]bool // guarded by mu
	batches int             // guarded by mu; that had memberships
}

func (a *asked) send(batch []Update) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	had := false
	for _, u := range batch {
		if u.NLRI.Kind != Membership {
			continue
		}
		had = true
		if name := u.NLRI.String(); u.Withdraw {
			delete(a.targets, name)
		} else {
			a.targets[name] = true
		}
	}
	if had {
		a.batches++
	}
	return nil
}

func (a *asked) want(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := slices.Sorted(maps.Keys(a.targets)); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", when, got, want)
	}
}

// asking exports what a bridge with this configuration says until stop.
func asking(t *testing.T, cfg *config.Config) (g *BGP, a *asked, restart func()) {
	g = newBridge(t, cfg).BGP()
	a = &asked{targets: map[string]bool{}}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- g.Export(ctx, a.send) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := run()
	t.Cleanup(func() { stop() })
	return g, a, func() {
		stop()
		a.targets = map[string]bool{}
		stop = run()
	}
}

func membershipConfig(t *testing.T) *config.Config {
	cfg := testConfig(t)
	cfg.BGP.Neighbors[1].Families = []config.Family{config.FamilyEVPN, config.FamilyRTC}
	return cfg
}

func TestBGPIsAskedForWhatHypervisorsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a, restart := asking(t, membershipConfig(t))
		a.want(t, "nobody reads")
		g.Subscribed(200, true)
		a.want(t, "200 is read", "target:65000:200")
		g.Subscribed(400, true)
		g.Subscribed(7, true) // not configured
		a.want(t, "400 is read, too", "default", "target:65000:200", "target:65000:300")

		g.Subscribed(400, false)
		time.Sleep(linger - time.Second)
		a.want(t, "400 was left", "default", "target:65000:200", "target:65000:300")
		time.Sleep(time.Second)
		a.want(t, "400 was left long ago", "target:65000:200")

		restart()
		a.want(t, "another export", "target:65000:200")
		g.Subscribed(300, true)
		a.want(t, "300 is read", "target:65000:200", "target:65000:300")
	})
}

func TestSubscriptionThatComesBackChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a, _ := asking(t, membershipConfig(t))
		for range 3 {
			g.Subscribed(200, true)
			time.Sleep(linger / 2)
			g.Subscribed(200, false)
			time.Sleep(linger / 2)
		}
		g.Subscribed(200, true)
		time.Sleep(2 * linger)
		a.want(t, "read again and again", "target:65000:200")
		if a.batches != 1 {
			t.Errorf("BGP was told %d times", a.batches)
		}
		g.Subscribed(200, false)
		g.Subscribed(200, false)
		time.Sleep(linger)
		a.want(t, "left")
	})
}

func TestSomeVNIsAreAlwaysWanted(t *testing.T) {
	rows := []struct {
		name   string
		change func(*config.Config)
		want   []string
	}{
		{"a client of servers wants all", func(c *config.Config) {
			c.MetalBond.Servers = []string{"server:4711"}
		}, []string{"default", "target:65000:200", "target:65000:300"}},
		{"what is originated waits for nobody", func(c *config.Config) {
			c.VNIs[0].Originate = []config.Originate{{Prefix: prefix("0.0.0.0/0")}}
		}, []string{"target:65000:200"}},
		{"a VNI wants what it has of others", func(c *config.Config) {
			c.VNIs[1].Originate = []config.Originate{{Prefix: prefix("0.0.0.0/0")}}
			c.VNIs[1].ImportFrom = []uint32{200}
		}, []string{"target:65000:200", "target:65000:300"}},
		{"dynamic neighbours count", func(c *config.Config) {
			c.MetalBond.Servers = []string{"server:4711"}
			c.BGP.Neighbors = nil
			c.BGP.DynamicNeighbors[0].Families = []config.Family{config.FamilyRTC}
		}, []string{"default", "target:65000:200", "target:65000:300"}},
		{"nobody speaks it", func(c *config.Config) {
			c.MetalBond.Servers = []string{"server:4711"}
			c.BGP.Neighbors[1].Families = nil
		}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := membershipConfig(t)
				row.change(cfg)
				g, a, _ := asking(t, cfg)
				a.want(t, "at the start", row.want...)
				s := g.Memberships()
				if s.Spoken != (row.want != nil) || len(s.Targets) != len(row.want) || s.Spoken && len(s.VNIs) == 0 {
					t.Errorf("figures %+v", s)
				}
				g.Subscribed(rib.VNI(200), false) // nobody had subscribed
			})
		})
	}
}
