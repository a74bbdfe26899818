package bridge

// A NAT address is shared by several hypervisors, each of which has a range of
// its ports. A router that knows only the address sends a packet to any of
// them, and the hypervisor relays it. Flow specifications (RFC 8955) spare
// that: for TCP and for UDP, packets to the address with a port of the range go
// straight to the owner of the range.

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// protocols are those that have ports which NAT translates.
var protocols = [...]uint8{6, 17} // TCP, UDP

// redirectToIP is the redirect to the IP address that is the next hop of the
// route: an extended community of type 0x08, sub-type 0x00.
var redirectToIP = ExtendedCommunity{0x08, 0x00}

// flow is a port range of a prefix and who owns it.
type flow struct {
	first, last uint16 // both included
	form
}

// steers reports whether flow specifications are made of a next hop. A NAT next
// hop without ports says that its range was not told.
func (n *network) steers(hop *rib.NextHop) bool {
	return n.exports.FlowSpec != config.FlowSpecOff && hop.Type == rib.NAT && hop.NATFrom < hop.NATTo
}

// newFlow returns the flow of a next hop. MetalBond's ranges end before NATTo.
func newFlow(hop *rib.NextHop, set int) flow {
	return flow{hop.NATFrom, hop.NATTo - 1, newForm(&rib.NextHop{Target: hop.Target}, set)}
}

func (f flow) compare(g flow) int {
	return cmp.Or(cmp.Compare(f.first, g.first), cmp.Compare(f.last, g.last), bytes.Compare(f.target[:], g.target[:]))
}

// normalFlows sorts flows. Of several owners of one range it leaves the lowest
// address: BGP can be told of one.
func normalFlows(list []flow) []flow {
	if len(list) < 2 {
		return list
	}
	slices.SortFunc(list, flow.compare)
	return slices.CompactFunc(list, func(a, b flow) bool { return a.first == b.first && a.last == b.last })
}

// steer turns the flows of a prefix from old into now, both normal.
func (f *feed) steer(p netip.Prefix, old, now []flow, batch []Update) []Update {
	for len(old)+len(now) > 0 {
		order := -1 // of the first range of old to that of now
		switch {
		case len(old) == 0:
			order = 1
		case len(now) > 0:
			order = cmp.Or(cmp.Compare(old[0].first, now[0].first), cmp.Compare(old[0].last, now[0].last))
		}
		for _, protocol := range protocols {
			switch {
			case order < 0:
				batch = f.withdraw(batch, old[0].nlri(p, protocol))
			case order > 0 || old[0] != now[0]:
				batch = f.announce(batch, now[0].nlri(p, protocol), now[0].form)
			}
		}
		if order <= 0 {
			old = old[1:]
		}
		if order >= 0 {
			now = now[1:]
		}
	}
	return batch
}

func (f flow) nlri(p netip.Prefix, protocol uint8) NLRI {
	return NLRI{Kind: FlowSpec, Prefix: p, Flow: Flow{Protocol: protocol, First: f.first, Last: f.last}}
}

// flow makes the attributes of a flow specification.
func (s *shapes) flow(p netip.Prefix, f form) *Attributes {
	a := s.common(f)
	if s.network.exports.FlowSpec == config.FlowSpecRedirectIP {
		a.Redirect, a.NextHop = redirectToIP, f.hop().Target
		return a
	}
	a.RedirectIPv6, a.RedirectTo, a.RedirectLocal = true, f.hop().Target, uint16(s.network.vni)
	a.NextHop = netip.IPv4Unspecified()
	if p.Addr().Is6() {
		a.NextHop = netip.IPv6Unspecified()
	}
	return a
}
