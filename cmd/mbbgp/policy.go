package main

import (
	"fmt"
	"strings"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/rib"
)

// policy returns the rules of all VNIs with what they did, as the file has them:
// import before export.
func (d *daemon) policy() []api.PolicyRule {
	counted := make(map[rib.VNI]bridge.VNIStats)
	for _, v := range d.bridge.BGP().Stats().VNIs {
		counted[v.VNI] = v
	}
	var list []api.PolicyRule
	vnis := d.vnis()
	for i := range vnis {
		v := &vnis[i]
		s := counted[rib.VNI(v.VNI)]
		list = appendRules(list, rib.VNI(v.VNI), "import", v.Import.Rules, s.Imported.Rules)
		list = appendRules(list, rib.VNI(v.VNI), "export", v.Export.Rules, s.Exported.Rules)
	}
	return list
}

func appendRules(list []api.PolicyRule, vni rib.VNI, direction string, rules []config.Rule, counted []bridge.RuleStats) []api.PolicyRule {
	for i := range rules {
		if i >= len(counted) { // another configuration is taking effect
			break
		}
		r := &rules[i]
		list = append(list, api.PolicyRule{
			VNI:       vni,
			Direction: direction,
			Name:      r.Name,
			When:      matchText(&r.When),
			Set:       setText(&r.Set),
			Then:      r.Then.String(),
			Matched:   counted[i].Matched,
			Refused:   counted[i].Refused,
		})
	}
	return list
}

// matchText is a condition in the words of the file.
func matchText(m *config.Match) string {
	var prefixes []string
	for _, p := range m.Prefixes {
		prefixes = append(prefixes, prefixText(p))
	}
	text := phrases(
		phrase("prefixes", prefixes),
		phrase("types", texts(m.Types)),
		phrase("nexthops", texts(m.NextHops)),
		phrase("communities", texts(m.Communities)),
		phrase("large-communities", texts(m.LargeCommunities)),
	)
	if text == "" {
		return "everything"
	}
	return text
}

// setText is what a rule changes in the words of the file, "" if nothing.
func setText(s *config.Set) string {
	return phrases(
		phrase("communities", texts(s.Communities)),
		phrase("large-communities", texts(s.LargeCommunities)),
		numberPhrase("local-preference", s.LocalPref),
		numberPhrase("med", s.MED),
	)
}

func prefixText(p config.PrefixRule) string {
	text := p.Prefix.String()
	if p.GE > p.Prefix.Bits() {
		text += fmt.Sprintf(" ge %d", p.GE)
	}
	if p.LE > p.Prefix.Bits() {
		text += fmt.Sprintf(" le %d", p.LE)
	}
	return text
}

func phrase(key string, values []string) string {
	if len(values) == 0 {
		return ""
	}
	return key + " " + strings.Join(values, ", ")
}

func numberPhrase(key string, n *uint32) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("%s %d", key, *n)
}

// phrases joins those that say something.
func phrases(list ...string) string {
	var all []string
	for _, p := range list {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "; ")
}
