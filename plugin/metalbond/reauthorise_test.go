package metalbond

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
	"mbbgp/wire"
)

// local is the entry of clients on this machine that may do anything, changed.
func local(change func(*config.MetalBondClient)) []config.MetalBondClient {
	c := config.MetalBondClient{Source: netip.MustParsePrefix("127.0.0.0/8"), Subscribe: config.AllVNIs(), Announce: config.AllVNIs()}
	change(&c)
	return []config.MetalBondClient{c}
}

func vnis(first, last uint32) config.VNISet { return config.VNISet{{First: first, Last: last}} }

// refusedOf returns what was refused of the n-th session.
func refusedOf(s *Server, n int) map[string]uint64 { return s.Sessions()[n].Refused }

func TestClientIsRefusedWhatItMayNotAndTheRestIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) {
		o.Clients = local(func(c *config.MetalBondClient) {
			c.Subscribe, c.Announce = vnis(23, 24), vnis(23, 23)
			c.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
			c.NextHops = []config.NextHopScope{{Prefix: netip.PrefixFrom(underlay1, 128)}}
			c.Types = []config.HopType{config.HopStandard}
		})
	})
	w.static(42, 1, hop1)
	reader, p := dial(t, s).greet(), dial(t, s).greet()
	reader.subscribe(23)
	reader.sync()
	p.subscribe(42)
	p.subscribe(42)
	p.announce(42, prefix(1), hop1)
	p.announce(23, prefix(1), rib.NextHop{Target: underlay1, TargetVNI: 42})
	p.announce(23, prefix(256), hop1)
	p.announce(23, prefix(1), hop2)
	p.announce(23, prefix(1), rib.NextHop{Target: underlay1, Type: rib.LoadBalancerTarget})
	p.announce(23, prefix(2), hop1)
	p.withdraw(23, prefix(256), hop1) // of what was refused: no error
	if got := p.sync(); got != nil {
		t.Errorf("it was told %v", got)
	}
	if got, want := reader.update(), "add 23 10.0.0.2/32 via 2001:db8::1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if told := reader.sync(); told != nil {
		t.Errorf("and told %v", told)
	}
	want := map[string]uint64{"client-subscribe": 2, "client-vni": 2, "client-prefix": 1, "client-next-hop": 1, "client-type": 1}
	got := refusedOf(s, 1)
	if len(got) != len(want) {
		t.Errorf("refused %v, want %v", got, want)
	}
	for reason, n := range want {
		if got[reason] != n {
			t.Errorf("%s: %d, want %d", reason, got[reason], n)
		}
		if lines := w.lines.count("reason=" + reason); lines != 1 {
			t.Errorf("%d lines about %s", lines, reason)
		}
	}
	w.has(42, 1)
}

func TestUnlistedClientIsTurnedAway(t *testing.T) {
	w := newWorld(t)
	elsewhere := config.MetalBondClient{Source: netip.MustParsePrefix("192.0.2.0/24")}
	s := w.serve(func(o *ServerOptions) { o.Clients, o.RefuseUnlisted = []config.MetalBondClient{elsewhere}, true })
	dial(t, s).ends()
	eventually(t, "a count and a line", func() bool {
		return s.Refused()["unlisted"] == 1 && w.lines.count("no entry of metalbond.clients is for this client") == 1
	})
	s.Reconfigure(ServerOptions{Clients: []config.MetalBondClient{elsewhere}})
	p := dial(t, s).greet()
	p.sync()
	s.Reconfigure(ServerOptions{Clients: []config.MetalBondClient{elsewhere}, RefuseUnlisted: true})
	p.ends()
}

func TestReloadTakesAndGivesRoutesWithoutTheSession(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) {
		o.Clients = local(func(c *config.MetalBondClient) { c.Announce = vnis(23, 23) })
	})
	p := dial(t, s).greet()
	for i := range 600 {
		p.announce(23, prefix(i), hop1)
		p.announce(24, prefix(i), hop1)
	}
	p.withdraw(24, prefix(7), hop1)
	p.sync()
	w.has(23, 600)
	w.has(24, 0)
	since := s.Sessions()[0].Since
	s.Reconfigure(ServerOptions{Clients: local(func(c *config.MetalBondClient) { c.Announce = vnis(24, 24) })})
	w.has(23, 0)
	w.has(24, 599)
	s.Reconfigure(ServerOptions{})
	w.has(23, 600)
	w.has(24, 599)
	p.sync()
	if now := s.Sessions()[0].Since; !now.Equal(since) {
		t.Error("it is another session")
	}
	if n := s.remembered.Load(); n != 0 {
		t.Errorf("%d refused routes are remembered", n)
	}
}

func TestClientWithMoreRefusedRoutesThanAreRememberedSaysThemAgain(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.Clients = local(func(c *config.MetalBondClient) { c.Announce = nil }) })
	p, other := dial(t, s).greet(), dial(t, s).greet()
	for i := range mostRemembered + 1 {
		p.announce(23, prefix(i), hop1)
	}
	p.sync()
	if n := s.remembered.Load(); n != mostRemembered {
		t.Errorf("%d are remembered", n)
	}
	s.Reconfigure(ServerOptions{})
	p.ends()
	other.sync()
	eventually(t, "nothing is remembered of a session that is over", func() bool { return s.remembered.Load() == 0 })
}

func TestReloadGivesAndTakesSubscriptions(t *testing.T) {
	w := newWorld(t)
	w.static(23, 1, hop1)
	none := local(func(c *config.MetalBondClient) { c.Subscribe = nil })
	s := w.serve(func(o *ServerOptions) { o.Clients = none })
	p, idle := dial(t, s).greet(), dial(t, s).greet()
	p.subscribe(23)
	p.subscribe(42)
	p.write(wire.AppendUnsubscribe(nil, 42))
	if told := p.sync(); told != nil {
		t.Fatal(told)
	}
	idle.sync()
	s.Reconfigure(ServerOptions{})
	if got, want := p.update(), "add 23 10.0.0.0/32 via 2001:db8::1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := s.Sessions()[0].Subscriptions; !slices.Equal(got, []rib.VNI{23}) {
		t.Errorf("subscribed to %v", got)
	}
	s.Reconfigure(ServerOptions{Clients: none})
	p.ends() // or it would keep what it was told
	idle.sync()
	eventually(t, "it says why", func() bool { return w.lines.count("it may not read a VNI any more") == 1 })
}

func TestRoutesBeyondTheMaximumAreTakenWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := newHypervisor(NewServer(ServerOptions{Bridge: w.bridge, Log: w.log}))
		h.rights = newRights(&config.MetalBondClient{Announce: config.AllVNIs(), MaxRoutes: 3}, underlay1)
		x := newSession(&session{conn: pipe{}, party: h, paces: new(paces), log: w.log, count: new(counters)})
		h.server.sessions = []*session{x}
		h.server.settings.clients.Clients = []config.MetalBondClient{{Source: netip.MustParsePrefix("::/0"), Announce: config.AllVNIs(), MaxRoutes: 3}}
		x.address = netip.AddrPortFrom(underlay1, 1)
		h.established(x)
		defer h.close()
		stop := background(t, func(ctx context.Context) error { h.server.retry(ctx); return nil })
		defer stop()
		say := func(remove bool, numbers ...int) {
			for _, i := range numbers {
				h.updates([]bridge.Edit{{Remove: remove, VNI: rib.VNI(23 + i%2), Prefix: prefix(i), NextHop: hop1}})
			}
		}
		total := func() int { return w.table.Stats(23).NextHops + w.table.Stats(24).NextHops }
		say(false, 0, 1, 2, 3, 4, 5)
		say(false, 1) // it is there, and no news
		if total() != 3 || len(h.refused.routes) != 3 {
			t.Fatalf("%d routes, %d refused", total(), len(h.refused.routes))
		}
		say(true, 0, 5) // one that is there, one that is not
		time.Sleep(retryPeriod + time.Second)
		synctest.Wait()
		if total() != 3 || len(h.refused.routes) != 1 {
			t.Fatalf("%d routes, %d refused", total(), len(h.refused.routes))
		}
		say(true, 1, 2, 3, 4)
		time.Sleep(retryPeriod + time.Second)
		synctest.Wait()
		if total() != 0 || len(h.refused.routes) != 0 {
			t.Fatalf("%d routes, %d refused", total(), len(h.refused.routes))
		}
		if n := w.lines.count("maximum of routes reached"); n == 0 {
			t.Error("nothing in the log")
		}
	})
}

func TestClientIsReadNoFasterThanItMaySpeakAndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, updates = 10, 400
		w := newWorld(t)
		p, s := meet(t, w, func(o *ServerOptions) {
			o.Clients = local(func(c *config.MetalBondClient) { c.Source, c.UpdateRate = netip.MustParsePrefix("0.0.0.0/0"), rate })
		})
		answers := make(chan int, 1)
		go func() { // the client reads, and says nothing but its UPDATEs
			n := 0
			for {
				m, err := p.in.Next()
				if err != nil {
					answers <- n
					return
				}
				if m.Type == wire.TypeKeepalive {
					n++
				}
			}
		}()
		var frames []byte
		for i := range updates {
			frames = Encode(frames, false, 23, prefix(i), hop1)
		}
		begin := time.Now()
		p.write(frames)
		for w.table.Stats(23).NextHops < updates {
			time.Sleep(time.Second)
			if len(s.Sessions()) == 0 {
				t.Fatal("its session has ended")
			}
		}
		if took, least := time.Since(begin), (updates-2*rate)/rate*time.Second; took < least || took > updates/rate*time.Second+5*time.Second {
			t.Errorf("%d updates took %v", updates, took)
		}
		p.conn.Close()
		if n := <-answers; n < 3 {
			t.Errorf("%d KEEPALIVEs kept it alive, of an interval of 5s", n)
		}
	})
}

func TestHeldBackClientThatIsGoneIsNoticed(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.Clients = local(func(c *config.MetalBondClient) { c.UpdateRate = 1 }) })
	p := dial(t, s).greet()
	for i := range 1000 {
		p.announce(23, prefix(i), hop1)
	}
	eventually(t, "the first", func() bool { return w.table.Stats(23).NextHops > 0 })
	p.conn.Close() // what it said would take a quarter of an hour
	w.has(23, 0)
	eventually(t, "no session", func() bool { return len(s.Sessions()) == 0 })
}
