package bridge

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// originateConfig has VNI 100 (unicast, without import.prefixes), VNI 200
// (EVPN) and VNI 600 (VPN, with rules), each of which originates both defaults.
func originateConfig(t fataler, holdDown time.Duration) *config.Config {
	t.Helper()
	cfg := kindsConfig(t)
	cfg.VNIs = []config.VNI{cfg.VNIs[0], cfg.VNIs[2], cfg.VNIs[4]}
	for i := range cfg.VNIs {
		cfg.VNIs[i].Originate = []config.Originate{{Prefix: prefix("0.0.0.0/0"), HoldDown: holdDown}, {Prefix: prefix("::/0"), HoldDown: holdDown}}
		cfg.VNIs[i].Import.Prefixes = []config.PrefixRule{{Allow: false, Prefix: prefix("0.0.0.0/0")}}
	}
	cfg.VNIs[1].Import.Prefixes = nil
	return cfg
}

func defaultOf(kind NLRIKind, rd uint16) NLRI {
	if kind == Unicast {
		return unicast("0.0.0.0/0")
	}
	n := type5(rd, "0.0.0.0/0")
	n.Kind = kind
	return n
}

func labelPath(targets ...RouteTarget) *Attributes {
	return &Attributes{NextHop: addr("198.51.100.9"), RouteTargets: targets}
}

// closed reports whether the channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDefaultIsOriginatedWhileItIsOffered(t *testing.T) {
	p := prefix("0.0.0.0/0")
	ours := []ExtendedCommunity{soo(t, "65001:1")}
	for _, c := range []struct {
		name  string
		offer Update
		vni   rib.VNI // where it counts; 0: nowhere
	}{
		{"unicast", labelled(defaultOf(Unicast, 0), 0, labelPath()), 100},
		{"EVPN", say(defaultOf(IPPrefix, 1), vxlanPath(rt(65000, 200))), 200},
		{"VPN", labelled(defaultOf(VPN, 1), 16, labelPath(rt(65000, 600))), 600},
		{"VPN with a SID", labelled(defaultOf(VPN, 1), ImplicitNull, sidPath("2001:db8:2:1::", EndDT46, rt(65000, 600))), 600},
		{"unicast of our own domain", labelled(defaultOf(Unicast, 0), 0, &Attributes{SiteOfOrigin: ours}), 0},
		{"EVPN of our own domain", say(defaultOf(IPPrefix, 1), changed(vxlanPath(rt(65000, 200)), func(a *Attributes) { a.SiteOfOrigin = ours })), 0},
		{"VPN that has been in our domain", labelled(defaultOf(VPN, 1), 16, changed(labelPath(rt(65000, 600)), func(a *Attributes) {
			a.DPath = []Domain{{ID: config.DomainID{2: 0xfd, 3: 0xe9, 5: 1}}}
		})), 0},
		{"EVPN without Router's MAC", say(defaultOf(IPPrefix, 1), labelPath(rt(65000, 200))), 0},
		{"VPN of nobody", labelled(defaultOf(VPN, 1), 16, labelPath(rt(65000, 999))), 0},
		{"VPN that a rule refuses", labelled(defaultOf(VPN, 1), 16, changed(labelPath(rt(65000, 600)), func(a *Attributes) { a.Communities = []uint32{666} })), 0},
		{"a longer prefix", labelled(unicast("0.0.0.0/1"), 0, labelPath()), 0},
		{"the other family", labelled(unicast("::/0"), 0, labelPath()), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBridge(t, originateConfig(t, 0))
			defer b.BGP().Close()
			b.BGP().Import([]Update{c.offer})
			for _, vni := range []rib.VNI{100, 200, 600} {
				var want []string
				if vni == c.vni {
					want = []string{b.current().networks[vni].gateway.String()}
				}
				if got := targets(b, vni, p); !slices.Equal(got, want) {
					t.Errorf("vni %d: %v, want %v", vni, got, want)
				}
			}
			if s := b.BGP().Stats(); s.Routes != 0 {
				t.Errorf("imported %d routes that import.prefixes denies", s.Routes)
			}
			b.BGP().Import([]Update{unsay(c.offer.NLRI)})
			if c.vni != 0 && targets(b, c.vni, p) != nil {
				t.Error("stays without hold-down")
			}
			wantNothingKept(t, b.BGP())
		})
	}
}

func TestOfferThatIsImportedAsWellStaysWithIt(t *testing.T) {
	cfg := originateConfig(t, time.Hour)
	cfg.VNIs[0].Import.Prefixes, cfg.VNIs[0].Import.MaxPrefixes = nil, 5
	b := newBridge(t, cfg)
	defer b.BGP().Close()
	u := say(defaultOf(IPPrefix, 1), vxlanPath(rt(65000, 200)))
	b.BGP().Import([]Update{u})
	info := b.Table().Lookup(200, prefix("0.0.0.0/0"))
	if len(info) != 1 || len(info[0].Claims) != 2 {
		t.Fatalf("in the table: %+v", info)
	}
	v := b.BGP().Stats().VNIs[1]
	if v.Imported.Prefixes.Used != 1 || v.Imported.Routes != 1 || !slices.Equal(v.Originated, []OriginationStats{{prefix("0.0.0.0/0"), 1, true}, {Prefix: prefix("::/0")}}) {
		t.Errorf("%+v", v)
	}
	b.BGP().Import([]Update{unsay(u.NLRI)})
	if v := b.BGP().Stats().VNIs[1]; v.Imported.Prefixes.Used != 0 || !slices.Equal(v.Originated, []OriginationStats{{prefix("0.0.0.0/0"), 0, true}, {Prefix: prefix("::/0")}}) {
		t.Errorf("held: %+v", v)
	}
	wantNothingKept(t, b.BGP())
}

func TestFullNeighborStillOffers(t *testing.T) {
	cfg := originateConfig(t, 0)
	cfg.BGP.Neighbors[0].MaxPrefixes = 1
	cfg.VNIs[0].Import.Prefixes = nil
	b := newBridge(t, cfg)
	b.BGP().Import([]Update{
		say(type5(1, "10.1.0.0/16"), vxlanPath(rt(65000, 200))),
		labelled(defaultOf(Unicast, 0), 0, labelPath()),
	})
	if got := targets(b, 100, prefix("0.0.0.0/0")); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestHoldDown(t *testing.T) {
	const hold = 10 * time.Second
	p := prefix("0.0.0.0/0")
	offer := func(rd uint16, from netip.Addr) Update {
		u := labelled(defaultOf(VPN, rd), 16, labelPath(rt(65000, 600)))
		u.Neighbor = from
		return u
	}
	for _, c := range []struct {
		name string
		lose func(g *BGP)
	}{
		{"withdrawn", func(g *BGP) { g.Import([]Update{unsay(defaultOf(VPN, 1))}) }},
		{"changed to what is not for us", func(g *BGP) { g.Import([]Update{labelled(defaultOf(VPN, 1), 16, labelPath())}) }},
		{"malformed", func(g *BGP) { g.Import([]Update{{NLRI: defaultOf(VPN, 1), Neighbor: fabric}}) }},
		{"the neighbour is gone", func(g *BGP) { g.Forget(fabric) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, originateConfig(t, hold))
				g := b.BGP()
				defer g.Close()
				reader := b.Table().NewReader(600, rib.ReaderOptions{})
				defer reader.Close()
				told := func() int {
					n, _ := reader.ReadChanges(make([]rib.Change, 10))
					return n
				}
				wait := func(d time.Duration) {
					time.Sleep(d)
					synctest.Wait()
				}
				g.Import([]Update{offer(1, fabric)})
				if told() != 1 {
					t.Fatal("not originated")
				}
				// Flaps shorter than the hold-down are not seen, however many.
				for range 5 {
					c.lose(g)
					wait(hold - time.Millisecond)
					g.Import([]Update{offer(1, fabric)})
				}
				wait(10 * hold)
				if told() != 0 || len(targets(b, 600, p)) != 1 {
					t.Fatal("a flap was seen")
				}
				// A second offer holds it without any hold-down.
				g.Import([]Update{offer(2, fabric2)})
				c.lose(g)
				wait(10 * hold)
				if told() != 0 {
					t.Fatal("gone though another route offers it")
				}
				g.Forget(fabric2)
				wait(hold - time.Millisecond)
				if told() != 0 {
					t.Error("gone too early")
				}
				wait(time.Millisecond)
				if told() != 1 || targets(b, 600, p) != nil {
					t.Error("not gone behind the hold-down")
				}
				// And it comes again at once.
				g.Import([]Update{offer(1, fabric)})
				if told() != 1 {
					t.Error("not originated again")
				}
				// Nothing is left running: synctest would wait for it.
				c.lose(g)
				g.Close()
				wait(10 * hold)
				if told() != 0 || len(targets(b, 600, p)) != 1 {
					t.Error("Close does not leave what is in hold-down")
				}
			})
		})
	}
}

// TestOfferBeatsAHoldDownThatEnds offers a prefix again while the end of its
// hold-down waits for the lock already.
func TestOfferBeatsAHoldDownThatEnds(t *testing.T) {
	const hold = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, originateConfig(t, hold))
		g := b.BGP()
		defer g.Close()
		n := defaultOf(VPN, 1)
		x := g.originations.of(b.current().networks[600], n.Prefix)
		g.Import([]Update{labelled(n, 16, labelPath(rt(65000, 600))), unsay(n)})
		g.mu.Lock()
		time.Sleep(hold)
		g.offer(&n, n.Prefix, []offering{{x, offer{neighbor: fabric}}})
		g.offer(&n, n.Prefix, nil)
		g.mu.Unlock()
		synctest.Wait()
		if len(targets(b, 600, n.Prefix)) != 1 {
			t.Fatal("gone with the hold-down before")
		}
		time.Sleep(hold)
		synctest.Wait()
		if targets(b, 600, n.Prefix) != nil {
			t.Error("its own hold-down does not end")
		}
	})
}

func TestOriginatedIsClosedWhenAllArePresent(t *testing.T) {
	b := newBridge(t, originateConfig(t, 0))
	g := b.BGP()
	done := g.Originated()
	all := []Update{
		labelled(unicast("0.0.0.0/0"), 0, labelPath()),
		labelled(unicast("::/0"), 0, labelPath()),
		say(type5(1, "0.0.0.0/0"), vxlanPath(rt(65000, 200))),
		say(type5(1, "::/0"), vxlanPath(rt(65000, 200))),
		labelled(vpn(1, "0.0.0.0/0"), 16, labelPath(rt(65000, 600))),
	}
	g.Import(all)
	g.Import([]Update{unsay(all[0].NLRI), labelled(vpn(1, "::/0"), 16, labelPath(rt(65000, 600)))})
	if closed(done) {
		t.Fatal("closed while one is gone again")
	}
	g.Import(all[:1])
	if !closed(done) {
		t.Fatal("not closed")
	}
	g.Forget(fabric)
	g.Import(all)
	if !closed(g.Originated()) {
		t.Error("open again")
	}
	if !closed(newBridge(t, testConfig(t)).BGP().Originated()) {
		t.Error("not closed without anything to originate")
	}
	cfg := originateConfig(t, 0)
	cfg.BGP = nil
	if !closed(newBridge(t, cfg).BGP().Originated()) {
		t.Error("not closed without BGP")
	}
}

func TestOriginateNeedsAGateway(t *testing.T) {
	cfg := originateConfig(t, 0)
	cfg.VNIs[0].Gateway = netip.Addr{}
	if _, err := New(cfg, rib.New(rib.Options{}), quiet()); err == nil || err.Error() != "vni 200: originate 0.0.0.0/0 needs a gateway" {
		t.Errorf("got %v", err)
	}
}

// TestHoldDownFollowsTheModel checks against a model that knows the time.
func TestHoldDownFollowsTheModel(t *testing.T) {
	const hold = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			b := newBridge(t, originateConfig(t, hold))
			g := b.BGP()
			defer g.Close()
			offers := map[uint16]netip.Addr{}
			var lost time.Time // when the last offer went; zero: never offered, or offered now
			change := func(to func()) {
				had := len(offers) > 0
				to()
				switch {
				case len(offers) > 0:
					lost = time.Time{}
				case had:
					lost = time.Now()
				}
			}
			rd := func(t *rapid.T) uint16 { return rapid.Uint16Range(1, 2).Draw(t, "rd") }
			neighbor := func(t *rapid.T) netip.Addr {
				return rapid.SampledFrom([]netip.Addr{fabric, fabric2}).Draw(t, "neighbor")
			}
			t.Repeat(map[string]func(*rapid.T){
				"offer": func(t *rapid.T) {
					n, from := rd(t), neighbor(t)
					change(func() { offers[n] = from })
					u := labelled(defaultOf(VPN, n), 16, labelPath(rt(65000, 600)))
					u.Neighbor = from
					g.Import([]Update{u})
				},
				"withdraw": func(t *rapid.T) {
					n := rd(t)
					change(func() { delete(offers, n) })
					g.Import([]Update{unsay(defaultOf(VPN, n))})
				},
				"forget": func(t *rapid.T) {
					from := neighbor(t)
					change(func() {
						for n, x := range offers {
							if x == from {
								delete(offers, n)
							}
						}
					})
					g.Forget(from)
				},
				"time passes": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
					synctest.Wait()
				},
				"": func(t *rapid.T) {
					want := len(offers) > 0 || !lost.IsZero() && time.Since(lost) < hold
					if got := len(targets(b, 600, prefix("0.0.0.0/0"))) > 0; got != want {
						t.Fatalf("present: %v, want %v; %d offers, lost %v ago", got, want, len(offers), time.Since(lost))
					}
				},
			})
		})
	})
}
