package gobgp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

// maxLabel is the largest MPLS label (RFC 3032 section 2.1). GoBGP cuts off
// what is above.
const maxLabel = 1<<20 - 1

// maxLabelEVPN is the largest value of an EVPN label field (RFC 7432
// section 7.1).
const maxLabelEVPN = 1<<24 - 1

var noESI = bgp.EthernetSegmentIdentifier{Type: bgp.ESI_ARBITRARY, Value: make([]byte, 9)}

// nlri returns the NLRI of u, or why there can be none.
func (e *encoder) nlri(u *bridge.Update) (bgp.NLRI, error) {
	if u.NLRI.Kind == bridge.Membership {
		return e.membership(u.NLRI.Target)
	}
	if p := u.NLRI.Prefix; !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return nil, errors.New("the prefix is not a masked IPv4 or IPv6 prefix")
	}
	switch u.NLRI.Kind {
	case bridge.IPPrefix:
		return e.ipPrefix(u)
	case bridge.VPN:
		return e.vpn(u)
	case bridge.Unicast:
		return &bgp.IPAddrPrefix{IPAddrPrefixDefault: bgp.IPAddrPrefixDefault{Prefix: u.NLRI.Prefix}}, nil
	case bridge.FlowSpec:
		return flowSpec(u.NLRI)
	}
	return nil, fmt.Errorf("routes of kind %v are not announced", u.NLRI.Kind)
}

// ipPrefix returns the interface-less type 5 NLRI of RFC 9136 section 4.4.1:
// no Ethernet segment, no gateway, and the label as it is.
func (e *encoder) ipPrefix(u *bridge.Update) (bgp.NLRI, error) {
	if u.Label > maxLabelEVPN {
		return nil, fmt.Errorf("label %d is out of range (0 to %d)", u.Label, maxLabelEVPN)
	}
	n := u.NLRI
	route := &bgp.EVPNIPPrefixRoute{
		RD:             e.rd(n.RD),
		ESI:            noESI,
		ETag:           n.EthernetTag,
		IPPrefixLength: uint8(n.Prefix.Bits()),
		IPPrefix:       n.Prefix.Addr(),
		GWIPAddress:    zero4,
		Label:          u.Label,
	}
	if n.Prefix.Addr().Is6() {
		route.GWIPAddress = zero6
	}
	return bgp.NewEVPNNLRI(bgp.EVPN_IP_PREFIX, route), nil
}

// vpn returns the labelled VPN NLRI of RFC 4364 section 4.3.4 and RFC 4659
// section 3.1, with one label.
func (e *encoder) vpn(u *bridge.Update) (bgp.NLRI, error) {
	if u.Label > maxLabel {
		return nil, fmt.Errorf("label %d is out of range (0 to %d)", u.Label, maxLabel)
	}
	return &bgp.LabeledVPNIPAddrPrefix{
		IPAddrPrefixDefault: bgp.IPAddrPrefixDefault{Prefix: u.NLRI.Prefix},
		Labels:              bgp.MPLSLabelStack{Labels: []uint32{u.Label}},
		RD:                  e.rd(u.NLRI.RD),
	}, nil
}

// membership returns the NLRI of RFC 4684 section 4 by which we ask for the
// routes of a target. The zero target asks for all: the default NLRI, which is
// empty.
func (e *encoder) membership(target bridge.RouteTarget) (bgp.NLRI, error) {
	if target == (bridge.RouteTarget{}) {
		return bgp.NewRouteTargetMembershipNLRI(0, nil), nil
	}
	rt, err := bgp.ParseExtended(target[:])
	if err != nil {
		return nil, fmt.Errorf("route target %x: %w", target, err)
	}
	return bgp.NewRouteTargetMembershipNLRI(e.asn, rt), nil
}

// rd returns the object of a route distinguisher.
func (e *encoder) rd(raw bridge.RD) bgp.RouteDistinguisherInterface {
	rd, ok := e.rds[raw]
	if !ok {
		rd = bgp.GetRouteDistinguisher(raw[:])
		if len(e.rds) == maxShared {
			clear(e.rds)
		}
		e.rds[raw] = rd
	}
	return rd
}

// key returns what of an NLRI that GoBGP heard tells its route apart, and its
// label as bridge.Update has it. ok is false if the bridge has no use for it;
// why is the reason.
func key(n bgp.NLRI) (k bridge.NLRI, label uint32, why skip, ok bool) {
	switch n := n.(type) {
	case *bgp.EVPNNLRI:
		return keyEVPN(n)
	case *bgp.LabeledVPNIPAddrPrefix:
		rd, valid := routeDistinguisher(n.RD)
		if !valid || !usable(n.Prefix) {
			return k, 0, skipMalformed, false
		}
		if len(n.Labels.Labels) > 0 {
			label = n.Labels.Labels[0]
		}
		// GoBGP leaves 0x800000, the label of a withdrawal, as it is. With a
		// Prefix-SID these may be 20 bits that came out of a SID.
		if label > maxLabel {
			label >>= 4
		}
		return bridge.NLRI{Kind: bridge.VPN, RD: rd, Prefix: n.Prefix.Masked()}, label, skipNothing, true
	case *bgp.IPAddrPrefix:
		if !usable(n.Prefix) {
			return k, 0, skipMalformed, false
		}
		return bridge.NLRI{Kind: bridge.Unicast, Prefix: n.Prefix.Masked()}, 0, skipNothing, true
	}
	return k, 0, skipUnsupported, false
}

func keyEVPN(n *bgp.EVPNNLRI) (k bridge.NLRI, label uint32, why skip, ok bool) {
	switch r := n.RouteTypeData.(type) {
	case *bgp.EVPNIPPrefixRoute:
		prefix := netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength))
		rd, valid := routeDistinguisher(r.RD)
		if !valid || !usable(prefix) {
			return k, 0, skipMalformed, false
		}
		return bridge.NLRI{Kind: bridge.IPPrefix, RD: rd, EthernetTag: r.ETag, Prefix: prefix.Masked()}, r.Label, skipNothing, true
	case *bgp.EVPNMacIPAdvertisementRoute:
		rd, valid := routeDistinguisher(r.RD)
		if !valid || len(r.MacAddress) != 6 {
			return k, 0, skipMalformed, false
		}
		k = bridge.NLRI{Kind: bridge.MACIP, RD: rd, EthernetTag: r.ETag, MAC: bridge.MAC(r.MacAddress)}
		if r.IPAddressLength != 0 {
			k.Prefix = netip.PrefixFrom(r.IPAddress, r.IPAddress.BitLen())
		}
		if len(r.Labels) > 1 {
			label = r.Labels[1]
		}
		return k, label, skipNothing, true
	}
	return k, 0, skipUnsupported, false
}

func usable(p netip.Prefix) bool { return p.IsValid() && !p.Addr().Is4In6() }

// routeDistinguisher returns the octets of a route distinguisher. Of a type
// that it does not know, GoBGP keeps no more than the number.
func routeDistinguisher(rd bgp.RouteDistinguisherInterface) (bridge.RD, bool) {
	if _, unknown := rd.(*bgp.RouteDistinguisherUnknown); unknown || rd == nil {
		return bridge.RD{}, false
	}
	raw, err := rd.Serialize()
	if err != nil || len(raw) != 8 {
		return bridge.RD{}, false
	}
	return bridge.RD(raw), true
}
