package bridge

// The import policy of BGP. A route as a whole has to pass, in this order:
//
//	kind-unsupported  type 5 and type 2 are
//	no-ip, no-l3-vni  a type 2 that names no host, or is for bridging only
//	prefix-invalid    no prefix, IPv4-mapped, or a type 2 of more than a host
//	overlay-index     type 5 with gateway IP or ESI: it takes a recursive
//	                  look-up in other EVPN routes, which is not done
//	no-label          type 5 with neither (RFC 9136 section 3.1)
//	own-domain        our own domain's Site-of-Origin: a loop
//	encapsulation     tunnel types 8 (VXLAN, also if there is none) and 7
//	no-router-mac     VXLAN without a unicast Router's MAC. RFC 9136 section
//	                  4.4.1 says that it MUST be there, and without it no
//	                  packet can be sent; FRR treats both as withdrawn too
//	bgp-next-hop      IP-in-IP without an IPv6 next hop, or with ours
//	no-target         nobody imports it
//	neighbor-max-prefixes
//
// Then each VNI that imports one of its targets decides for itself:
//
//	prefix-filter, no-gateway (VXLAN only), vni-max-prefixes
//
// A refused route is withdrawn where it was before: an update replaces what
// its NLRI said last, whatever becomes of it.

import (
	"fmt"
	"net/netip"

	"mbbgp/config"
	"mbbgp/rib"
)

// place is where a route is put: a next hop in a network.
type place struct {
	network *network
	hop     rib.NextHop
}

// refusal is why a network did not take a route.
type refusal struct {
	network *network
	reason  Reason
}

// decision is the verdict on one announcement. It is reused.
type decision struct {
	prefix  netip.Prefix // masked
	reason  Reason       // of the route as a whole
	places  []place      // by ascending VNI
	refused []refusal

	// What follows from the attributes alone, for the next update that shares
	// them.
	attributes *Attributes
	common     Reason
	networks   []*network
}

// decide applies the import policy to an announcement. It changes nothing but
// d. The caller holds mu.
func (g *BGP) decide(u *Update, d *decision) {
	d.places, d.refused = d.places[:0], d.refused[:0]
	d.prefix = u.NLRI.Prefix.Masked()
	if d.reason = judgeNLRI(u); d.reason != Accepted {
		return
	}
	if d.attributes != u.Attributes {
		d.attributes = u.Attributes
		d.networks = g.index.find(d.networks[:0], u.Attributes.RouteTargets)
		d.common = g.judgeAttributes(u.Attributes)
	}
	switch {
	case d.common != Accepted:
		d.reason = d.common
		return
	case len(d.networks) == 0:
		d.reason = NoTarget
		return
	}
	if l := g.limitOf(u.Neighbor); l.full() && !g.known(u).from(u) {
		d.reason = NeighborLimit
		return
	}
	for _, n := range d.networks {
		hop, reason := n.judge(u.Attributes, d.prefix)
		if reason == Accepted && n.in.full() && !g.known(u).in(n) && !g.imported(n, d.prefix) {
			reason = VNILimit
		}
		if reason != Accepted {
			d.refused = append(d.refused, refusal{n, reason})
			continue
		}
		d.places = append(d.places, place{n, hop})
	}
}

// judgeNLRI applies the rules on what the route is.
func judgeNLRI(u *Update) Reason {
	p, a := u.NLRI.Prefix, u.Attributes
	switch u.NLRI.Kind {
	case MACIP:
		switch {
		case !p.IsValid():
			return NoIP
		case !p.IsSingleIP() || p.Addr().Is4In6():
			return PrefixInvalid
		case u.Label == 0:
			return NoL3VNI
		}
	case IPPrefix:
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			return PrefixInvalid
		case a.ESI || a.GatewayIP.IsValid() && !a.GatewayIP.IsUnspecified():
			return OverlayIndex
		case u.Label == 0:
			return NoLabel
		}
	default:
		return KindUnsupported
	}
	return Accepted
}

// judgeAttributes applies the rules on what is said of the route.
func (g *BGP) judgeAttributes(a *Attributes) Reason {
	for _, c := range a.SiteOfOrigin {
		if c == g.domain {
			return OwnDomain
		}
	}
	switch a.Encapsulation {
	case TunnelNone, TunnelVXLAN:
		if a.RouterMAC == (MAC{}) || a.RouterMAC[0]&1 != 0 {
			return NoRouterMAC
		}
	case TunnelIPinIP:
		h := a.NextHop
		if !h.Is6() || h.Is4In6() || h.IsUnspecified() || h.IsMulticast() || h.IsLinkLocalUnicast() ||
			h == g.local || g.bridge.own[h] {
			return BGPNextHop
		}
	default:
		return Tunnel
	}
	return Accepted
}

// judge applies the network's own rules, and makes the next hop of the route:
// this gateway if packets have to be sent in VXLAN, the BGP next hop if they
// can go straight there.
func (n *network) judge(a *Attributes, p netip.Prefix) (rib.NextHop, Reason) {
	if !config.Permit(n.imports.Prefixes, p) {
		return rib.NextHop{}, Filtered
	}
	if a.Encapsulation == TunnelIPinIP {
		return rib.NextHop{Target: a.NextHop}, Accepted
	}
	if !n.gateway.IsValid() {
		return rib.NextHop{}, NoGateway
	}
	return rib.NextHop{Target: n.gateway}, Accepted
}

// Verdict is what the policy says of a route. Reason is Accepted, or the first
// rule that stopped it.
type Verdict struct {
	VNI     rib.VNI     // 0: of the route as a whole
	NextHop rib.NextHop // if it is accepted
	Reason  Reason
	Detail  string // for people
}

// ExplainImport says what Import would do with an announcement now, one
// verdict for each VNI that imports one of its targets, or one for the route
// as a whole. It changes nothing.
func (g *BGP) ExplainImport(u Update) []Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	var d decision
	g.decide(&u, &d)
	if d.reason != Accepted {
		return []Verdict{{Reason: d.reason, Detail: g.detail(&u, d.reason)}}
	}
	var all []Verdict
	for _, p := range d.places {
		all = append(all, Verdict{VNI: p.network.vni, NextHop: p.hop})
	}
	for _, r := range d.refused {
		all = append(all, Verdict{VNI: r.network.vni, Reason: r.reason, Detail: fmt.Sprintf("%v, vni %d", d.prefix, r.network.vni)})
	}
	return all
}

// detail is the values that a rule on the whole route looked at.
func (g *BGP) detail(u *Update, r Reason) string {
	a := u.Attributes
	switch r {
	case OwnDomain:
		return g.domain.String()
	case Tunnel:
		return fmt.Sprintf("tunnel type %d", a.Encapsulation)
	case NoRouterMAC:
		return a.RouterMAC.String()
	case BGPNextHop:
		return a.NextHop.String()
	case NoTarget:
		return fmt.Sprint(a.RouteTargets)
	case NeighborLimit:
		return fmt.Sprintf("%v, at most %d", u.Neighbor, g.limitOf(u.Neighbor).Max)
	}
	return u.NLRI.String()
}
