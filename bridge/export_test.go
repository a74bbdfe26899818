package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/config"
	"mbbgp/rib"
)

// adjOut is a BGP speaker that keeps what it is sent and finds fault with it.
type adjOut struct {
	mu     sync.Mutex
	routes map[NLRI]*Attributes // guarded by mu
	sent   []Update             // guarded by mu
	all    bool                 // guarded by mu; an empty batch said that all was said
	faults []string             // guarded by mu
	fail   error                // guarded by mu
}

func (a *adjOut) send(batch []Update) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	fault := func(format string, args ...any) { a.faults = append(a.faults, fmt.Sprintf(format, args...)) }
	if len(batch) > maxBatch || len(batch) == 0 && a.all {
		fault("batch of %d", len(batch))
	}
	a.all = a.all || len(batch) == 0
	seen := map[NLRI]bool{}
	for _, u := range batch {
		if seen[u.NLRI] {
			fault("%v twice in a batch", u.NLRI)
		}
		seen[u.NLRI] = true
		old := a.routes[u.NLRI]
		switch {
		case u.Withdraw && old == nil:
			fault("%v withdrawn without being announced", u.NLRI)
		case u.Withdraw:
			delete(a.routes, u.NLRI)
		case old != nil && reflect.DeepEqual(old, u.Attributes):
			fault("%v announced twice", u.NLRI)
		default:
			a.routes[u.NLRI] = u.Attributes
		}
	}
	a.sent = append(a.sent, batch...)
	return nil
}

// take returns what was sent since the last take.
func (a *adjOut) take(t fataler) []string {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) > 0 {
		t.Fatal(a.faults)
	}
	var all []string
	for _, u := range a.sent {
		name := u.NLRI.String()
		if u.NLRI.Kind == IPPrefix {
			name = fmt.Sprintf("%v %v", u.NLRI.RD, u.NLRI.Prefix)
		}
		if u.Withdraw {
			all = append(all, "-"+name)
		} else {
			all = append(all, fmt.Sprintf("+%s %v", name, u.Attributes.NextHop))
		}
	}
	a.sent = nil
	return all
}

// startExport exports until stop is called.
func startExport(g *BGP) (out *adjOut, stop func() error) {
	out = &adjOut{routes: map[NLRI]*Attributes{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Export(ctx, out.send) }()
	return out, func() error {
		cancel()
		return <-done
	}
}

func announce(t fataler, c *Channel, vni rib.VNI, p, target string) {
	t.Helper()
	if err := c.Announce(vni, prefix(p), hop(target)); err != nil {
		t.Fatal(err)
	}
}

func withdraw(t fataler, c *Channel, vni rib.VNI, p, target string) {
	t.Helper()
	if !c.Withdraw(vni, prefix(p), hop(target)) {
		t.Fatal("not withdrawn", p, target)
	}
}

// exporting runs a test against a running export.
func exporting(t *testing.T, cfg *config.Config, run func(t *testing.T, b *Bridge, c *Channel, heard func(want ...string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, cfg)
		c := b.Open(rib.Client, "c")
		out, stop := startExport(b.BGP())
		defer func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}()
		run(t, b, c, func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := out.take(t); !slices.Equal(got, want) {
				t.Fatalf("heard %q, want %q", got, want)
			}
		})
	})
}

func TestPrefixThroughTheGatewayIsOnePath(t *testing.T) {
	exporting(t, testConfig(t), func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		heard()
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		heard("+192.0.2.1:200 10.0.0.1/32 192.0.2.1")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard()
		withdraw(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		heard()
		withdraw(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard("-192.0.2.1:200 10.0.0.1/32")
		announce(t, c, 200, "2001:db8:5::/64", "2001:db8:1::1")
		heard("+192.0.2.1:200 2001:db8:5::/64 192.0.2.1")
		if s := b.BGP().Stats().VNIs[0].Exported; s.Routes != 1 || s.Prefixes.Used != 1 || s.Announced != 2 || s.Withdrawn != 1 ||
			!slices.Equal(s.RDs, []RD{config.NewRD(addr("192.0.2.1"), 200)}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestExportedAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, testConfig(t))
		c := b.Open(rib.Client, "c")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		announce(t, c, 200, "10.0.0.2/32", "2001:db8:1::2")
		announce(t, c, 300, "10.0.0.1/32", "2001:db8:1::1")
		announce(t, c, 300, "10.0.0.2/32", "2001:db8:1::2")
		announce(t, c, 300, "10.0.0.3/32", "2001:db8:1::1")
		out, stop := startExport(b.BGP())
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(out.sent) != 5 || out.sent[0].Attributes != out.sent[1].Attributes || out.sent[2].Attributes != out.sent[3].Attributes {
			t.Fatalf("attributes are not shared: %+v", out.sent)
		}
		through, straight := out.sent[0], out.sent[4]
		if a := through.Attributes; through.Label != 200 || a.Encapsulation != TunnelVXLAN || a.RouterMAC != (MAC{2, 0, 192, 0, 2, 1}) ||
			a.NextHop != addr("192.0.2.1") || !slices.Equal(a.RouteTargets, []RouteTarget{rt(65000, 200)}) ||
			!slices.Equal(a.SiteOfOrigin, []ExtendedCommunity{soo(t, "65001:1")}) {
			t.Errorf("VXLAN: %+v %+v", through, a)
		}
		if a := straight.Attributes; straight.Label != 300 || a.Encapsulation != TunnelIPinIP || a.RouterMAC != (MAC{}) ||
			a.NextHop != addr("2001:db8:1::2") || !slices.Equal(a.RouteTargets, []RouteTarget{rt(65000, 300)}) ||
			!slices.Equal(a.SiteOfOrigin, []ExtendedCommunity{soo(t, "65001:1")}) {
			t.Errorf("IP-in-IP: %+v %+v", straight, a)
		}
	})
}

func TestEachNextHopKeepsItsPath(t *testing.T) {
	exporting(t, testConfig(t), func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		one, two, three := "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"
		const p = "10.0.0.1/32"
		announce(t, c, 300, p, one)
		heard("+192.0.2.1:300 10.0.0.1/32 2001:db8:1::1")
		announce(t, c, 300, p, two)
		heard(fmt.Sprintf("+%s %s %s", rdOf(t, b.BGP().rds, 300, 1), p, two))
		announce(t, c, 300, p, three)
		heard(fmt.Sprintf("+%s %s %s", rdOf(t, b.BGP().rds, 300, 2), p, three))
		withdraw(t, c, 300, p, one)
		heard("-192.0.2.1:300 10.0.0.1/32")
		withdraw(t, c, 300, p, three)
		heard(fmt.Sprintf("-%s %s", rdOf(t, b.BGP().rds, 300, 2), p))
		announce(t, c, 300, p, three) // the lowest path that is free
		heard("+192.0.2.1:300 10.0.0.1/32 2001:db8:1::3")
		withdraw(t, c, 300, p, two)
		heard(fmt.Sprintf("-%s %s", rdOf(t, b.BGP().rds, 300, 1), p))
		if n := len(b.current().networks[300].out.paths); n != 0 {
			t.Errorf("%d prefixes with one path have a state", n)
		}
		withdraw(t, c, 300, p, three)
		heard("-192.0.2.1:300 10.0.0.1/32")
	})
}

func TestMovedNextHopIsOneAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, testConfig(t))
		o := b.Table().NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "c"})
		out, stop := startExport(b.BGP())
		for _, target := range []string{"2001:db8:1::1", "2001:db8:1::2"} {
			b.Table().Replace(o, 300, prefix("10.0.0.1/32"), []rib.NextHop{hop(target)}, rib.Native)
			synctest.Wait()
			if got, want := out.take(t), []string{"+192.0.2.1:300 10.0.0.1/32 " + target}; !slices.Equal(got, want) {
				t.Errorf("heard %q, want %q", got, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsNotExported(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs[0].Export.Prefixes = []config.PrefixRule{{Allow: true, Prefix: prefix("10.0.0.0/8"), GE: 32}}
	cfg.VNIs[1].Export.Types = []config.HopType{config.HopStandard, config.HopNAT}
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		p := prefix("10.0.0.1/32")
		nat := rib.NextHop{Target: addr("2001:db8:1::1"), Type: rib.NAT, NATFrom: 1024, NATTo: 2048}
		for _, s := range []struct {
			vni    rib.VNI
			prefix netip.Prefix
			hop    rib.NextHop
			reason Reason
		}{
			{200, p, nat, HopType},
			{200, p, rib.NextHop{Target: addr("2001:db8:1::1"), Type: rib.LoadBalancerTarget}, HopType},
			{200, p, hop("2001:db8:f::9"), GatewayPool},
			{200, p, hop("2001:db8:e::300"), GatewayPool},
			{200, prefix("10.0.0.0/24"), hop("2001:db8:1::1"), Filtered},
			{400, p, hop("2001:db8:1::1"), NoTarget},
			{500, p, hop("2001:db8:1::1"), NoTarget},
		} {
			if err := c.Announce(s.vni, s.prefix, s.hop); err != nil {
				t.Fatal(err)
			}
			v := b.BGP().ExplainExport(s.vni, s.prefix, rib.Path{NextHop: s.hop, Source: rib.Client})
			if v.Reason != s.reason {
				t.Errorf("%v in %d: explained as %q, want %q", s.hop, s.vni, v.Reason, s.reason)
			}
		}
		b.BGP().Import([]Update{say(type5(1, "10.9.0.1/32"), vxlanPath(rt(65000, 200)))})
		heard()
		if got := b.BGP().Stats().VNIs[0].Exported.Refused; !sameMap(got, map[Reason]uint64{HopType: 2, GatewayPool: 2, Filtered: 1}) {
			t.Errorf("refused %v", got)
		}
		if v := b.BGP().ExplainExport(200, p, rib.Path{NextHop: hop("2001:db8:f::200"), Source: rib.BGP}); v.Reason != FromBGP {
			t.Errorf("explained as %q", v.Reason)
		}
		if err := c.Announce(300, p, nat); err != nil {
			t.Fatal(err)
		}
		heard("+192.0.2.1:300 10.0.0.1/32 2001:db8:1::1")
		if v := b.BGP().ExplainExport(300, p, rib.Path{NextHop: nat}); v.Reason != Accepted || v.NextHop != nat {
			t.Errorf("explained as %+v", v)
		}
		elsewhere := rib.NextHop{Target: addr("2001:db8:1::1"), TargetVNI: 100}
		if v := b.BGP().ExplainExport(200, p, rib.Path{NextHop: elsewhere}); v.Reason != TargetVNI {
			t.Errorf("explained as %+v", v)
		}
		if v := b.BGP().ExplainExport(300, p, rib.Path{NextHop: elsewhere}); v.Reason != Accepted {
			t.Errorf("explained as %+v", v)
		}
	})
}

func TestExportLimitLetsWaitingPrefixesInWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.VNIs[1].Export.MaxPrefixes = 10
		log, hook := logtest.NewNullLogger()
		b := newLoggedBridge(t, cfg, log)
		c := b.Open(rib.Client, "c")
		out, stop := startExport(b.BGP())
		for i := range 12 {
			announce(t, c, 300, fmt.Sprintf("10.0.0.%d/32", i), "2001:db8:1::1")
			synctest.Wait()
		}
		announce(t, c, 300, "10.0.0.11/32", "2001:db8:1::2") // a waiting one changes
		announce(t, c, 300, "10.0.0.0/32", "2001:db8:1::2")  // one that is in does
		synctest.Wait()
		out.take(t)
		if s := b.BGP().Stats().VNIs[1].Exported; s.Prefixes.Used != 10 || s.Waiting != 2 || s.Routes != 11 || warnings(hook) != 1 {
			t.Fatalf("%+v, %d warnings", s, warnings(hook))
		}
		if v := b.BGP().ExplainExport(300, prefix("10.0.0.11/32"), rib.Path{NextHop: hop("2001:db8:1::2")}); v.Reason != VNILimit {
			t.Errorf("explained as %+v", v)
		}
		withdraw(t, c, 300, "10.0.0.10/32", "2001:db8:1::1") // a waiting one goes
		withdraw(t, c, 300, "10.0.0.1/32", "2001:db8:1::1")
		synctest.Wait()
		if got := out.take(t); len(got) != 3 { // one withdrawn, two paths of the waiting one
			t.Errorf("heard %q", got)
		}
		if s := b.BGP().Stats().VNIs[1].Exported; s.Prefixes.Used != 10 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		c.Close()
		synctest.Wait()
		out.take(t)
		if s := b.BGP().Stats().VNIs[1].Exported; len(out.routes) != 0 || s.Prefixes.Used != 0 || s.Routes != 0 || s.Prefixes.Over {
			t.Errorf("%d left, %+v", len(out.routes), s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestMoreNextHopsThanDistinguishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, testConfig(t))
		c := b.Open(rib.Client, "c")
		out, stop := startExport(b.BGP())
		for i := range slots + 3 {
			announce(t, c, 300, "10.0.0.1/32", fmt.Sprintf("2001:db8:1::%x", i+1))
			if i%64 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if s := b.BGP().Stats().VNIs[1].Exported; len(out.take(t)) != slots || s.Routes != slots || s.Refused[SlotLimit] != 3 {
			t.Errorf("%d routes, refused %v", s.Routes, s.Refused)
		}
		withdraw(t, c, 300, "10.0.0.1/32", "2001:db8:1::1")
		synctest.Wait()
		if got := out.take(t); len(got) != 1 { // a refused one takes the path over
			t.Errorf("heard %q", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestExportStartsAnewAndReturnsTheSpeakersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, testConfig(t))
		c := b.Open(rib.Client, "c")
		for i := range 2500 {
			announce(t, c, 200, fmt.Sprintf("10.0.%d.%d/32", i/256, i%256), "2001:db8:1::1")
		}
		for range 2 {
			out, stop := startExport(b.BGP())
			synctest.Wait()
			if err := b.BGP().Export(t.Context(), out.send); err != ErrExporting {
				t.Errorf("a second one: %v", err)
			}
			if got := len(out.take(t)); got != 2500 || !out.all {
				t.Errorf("heard %d, all: %v", got, out.all)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		complete := errors.New("complete")
		said := 0
		if err := b.BGP().Export(t.Context(), func(batch []Update) error {
			if said += len(batch); len(batch) == 0 {
				return complete
			}
			return nil
		}); err != complete || said != 2500 {
			t.Errorf("%d routes before the empty batch, %v", said, err)
		}
		broken := errors.New("broken")
		if err := b.BGP().Export(t.Context(), func([]Update) error { return broken }); err != broken {
			t.Errorf("%v", err)
		}
	})
}

func TestImportDoesNotWaitForExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, testConfig(t))
		c := b.Open(rib.Client, "c")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- b.BGP().Export(ctx, func([]Update) error { <-ctx.Done(); return nil })
		}()
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		synctest.Wait() // stuck in send
		for i := range 100 {
			announce(t, c, 200, fmt.Sprintf("10.0.1.%d/32", i), "2001:db8:1::1")
			b.BGP().Import([]Update{say(type5(1, fmt.Sprintf("10.2.%d.0/24", i)), vxlanPath(rt(65000, 200)))})
		}
		if s := b.BGP().Stats(); s.Routes != 100 {
			t.Errorf("%+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRulesOfAnExport(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs[0].Export.Rules = named(
		config.Rule{Name: "low", When: config.Match{NextHops: []netip.Prefix{prefix("2001:db8:1::1/128")}}, Set: config.Set{LocalPref: number(50)}},
		config.Rule{Name: "no networks", When: config.Match{Prefixes: []config.PrefixRule{{Prefix: prefix("10.0.0.0/8"), LE: 31}}}, Then: config.ThenRefuse},
	)
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		announce(t, c, 200, "10.0.0.0/24", "2001:db8:1::1")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard("+192.0.2.1:200 10.0.0.1/32 192.0.2.1")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1") // the lowest next hop's set counts
		heard("+192.0.2.1:200 10.0.0.1/32 192.0.2.1")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::3")
		heard()
		withdraw(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		heard("+192.0.2.1:200 10.0.0.1/32 192.0.2.1")
		path := rib.Path{NextHop: hop("2001:db8:1::1")}
		if v := b.BGP().ExplainExport(200, prefix("10.0.0.0/24"), path); v.Reason != Policy || v.Detail != "export rule no networks" {
			t.Errorf("explained as %+v", v)
		}
		if v := b.BGP().ExplainExport(200, prefix("10.0.0.1/32"), path); v.Reason != Accepted || v.Detail != "" {
			t.Errorf("explained as %+v", v)
		}
		s := b.BGP().Stats().VNIs[0].Exported
		if want := []RuleStats{{"low", 2, 0}, {"no networks", 1, 1}}; !slices.Equal(s.Rules, want) || s.Refused[Policy] != 1 {
			t.Errorf("%v and %v, want %v", s.Rules, s.Refused, want)
		}
	})
}

func TestUnicastPrefixOfSeveralVNIs(t *testing.T) {
	cfg := testConfig(t)
	for i := range 2 {
		v := &cfg.VNIs[i]
		v.Family, v.Encapsulation, v.Export = config.VNIFamilyUnicast, config.EncapNone, config.Export{}
		v.Export.Rules = named(config.Rule{Set: config.Set{MED: number(v.VNI)}})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, cfg)
		c := b.Open(rib.Client, "c")
		out, stop := startExport(b.BGP())
		heard := func(want ...uint32) {
			t.Helper()
			synctest.Wait()
			var got []uint32
			for _, u := range out.sent {
				if u.Withdraw {
					got = append(got, 0)
				} else {
					got = append(got, *u.Attributes.MED)
				}
			}
			if out.take(t); !slices.Equal(got, want) {
				t.Errorf("heard %v, want %v", got, want)
			}
		}
		announce(t, c, 300, "10.0.0.1/32", "2001:db8:1::1")
		heard(300)
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard(200)
		if v := b.BGP().ExplainExport(300, prefix("10.0.0.1/32"), rib.Path{NextHop: hop("2001:db8:1::1")}); v.Reason != OtherVNI {
			t.Errorf("explained as %+v", v)
		}
		withdraw(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard(300)
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard(200)
		withdraw(t, c, 300, "10.0.0.1/32", "2001:db8:1::1")
		heard()
		withdraw(t, c, 200, "10.0.0.1/32", "2001:db8:1::2")
		heard(0)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
