package bridge

// The export policy, for each next hop of a prefix in this order:
//
//	no-target      the VNI exports nothing
//	from-bgp       learnt from BGP; the readers of Export are not shown these
//	from-vni       another VNI's (import-from); nor these
//	next-hop-type  export.types, by default standard only. A NAT port range
//	               that becomes flow specifications needs no such type
//	target-vni     names another VNI, and the VNI is not lossless
//	gateway-pool   the next hop of a gateway: learnt from elsewhere
//	prefix-filter  export.prefixes
//	policy         export.rules
//
// Then, of the prefix as it stands: summary-only, vni-max-prefixes, other-vni,
// and max-next-hops if it has more next hops than there are route
// distinguishers.

import (
	"fmt"
	"net/netip"

	"mbbgp/config"
	"mbbgp/rib"
)

// sources are those that BGP is told of.
var sources = rib.Sources(rib.Static, rib.Client, rib.Server)

// judgeExport applies the export policy to a path, and returns the number of
// the set of what the rules change. It changes nothing but, with count, the
// counters of the rules.
func (v *view) judgeExport(n *network, p netip.Prefix, path *rib.Path, count bool) (Reason, int) {
	hop := &path.NextHop
	switch {
	case n == nil || !n.exported():
		return NoTarget, 0
	case path.Source == rib.Leaked:
		return FromVNI, 0
	case !sources.Has(path.Source):
		return FromBGP, 0
	case !n.exportTypes.has(hop.Type) && !n.steers(hop):
		return HopType, 0
	case hop.TargetVNI != 0 && !n.lossless:
		return TargetVNI, 0
	case v.gatewayHop(hop.Target), path.Preference == rib.Relayed && !n.copies(*hop): // the latter in the view to come
		return GatewayPool, 0
	case !config.Permit(n.exports.Prefixes, p):
		return Filtered, 0
	}
	said := n.exportVerdict(p, hop, count)
	if said.refused {
		return Policy, 0
	}
	return Accepted, said.set
}

// exportVerdict is what the export rules say of a next hop of a prefix.
func (n *network) exportVerdict(p netip.Prefix, hop *rib.NextHop, count bool) verdict {
	if n.exportPolicy == nil {
		return verdict{}
	}
	return n.exportPolicy.judge(&candidate{Prefix: p, Type: hop.Type, NextHop: hop.Target}, count)
}

// ExplainExport says what the export policy says of a next hop of a prefix
// now. NextHop is the BGP next hop if it is accepted, and Detail names the rule
// that decided, if one did. It changes nothing.
func (g *BGP) ExplainExport(vni rib.VNI, p netip.Prefix, path rib.Path) Verdict {
	now := g.bridge.current()
	n := now.networks[vni]
	v := Verdict{VNI: vni}
	v.Reason, _ = now.judgeExport(n, p, &path, false)
	if v.Reason != Accepted && v.Reason != Policy {
		v.Detail = fmt.Sprintf("%v by %v from %v", p, path.NextHop, path.Source)
		return v
	}
	if rule := n.exportVerdict(p, &path.NextHop, false).rule; rule != "" {
		v.Detail = "export rule " + rule
	}
	if v.Reason == Policy {
		return v
	}
	if v.Reason, v.Detail = g.withheld(n, p, v.Detail); v.Reason != Accepted {
		return v
	}
	v.NextHop = path.NextHop
	if nextHop := g.nextHop(n, p, path.NextHop); nextHop != path.NextHop.Target {
		v.NextHop = rib.NextHop{Target: nextHop}
	}
	return v
}

// withheld returns the rule that keeps a prefix from BGP whatever its next
// hops, with its values, or detail if there is none.
func (g *BGP) withheld(n *network, p netip.Prefix, detail string) (Reason, string) {
	switch n.out.refuses(p) {
	case SummaryOnly:
		return SummaryOnly, fmt.Sprintf("%v is inside an aggregate of vni %d", p, n.vni)
	case VNILimit:
		return VNILimit, fmt.Sprintf("at most %d prefixes", n.exports.MaxPrefixes)
	}
	if other := g.contest.winner(NLRI{Kind: n.kind(), Prefix: p}); other != nil && other != n {
		return OtherVNI, fmt.Sprintf("%v is of vni %d", p, other.vni)
	}
	return Accepted, detail
}
