package config

import (
	"fmt"
	"math"
	"net/netip"
)

func (d *decoder) importRules(n *node, path string) []Rule { return d.rules(n, path, d.importSet) }

func (d *decoder) exportRules(n *node, path string) []Rule { return d.rules(n, path, d.exportSet) }

// rules reads a policy; set reads what its rules may change.
func (d *decoder) rules(n *node, path string, set func(n *node, path string) Set) []Rule {
	list := listOf(d, "a list of rules (name, when, set, then)", func(n *node, path string) Rule { return d.rule(n, path, set) })(n, path)
	for i := range list {
		if list[i].Name == "" {
			list[i].Name = fmt.Sprintf("rule-%d", i+1)
		}
	}
	unique(d, n, path, "name", func(i int) (string, bool) { return list[i].Name, true })
	return list
}

func (d *decoder) rule(n *node, path string, set func(n *node, path string) Set) (r Rule) {
	if d.mapping(n, path, "a rule (name, when, set, then)",
		field{"name", into(&r.Name, d.name)},
		field{"when", into(&r.When, d.match)},
		field{"set", into(&r.Set, set)},
		field{"then", into(&r.Then, oneOf[Then](d, thenNames))},
	) && n.entry("set") == nil {
		d.required(n, path, " without set", "then")
	}
	return r
}

// match reads a condition. An empty list is an error because it would match
// everything, not nothing.
func (d *decoder) match(n *node, path string) (m Match) {
	d.mapping(n, path, "a mapping",
		field{"prefixes", into(&m.Prefixes, nonEmpty(d, "prefixes", d.matchPrefix))},
		field{"types", into(&m.Types, d.hopTypes)},
		field{"nexthops", into(&m.NextHops, nonEmpty(d, "prefixes", d.prefix))},
		field{"communities", into(&m.Communities, d.communities)},
		field{"large-communities", into(&m.LargeCommunities, d.largeCommunities)},
	)
	return m
}

func (d *decoder) communities(n *node, path string) []Community {
	return nonEmpty(d, "communities", parsed(d, "a community", ParseCommunity))(n, path)
}

func (d *decoder) largeCommunities(n *node, path string) []LargeCommunity {
	return nonEmpty(d, "large communities", parsed(d, "a large community", ParseLargeCommunity))(n, path)
}

// importSet reads the changes of an import: MetalBond has no communities.
func (d *decoder) importSet(n *node, path string) (s Set) {
	d.set(n, path, d.preferences(&s)...)
	return s
}

func (d *decoder) exportSet(n *node, path string) (s Set) {
	d.set(n, path, append([]field{
		{"communities", into(&s.Communities, d.communities)},
		{"large-communities", func(n *node, path string) {
			s.LargeCommunities = d.largeCommunities(n, path)
			for i, c := range s.LargeCommunities {
				if c[0] == d.losslessASN && c[1] >= 1 && c[1] <= 3 && d.hasBGP {
					d.bad(n.items[i], fmt.Sprintf("%s[%d]", path, i), "%s says a field of MetalBond (lossless-asn %d, 1 to 3), want another one", c, c[0])
				}
			}
		}},
	}, d.preferences(&s)...)...)
	return s
}

func (d *decoder) set(n *node, path string, fields ...field) {
	if d.mapping(n, path, "a mapping", fields...) && len(n.entries) == 0 {
		d.bad(n, path, "an empty mapping, want something to change")
	}
}

func (d *decoder) preferences(s *Set) []field {
	value := func(n *node, path string) *uint32 {
		v := number[uint32](d, 0, math.MaxUint32)(n, path)
		return &v
	}
	return []field{
		{"local-preference", into(&s.LocalPref, value)},
		{"med", into(&s.MED, value)},
	}
}

// matchPrefix reads a prefix alone, or with lengths.
func (d *decoder) matchPrefix(n *node, path string) (r PrefixRule) {
	if n.kind != mappingNode {
		r.Prefix = d.prefix(n, path)
		d.lengths(&r, path, nil, nil)
		return r
	}
	var ge, le *node
	d.mapping(n, path, "a prefix, or a mapping (prefix, with ge and le)",
		field{"prefix", into(&r.Prefix, d.prefix)},
		field{"ge", func(n *node, _ string) { ge = n }},
		field{"le", func(n *node, _ string) { le = n }},
	)
	d.required(n, path, "", "prefix")
	d.lengths(&r, path, ge, le)
	return r
}

func (d *decoder) prefixRule(n *node, path string) (r PrefixRule) {
	var allow, deny netip.Prefix
	var ge, le *node
	if !d.mapping(n, path, "a rule (allow or deny, with ge and le)",
		field{"allow", into(&allow, d.prefix)},
		field{"deny", into(&deny, d.prefix)},
		field{"ge", func(n *node, _ string) { ge = n }},
		field{"le", func(n *node, _ string) { le = n }},
	) {
		return r
	}
	hasAllow, hasDeny := n.entry("allow") != nil, n.entry("deny") != nil
	if hasAllow == hasDeny {
		d.bad(n, path, "want one prefix to allow or to deny")
		return r
	}
	r.Allow, r.Prefix = hasAllow, allow
	if hasDeny {
		r.Prefix = deny
	}
	d.lengths(&r, path, ge, le)
	return r
}

// lengths reads the lengths of prefixes that r matches; either may be nil.
func (d *decoder) lengths(r *PrefixRule, path string, ge, le *node) {
	if !r.Prefix.IsValid() {
		return
	}
	low, high := r.Prefix.Bits(), r.Prefix.Addr().BitLen()
	r.GE, r.LE = low, low
	if ge != nil {
		r.GE, r.LE = number[int](d, uint64(low), uint64(high))(ge, join(path, "ge")), high
	}
	if le != nil {
		r.LE = number[int](d, uint64(max(low, r.GE)), uint64(high))(le, join(path, "le"))
	}
}
