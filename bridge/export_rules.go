package bridge

// The export policy, for each next hop of a prefix in this order:
//
//	no-target      the VNI exports nothing
//	from-bgp       learnt from BGP; the readers of Export are not shown these
//	next-hop-type  export.types, by default standard only
//	gateway-pool   the next hop of a gateway: learnt from elsewhere
//	prefix-filter  export.prefixes
//
// Then, of the prefix as it stands: vni-max-prefixes, and max-next-hops if it
// has more next hops than there are route distinguishers.

import (
	"fmt"
	"net/netip"

	"mbbgp/config"
	"mbbgp/rib"
)

// sources are those that BGP is told of.
var sources = rib.Sources(rib.Static, rib.Client, rib.Server)

// judgeExport applies the export policy to a path. It changes nothing.
func (b *Bridge) judgeExport(n *network, p netip.Prefix, path *rib.Path) Reason {
	switch {
	case n == nil || !n.exported():
		return NoTarget
	case !sources.Has(path.Source):
		return FromBGP
	case !n.exportTypes.has(path.NextHop.Type):
		return HopType
	case b.gatewayHop(path.NextHop.Target):
		return GatewayPool
	case !config.Permit(n.exports.Prefixes, p):
		return Filtered
	}
	return Accepted
}

// ExplainExport says what the export policy says of a next hop of a prefix
// now. NextHop is the BGP next hop if it is accepted. It changes nothing.
func (g *BGP) ExplainExport(vni rib.VNI, p netip.Prefix, path rib.Path) Verdict {
	n := g.bridge.networks[vni]
	v := Verdict{VNI: vni, Reason: g.bridge.judgeExport(n, p, &path)}
	switch {
	case v.Reason != Accepted:
		v.Detail = fmt.Sprintf("%v by %v from %v", p, path.NextHop, path.Source)
	case n.self:
		v.NextHop = rib.NextHop{Target: g.local}
	default:
		v.NextHop = path.NextHop
	}
	if v.Reason == Accepted && n.out.refuses(p) {
		v.Reason, v.Detail = VNILimit, fmt.Sprintf("at most %d prefixes", n.exports.MaxPrefixes)
	}
	return v
}
