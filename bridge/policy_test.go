package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

func number(n uint32) *uint32 { return &n }

// named gives rules the names that the configuration gives them.
func named(rules ...config.Rule) []config.Rule {
	for i := range rules {
		if rules[i].Name == "" {
			rules[i].Name = fmt.Sprintf("rule-%d", i+1)
		}
	}
	return rules
}

func TestFirstRuleThatDecidesEndsThePolicy(t *testing.T) {
	within := func(p string, ge, le int) []config.PrefixRule {
		return []config.PrefixRule{{Prefix: prefix(p), GE: ge, LE: le}}
	}
	host := candidate{Prefix: prefix("10.0.0.1/32"), Type: rib.Standard, NextHop: addr("2001:db8:1::1")}
	seen := candidate{Prefix: prefix("10.0.0.0/24"), Communities: []uint32{7}, Large: [][3]uint32{{1, 2, 3}}}
	for _, c := range []struct {
		name    string
		rules   []config.Rule
		route   candidate
		refused bool
		rule    string
		set     config.Set
	}{
		{name: "no rule at all", route: host},
		{name: "nothing matches", rules: named(config.Rule{When: config.Match{Types: []config.HopType{config.HopNAT}}, Then: config.ThenRefuse}), route: host},
		{name: "an empty condition holds", rules: named(config.Rule{Then: config.ThenRefuse}), route: host, refused: true, rule: "rule-1"},
		{name: "accept comes before refuse", rules: named(
			config.Rule{When: config.Match{Prefixes: within("10.0.0.0/8", 32, 32)}, Then: config.ThenAccept},
			config.Rule{Then: config.ThenRefuse}), route: host, rule: "rule-1"},
		{name: "a shorter prefix is not within", rules: named(
			config.Rule{When: config.Match{Prefixes: within("10.0.0.0/8", 32, 32)}, Then: config.ThenAccept},
			config.Rule{Then: config.ThenRefuse}), route: seen, refused: true, rule: "rule-2"},
		{name: "all parts must hold", rules: named(
			config.Rule{When: config.Match{Prefixes: within("10.0.0.0/8", 0, 32), NextHops: []netip.Prefix{prefix("2001:db8:2::/48")}}, Then: config.ThenRefuse}), route: host},
		{name: "one element of a part is enough", rules: named(
			config.Rule{When: config.Match{NextHops: []netip.Prefix{prefix("2001:db8:2::/48"), prefix("2001:db8:1::/48")}}, Then: config.ThenRefuse}),
			route: host, refused: true, rule: "rule-1"},
		{name: "communities", rules: named(
			config.Rule{When: config.Match{Communities: []config.Community{8, 7}, LargeCommunities: []config.LargeCommunity{{1, 2, 3}}}, Then: config.ThenRefuse}),
			route: seen, refused: true, rule: "rule-1"},
		{name: "communities that a rule has added", rules: named(
			config.Rule{Set: config.Set{Communities: []config.Community{9}, LargeCommunities: []config.LargeCommunity{{4, 5, 6}}}},
			config.Rule{When: config.Match{Communities: []config.Community{9}, LargeCommunities: []config.LargeCommunity{{4, 5, 6}}}, Then: config.ThenRefuse}),
			route: host, refused: true, rule: "rule-2"},
		{name: "sets add up, and the last word counts", rules: named(
			config.Rule{Set: config.Set{Communities: []config.Community{9, 1}, LocalPref: number(10), MED: number(5)}},
			config.Rule{When: config.Match{Types: []config.HopType{config.HopNAT}}, Set: config.Set{MED: number(6)}},
			config.Rule{Name: "last", Set: config.Set{Communities: []config.Community{3, 9}, LocalPref: number(20)}, Then: config.ThenAccept},
			config.Rule{Set: config.Set{MED: number(7)}}),
			route: host, rule: "last", set: config.Set{Communities: []config.Community{1, 3, 9}, LocalPref: number(20), MED: number(5)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPolicy(c.rules)
			v := p.judge(&c.route, true)
			if v.refused != c.refused || v.rule != c.rule || !sameSet(p.set(v.set), &c.set) {
				t.Errorf("%+v, changes %+v", v, p.set(v.set))
			}
		})
	}
}

func TestRulesCountWhatTheyMatchAndRefuse(t *testing.T) {
	p := newPolicy(named(
		config.Rule{Name: "low", When: config.Match{Types: []config.HopType{config.HopStandard}}, Set: config.Set{MED: number(1)}},
		config.Rule{Name: "no", When: config.Match{NextHops: []netip.Prefix{prefix("2001:db8:2::/48")}}, Then: config.ThenRefuse},
	))
	for _, target := range []string{"2001:db8:1::1", "2001:db8:2::1", "2001:db8:2::2"} {
		p.judge(&candidate{Prefix: prefix("10.0.0.1/32"), NextHop: addr(target)}, true)
		p.judge(&candidate{Prefix: prefix("10.0.0.1/32"), NextHop: addr(target)}, false)
	}
	if got, want := p.stats(), []RuleStats{{"low", 3, 0}, {"no", 2, 2}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (*policy)(nil).stats(); got != nil {
		t.Errorf("without rules: %v", got)
	}
}

// TestPolicyIsWhatItsRulesSay compares sets, which are interned, with what the
// rules say one after the other, from several goroutines.
func TestPolicyIsWhatItsRulesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawPolicy(t, "rules")
		p := newPolicy(rules)
		var all sync.WaitGroup
		defer all.Wait()
		for range 8 {
			c := candidate{
				Prefix:  prefix(rapid.SampledFrom([]string{"10.0.0.1/32", "10.0.0.0/24", "2001:db8::/64"}).Draw(t, "prefix")),
				Type:    rib.NextHopType(rapid.IntRange(0, 2).Draw(t, "type")),
				NextHop: addr(rapid.SampledFrom([]string{"2001:db8:1::1", "2001:db8:2::1"}).Draw(t, "next hop")),
			}
			all.Go(func() {
				accepted, want := modelRules(rules, c.Prefix, rib.NextHop{Target: c.NextHop, Type: c.Type})
				v := p.judge(&c, false)
				if v.refused == accepted || accepted && !sameSet(p.set(v.set), &want) {
					t.Errorf("%+v: %+v and %+v, want %v and %+v", c, v, p.set(v.set), accepted, want)
				}
			})
		}
	})
}
