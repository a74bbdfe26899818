package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// kernelConfig is kindsConfig where all VNIs but 300 have a kernel table.
func kernelConfig(t fataler) *config.Config {
	t.Helper()
	cfg := kindsConfig(t)
	cfg.Kernel = &config.Kernel{}
	for i := range cfg.VNIs {
		if v := &cfg.VNIs[i]; v.VNI != 300 {
			v.Table = v.VNI
		}
	}
	return cfg
}

// viaText is a next hop of the fabric table as text.
func viaText(nh rib.NextHop) string {
	if nh == (rib.NextHop{}) {
		return "discard"
	}
	return nh.String()
}

// vias are the visible next hops that the fabric table has of a prefix as text,
// sorted.
func vias(b *Bridge, vni rib.VNI, p string) string {
	var all []string
	for _, i := range b.Fabric().Lookup(vni, prefix(p)) {
		if i.Visible {
			all = append(all, viaText(i.NextHop))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// wantVias checks what the fabric table has of a prefix.
func wantVias(t *testing.T, b *Bridge, vni rib.VNI, p, want string) {
	t.Helper()
	if got := vias(b, vni, p); got != want {
		t.Errorf("%v of vni %d goes to %q, want %q", p, vni, got, want)
	}
}

func TestFabricSaysWherePacketsGoOn(t *testing.T) {
	cfg := kernelConfig(t)
	cfg.VNIs[0].Import.Types = []config.HopType{config.HopStandard, config.HopNAT}
	const p4, p6 = "10.1.0.1/32", "2001:db8:77::/48"
	by := func(a *Attributes, nextHop string) *Attributes {
		return changed(a, func(a *Attributes) { a.NextHop = addr(nextHop) })
	}
	from := func(u Update, neighbor string) Update {
		u.Neighbor = addr(neighbor)
		return u
	}
	to200, to600 := vxlanPath(rt(65000, 200)), labelPath(rt(65000, 600))
	nat := changed(to200, func(a *Attributes) { a.Large = [][3]uint32{{65001, 1, 1}, {65001, 2, 7}} })
	straight := ipipPath("2001:db8:9::1", rt(65000, 200))
	for name, c := range map[string]struct {
		vni    rib.VNI
		prefix string
		update Update
		want   string
	}{
		"type 5":                      {200, p4, say(type5(1, p4), to200), "198.51.100.9 (mac 02:00:00:00:00:09) (label 5000)"},
		"type 5 of IPv6":              {200, p6, say(type5(1, p6), to200), "198.51.100.9 (mac 02:00:00:00:00:09) (label 5000)"},
		"type 5 from an IPv6 VTEP":    {200, p4, say(type5(1, p4), by(to200, "2001:db8:9::9")), "2001:db8:9::9 (mac 02:00:00:00:00:09) (label 5000)"},
		"type 2":                      {200, p4, say(type2(1, 1, p4), to200), "198.51.100.9 (mac 02:00:00:00:00:09) (label 5000)"},
		"VPNv4":                       {600, p4, labelled(vpn(1, p4), 16, to600), "198.51.100.9 (label 16)"},
		"VPNv6 of 6VPE":               {600, p6, labelled(vpn(1, p6), 16, by(to600, "::ffff:198.51.100.9")), "198.51.100.9 (label 16)"},
		"VPNv4 of Explicit NULL":      {600, p4, labelled(vpn(1, p4), 0, to600), ""},
		"unicast":                     {100, "203.0.113.1/32", labelled(unicast("203.0.113.1/32"), 0, labelPath()), "198.51.100.9"},
		"unicast by IPv6":             {100, "203.0.113.1/32", labelled(unicast("203.0.113.1/32"), 0, by(labelPath(), "2001:db8::9")), "2001:db8::9"},
		"link-local next hop":         {100, "203.0.113.1/32", from(say(unicast("203.0.113.1/32"), by(labelPath(), "fe80::9")), "fe80::9%eth0"), "fe80::9%eth0"},
		"link-local next hop nowhere": {100, "203.0.113.1/32", from(say(unicast("203.0.113.1/32"), by(labelPath(), "fe80::9")), "198.51.100.7"), ""},
		"our own VTEP":                {200, p4, say(type5(1, p4), by(to200, "192.0.2.1")), ""},
		"no next hop":                 {200, p4, say(type5(1, p4), by(to200, "0.0.0.0")), ""},
		"NAT port range":              {200, p4, say(type5(1, p4), nat), ""},
		"IP-in-IP":                    {200, p4, say(type5(1, p4), straight), ""},
		"SID":                         {500, p4, labelled(vpn(1, p4), ImplicitNull, sidPath("2001:db8:2:1:100::", EndDT46, rt(65000, 500))), ""},
		"VNI without table":           {300, p4, say(type5(1, p4), vxlanPath(rt(65000, 300))), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t, cfg)
			g := b.BGP()
			explained := g.ExplainImport(c.update)
			g.Import([]Update{c.update})
			wantVias(t, b, c.vni, c.prefix, c.want)
			if len(targets(b, c.vni, prefix(c.prefix))) != 1 {
				t.Error("MetalBond has no route")
			}
			if v := explained[0].Via; len(explained) != 1 || c.want == "" && v != (rib.NextHop{}) || c.want != "" && v.String() != c.want {
				t.Errorf("explained as %+v", explained)
			}
			figure := 0
			if c.want != "" {
				figure = 1
			}
			for _, v := range g.Stats().VNIs {
				if v.VNI == c.vni && v.Fabric != figure {
					t.Errorf("figures say %d", v.Fabric)
				}
			}
			g.Import([]Update{unsay(c.update.NLRI)})
			wantVias(t, b, c.vni, c.prefix, "")
		})
	}
}

// follow reads what a table says of a VNI, each change as text.
func follow(t *testing.T, table *rib.Table, vni rib.VNI) (next func() []string) {
	t.Helper()
	r := table.NewReader(vni, rib.ReaderOptions{Sources: rib.Sources(rib.Static, rib.BGP)})
	t.Cleanup(r.Close)
	text := func(paths []rib.Path) string {
		var all []string
		for _, p := range paths {
			all = append(all, fmt.Sprintf("%v at %d", viaText(p.NextHop), p.Preference))
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	return func() (all []string) {
		changes := make([]rib.Change, 16)
		for more := true; more; {
			var n int
			n, more = r.ReadChanges(changes)
			for _, c := range changes[:n] {
				all = append(all, fmt.Sprintf("%v: %s -> %s", c.Prefix, text(c.Old), text(c.New)))
			}
		}
		return all
	}
}

func TestFabricFollowsWhatBGPSays(t *testing.T) {
	b := newBridge(t, kernelConfig(t))
	g := b.BGP()
	fabricSays, metalBondSays := follow(t, b.Fabric(), 200), follow(t, b.Table(), 200)
	n, other := type5(1, "10.1.0.0/16"), type5(2, "10.1.0.0/16")
	step := func(what string, u Update, inFabric, inMetalBond string) {
		t.Helper()
		if u.NLRI.Prefix.IsValid() {
			g.Import([]Update{u})
		} else {
			g.Forget(u.Neighbor)
		}
		if got := strings.Join(fabricSays(), "; "); got != inFabric {
			t.Errorf("%s: the fabric table says %q, want %q", what, got, inFabric)
		}
		if got := strings.Join(metalBondSays(), "; "); got != inMetalBond {
			t.Errorf("%s: the table says %q, want %q", what, got, inMetalBond)
		}
	}
	path := vxlanPath(rt(65000, 200))
	moved := changed(path, func(a *Attributes) { a.NextHop = addr("198.51.100.8") })
	renamed := changed(moved, func(a *Attributes) { a.RouterMAC[5] = 8 })
	preferred := changed(renamed, func(a *Attributes) { a.LocalPref = number(200) })
	step("new", say(n, path),
		"10.1.0.0/16:  -> 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100",
		"10.1.0.0/16:  -> 2001:db8:f::200 at 100")
	step("another VTEP", say(n, moved),
		"10.1.0.0/16: 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100 -> 198.51.100.8 (mac 02:00:00:00:00:09) (label 5000) at 100", "")
	step("another Router's MAC", say(n, renamed),
		"10.1.0.0/16: 198.51.100.8 (mac 02:00:00:00:00:09) (label 5000) at 100 -> 198.51.100.8 (mac 02:00:00:00:00:08) (label 5000) at 100", "")
	step("another label", labelled(n, 6000, renamed),
		"10.1.0.0/16: 198.51.100.8 (mac 02:00:00:00:00:08) (label 5000) at 100 -> 198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 100", "")
	step("the same from another neighbour", Update{NLRI: n, Label: 6000, Attributes: renamed, Neighbor: fabric2}, "", "")
	step("a second leaf", say(other, path),
		"10.1.0.0/16: 198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 100 -> "+
			"198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 100, 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100", "")
	step("the first one preferred", Update{NLRI: n, Label: 6000, Attributes: preferred, Neighbor: fabric2},
		"10.1.0.0/16: 198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 100, 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100 -> "+
			"198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 108",
		"10.1.0.0/16: 2001:db8:f::200 at 100 -> 2001:db8:f::200 at 108")
	step("its neighbour lost", Update{Neighbor: fabric2},
		"10.1.0.0/16: 198.51.100.8 (mac 02:00:00:00:00:08) (label 6000) at 108 -> 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100",
		"10.1.0.0/16: 2001:db8:f::200 at 108 -> 2001:db8:f::200 at 100")
	step("straight", say(other, ipipPath("2001:db8:9::1", rt(65000, 200))),
		"10.1.0.0/16: 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100 -> ",
		"10.1.0.0/16: 2001:db8:f::200 at 100 -> 2001:db8:9::1 at 100")
	step("through the gateway again", say(other, path),
		"10.1.0.0/16:  -> 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100",
		"10.1.0.0/16: 2001:db8:9::1 at 100 -> 2001:db8:f::200 at 100")
	step("withdrawn", unsay(other),
		"10.1.0.0/16: 198.51.100.9 (mac 02:00:00:00:00:09) (label 5000) at 100 -> ",
		"10.1.0.0/16: 2001:db8:f::200 at 100 -> ")
}

// TestFabricRoutesAreReorderedWithTheOthers has more ranks than steps between
// them, which gives all new preferences.
func TestFabricRoutesAreReorderedWithTheOthers(t *testing.T) {
	b := newBridge(t, kernelConfig(t))
	g := b.BGP()
	for i := range uint32(100) {
		a := vxlanPath(rt(65000, 200))
		a.LocalPref, a.NextHop = number(100+i), netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
		g.Import([]Update{say(type5(uint16(1+i), "10.1.0.0/16"), a)})
		if got, want := vias(b, 200, "10.1.0.0/16"), a.NextHop.String()+" (mac 02:00:00:00:00:09) (label 5000)"; got != want {
			t.Fatalf("goes to %q, want %q", got, want)
		}
	}
	byTarget := map[netip.Addr]rib.Preference{}
	for _, i := range b.Fabric().Lookup(200, prefix("10.1.0.0/16")) {
		byTarget[i.NextHop.Target] = i.Claims[0].Preference
	}
	last := rib.Relayed
	for i := range 100 {
		p := byTarget[netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})]
		if p <= last {
			t.Fatalf("rank %d has preference %d, the one before %d", i, p, last)
		}
		last = p
	}
	for i := 99; i > 0; i-- {
		g.Import([]Update{unsay(type5(uint16(1+i), "10.1.0.0/16"))})
		want := fmt.Sprintf("198.51.100.%d (mac 02:00:00:00:00:09) (label 5000)", 100+i-1)
		if got := vias(b, 200, "10.1.0.0/16"); got != want {
			t.Fatalf("goes to %q, want %q", got, want)
		}
	}
}

// TestFabricComesFirstAndGoesLast looks at each table at the moment when the
// other one changes.
func TestFabricComesFirstAndGoesLast(t *testing.T) {
	const p = "0.0.0.0/0"
	cfg := kernelConfig(t)
	cfg.VNIs[4].Originate = []config.Originate{{Prefix: prefix(p)}}
	cfg.VNIs[4].Import.Prefixes = []config.PrefixRule{{Prefix: prefix(p)}} // originated alone
	for vni, path := range map[rib.VNI]*Attributes{200: vxlanPath(rt(65000, 200)), 600: labelPath(rt(65000, 600))} {
		b := newBridge(t, cfg)
		g := b.BGP()
		n := type5(1, p)
		if vni == 600 {
			n.Kind = VPN
		}
		var log []string
		watch := func(name string, changing, other *rib.Table) (read func()) {
			r := changing.NewReader(vni, rib.ReaderOptions{
				Sources: rib.Sources(rib.BGP),
				Wake: func() {
					log = append(log, fmt.Sprintf("%s changes, %d in the other one", name, len(other.Lookup(vni, prefix(p)))))
				},
			})
			t.Cleanup(r.Close)
			changes := make([]rib.Change, 1)
			return func() {
				for more := true; more; {
					_, more = r.ReadChanges(changes)
				}
			}
		}
		readFabric, readTable := watch("fabric", b.Fabric(), b.Table()), watch("MetalBond", b.Table(), b.Fabric())
		for _, step := range []struct {
			do   func()
			want []string
		}{
			{func() { g.Import([]Update{labelled(n, 16, path)}) }, []string{"fabric changes, 0 in the other one", "MetalBond changes, 1 in the other one"}},
			{func() { g.Import([]Update{unsay(n)}) }, []string{"MetalBond changes, 1 in the other one", "fabric changes, 0 in the other one"}},
			{func() { g.Import([]Update{labelled(n, 16, path)}) }, []string{"fabric changes, 0 in the other one", "MetalBond changes, 1 in the other one"}},
			{func() { g.Forget(fabric) }, []string{"MetalBond changes, 1 in the other one", "fabric changes, 0 in the other one"}},
		} {
			readFabric()
			readTable()
			log = nil
			if step.do(); !slices.Equal(log, step.want) {
				t.Errorf("vni %d: %q, want %q", vni, log, step.want)
			}
		}
	}
}

func TestFabricIsKeptForTablesThatNeedIt(t *testing.T) {
	cfg := kernelConfig(t)
	for i := range cfg.VNIs {
		cfg.VNIs[i].Table = 0
	}
	cfg.VNIs[3].Table, cfg.VNIs[3].ImportFrom = 500, []uint32{200, 999} // 200 has no table, 999 is not configured
	withKernel := cfg.Kernel
	cfg.Kernel = nil
	if newBridge(t, cfg).Fabric() != nil {
		t.Error("there is a fabric table without a kernel")
	}
	cfg.Kernel = withKernel
	b := newBridge(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Leak(ctx) }()
	b.BGP().Import([]Update{
		say(type5(1, "10.1.0.0/16"), vxlanPath(rt(65000, 200))),
		labelled(vpn(1, "10.1.0.0/16"), 16, labelPath(rt(65000, 600))),
	})
	wantVias(t, b, 200, "10.1.0.0/16", "198.51.100.9 (mac 02:00:00:00:00:09) (label 5000)")
	wantVias(t, b, 600, "10.1.0.0/16", "")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if list := b.Fabric().VNIs(); !slices.Equal(list, []rib.VNI{200}) {
		t.Errorf("it has VNIs %v", list)
	}
}

func TestLabelIsOfMPLSAlone(t *testing.T) {
	b := newBridge(t, kernelConfig(t))
	for vni, want := range map[rib.VNI]uint32{100: 0, 200: 0, 500: 0, 600: 6000, 999: 0} {
		if got := b.Label(vni); got != want {
			t.Errorf("label of vni %d is %d, want %d", vni, got, want)
		}
	}
}

func TestFabricKeepsTheLastOfferInTheHoldDown(t *testing.T) {
	const hold, p = 10 * time.Second, "0.0.0.0/0"
	synctest.Test(t, func(t *testing.T) {
		cfg := originateConfig(t, hold)
		cfg.Kernel, cfg.VNIs[2].Table = &config.Kernel{}, 600
		b := newBridge(t, cfg)
		g := b.BGP()
		defer g.Close()
		by := func(rd uint16, nextHop string, change func(*Attributes)) Update {
			return labelled(defaultOf(VPN, rd), uint32(100+rd), changed(labelPath(rt(65000, 600)), func(a *Attributes) {
				a.NextHop = addr(nextHop)
				change(a)
			}))
		}
		as := func(*Attributes) {}
		check := func(want string) {
			t.Helper()
			wantVias(t, b, 600, p, want)
			if present := len(targets(b, 600, prefix(p))) > 0; present != (want != "") {
				t.Errorf("hypervisors have it: %v", present)
			}
		}
		g.Import([]Update{by(1, "198.51.100.1", as)})
		check("198.51.100.1 (label 101)")
		g.Import([]Update{by(2, "198.51.100.2", as)})
		check("198.51.100.1 (label 101), 198.51.100.2 (label 102)")
		g.Import([]Update{by(3, "198.51.100.3", func(a *Attributes) { a.LocalPref = number(200) })})
		check("198.51.100.3 (label 103)")
		g.Import([]Update{by(3, "198.51.100.3", func(a *Attributes) { a.LocalPref = number(50) })})
		check("198.51.100.1 (label 101), 198.51.100.2 (label 102)")
		g.Import([]Update{unsay(defaultOf(VPN, 1)), unsay(defaultOf(VPN, 3))})
		check("198.51.100.2 (label 102)")
		g.Import([]Update{unsay(defaultOf(VPN, 2))})
		time.Sleep(hold - time.Nanosecond)
		check("198.51.100.2 (label 102)")
		g.Import([]Update{labelled(defaultOf(VPN, 1), ImplicitNull, sidPath("2001:db8:2:1:100::", EndDT46, rt(65000, 600)))})
		check("2001:db8:2:1:100::")
		g.Forget(fabric)
		time.Sleep(hold - time.Nanosecond)
		check("2001:db8:2:1:100::")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		check("")
		if s := b.Fabric().Stats(600); s.NextHops != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// discardingExport runs the export, and finds fault with an announcement or a
// withdrawal of an aggregate while it is not discarded.
func discardingExport(t *testing.T, b *Bridge, aggregate string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.BGP().Export(ctx, func(batch []Update) error {
			for _, u := range batch {
				if u.NLRI.Prefix == prefix(aggregate) && vias(b, 200, aggregate) != "discard" {
					t.Errorf("withdraw %v: %v is not discarded", u.Withdraw, aggregate)
				}
			}
			return nil
		})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestAggregatesAreDiscarded(t *testing.T) {
	const p, host, other = "10.0.0.0/8", "10.0.0.1/32", "11.0.0.1/32"
	synctest.Test(t, func(t *testing.T) {
		cfg := aggregateConfig(t, config.Aggregate{Prefix: prefix(p)})
		cfg.Kernel, cfg.VNIs[0].Table, cfg.VNIs[0].Export.MaxPrefixes = &config.Kernel{}, 200, 2
		b := newBridge(t, cfg)
		c := b.Open(rib.Client, "c")
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			wantVias(t, b, 200, p, want)
		}
		announce(t, c, 200, host, "2001:db8:1::1")
		check("")
		stop := discardingExport(t, b, p)
		check("discard")
		withdraw(t, c, 200, host, "2001:db8:1::1")
		check("")
		announce(t, c, 200, host, "2001:db8:1::1")
		check("discard")
		stop()
		check("discard") // BGP was not told that it is over
		stop = discardingExport(t, b, p)
		check("discard")
		stop()
		withdraw(t, c, 200, host, "2001:db8:1::1")
		announce(t, c, 200, other, "2001:db8:1::1")
		check("discard")
		stop = discardingExport(t, b, p)
		check("")
		announce(t, c, 200, "11.0.0.2/32", "2001:db8:1::1") // the limit keeps the aggregate back
		announce(t, c, 200, host, "2001:db8:1::1")
		check("")
		if s := b.BGP().Stats().VNIs[0].Exported; s.Waiting != 2 {
			t.Errorf("%+v", s)
		}
		withdraw(t, c, 200, "11.0.0.2/32", "2001:db8:1::1")
		withdraw(t, c, 200, other, "2001:db8:1::1")
		check("discard")
		stop()
	})
}
