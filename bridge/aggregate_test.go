package bridge

import (
	"slices"
	"testing"
	"testing/synctest"

	"mbbgp/config"
	"mbbgp/rib"
)

func aggregateConfig(t *testing.T, list ...config.Aggregate) *config.Config {
	cfg := testConfig(t)
	v := &cfg.VNIs[0]
	v.Family, v.Encapsulation, v.Export, v.Aggregates = config.VNIFamilyUnicast, config.EncapNone, config.Export{}, list
	return cfg
}

func TestAggregateLivesWithItsContributors(t *testing.T) {
	cfg := aggregateConfig(t, config.Aggregate{Prefix: prefix("10.0.0.0/8")}, config.Aggregate{Prefix: prefix("10.0.0.0/24")},
		config.Aggregate{Prefix: prefix("::/0")})
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		const host = "2001:db8:1::1"
		announce(t, c, 200, "10.0.0.1/32", host)
		heard("+10.0.0.1/32 0.0.0.0", "+10.0.0.0/8 0.0.0.0", "+10.0.0.0/24 0.0.0.0")
		announce(t, c, 200, "10.1.0.0/16", host)
		heard("+10.1.0.0/16 0.0.0.0")
		announce(t, c, 200, "10.0.0.0/24", "2001:db8:1::2") // an aggregate that is a prefix as well is that prefix
		heard()
		withdraw(t, c, 200, "10.0.0.1/32", host)
		heard("-10.0.0.1/32")
		withdraw(t, c, 200, "10.0.0.0/24", "2001:db8:1::2")
		heard("-10.0.0.0/24")
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:f::9") // not exportable: no contributor
		withdraw(t, c, 200, "10.1.0.0/16", host)
		heard("-10.1.0.0/16", "-10.0.0.0/8")
		announce(t, c, 200, "2001:db8::/32", host)
		heard("+2001:db8::/32 ::", "+::/0 ::")
		want := []AggregateStats{{prefix("10.0.0.0/8"), 0, false}, {prefix("10.0.0.0/24"), 0, false}, {prefix("::/0"), 1, true}}
		if s := b.BGP().Stats().VNIs[0].Exported; !slices.Equal(s.Aggregates, want) || s.Routes != 2 || s.Prefixes.Used != 2 || len(s.RDs) != 0 {
			t.Errorf("%+v, want %v", s, want)
		}
	})
}

func TestSummaryOnlyKeepsWhatIsInside(t *testing.T) {
	cfg := aggregateConfig(t, config.Aggregate{Prefix: prefix("10.0.0.0/8"), SummaryOnly: true}, config.Aggregate{Prefix: prefix("10.0.0.0/24")})
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		const host = "2001:db8:1::1"
		announce(t, c, 200, "10.0.0.1/32", host)
		heard("+10.0.0.0/8 0.0.0.0")
		announce(t, c, 200, "10.0.0.0/24", host)
		announce(t, c, 200, "11.0.0.0/24", host)
		heard("+11.0.0.0/24 0.0.0.0")
		if v := b.BGP().ExplainExport(200, prefix("10.0.0.1/32"), rib.Path{NextHop: hop(host)}); v.Reason != SummaryOnly {
			t.Errorf("explained as %+v", v)
		}
		if s := b.BGP().Stats().VNIs[0].Exported; s.Refused[SummaryOnly] != 2 || s.Routes != 2 {
			t.Errorf("%+v", s)
		}
		c.Close()
		heard("-11.0.0.0/24", "-10.0.0.0/8")
	})
}

func TestAggregateCountsAgainstTheMaximum(t *testing.T) {
	cfg := aggregateConfig(t, config.Aggregate{Prefix: prefix("10.0.0.0/8")})
	cfg.VNIs[0].Export.MaxPrefixes = 1
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		announce(t, c, 200, "10.0.0.1/32", "2001:db8:1::1")
		heard("+10.0.0.1/32 0.0.0.0")
		announce(t, c, 200, "10.0.0.2/32", "2001:db8:1::1")
		heard()
		if s := b.BGP().Stats().VNIs[0].Exported; s.Waiting != 2 || s.Aggregates[0].Contributors != 2 {
			t.Errorf("%+v", s)
		}
		c.Close()
		heard("-10.0.0.1/32")
		if s := b.BGP().Stats().VNIs[0].Exported; s.Waiting != 0 || s.Prefixes.Used != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRulesSetWhatAggregatesCarryAndRefuseThem(t *testing.T) {
	cfg := aggregateConfig(t, config.Aggregate{Prefix: prefix("10.0.0.0/8")}, config.Aggregate{Prefix: prefix("10.1.0.0/16")})
	cfg.VNIs[0].Export.Rules = named(
		config.Rule{Name: "inner", When: config.Match{Prefixes: []config.PrefixRule{{Prefix: prefix("10.1.0.0/16")}}}, Then: config.ThenRefuse},
		config.Rule{Name: "outer", When: config.Match{Prefixes: []config.PrefixRule{{Prefix: prefix("10.0.0.0/8")}}}, Set: config.Set{MED: number(7)}},
	)
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, cfg)
		c := b.Open(rib.Client, "c")
		out, stop := startExport(b.BGP())
		defer func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}()
		announce(t, c, 200, "10.1.0.1/32", "2001:db8:1::1")
		synctest.Wait()
		med := func(p string) *uint32 { return out.routes[NLRI{Kind: Unicast, Prefix: prefix(p)}].MED }
		if len(out.routes) != 2 || med("10.0.0.0/8") == nil || *med("10.0.0.0/8") != 7 || med("10.1.0.1/32") != nil {
			t.Errorf("told %v", out.routes)
		}
		s := b.BGP().Stats().VNIs[0].Exported
		if want := []RuleStats{{"inner", 1, 1}, {"outer", 1, 0}}; !slices.Equal(s.Rules, want) || s.Refused[Policy] != 1 {
			t.Errorf("%v and %v, want %v", s.Rules, s.Refused, want)
		}
	})
}
