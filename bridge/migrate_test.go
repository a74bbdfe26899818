package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// state is what there is of a VNI, with who says it.
func state(b *Bridge, vni rib.VNI) map[string]string {
	all := map[string]string{}
	b.Table().Walk(vni, func(info rib.RouteInfo) bool {
		var said []string
		for _, c := range info.Claims {
			said = append(said, fmt.Sprintf("%d: %d", c.Origin, c.Preference))
		}
		slices.Sort(said)
		all[fmt.Sprint(info.Prefix, " ", info.NextHop)] = fmt.Sprint(info.Visible, said)
		return true
	})
	return all
}

// comparisons are those of a VNI by prefix.
func comparisons(b *Bridge, vni rib.VNI, prefer config.Prefer) map[netip.Prefix]*Comparison {
	all := map[netip.Prefix]*Comparison{}
	b.Compare(vni, prefer, func(c *Comparison) bool {
		all[c.Prefix] = c
		return true
	})
	return all
}

// What a comparison predicts, Prefer does: of every prefix, whoever says what of
// it, and with readers that see no prefix gone meanwhile. The way back gives
// everything what it had.
func TestPlanPredictsWhatCutoverDoesAndRollbackUndoesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig(t)
		b := newBridge(t, cfg)
		vni := rapid.SampledFrom([]rib.VNI{200, 300}).Draw(t, "vni")
		draw := func(label string) netip.Prefix {
			return prefix(fmt.Sprintf("10.1.0.%d/32", rapid.IntRange(1, 6).Draw(t, label)))
		}
		channels := []*Channel{b.Open(rib.Static, "operator"), b.Open(rib.Client, "a"), b.Open(rib.Client, "b"), b.Open(rib.Server, "server")}
		before := rapid.SampledFrom([]config.Prefer{config.PreferMetalBond, config.PreferBGP}).Draw(t, "before")
		if err := b.Prefer(vni, before); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 30).Draw(t, "routes") {
			p := draw("prefix")
			if rapid.IntRange(0, 2).Draw(t, "side") == 0 {
				a := vxlanPath(rt(65000, uint32(vni)))
				lp := uint32(rapid.IntRange(99, 101).Draw(t, "local-pref"))
				b.BGP().Import([]Update{say(type5(uint16(rapid.IntRange(1, 3).Draw(t, "rd")), p.String()), changed(a, func(a *Attributes) { a.LocalPref = &lp }))})
				continue
			}
			e := Edit{VNI: vni, Prefix: p, NextHop: hop(rapid.SampledFrom([]string{
				"2001:db8:1::1", "2001:db8:1::2", "2001:db8:f::9", "2001:db8:f::200", // the last two are gateways'
			}).Draw(t, "hop"))}
			c := rapid.SampledFrom(channels).Draw(t, "channel")
			if c == channels[0] {
				e.Preference = rapid.SampledFrom([]rib.Preference{0, 40, 60, rib.Native, 250}).Draw(t, "preference")
			} else if rapid.IntRange(0, 4).Draw(t, "type") == 0 {
				e.NextHop.Type, e.NextHop.NATTo = rib.NAT, 99
			}
			c.Apply([]Edit{e})
		}

		after := config.PreferMetalBond + config.PreferBGP - before
		was, plan := state(b, vni), comparisons(b, vni, after)
		for p, c := range comparisons(b, vni, before) {
			if c.Changes() {
				t.Fatalf("%v changes though nothing is to: %+v", p, c)
			}
		}
		r := b.Table().NewReader(vni, rib.ReaderOptions{})
		defer r.Close()
		seen := map[netip.Prefix]bool{}
		read := func() {
			changes := make([]rib.Change, 64)
			for more := true; more; {
				var n int
				n, more = r.ReadChanges(changes)
				for _, c := range changes[:n] {
					if len(c.New) == 0 {
						t.Fatalf("%v is gone", c.Prefix)
					}
					seen[c.Prefix] = true
				}
			}
		}
		read()
		clear(seen)
		if err := b.Prefer(vni, after); err != nil {
			t.Fatal(err)
		}
		read()
		for p, c := range comparisons(b, vni, after) {
			if then := plan[p].Then; !slices.Equal(c.Now, then) {
				t.Fatalf("%v goes to %v, and the plan said %v", p, c.Now, then)
			}
			if plan[p].Side() != c.Side() {
				t.Fatalf("%v was told of by %v, and is by %v", p, plan[p].Side(), c.Side())
			}
			if plan[p].Changes() && !seen[p] {
				t.Fatalf("%v changed, and its reader was not told", p)
			}
		}
		if err := b.Prefer(vni, before); err != nil {
			t.Fatal(err)
		}
		read()
		if now := state(b, vni); !reflect.DeepEqual(now, was) {
			t.Fatalf("after the way back there is\n%v\nwas\n%v", now, was)
		}
	})
}

// The three who read the table, of a prefix that both tell of and of those that
// only one does.
func TestOnePreferenceDecidesForAllReaders(t *testing.T) {
	cfg := testConfig(t)
	b := newBridge(t, cfg)
	c := b.Open(rib.Client, "hypervisor")
	announce(t, c, 200, "10.1.0.1/32", "2001:db8:1::1")
	announce(t, c, 200, "10.1.0.2/32", "2001:db8:1::1")
	for _, p := range []string{"10.1.0.1/32", "10.1.0.3/32"} {
		b.BGP().Import([]Update{say(type5(1, p), vxlanPath(rt(65000, 200)))})
	}
	const gateway, hypervisor = "2001:db8:f::200", "2001:db8:1::1"
	for _, row := range []struct {
		prefer   config.Prefer
		shared   string
		exported []string
	}{
		{config.PreferMetalBond, hypervisor, []string{"10.1.0.1/32", "10.1.0.2/32"}},
		{config.PreferBGP, gateway, []string{"10.1.0.2/32"}},
		{config.PreferMetalBond, hypervisor, []string{"10.1.0.1/32", "10.1.0.2/32"}},
	} {
		if err := b.Prefer(200, row.prefer); err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]string{"10.1.0.1/32": row.shared, "10.1.0.2/32": hypervisor, "10.1.0.3/32": gateway} {
			if got := visible(b, 200, prefix(p)); !slices.Equal(got, []string{want}) {
				t.Errorf("prefer %v: %s goes to %v, want %s", row.prefer, p, got, want)
			}
		}
		var exported []string
		r := b.Table().NewReader(200, rib.ReaderOptions{Sources: sources})
		changes := make([]rib.Change, 8)
		n, _ := r.ReadChanges(changes)
		for _, change := range changes[:n] {
			exported = append(exported, change.Prefix.String())
		}
		r.Close()
		if slices.Sort(exported); !slices.Equal(exported, row.exported) {
			t.Errorf("prefer %v: BGP is shown %v, want %v", row.prefer, exported, row.exported)
		}
		if got := b.Preferred(200).Prefer; got != row.prefer {
			t.Errorf("preferred is %v, want %v", got, row.prefer)
		}
	}
}

func TestPreferenceIsKeptOverRestartsUntilTheConfigurationAgrees(t *testing.T) {
	cfg := testConfig(t)
	cfg.StateDirectory = t.TempDir()
	b := newBridge(t, cfg)
	if err := b.Prefer(300, config.PreferBGP); err != nil {
		t.Fatal(err)
	}
	again := newBridge(t, cfg)
	announce(t, again.Open(rib.Client, "hypervisor"), 300, "10.1.0.1/32", "2001:db8:1::1")
	again.BGP().Import([]Update{say(type5(1, "10.1.0.1/32"), vxlanPath(rt(65000, 300)))})
	if got, want := again.Preferred(300), (Preferred{Prefer: config.PreferBGP, Configured: config.PreferMetalBond, Overridden: true, Kept: true}); got != want {
		t.Errorf("after a restart %+v, want %+v", got, want)
	}
	if got := again.Preferred(200); got != (Preferred{Kept: true}) {
		t.Errorf("the other one has %+v", got)
	}
	next := testConfig(t)
	next.StateDirectory = cfg.StateDirectory
	for i := range next.VNIs {
		if next.VNIs[i].VNI == 300 {
			next.VNIs[i].Prefer = config.PreferBGP
		}
	}
	if err := again.Apply(next); err != nil {
		t.Fatal(err)
	}
	if got, want := again.Preferred(300), (Preferred{Prefer: config.PreferBGP, Configured: config.PreferBGP, Kept: true}); got != want {
		t.Errorf("when the file says it, too, %+v, want %+v", got, want)
	}
	if err := again.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if got := again.Preferred(300); got != (Preferred{Kept: true}) {
		t.Errorf("when the file says otherwise again, %+v", got)
	}
	if got := visible(again, 300, prefix("10.1.0.1/32")); !slices.Equal(got, []string{"2001:db8:1::1"}) {
		t.Errorf("and the prefix goes to %v", got)
	}
}

func TestDamagedPreferencesAreLoggedAndTheConfigurationCounts(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"{", "unexpected end of JSON input"},
		{`{"prefer": {"x": "bgp"}}`, `"x" is no VNI`},
		{`{"prefer": {"200": "evpn"}}`, "vni 200: evpn is not one of metalbond, bgp"},
	} {
		cfg := testConfig(t)
		cfg.StateDirectory = t.TempDir()
		if err := os.WriteFile(filepath.Join(cfg.StateDirectory, "prefer.json"), []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		log, hook := logtest.NewNullLogger()
		b, err := New(cfg, rib.New(rib.Options{}), log)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Preferred(200); got != (Preferred{Kept: true}) {
			t.Errorf("%s: %+v", row.text, got)
		}
		e := hook.LastEntry()
		if e == nil || e.Level != logrus.ErrorLevel || !strings.Contains(fmt.Sprint(e.Data["error"]), row.want) {
			t.Errorf("%s: logged %v, want %s", row.text, e, row.want)
		}
	}
}

// A unicast route of our own takes the place of the fabric's in BGP, unless it is
// refused; then the way back stays open.
func TestUnicastExportsHideWhatBGPTells(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs = append(cfg.VNIs, config.VNI{
		VNI: 100, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: addr("2001:db8:f::100"),
		Import: config.Import{Prefixes: []config.PrefixRule{{Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32}}},
		Export: config.Export{Prefixes: []config.PrefixRule{{Prefix: prefix("10.1.0.2/32")}, {Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32}}},
	})
	b := newBridge(t, cfg)
	c := b.Open(rib.Client, "hypervisor")
	for _, p := range []string{"10.1.0.1/32", "10.1.0.2/32"} {
		b.BGP().Import([]Update{say(NLRI{Kind: Unicast, Prefix: prefix(p)}, &Attributes{NextHop: addr("192.0.2.254")})})
		b.BGP().Import([]Update{say(type5(1, p), vxlanPath(rt(65000, 200)))})
		announce(t, c, 100, p, "2001:db8:1::1")
		announce(t, c, 200, p, "2001:db8:1::1")
	}
	announce(t, c, 100, "10.1.0.3/32", "2001:db8:1::1") // BGP does not tell of it
	for vni, want := range map[rib.VNI][]string{100: {"10.1.0.1/32"}, 200: nil} {
		var got []string
		for p, x := range comparisons(b, vni, config.PreferMetalBond) {
			if b.Hides(vni, x) {
				got = append(got, p.String())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("vni %d: hidden are %v, want %v", vni, got, want)
		}
	}
}

func TestPreferRefusesWhatItCannotDo(t *testing.T) {
	cfg := testConfig(t)
	for i := range cfg.VNIs {
		if cfg.VNIs[i].VNI == 300 {
			cfg.VNIs[i].Export.Types = []config.HopType{config.HopStandard, config.HopNAT}
		}
	}
	b := newBridge(t, cfg)
	for vni, want := range map[rib.VNI]error{300: ErrLossless, 9999: ErrNotConfigured} {
		if err := b.Prefer(vni, config.PreferBGP); err != want {
			t.Errorf("vni %d: %v, want %v", vni, err, want)
		}
	}
}
