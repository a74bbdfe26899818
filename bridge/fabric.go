package bridge

// Routes whose packets go through this gateway have the gateway as next hop in
// MetalBond, whatever BGP says. Where they go on from here is what a second
// table keeps, the fabric table: the same prefixes in the same VNIs, said by
// the same senders at the same preference, by what BGP offers.

import (
	"net/netip"

	"mbbgp/config"
	"mbbgp/rib"
)

// forwarding returns which VNIs are in the fabric table: those that have a
// kernel table, and those whose routes are leaked into such a one.
func forwarding(cfg *config.Config) map[rib.VNI]bool {
	list := map[rib.VNI]bool{}
	if cfg.Kernel == nil {
		return list
	}
	for i := range cfg.VNIs {
		c := &cfg.VNIs[i]
		if c.Table == 0 {
			continue
		}
		list[rib.VNI(c.VNI)] = true
		for _, from := range c.ImportFrom {
			list[rib.VNI(from)] = true
		}
	}
	return list
}

// Fabric is the table of where packets go that come to this gateway. It is nil
// if nothing goes to the kernel. Of a prefix it has what BGP offers:
//
//	VXLAN      Target is the VTEP, MAC its Router's MAC, Label the VNI on the wire
//	MPLS       Target is the BGP next hop, Label the label
//	unicast    Target is the BGP next hop, link-local ones with their zone
//	SID, IPIP  Target is where packets can be sent straight; of originate alone
//
// and without a target, preference rib.Relayed, for aggregates that BGP is told
// of: packets that nothing more specific takes are discarded. IPv4 addresses are
// not IPv4-mapped.
func (b *Bridge) Fabric() *rib.Table { return b.fabric }

// Label returns the MPLS label with which packets of a VNI come to this
// gateway, 0 if it has none.
func (b *Bridge) Label(vni rib.VNI) uint32 {
	if n := b.current().networks[vni]; n != nil && n.encapsulation == config.EncapMPLS {
		return n.label
	}
	return 0
}

// via returns where packets of a route go on from this gateway, given where
// they could be sent straight, which is invalid if they have to go through a
// gateway. It has no target if that cannot be told: if the BGP next hop is ours,
// or a link-local address of no known link, or a VPN label is Explicit NULL, which
// names no VPN (RFC 3032 section 2.1).
func (g *BGP) via(u *Update, straight netip.Addr) rib.NextHop {
	if straight.IsValid() {
		return rib.NextHop{Target: straight}
	}
	a := u.Attributes
	v := rib.NextHop{Target: a.NextHop.Unmap()}
	if v.Target.IsLinkLocalUnicast() && v.Target.Is6() {
		v.Target = v.Target.WithZone(u.Neighbor.Zone()) // the neighbour is on that link (RFC 2545 section 2)
	}
	switch t := v.Target; {
	case !t.IsValid(), t.IsUnspecified(), t.IsMulticast(), g.ours(t):
		return rib.NextHop{}
	case t.Is6() && t.IsLinkLocalUnicast() && t.Zone() == "", u.NLRI.Kind == VPN && u.Label == 0:
		return rib.NextHop{}
	}
	switch u.NLRI.Kind {
	case IPPrefix, MACIP:
		v.MAC, v.Label = a.RouterMAC, u.Label
	case VPN:
		v.Label = u.Label
	}
	return v
}
