package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
)

func TestRulesReadAsInTheFile(t *testing.T) {
	preference, med := uint32(200), uint32(0)
	rules := []config.Rule{
		{
			Name: "hosts",
			When: config.Match{
				Prefixes:         []config.PrefixRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 24, LE: 32}, {Prefix: netip.MustParsePrefix("::/0"), LE: 48}, {Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 8, LE: 8}},
				Types:            []config.HopType{config.HopStandard, config.HopNAT},
				NextHops:         []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")},
				Communities:      []config.Community{65001<<16 | 7},
				LargeCommunities: []config.LargeCommunity{{65001, 1, 2}},
			},
			Then: config.ThenRefuse,
		},
		{
			Name: "rule-2",
			Set:  config.Set{Communities: []config.Community{65001<<16 | 8}, LocalPref: &preference, MED: &med},
		},
	}
	want := []api.PolicyRule{
		{
			VNI: 7, Direction: "export", Name: "hosts", Then: "refuse", Matched: 5, Refused: 5,
			When: "prefixes 10.0.0.0/8 ge 24 le 32, ::/0 le 48, 10.0.0.0/8; types standard, nat; nexthops 2001:db8::/32; communities 65001:7; large-communities 65001:1:2",
		},
		{VNI: 7, Direction: "export", Name: "rule-2", When: "everything", Set: "communities 65001:8; local-preference 200; med 0", Then: "continue", Matched: 3},
	}
	got := appendRules(nil, 7, "export", rules, []bridge.RuleStats{{Name: "hosts", Matched: 5, Refused: 5}, {Name: "rule-2", Matched: 3}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
