package bridge

// A comparison says of each prefix of a VNI what either control plane tells of
// it, what is in force, and what would be if the VNI preferred the other one. It
// is worked out of one look at the prefix in the table, by the rule with which the
// table itself decides; so what it predicts is what Prefer does, unless somebody
// says something else meanwhile.

import (
	"cmp"
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// Comparison is a prefix of a VNI as both control planes tell of it. Only
// standard next hops count; the lists are sorted.
type Comparison struct {
	Prefix    netip.Prefix
	BGP       []rib.NextHop // that BGP says, its best ones; this gateway where packets have to go through it
	Via       []rib.NextHop // and on from this gateway into the fabric, if it forwards
	MetalBond []rib.NextHop // that hypervisors, servers or an operator say, but for other gateways' and what has a preference of its own
	Now       []rib.NextHop // in force
	Then      []rib.NextHop // in force if the VNI preferred what was asked about
}

// Side is who tells of a prefix.
type Side uint8

// The sides.
const (
	Neither       Side = iota // other gateways, other VNIs, or an operator with a preference
	OnlyBGP                   // and MetalBond lacks it
	OnlyMetalBond             // and BGP lacks it
	Both
)

// String returns the name that the command line uses.
func (s Side) String() string {
	return [...]string{"neither", "bgp", "metalbond", "both"}[s]
}

// Side returns who tells of the prefix.
func (c *Comparison) Side() Side {
	switch {
	case len(c.BGP) > 0 && len(c.MetalBond) > 0:
		return Both
	case len(c.BGP) > 0:
		return OnlyBGP
	case len(c.MetalBond) > 0:
		return OnlyMetalBond
	}
	return Neither
}

// Changes reports whether other next hops would be in force.
func (c *Comparison) Changes() bool { return !slices.Equal(c.Now, c.Then) }

// Compare visits every prefix of a VNI that has a standard next hop, with what
// would be in force if the VNI preferred prefer, until visit returns false. A
// prefix that changes meanwhile may be visited twice. The lists belong to visit.
func (b *Bridge) Compare(vni rib.VNI, prefer config.Prefer, visit func(*Comparison) bool) {
	var entry []rib.RouteInfo
	going := true
	end := func() bool {
		if c, some := b.comparison(vni, prefer, entry); some {
			going = visit(&c)
		}
		entry = entry[:0]
		return going
	}
	b.table.Walk(vni, func(info rib.RouteInfo) bool { // the next hops of a prefix come together
		if len(entry) > 0 && entry[0].Prefix != info.Prefix && !end() {
			return false
		}
		entry = append(entry, info)
		return true
	})
	if going && len(entry) > 0 {
		end()
	}
}

// CompareOne is Compare of one prefix; false if it has no standard next hop.
func (b *Bridge) CompareOne(vni rib.VNI, p netip.Prefix, prefer config.Prefer) (Comparison, bool) {
	return b.comparison(vni, prefer, b.table.Lookup(vni, p.Masked()))
}

// Ways returns where this gateway sends the packets of next hops of c: to the next
// hop itself, or, if that is this gateway, on into the fabric.
func (b *Bridge) Ways(c *Comparison, hops []rib.NextHop) (ways []netip.Addr) {
	v := b.current()
	for _, nh := range hops {
		if !v.own[nh.Target] {
			ways = append(ways, nh.Target)
			continue
		}
		for _, via := range c.Via {
			ways = append(ways, via.Target)
		}
	}
	return ways
}

// Hides reports whether BGP would be told of the prefix, once MetalBond is
// preferred, in such a way that it forgets what it tells itself: with the NLRI of a
// unicast route, of which the speaker has one best path, and its own comes first.
// VPN and EVPN routes stand beside each other by their route distinguishers.
func (b *Bridge) Hides(vni rib.VNI, c *Comparison) bool {
	v := b.current()
	n := v.networks[vni]
	if n == nil || n.family != config.VNIFamilyUnicast || c.Side() != Both {
		return false
	}
	return slices.ContainsFunc(c.MetalBond, func(nh rib.NextHop) bool {
		path := rib.Path{NextHop: nh, Source: rib.Client, Preference: rib.Native}
		if reason, _ := v.judgeExport(n, c.Prefix, &path, false); reason != Accepted {
			return false
		}
		reason, _ := b.bgp.withheld(n, c.Prefix, "")
		return reason == Accepted
	})
}

// comparison compares what there is of one prefix.
func (b *Bridge) comparison(vni rib.VNI, prefer config.Prefer, entry []rib.RouteInfo) (c Comparison, some bool) {
	native := rib.Native
	if prefer == config.PreferBGP {
		native = rib.Deferred
	}
	var bgp, then best
	for i := range entry {
		info := &entry[i]
		if info.NextHop.Type != rib.Standard {
			continue
		}
		c.Prefix, some = info.Prefix, true
		if info.Visible {
			c.Now = append(c.Now, info.NextHop)
		}
		top, fabric := rib.Preference(0), rib.Preference(0)
		metalBond := false
		for _, claim := range info.Claims {
			p := claim.Preference
			switch {
			case claim.Source == rib.BGP:
				fabric = max(fabric, p)
			case claim.Source <= rib.Server && byRule(p):
				metalBond, p = true, native
			}
			top = max(top, p)
		}
		if metalBond {
			c.MetalBond = append(c.MetalBond, info.NextHop)
		}
		bgp.add(info.NextHop, fabric)
		then.add(info.NextHop, top)
	}
	c.BGP, c.Then = bgp.hops, then.hops
	if b.fabric != nil && len(c.BGP) > 0 {
		for _, path := range b.fabric.Visible(nil, vni, c.Prefix) {
			c.Via = append(c.Via, path.NextHop)
		}
	}
	for _, list := range [][]rib.NextHop{c.BGP, c.Via, c.MetalBond, c.Now, c.Then} {
		slices.SortFunc(list, compareNextHops)
	}
	return c, some
}

// byRule reports whether a preference is one that depends on what the VNI
// prefers.
func byRule(p rib.Preference) bool { return p == rib.Native || p == rib.Deferred }

// best are the next hops of the highest preference.
type best struct {
	preference rib.Preference
	hops       []rib.NextHop
}

// add adds a next hop; preference 0 is none.
func (x *best) add(nh rib.NextHop, p rib.Preference) {
	if p == 0 || p < x.preference {
		return
	}
	if p > x.preference {
		x.preference, x.hops = p, nil
	}
	x.hops = append(x.hops, nh)
}

func compareNextHops(a, b rib.NextHop) int {
	return cmp.Or(a.Target.Compare(b.Target), cmp.Compare(a.TargetVNI, b.TargetVNI), cmp.Compare(a.Label, b.Label), slices.Compare(a.MAC[:], b.MAC[:]))
}
