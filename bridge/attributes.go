package bridge

// What the routes of a network carry. Routes with the same shape share their
// attributes, which is what lets the speaker put many into one message.
//
//	evpn vxlan     next hop self, tunnel type 8, Router's MAC; label: the VNI
//	evpn ip-in-ip  next hop target, tunnel type 7; label: the VNI
//	evpn srv6      next hop target or self, the target as SID; Implicit NULL
//	vpn srv6       the same
//	vpn mpls       next hop self; the VNI's label
//	unicast        next hop self; neither label nor route target
//
// All carry the domain's Site-of-Origin and what the rules of the VNI set,
// those of EVPN and VPN the domain's D-PATH, and lossless ones what else there
// is to say of a next hop.

import (
	"net/netip"

	"mbbgp/config"
	"mbbgp/rib"
)

// form is what BGP is told of a next hop: itself, unless the network's routes
// go through this gateway, and the set of what the rules change. It has no
// pointers, because it is kept and hashed a lot.
type form struct {
	target    [16]byte
	targetVNI rib.VNI
	set       uint32
	from, to  uint16
	kind      rib.NextHopType
}

func newForm(hop *rib.NextHop, set int) form {
	return form{hop.Target.As16(), hop.TargetVNI, uint32(set), hop.NATFrom, hop.NATTo, hop.Type}
}

// hop is the next hop that the form is of.
func (f *form) hop() rib.NextHop {
	return rib.NextHop{Target: netip.AddrFrom16(f.target), TargetVNI: f.targetVNI, Type: f.kind, NATFrom: f.from, NATTo: f.to}
}

// shape is all that attributes depend on within a network.
type shape struct {
	form
	v6   bool // of an IPv6 prefix, where that matters
	flow bool // of a flow specification
}

// shapes are the attributes of the shapes of a network. They are kept while
// there is more to read, and forgotten then: there may be as many as
// hypervisors.
type shapes struct {
	bgp      *BGP
	network  *network
	byFamily bool // the family of the prefix matters
	numbers  map[shape]int
	made     []*Attributes // by number
	last     shape         // asked for last, if there are any
	lastMade int           // its number
}

func newShapes(g *BGP, n *network) shapes {
	dx := n.encapsulation == config.EncapSRv6 && (n.srv6.Behavior == config.SIDBehaviorDX || n.srv6.NextHop == config.SIDNextHopSelf)
	return shapes{
		bgp:      g,
		network:  n,
		byFamily: dx || n.self && n.encapsulation != config.EncapVXLAN,
		numbers:  map[shape]int{},
	}
}

// get returns the attributes of a form of a prefix, and their number, from 0 on.
func (s *shapes) get(p netip.Prefix, f form, flow bool) (*Attributes, int) {
	x := shape{f, (s.byFamily || flow) && p.Addr().Is6(), flow}
	if len(s.made) > 0 && x == s.last {
		return s.made[s.lastMade], s.lastMade
	}
	number, ok := s.numbers[x]
	if !ok {
		number = len(s.made)
		s.numbers[x] = number
		if flow {
			s.made = append(s.made, s.flow(p, f))
		} else {
			s.made = append(s.made, s.route(p, f))
		}
	}
	s.last, s.lastMade = x, number
	return s.made[number], number
}

// maxShapes is how many are kept.
const maxShapes = 8192

// len is how many attributes there are.
func (s *shapes) len() int { return len(s.made) }

// forget forgets them all.
func (s *shapes) forget() {
	clear(s.numbers)
	clear(s.made)
	s.made = s.made[:0]
}

// route makes the attributes of the route of a prefix.
func (s *shapes) route(p netip.Prefix, f form) *Attributes {
	n := s.network
	a, hop := s.common(f), f.hop()
	a.NextHop = s.bgp.nextHop(n, p, hop)
	if n.family != config.VNIFamilyUnicast {
		a.RouteTargets = n.exports.Targets
		if id := s.bgp.domainID; id != (config.DomainID{}) {
			a.DPath = []Domain{{ID: id}}
		}
	}
	switch n.encapsulation {
	case config.EncapVXLAN:
		a.Encapsulation, a.RouterMAC = TunnelVXLAN, s.bgp.mac
	case config.EncapIPinIP:
		a.Encapsulation = TunnelIPinIP
	case config.EncapSRv6:
		a.SRv6 = n.sid(p, hop.Target)
	}
	if n.lossless {
		a.Large = appendLossless(a.Large, s.bgp.losslessASN, hop)
	}
	return a
}

// common makes the attributes that routes and flow specifications have.
func (s *shapes) common(f form) *Attributes {
	a := &Attributes{}
	if s.bgp.domain != (ExtendedCommunity{}) {
		a.SiteOfOrigin = s.bgp.origins[:]
	}
	set := s.network.exportPolicy.set(int(f.set))
	for _, c := range set.Communities {
		a.Communities = append(a.Communities, uint32(c))
	}
	for _, c := range set.LargeCommunities {
		a.Large = append(a.Large, c)
	}
	a.LocalPref, a.MED = set.LocalPref, set.MED
	return a
}

// sid makes the SRv6 service of a MetalBond next hop: its address is the whole
// segment, of which nothing is transposed into the label.
func (n *network) sid(p netip.Prefix, target netip.Addr) SRv6 {
	s := SRv6{
		SID:       target,
		Behavior:  EndDT46,
		Structure: SIDStructure{Block: n.srv6.Block, Node: n.srv6.Node, Function: 128 - n.srv6.Block - n.srv6.Node},
	}
	if n.srv6.Behavior == config.SIDBehaviorDX {
		s.Behavior = EndDX4
		if p.Addr().Is6() {
			s.Behavior = EndDX6
		}
	}
	return s
}

// nextHop is the BGP next hop of a prefix of a network by a MetalBond next hop.
func (g *BGP) nextHop(n *network, p netip.Prefix, hop rib.NextHop) netip.Addr {
	switch {
	case n.family == config.VNIFamilyUnicast:
		return g.nextHops.unicast(p)
	case n.encapsulation == config.EncapVXLAN:
		return g.local
	case n.self, n.encapsulation == config.EncapSRv6 && n.srv6.NextHop == config.SIDNextHopSelf:
		return g.nextHops.vpn(p, g.local)
	}
	return hop.Target
}

// nextHops are what VPN and unicast routes through this gateway name as their
// next hop, by family: IPv4, IPv6. Invalid ones are not configured.
type nextHops [2]netip.Addr

func newNextHops(list []netip.Addr) (n nextHops) {
	for _, a := range list {
		if a.Is4() {
			n[0] = a
		} else {
			n[1] = a
		}
	}
	return n
}

// vpn returns the next hop of VPN routes: of the prefix's family if there is
// one, otherwise of the other (RFC 8950, RFC 4659), or else local.
func (n nextHops) vpn(p netip.Prefix, local netip.Addr) netip.Addr {
	own, other := n[0], n[1]
	if p.Addr().Is6() {
		own, other = other, own
	}
	switch {
	case own.IsValid():
		return own
	case other.IsValid():
		return other
	}
	return local
}

// unicast returns the next hop of unicast routes. An unspecified one stands for
// our address of each session.
func (n nextHops) unicast(p netip.Prefix) netip.Addr {
	if p.Addr().Is6() {
		if n[1].IsValid() {
			return n[1]
		}
		return netip.IPv6Unspecified()
	}
	if n[0].IsValid() {
		return n[0]
	}
	return netip.IPv4Unspecified()
}

// kind is the kind of the NLRIs of a network's routes.
func (n *network) kind() NLRIKind {
	switch n.family {
	case config.VNIFamilyVPN:
		return VPN
	case config.VNIFamilyUnicast:
		return Unicast
	}
	return IPPrefix
}

// exportLabel is the label of the network's routes, given those of VNIs that
// have one of MPLS.
func (n *network) exportLabel(mpls map[rib.VNI]uint32) uint32 {
	switch {
	case n.family == config.VNIFamilyUnicast:
		return 0
	case n.encapsulation == config.EncapMPLS:
		return mpls[n.vni]
	case n.encapsulation != config.EncapSRv6:
		return uint32(n.vni)
	case n.family == config.VNIFamilyEVPN:
		return ImplicitNullEVPN
	}
	return ImplicitNull
}
