package gobgp

import (
	"fmt"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

// Most of the cost and memory of a path in GoBGP are the objects that describe
// it. Paths of one VNI and next hop differ in their NLRI only, so attributes
// are made once per bridge.Attributes and route distinguishers once per value,
// and shared; GoBGP never changes either, it clones.

// maxShared bounds both caches. When one is full it starts afresh, which costs
// sharing between what was made before and after, nothing else.
const maxShared = 1 << 14

var (
	origin = bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP)
	noESI  = bgp.EthernetSegmentIdentifier{Type: bgp.ESI_ARBITRARY, Value: make([]byte, 9)}
)

// encoder makes GoBGP paths of updates. It is not safe for concurrent use.
type encoder struct {
	attributes map[*bridge.Attributes][]bgp.PathAttributeInterface
	rds        map[bridge.RD]bgp.RouteDistinguisherInterface
}

func newEncoder() *encoder {
	return &encoder{
		attributes: make(map[*bridge.Attributes][]bgp.PathAttributeInterface),
		rds:        make(map[bridge.RD]bgp.RouteDistinguisherInterface),
	}
}

// path returns the path of u, originated at now, Unix seconds, or an error
// that says why there can be none.
func (e *encoder) path(u *bridge.Update, now int64) (*apiutil.Path, error) {
	nlri, err := e.nlri(u)
	if err != nil {
		return nil, err
	}
	p := &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Withdrawal: u.Withdraw, Age: now}
	if !u.Withdraw {
		if u.Attributes == nil {
			return nil, fmt.Errorf("%v has no attributes", u.NLRI)
		}
		if p.Attrs, err = e.attrs(u.Attributes); err != nil {
			return nil, fmt.Errorf("%v: %w", u.NLRI, err)
		}
	}
	return p, nil
}

// nlri returns the interface-less type 5 NLRI of RFC 9136 section 4.4.1: no
// Ethernet segment, no gateway, and the label as it is.
func (e *encoder) nlri(u *bridge.Update) (bgp.NLRI, error) {
	n := u.NLRI
	switch {
	case n.Kind != bridge.IPPrefix:
		return nil, fmt.Errorf("%v: only IP prefix routes are announced", n)
	case !n.Prefix.IsValid() || n.Prefix != n.Prefix.Masked() || n.Prefix.Addr().Is4In6():
		return nil, fmt.Errorf("%v: the prefix is not a masked IPv4 or IPv6 prefix", n)
	case u.Label > 0xffffff:
		return nil, fmt.Errorf("%v: label %d is out of range (0 to 16777215)", n, u.Label)
	}
	rd, ok := e.rds[n.RD]
	if !ok {
		rd = bgp.GetRouteDistinguisher(n.RD[:])
		if len(e.rds) == maxShared {
			clear(e.rds)
		}
		e.rds[n.RD] = rd
	}
	route := &bgp.EVPNIPPrefixRoute{
		RD:             rd,
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

// attrs returns the path attributes in the order of their types, which GoBGP
// takes for granted.
func (e *encoder) attrs(a *bridge.Attributes) ([]bgp.PathAttributeInterface, error) {
	if attrs, ok := e.attributes[a]; ok {
		return attrs, nil
	}
	nextHop, err := bgp.NewPathAttributeNextHop(a.NextHop)
	if err != nil {
		return nil, fmt.Errorf("next hop: %w", err)
	}
	attrs := []bgp.PathAttributeInterface{origin, nextHop}
	if a.MED != nil {
		attrs = append(attrs, bgp.NewPathAttributeMultiExitDisc(*a.MED))
	}
	if a.LocalPref != nil {
		attrs = append(attrs, bgp.NewPathAttributeLocalPref(*a.LocalPref))
	}
	communities, err := extendedCommunities(a)
	if err != nil {
		return nil, err
	}
	if len(communities) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeExtendedCommunities(communities))
	}
	if len(a.Large) > 0 {
		large := make([]*bgp.LargeCommunity, len(a.Large))
		for i, l := range a.Large {
			large[i] = &bgp.LargeCommunity{ASN: l[0], LocalData1: l[1], LocalData2: l[2]}
		}
		attrs = append(attrs, bgp.NewPathAttributeLargeCommunities(large))
	}
	if len(e.attributes) == maxShared {
		clear(e.attributes)
	}
	e.attributes[a] = attrs
	return attrs, nil
}

func extendedCommunities(a *bridge.Attributes) ([]bgp.ExtendedCommunityInterface, error) {
	var list []bgp.ExtendedCommunityInterface
	add := func(raw [8]byte) error {
		c, err := bgp.ParseExtended(raw[:])
		if err != nil {
			return fmt.Errorf("extended community %x: %w", raw, err)
		}
		list = append(list, c)
		return nil
	}
	for _, rt := range a.RouteTargets {
		if err := add(rt); err != nil {
			return nil, err
		}
	}
	for _, soo := range a.SiteOfOrigin {
		if err := add(soo); err != nil {
			return nil, err
		}
	}
	if a.Encapsulation != bridge.TunnelNone {
		list = append(list, bgp.NewEncapExtended(bgp.TunnelType(a.Encapsulation)))
	}
	if a.RouterMAC != (bridge.MAC{}) {
		list = append(list, &bgp.RouterMacExtended{Mac: a.RouterMAC[:]})
	}
	return list, nil
}
