package bridge

import (
	"net/netip"

	"mbbgp/config"
)

// nextHops are what VPN and unicast routes through this gateway name as their
// next hop, by the family of the prefix: IPv4, IPv6. Invalid ones are not
// configured.
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

// vpnNextHop returns the next hop of VPN routes: of the prefix's family if there
// is one, otherwise of the other (RFC 8950, RFC 4659).
func (g *BGP) vpnNextHop(p netip.Prefix) netip.Addr {
	own, other := g.nextHops[0], g.nextHops[1]
	if p.Addr().Is6() {
		own, other = other, own
	}
	switch {
	case own.IsValid():
		return own
	case other.IsValid():
		return other
	}
	return g.local
}

// unicastNextHop returns the next hop of unicast routes. An unspecified one
// stands for our address of each session.
func (g *BGP) unicastNextHop(p netip.Prefix) netip.Addr {
	if p.Addr().Is6() {
		if g.nextHops[1].IsValid() {
			return g.nextHops[1]
		}
		return netip.IPv6Unspecified()
	}
	if g.nextHops[0].IsValid() {
		return g.nextHops[0]
	}
	return netip.IPv4Unspecified()
}

// kind is the kind of the NLRIs of a network.
func (n *network) kind() NLRIKind {
	switch n.family {
	case config.VNIFamilyVPN:
		return VPN
	case config.VNIFamilyUnicast:
		return Unicast
	}
	return IPPrefix
}
