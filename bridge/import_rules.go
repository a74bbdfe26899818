package bridge

// The import policy of BGP. A route as a whole has to pass, in this order:
//
//	kind-unsupported  type 5 and type 2 of EVPN, VPN and unicast are
//	no-ip, no-l3-vni  a type 2 that names no host, or is for bridging only
//	prefix-invalid    no prefix, IPv4-mapped, or a type 2 of more than a host
//	overlay-index     type 5 with gateway IP or ESI: it takes a recursive
//	                  look-up in other EVPN routes, which is not done
//	no-label          without SID: type 5 with label 0 (RFC 9136 section 3.1),
//	                  VPN with Implicit NULL, which no packet carries
//	own-domain        our own domain's Site-of-Origin: a loop
//	d-path            our own domain in the D-PATH, likewise; EVPN and VPN
//	encapsulation     EVPN without SID: tunnel types 8 (VXLAN, also if there is
//	                  none) and 7
//	no-router-mac     VXLAN without a unicast Router's MAC. RFC 9136 section
//	                  4.4.1 says that it MUST be there, and without it no
//	                  packet can be sent; FRR treats both as withdrawn too
//	bgp-next-hop      IP-in-IP without an IPv6 next hop, or with ours
//	lossless          its large communities contradict each other
//	srv6-behavior     a SID whose endpoint does not decapsulate to the family
//	srv6-structure    a SID structure that contradicts itself, or the label
//	srv6-sid          a SID that cannot be sent to, or one of ours
//	no-target         nobody imports it
//	neighbor-max-prefixes
//
// Then each VNI that imports one of its targets, or unicast for a unicast
// route, decides for itself:
//
//	prefix-filter     import.prefixes; none: of unicast nothing passes
//	next-hop-type     import.types
//	policy            import.rules, which may change the rank (rank.go)
//	no-gateway        packets have to go through a gateway: all but those of
//	                  SIDs and IP-in-IP
//	vni-max-prefixes
//
// A prefix that the VNI originates (originate.go) need not pass prefix-filter,
// nor a maximum, to be offered.
//
// A refused route is withdrawn where it was before: an update replaces what
// its NLRI said last, whatever becomes of it.

import (
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// place is where a route is put: a next hop in a network.
type place struct {
	network *network
	hop     rib.NextHop
	via     rib.NextHop // in the fabric table; zero: it is not there
	rank    rank
}

// refusal is why a network did not take a route.
type refusal struct {
	network *network
	reason  Reason
	rule    string // that decided, of Policy
}

// decision is the verdict on one announcement. It is reused.
type decision struct {
	final   bool         // not an explanation: rules count it
	prefix  netip.Prefix // masked
	reason  Reason       // of the route as a whole
	hop     rib.NextHop  // without target if packets go through the gateway
	places  []place      // by ascending VNI
	refused []refusal
	offers  []offering
	via     rib.NextHop // where packets go on from this gateway; without target: nowhere

	// What follows from kind and attributes alone, for the next update that
	// shares them.
	kind       NLRIKind
	attributes *Attributes
	common     Reason
	networks   []*network
	rank       rank
	fields     rib.NextHop // all but the target, and that of IP-in-IP
}

// decide applies the import policy to an announcement. It changes nothing but
// d and, if it is final, the counters of rules. The caller holds mu.
func (g *BGP) decide(u *Update, d *decision) {
	d.places, d.refused, d.offers, d.via = d.places[:0], d.refused[:0], d.offers[:0], rib.NextHop{}
	d.prefix = u.NLRI.Prefix.Masked()
	if d.reason = judgeNLRI(u); d.reason != Accepted {
		return
	}
	if d.attributes != u.Attributes || d.kind != u.NLRI.Kind {
		g.judgeAttributes(u.NLRI.Kind, u.Attributes, d)
	}
	if d.reason, d.hop = d.common, d.fields; d.reason == Accepted && u.segment() {
		d.reason = g.judgeSegment(u, d)
	}
	switch {
	case d.reason != Accepted:
		return
	case len(d.networks) == 0:
		d.reason = NoTarget
		return
	}
	if g.bridge.fabric != nil {
		d.via = g.via(u, d.hop.Target)
	}
	l := g.limitOf(u.Neighbor)
	short := g.bridge.short.Load()
	full := (short || l.full()) && !g.known(u).from(u)
	for _, n := range d.networks {
		p, r := g.judge(n, u, d)
		switch {
		case full: // offers of originate are all that counts
		case r.reason != Accepted:
			d.refused = append(d.refused, r)
		default:
			d.places = append(d.places, p)
		}
	}
	switch {
	case full && short:
		d.reason = MemoryLimit
	case full:
		d.reason = NeighborLimit
	}
}

// segment reports whether packets of the route are sent to its SID, whatever
// else it says of tunnels.
func (u *Update) segment() bool {
	return u.Attributes.SRv6.SID.IsValid() && u.NLRI.Kind != Unicast
}

// judgeNLRI applies the rules on what the route is.
func judgeNLRI(u *Update) Reason {
	p, a := u.NLRI.Prefix, u.Attributes
	if kind := u.NLRI.Kind; kind != MACIP && kind != IPPrefix && kind != VPN && kind != Unicast {
		return KindUnsupported
	}
	if u.NLRI.Kind == MACIP {
		switch {
		case !p.IsValid():
			return NoIP
		case !p.IsSingleIP() || p.Addr().Is4In6():
			return PrefixInvalid
		case u.Label == 0 && !u.segment():
			return NoL3VNI
		}
		return Accepted
	}
	switch {
	case !p.IsValid() || p.Addr().Is4In6():
		return PrefixInvalid
	case u.NLRI.Kind == IPPrefix && (a.ESI || a.GatewayIP.IsValid() && !a.GatewayIP.IsUnspecified()):
		return OverlayIndex
	case u.segment():
		return Accepted
	case u.NLRI.Kind == IPPrefix && u.Label == 0, u.NLRI.Kind == VPN && u.Label == ImplicitNull:
		return NoLabel
	}
	return Accepted
}

// judgeAttributes applies the rules on what is said of routes of a kind, and
// notes what all that share it have in common.
func (g *BGP) judgeAttributes(kind NLRIKind, a *Attributes, d *decision) {
	d.kind, d.attributes = kind, a
	d.rank, d.fields = rankOf(kind, a), rib.NextHop{}
	if kind == Unicast {
		d.networks = append(d.networks[:0], g.index.unicast...)
	} else {
		d.networks = g.index.find(d.networks[:0], a.RouteTargets)
	}
	switch {
	case slices.Contains(a.SiteOfOrigin, g.domain):
		d.common = OwnDomain
	case kind != Unicast && g.inDPath(a):
		d.common = DPath
	default:
		d.common = Accepted
	}
	if evpn := kind == IPPrefix || kind == MACIP; d.common == Accepted && evpn && !a.SRv6.SID.IsValid() {
		d.fields.Target, d.common = g.judgeTunnel(a)
	}
	d.rank.lossless = isLossless(a.Large, g.losslessASN)
	if d.common == Accepted && !parseLossless(a.Large, g.losslessASN, &d.fields) {
		d.common = Lossless
	}
}

// inDPath reports whether a route has been in our own domain.
func (g *BGP) inDPath(a *Attributes) bool {
	return g.domainID != (config.DomainID{}) &&
		slices.ContainsFunc(a.DPath, func(d Domain) bool { return d.ID == g.domainID })
}

// judgeTunnel applies the rules on the tunnel of an EVPN route. The target is
// invalid if packets go through the gateway, which sends them in VXLAN.
func (g *BGP) judgeTunnel(a *Attributes) (target netip.Addr, r Reason) {
	switch a.Encapsulation {
	case TunnelNone, TunnelVXLAN:
		if a.RouterMAC == (MAC{}) || a.RouterMAC[0]&1 != 0 {
			return target, NoRouterMAC
		}
	case TunnelIPinIP:
		h := a.NextHop
		if !h.Is6() || h.Is4In6() || !h.IsGlobalUnicast() || g.ours(h) {
			return target, BGPNextHop
		}
		return h, Accepted
	default:
		return target, Tunnel
	}
	return target, Accepted
}

// judgeSegment applies the rules on the SID of a route, and makes it the target
// of the next hop.
func (g *BGP) judgeSegment(u *Update, d *decision) Reason {
	s := &u.Attributes.SRv6
	width := labelWidthEVPN
	if u.NLRI.Kind == VPN {
		width = labelWidthVPN
	}
	switch {
	case !s.decapsulates(d.prefix):
		return SRv6Behavior
	case !s.Structure.valid(width):
		return SRv6Structure
	}
	d.hop.Target = s.restore(u.Label, width)
	if !usableSID(d.hop.Target) || g.ours(d.hop.Target) {
		return SRv6SID
	}
	return Accepted
}

// ours reports whether an address is one of this bridge.
func (g *BGP) ours(a netip.Addr) bool {
	return a == g.local || g.bridge.current().own[a] || slices.Contains(g.nextHops[:], a)
}

// judge applies the network's own rules, and makes the next hop of the route:
// this gateway if packets have to go through one, or where they can go
// straight. It appends to d.offers what the network originates for it.
func (g *BGP) judge(n *network, u *Update, d *decision) (place, refusal) {
	refuse := func(r Reason) (place, refusal) { return place{}, refusal{network: n, reason: r} }
	var offered *origination
	if len(n.originates) > 0 {
		offered = g.originations.of(n, d.prefix)
	}
	permitted := config.Permit(n.imports.Prefixes, d.prefix) && (len(n.imports.Prefixes) > 0 || u.NLRI.Kind != Unicast)
	switch {
	case !permitted && offered == nil:
		return refuse(Filtered)
	case !n.importTypes.has(d.hop.Type):
		return refuse(HopType)
	}
	p := place{network: n, hop: d.hop, rank: d.rank}
	p.rank.lossless = p.rank.lossless && d.hop.Target.IsValid() // through a gateway it is no hypervisor's word
	if p.hop.TargetVNI == n.vni {
		p.hop.TargetVNI = 0
	}
	if rule, refused := n.applyRules(u, d, &p.rank); refused {
		return place{}, refusal{n, Policy, rule}
	}
	p.rank.settle(p.hop.Type)
	if offered != nil {
		x := offer{neighbor: u.Neighbor, rank: p.rank}
		if n.forwards {
			x.via = d.via
		}
		d.offers = append(d.offers, offering{offered, x})
	}
	if !permitted {
		return refuse(Filtered)
	}
	if !p.hop.Target.IsValid() {
		if p.hop.Target = n.gateway; !n.gateway.IsValid() {
			return refuse(NoGateway)
		}
		if n.forwards && p.hop.Type == rib.Standard {
			p.via = d.via
		}
	}
	if n.in.full() && !g.known(u).in(n) && !g.imported(n, d.prefix) {
		return refuse(VNILimit)
	}
	return p, refusal{}
}

// applyRules runs import.rules on a route. They may change its rank.
func (n *network) applyRules(u *Update, d *decision, r *rank) (rule string, refused bool) {
	if n.importPolicy == nil {
		return "", false
	}
	c := candidate{
		Prefix: d.prefix, Type: d.hop.Type, NextHop: d.hop.Target,
		Communities: u.Attributes.Communities, Large: u.Attributes.Large,
	}
	if !c.NextHop.IsValid() {
		c.NextHop = u.Attributes.NextHop
	}
	v := n.importPolicy.judge(&c, d.final)
	if set := n.importPolicy.set(v.set); !r.alone {
		if set.LocalPref != nil {
			r.localPref = *set.LocalPref
		}
		if set.MED != nil {
			r.med = *set.MED
		}
	}
	return v.rule, v.refused
}

// Verdict is what the policy says of a route. Reason is Accepted, or the first
// rule that stopped it.
type Verdict struct {
	VNI     rib.VNI     // 0: of the route as a whole
	NextHop rib.NextHop // if it is accepted
	Via     rib.NextHop // of imports: where the kernel sends packets on that come to this gateway; without target if it does not
	Reason  Reason
	Detail  string // for people
}

// ExplainImport says what Import would do with an announcement now, one
// verdict for each VNI that could import it, or one for the route as a whole.
// It changes nothing.
func (g *BGP) ExplainImport(u Update) []Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	var d decision
	g.decide(&u, &d)
	if d.reason != Accepted {
		return []Verdict{{Reason: d.reason, Detail: g.detail(&u, &d)}}
	}
	var all []Verdict
	for _, p := range d.places {
		all = append(all, Verdict{VNI: p.network.vni, NextHop: p.hop, Via: p.via})
	}
	for _, r := range d.refused {
		all = append(all, Verdict{VNI: r.network.vni, Reason: r.reason, Detail: r.detail(&d)})
	}
	return all
}

// detail is the values that a rule on the whole route looked at.
func (g *BGP) detail(u *Update, d *decision) string {
	a := u.Attributes
	switch d.reason {
	case OwnDomain:
		return g.domain.String()
	case DPath:
		return g.domainID.String()
	case Tunnel:
		return fmt.Sprintf("tunnel type %d", a.Encapsulation)
	case NoRouterMAC:
		return a.RouterMAC.String()
	case BGPNextHop:
		return a.NextHop.String()
	case Lossless:
		return fmt.Sprintf("large communities %v", a.Large)
	case SRv6Behavior:
		return fmt.Sprintf("behaviour %d for %v", a.SRv6.Behavior, d.prefix)
	case SRv6Structure:
		return a.SRv6.Structure.String()
	case SRv6SID:
		return d.hop.Target.String()
	case NoTarget:
		return fmt.Sprint(a.RouteTargets)
	case NeighborLimit:
		return fmt.Sprintf("%v, at most %d", u.Neighbor, g.limitOf(u.Neighbor).Max)
	}
	return u.NLRI.String()
}

// detail is the values that a rule of a VNI looked at.
func (r *refusal) detail(d *decision) string {
	s := fmt.Sprintf("%v, vni %d", d.prefix, r.network.vni)
	switch r.reason {
	case HopType:
		return fmt.Sprintf("%v, %v", d.hop.Type, s)
	case Policy:
		return fmt.Sprintf("rule %s, %s", r.rule, s)
	case VNILimit:
		return fmt.Sprintf("%s, at most %d", s, r.network.in.Max)
	}
	return s
}
