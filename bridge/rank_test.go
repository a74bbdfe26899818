package bridge

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"pgregory.net/rapid"

	"mbbgp/rib"
)

func TestRanksAreCompared(t *testing.T) {
	base := Attributes{ASPathLength: 2, DPath: []Domain{{}}}
	number := func(n uint32) *uint32 { return &n }
	// From the best to the worst.
	order := []struct {
		name string
		a    *Attributes
	}{
		{"LOCAL_PREF 101", changed(&base, func(a *Attributes) { a.LocalPref, a.ASPathLength = number(101), 9 })},
		{"no D-PATH", changed(&base, func(a *Attributes) { a.DPath, a.ASPathLength = nil, 9 })},
		{"one AS", changed(&base, func(a *Attributes) { a.ASPathLength, a.MED = 1, number(9) })},
		{"nothing special", &base},
		{"MED 1", changed(&base, func(a *Attributes) { a.MED = number(1) })},
		{"MED 2^32-1", changed(&base, func(a *Attributes) { a.MED = number(1<<32 - 1) })},
		{"three ASes", changed(&base, func(a *Attributes) { a.ASPathLength = 3 })},
		{"two domains", changed(&base, func(a *Attributes) { a.DPath, a.ASPathLength = make([]Domain, 2), 0 })},
		{"LOCAL_PREF 99", changed(&base, func(a *Attributes) { a.LocalPref, a.ASPathLength, a.DPath = number(99), 0, nil })},
		{"LOCAL_PREF 0", changed(&base, func(a *Attributes) { a.LocalPref = number(0) })},
		{"long-lived stale", changed(&base, func(a *Attributes) { a.Communities, a.LocalPref = []uint32{1, llgrStale}, number(1000) })},
	}
	for i, x := range order {
		for j, y := range order {
			if got := rankOf(VPN, x.a).compare(rankOf(VPN, y.a)); got > 0 != (i < j) || got < 0 != (i > j) {
				t.Errorf("%s against %s: %d", x.name, y.name, got)
			}
		}
	}
	defaults := changed(&base, func(a *Attributes) { a.LocalPref, a.MED = number(100), number(0) })
	if rankOf(IPPrefix, &base) != rankOf(IPPrefix, defaults) {
		t.Error("LOCAL_PREF 100 and MED 0 are not what their absence is")
	}
	if rankOf(Unicast, order[0].a) != rankOf(Unicast, order[8].a) {
		t.Error("unicast is ranked")
	}
}

// wantOrder checks that better ranks have higher preferences, all between
// Deferred and Native, and each its own if there are enough.
func wantOrder(t *rapid.T, r *ranks) {
	for i, e := range r.order {
		if e.preference <= rib.Deferred || e.preference >= rib.Native {
			t.Fatalf("preference %d", e.preference)
		}
		if i == 0 {
			continue
		}
		below := r.order[i-1]
		if below.compare(e.rank) >= 0 || below.preference > e.preference || !r.merged && below.preference == e.preference {
			t.Fatalf("%d of %+v and %d of %+v", below.preference, below.rank, e.preference, e.rank)
		}
	}
	if len(r.order) != len(r.known) {
		t.Fatalf("%d in order, %d known", len(r.order), len(r.known))
	}
}

func TestRanksKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := uint32(rapid.SampledFrom([]int{3, 30, 150, 400}).Draw(t, "most"))
		r := newRanks(quiet())
		places := map[rank]int{}
		said := map[rank]rib.Preference{} // as the routes in the table have it
		settle := func(t *rapid.T) {
			for _, x := range r.shifts() {
				said[x.rank] = x.preference
				// No worse one may stand above a better one on the way.
				i := slices.Index(r.order, x)
				for j, y := range r.order {
					if p, ok := said[y.rank]; ok && (j < i && p > x.preference || j > i && p < x.preference) {
						t.Fatalf("on the way, %+v has %d and %+v %d", x.rank, x.preference, y.rank, p)
					}
				}
			}
			for x, p := range said {
				if p != r.preference(x) {
					t.Fatalf("%+v has %d, the table %d", x, r.preference(x), p)
				}
			}
		}
		draw := func(t *rapid.T) rank { return rank{localPref: rapid.Uint32Range(1, most).Draw(t, "local preference")} }
		hold := func(t *rapid.T, x rank) {
			r.hold(x)
			places[x]++
			settle(t) // before the first route of the rank
			said[x] = r.preference(x)
		}
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) { hold(t, draw(t)) },
			"hold many": func(t *rapid.T) {
				from, step := draw(t).localPref, rapid.SampledFrom([]int{-1, 1, 7}).Draw(t, "step")
				for i := range rapid.IntRange(1, 200).Draw(t, "number") {
					hold(t, rank{localPref: 1 + uint32(int(from)+i*step+int(most)*1000)%most})
				}
			},
			"drop": func(t *rapid.T) {
				x := draw(t)
				for range places[x] {
					r.drop(x)
				}
				delete(places, x)
				delete(said, x)
			},
			"part": func(t *rapid.T) {
				r.part()
				settle(t)
			},
			"": func(t *rapid.T) {
				wantOrder(t, &r)
				if len(r.known) != len(places) || len(places) <= maxRanks*8/10 && r.merges == 0 && r.merged {
					t.Fatalf("%d ranks, want %d", len(r.known), len(places))
				}
			},
		})
		for x, n := range places {
			for range n {
				r.drop(x)
			}
		}
		if len(r.known)+len(r.order) != 0 {
			t.Fatal("ranks are kept")
		}
	})
}

func TestTooManyRanksAreMergedAndPartedAgain(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	r := newRanks(log)
	const n = 200
	for i := range uint32(n) {
		r.hold(rank{localPref: i})
	}
	if s := r.stats(); s.Used != n || s.Merged != n-uint64(maxRanks) || !r.merged || warnings(hook) != 1 {
		t.Errorf("%+v, merged %v, %d warnings", s, r.merged, warnings(hook))
	}
	for i := range uint32(n) {
		if i < 80 {
			r.drop(rank{localPref: i})
		}
	}
	r.part()
	distinct := map[rib.Preference]bool{}
	for _, e := range r.order {
		distinct[e.preference] = true
	}
	if r.merged || len(distinct) != n-80 {
		t.Errorf("%d ranks have %d preferences", len(r.order), len(distinct))
	}
}

func TestMergedRanksDifferInLessThanLocalPref(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRanks(quiet())
		held := map[rank]bool{}
		draw := func(t *rapid.T) rank {
			return rank{
				stale:     rapid.IntRange(0, 9).Draw(t, "stale") == 0,
				localPref: rapid.SampledFrom([]uint32{50, 100, 100, 100, 200}).Draw(t, "local preference"),
				med:       rapid.Uint32Range(0, 300).Draw(t, "MED"),
			}
		}
		hold := func(x rank) {
			if !held[x] {
				r.hold(x)
				r.shifts()
				held[x] = true
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) { hold(draw(t)) },
			"hold many": func(t *rapid.T) {
				x := draw(t)
				for range rapid.IntRange(1, 200).Draw(t, "number") {
					x.med++
					hold(x)
				}
			},
			"drop": func(t *rapid.T) {
				if x := draw(t); held[x] {
					r.drop(x)
					delete(held, x)
				}
			},
			"part": func(t *rapid.T) {
				r.part()
				r.shifts()
			},
			"": func(t *rapid.T) {
				wantOrder(t, &r)
				for i := 1; i < len(r.order); i++ {
					if x, y := r.order[i-1], r.order[i]; x.preference == y.preference && !x.near(y.rank) {
						t.Fatalf("%+v and %+v have %d of %d", x.rank, y.rank, x.preference, len(r.order))
					}
				}
			},
		})
	})
}

func TestRanksAtTheEdgeAreLoggedOnce(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	r := newRanks(log)
	for i := range uint32(maxRanks) {
		r.hold(rank{localPref: 2 * i})
	}
	for i := range uint32(20) { // a rank too many comes and goes, and another one changes
		r.hold(rank{localPref: 201})
		r.part()
		r.drop(rank{localPref: 201})
		r.drop(rank{localPref: 2 * i})
		r.part()
		r.hold(rank{localPref: 1000 + i})
	}
	if n := len(hook.AllEntries()); n != 1 {
		t.Errorf("%d lines, want one: %v", n, hook.LastEntry().Message)
	}
}

// visible are the next hops of a prefix that readers see, sorted.
func visible(b *Bridge, vni rib.VNI, p netip.Prefix) []string {
	var all []string
	for _, i := range b.Table().Lookup(vni, p) {
		if i.Visible {
			all = append(all, i.NextHop.String())
		}
	}
	slices.Sort(all)
	return all
}

// rankedRoute is a route of VNI 300 by a next hop of its own.
func rankedRoute(rd uint16, change func(*Attributes)) Update {
	return say(type5(rd, "10.1.0.0/16"), changed(ipipPath(fmt.Sprintf("2001:db8:9::%d", rd), rt(65000, 300)), change))
}

func TestBestPathsOfAPrefixAreVisible(t *testing.T) {
	number := func(n uint32) *uint32 { return &n }
	cfg := testConfig(t)
	cfg.VNIs = cfg.VNIs[:2]
	b := newBridge(t, cfg)
	g := b.BGP()
	p := prefix("10.1.0.0/16")
	for _, step := range []struct {
		name string
		do   Update
		want []string
	}{
		{"one path", rankedRoute(1, func(a *Attributes) { a.ASPathLength = 2 }), []string{"2001:db8:9::1"}},
		{"an equal one stands beside it", rankedRoute(2, func(a *Attributes) { a.ASPathLength = 2 }), []string{"2001:db8:9::1", "2001:db8:9::2"}},
		{"a shorter AS path hides both", rankedRoute(3, func(a *Attributes) { a.ASPathLength = 1 }), []string{"2001:db8:9::3"}},
		{"a shorter D-PATH counts more", rankedRoute(3, func(a *Attributes) { a.ASPathLength, a.DPath = 1, make([]Domain, 1) }), []string{"2001:db8:9::1", "2001:db8:9::2"}},
		{"a local preference counts more", rankedRoute(3, func(a *Attributes) { a.LocalPref, a.DPath = number(101), make([]Domain, 1) }), []string{"2001:db8:9::3"}},
		{"a higher MED is worse", rankedRoute(2, func(a *Attributes) { a.ASPathLength, a.MED = 2, number(5) }), []string{"2001:db8:9::3"}},
		{"what outlived its session is last", rankedRoute(3, func(a *Attributes) { a.LocalPref, a.Communities = number(101), []uint32{llgrStale} }), []string{"2001:db8:9::1"}},
		{"the best one goes", unsay(rankedRoute(1, func(*Attributes) {}).NLRI), []string{"2001:db8:9::2"}},
		{"what is left is what is stale", unsay(rankedRoute(2, func(*Attributes) {}).NLRI), []string{"2001:db8:9::3"}},
		{"the session is back", rankedRoute(3, func(*Attributes) {}), []string{"2001:db8:9::3"}},
	} {
		g.Import([]Update{step.do})
		if got := visible(b, 300, p); !slices.Equal(got, step.want) {
			t.Fatalf("%s: %v, want %v", step.name, got, step.want)
		}
		stale := 0
		if step.name == "what outlived its session is last" || step.name == "the best one goes" || step.name == "what is left is what is stale" {
			stale = 1
		}
		if s := g.Stats(); s.Stale != stale {
			t.Errorf("%s: %d stale", step.name, s.Stale)
		}
	}
	g.Forget(fabric)
	wantNothingKept(t, g)
}

func TestRulesChangeTheRank(t *testing.T) {
	b := newBridge(t, kindsConfig(t))
	p := prefix("10.1.0.0/16")
	// Rules of VNI 600 prefer what comes from 2001:db8:2::/48.
	b.BGP().Import([]Update{
		labelled(vpn(1, "10.1.0.0/16"), ImplicitNull, sidPath("2001:db8:1:1::1", EndDT46, rt(65000, 600), rt(65000, 500))),
		labelled(vpn(2, "10.1.0.0/16"), ImplicitNull, sidPath("2001:db8:2:1::1", EndDT46, rt(65000, 600), rt(65000, 500))),
	})
	if got := visible(b, 600, p); !slices.Equal(got, []string{"2001:db8:2:1::1"}) {
		t.Errorf("with a rule: %v", got)
	}
	if got := visible(b, 500, p); len(got) != 2 {
		t.Errorf("without one: %v", got)
	}
	// MED is worse, and only if the rule's large community is there.
	dear := sidPath("2001:db8:2:1::1", EndDT46, rt(65000, 600))
	dear.Large = [][3]uint32{{65000, 9, 9}}
	b.BGP().Import([]Update{
		labelled(vpn(1, "10.1.0.0/16"), ImplicitNull, sidPath("2001:db8:2:1::2", EndDT46, rt(65000, 600))),
		labelled(vpn(2, "10.1.0.0/16"), ImplicitNull, dear),
	})
	if got := visible(b, 600, p); !slices.Equal(got, []string{"2001:db8:2:1::2"}) {
		t.Errorf("with MED: %v", got)
	}
}

func TestUnicastIsNotRanked(t *testing.T) {
	b := newBridge(t, kindsConfig(t))
	low := uint32(1)
	b.BGP().Import([]Update{labelled(unicast("203.0.113.7/32"), 0, &Attributes{NextHop: fabric, LocalPref: &low, Communities: []uint32{llgrStale}})})
	info := b.Table().Lookup(100, prefix("203.0.113.7/32"))
	if len(info) != 1 || info[0].Claims[0].Preference != rib.Redistributed {
		t.Errorf("%+v", info)
	}
	if s := b.BGP().Stats(); s.Stale != 1 || s.Ranks.Used != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLosslessRoutesStandBesideNativeOnes(t *testing.T) {
	b := newBridge(t, kindsConfig(t))
	p := prefix("10.1.0.0/16")
	low := uint32(99)
	lossless := func(rd uint16, change func(*Attributes)) Update {
		return labelled(vpn(rd, "10.1.0.0/16"), ImplicitNull, changed(sidPath(fmt.Sprintf("2001:db8:2:1::%d", rd), EndDT46, rt(65000, 700)), func(a *Attributes) {
			a.Large = [][3]uint32{{65001, 1, 0}}
			change(a)
		}))
	}
	announce(t, b.Open(rib.Client, "client"), 700, "10.1.0.0/16", "2001:db8:1::1")
	b.BGP().Import([]Update{
		lossless(1, func(a *Attributes) { a.ASPathLength = 5 }),
		lossless(2, func(a *Attributes) { a.LocalPref = &low }),
		lossless(3, func(a *Attributes) { a.Communities = []uint32{llgrStale} }),
		lossless(4, func(a *Attributes) { a.Large = nil }),
	})
	if got := visible(b, 700, p); !slices.Equal(got, []string{"2001:db8:1::1", "2001:db8:2:1::1"}) {
		t.Errorf("%v", got)
	}
	// What stands by is ranked as any other, lossless or not.
	b.BGP().Import([]Update{lossless(4, func(a *Attributes) { a.Large, a.LocalPref = nil, &low }), unsay(vpn(1, "10.1.0.0/16"))})
	if got := preferences(b, 700, p); got[hop("2001:db8:2:1::2")] != got[hop("2001:db8:2:1::4")] || got[hop("2001:db8:2:1::2")] <= got[hop("2001:db8:2:1::3")] {
		t.Errorf("%v", got)
	}
	b.BGP().Forget(fabric)
	wantNothingKept(t, b.BGP())
}

func TestLosslessRouteThroughAGatewayIsRanked(t *testing.T) {
	b := newBridge(t, kindsConfig(t))
	client := b.Open(rib.Client, "client")
	for vni, n := range map[rib.VNI]NLRI{200: type5(1, "10.1.0.0/16"), 600: vpn(1, "10.1.0.0/16")} {
		announce(t, client, vni, "10.1.0.0/16", "2001:db8:1::1")
		// A border router kept the communities and put itself in the path.
		b.BGP().Import([]Update{labelled(n, 5000, changed(vxlanPath(rt(65000, uint32(vni))), func(a *Attributes) {
			a.Large = [][3]uint32{{65001, 1, 0}}
		}))})
		if got := visible(b, vni, n.Prefix); !slices.Equal(got, []string{"2001:db8:1::1"}) {
			t.Errorf("vni %d: %v", vni, got)
		}
		if got := targets(b, vni, n.Prefix); len(got) != 2 {
			t.Errorf("vni %d: %v", vni, got)
		}
	}
}

// preferences are those of the next hops of a prefix, as their best claims have
// them.
func preferences(b *Bridge, vni rib.VNI, p netip.Prefix) map[rib.NextHop]rib.Preference {
	all := map[rib.NextHop]rib.Preference{}
	for _, i := range b.Table().Lookup(vni, p) {
		for _, c := range i.Claims {
			all[i.NextHop] = max(all[i.NextHop], c.Preference)
		}
	}
	return all
}

// TestRoutesAreNeverGoneWhileRanksChange brings paths of ever better and worse
// ranks, so that preferences are spread anew again and again, and looks at what
// a reader is told of another route meanwhile.
func TestRoutesAreNeverGoneWhileRanksChange(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs = cfg.VNIs[:2]
	b := newBridge(t, cfg)
	g := b.BGP()
	number := func(n uint32) *uint32 { return &n }
	// Three ranks of one prefix; the best is rd 3.
	for rd := range uint16(3) {
		g.Import([]Update{rankedRoute(rd+1, func(a *Attributes) { a.LocalPref = number(1000 + uint32(rd)) })})
	}
	r := b.Table().NewReader(300, rib.ReaderOptions{})
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- watch(r, prefix("10.1.0.0/16"), hop("2001:db8:9::3"), stop) }()
	var others []NLRI
	before := g.standings.ranks.known[rank{localPref: 1002}].preference
	for i := range uint32(120) {
		n := type5(9, fmt.Sprintf("10.2.%d.0/24", i))
		others = append(others, n)
		local := 1003 + i
		if i%2 == 0 {
			local = 999 - i
		}
		u := say(n, changed(ipipPath("2001:db8:9::9", rt(65000, 300)), func(a *Attributes) { a.LocalPref = &local }))
		g.mu.Lock()
		g.announce(&u) // what it means to others is done when its own route is in, not at the end of a batch
		inTableAsRanked(t, g)
		g.mu.Unlock()
	}
	if after := g.standings.ranks.known[rank{localPref: 1002}].preference; after == before {
		t.Fatal("the preferences were never spread anew")
	}
	for _, n := range others {
		g.Import([]Update{unsay(n)})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.Forget(fabric)
	wantNothingKept(t, g)
}

// inTableAsRanked checks that the table has the preferences of the three routes
// of 10.1.0.0/16. The caller holds mu.
func inTableAsRanked(t *testing.T, g *BGP) {
	t.Helper()
	for _, i := range g.bridge.Table().Lookup(300, prefix("10.1.0.0/16")) {
		want := g.standings.ranks.preference(rank{localPref: 1000 + uint32(i.NextHop.Target.As16()[15]) - 1})
		if got := i.Claims[0].Preference; got != want {
			t.Fatalf("%v has preference %d, its rank %d", i.NextHop, got, want)
		}
	}
}

// watch reads changes until stop and returns an error when it is told that a
// prefix is anywhere else than at the one next hop.
func watch(r *rib.Reader, p netip.Prefix, want rib.NextHop, stop <-chan struct{}) error {
	defer r.Close()
	changes := make([]rib.Change, 100)
	for {
		n, more := r.ReadChanges(changes)
		for _, c := range changes[:n] {
			if c.Prefix == p && (len(c.New) != 1 || c.New[0].NextHop != want) {
				return fmt.Errorf("told %+v", c)
			}
		}
		select {
		case <-stop:
			if !more {
				return nil
			}
		default:
			runtime.Gosched()
		}
	}
}

func TestImportedRoutesStandAboveCopiesAndBelowNativeOnes(t *testing.T) {
	cfg := testConfig(t)
	b := newBridge(t, cfg)
	p := prefix("10.1.0.0/16")
	worst := uint32(0)
	b.BGP().Import([]Update{say(type5(1, "10.1.0.0/16"), changed(vxlanPath(rt(65000, 200)), func(a *Attributes) {
		a.LocalPref, a.Communities = &worst, []uint32{llgrStale}
	}))})
	announce(t, b.Open(rib.Server, "server"), 200, "10.1.0.0/16", "2001:db8:f::1:200") // a sibling's copy
	if got := visible(b, 200, p); !slices.Equal(got, []string{"2001:db8:f::200"}) {
		t.Errorf("beside a copy: %v", got)
	}
	best := uint32(1<<32 - 1)
	b.BGP().Import([]Update{say(type5(1, "10.1.0.0/16"), changed(vxlanPath(rt(65000, 200)), func(a *Attributes) { a.LocalPref = &best }))})
	announce(t, b.Open(rib.Client, "client"), 200, "10.1.0.0/16", "2001:db8:1::1")
	if got := visible(b, 200, p); !slices.Equal(got, []string{"2001:db8:1::1"}) {
		t.Errorf("beside a native route: %v", got)
	}
}

func TestNeighborChangesWithoutAGap(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs = cfg.VNIs[:2]
	b := newBridge(t, cfg)
	g := b.BGP()
	g.Import([]Update{rankedRoute(1, func(*Attributes) {})})
	r := b.Table().NewReader(300, rib.ReaderOptions{})
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- watch(r, prefix("10.1.0.0/16"), hop("2001:db8:9::1"), stop) }()
	// The same next hop, by the other neighbour, and of other ranks.
	for i := range 1000 {
		moved := rankedRoute(1, func(a *Attributes) { a.ASPathLength = uint16(i % 7) })
		moved.Neighbor = []netip.Addr{fabric, fabric2}[i%2]
		g.Import([]Update{moved})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := g.Forget(fabric); got != 0 {
		t.Errorf("%d left of the first neighbour", got)
	}
	g.Forget(fabric2)
	wantNothingKept(t, g)
}
