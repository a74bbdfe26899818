package bridge

// A policy runs its rules in order. What the rules that match change adds up to
// a set, and routes with the same set share their attributes, so sets are
// interned: a set has a number, and the number of what a rule makes of a set is
// looked up from both. Which sets there are follows from the routes that come;
// with few rules they are few.

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"mbbgp/config"
	"mbbgp/rib"
)

// candidate is what the rules of a policy look at.
type candidate struct {
	Prefix      netip.Prefix
	Type        rib.NextHopType
	NextHop     netip.Addr // the MetalBond next hop of an export; the SID or else the BGP next hop of an import
	Communities []uint32
	Large       [][3]uint32
}

// verdict is what a policy says of a candidate.
type verdict struct {
	refused bool
	rule    string // that decided; "" if the end was reached
	set     int    // what the rules that matched change; 0: nothing
}

// policy is a list of rules. The nil policy accepts everything unchanged. All
// methods may be called at the same time.
type policy struct {
	rules    []config.Rule
	counters []ruleCounters // by rule

	mu   sync.RWMutex
	sets []*config.Set      // guarded by mu; by number, the first one empty
	next map[transition]int // guarded by mu
}

// transition is what leads from one set to the next.
type transition struct{ set, rule int }

// ruleCounters count for one rule.
type ruleCounters struct{ matched, refused atomic.Uint64 }

// RuleStats are the figures of one rule of a policy.
type RuleStats struct {
	Name    string
	Matched uint64 // routes that it matched
	Refused uint64 // and of these, those that it refused
}

// newPolicy returns the policy of a list of rules, nil if it is empty.
func newPolicy(rules []config.Rule) *policy {
	if len(rules) == 0 {
		return nil
	}
	return &policy{
		rules:    rules,
		counters: make([]ruleCounters, len(rules)),
		sets:     []*config.Set{{}},
		next:     map[transition]int{},
	}
}

// judge runs the rules on c. Communities that a rule adds are seen by those
// behind it. With count, the rules' counters count it.
func (p *policy) judge(c *candidate, count bool) verdict {
	var v verdict
	if p == nil {
		return v
	}
	for i := range p.rules {
		r := &p.rules[i]
		if !c.meets(&r.When, p.set(v.set)) {
			continue
		}
		if count {
			p.counters[i].matched.Add(1)
		}
		if r.Then == config.ThenRefuse {
			if count {
				p.counters[i].refused.Add(1)
			}
			return verdict{refused: true, rule: r.Name}
		}
		v.set = p.combine(v.set, i)
		if r.Then == config.ThenAccept {
			v.rule = r.Name
			break
		}
	}
	return v
}

// set returns a set by its number. It belongs to the policy.
func (p *policy) set(number int) *config.Set {
	if p == nil || number == 0 {
		return &noSet
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sets[number]
}

// noSet is set 0 of every policy.
var noSet config.Set

// combine returns the number of the set that a rule makes of another one.
func (p *policy) combine(number, rule int) int {
	add := &p.rules[rule].Set
	if len(add.Communities)+len(add.LargeCommunities) == 0 && add.LocalPref == nil && add.MED == nil {
		return number
	}
	t := transition{number, rule}
	p.mu.RLock()
	to, ok := p.next[t]
	p.mu.RUnlock()
	if ok {
		return to
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if to, ok := p.next[t]; ok {
		return to
	}
	s := sum(p.sets[number], add)
	to = slices.IndexFunc(p.sets, func(x *config.Set) bool { return sameSet(x, s) })
	if to < 0 {
		to = len(p.sets)
		p.sets = append(p.sets, s)
	}
	p.next[t] = to
	return to
}

// sum is what a set and then another one change. Communities are in ascending
// order, each once.
func sum(s, add *config.Set) *config.Set {
	u := &config.Set{
		Communities:      slices.Concat(s.Communities, add.Communities),
		LargeCommunities: slices.Concat(s.LargeCommunities, add.LargeCommunities),
		LocalPref:        s.LocalPref,
		MED:              s.MED,
	}
	slices.Sort(u.Communities)
	u.Communities = slices.Compact(u.Communities)
	slices.SortFunc(u.LargeCommunities, func(a, b config.LargeCommunity) int { return slices.Compare(a[:], b[:]) })
	u.LargeCommunities = slices.Compact(u.LargeCommunities)
	if add.LocalPref != nil {
		u.LocalPref = add.LocalPref
	}
	if add.MED != nil {
		u.MED = add.MED
	}
	return u
}

// sameSet reports whether two sets change the same.
func sameSet(a, b *config.Set) bool {
	same := func(x, y *uint32) bool { return x == y || x != nil && y != nil && *x == *y }
	return slices.Equal(a.Communities, b.Communities) && slices.Equal(a.LargeCommunities, b.LargeCommunities) &&
		same(a.LocalPref, b.LocalPref) && same(a.MED, b.MED)
}

// meets reports whether all parts of a condition hold for a candidate that
// earlier rules have changed by s.
func (c *candidate) meets(m *config.Match, s *config.Set) bool {
	if len(m.Prefixes) > 0 && !slices.ContainsFunc(m.Prefixes, func(r config.PrefixRule) bool { return r.Match(c.Prefix) }) {
		return false
	}
	if len(m.Types) > 0 && !slices.Contains(m.Types, config.HopType(c.Type)) {
		return false
	}
	if len(m.NextHops) > 0 && !slices.ContainsFunc(m.NextHops, func(p netip.Prefix) bool { return p.Contains(c.NextHop) }) {
		return false
	}
	if len(m.Communities) > 0 && !slices.ContainsFunc(m.Communities, func(x config.Community) bool {
		return slices.Contains(c.Communities, uint32(x)) || slices.Contains(s.Communities, x)
	}) {
		return false
	}
	return len(m.LargeCommunities) == 0 || slices.ContainsFunc(m.LargeCommunities, func(x config.LargeCommunity) bool {
		return slices.Contains(c.Large, [3]uint32(x)) || slices.Contains(s.LargeCommunities, x)
	})
}

// stats returns the figures of all rules, in their order.
func (p *policy) stats() []RuleStats {
	if p == nil {
		return nil
	}
	all := make([]RuleStats, len(p.rules))
	for i := range p.rules {
		all[i] = RuleStats{p.rules[i].Name, p.counters[i].matched.Load(), p.counters[i].refused.Load()}
	}
	return all
}
