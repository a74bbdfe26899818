package gobgp

import (
	"errors"
	"fmt"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// Most of the cost and memory of a path in GoBGP are the objects that describe
// it. Paths of one VNI and next hop differ in their NLRI only, so attributes
// are made once per bridge.Attributes and route distinguishers once per value,
// and shared; GoBGP never changes either, it clones.

// maxShared bounds both caches. When one is full it starts afresh, which costs
// sharing between what was made before and after, nothing else.
const maxShared = 1 << 14

var origin = bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP)

// encoder makes GoBGP paths of updates. It is not safe for concurrent use.
type encoder struct {
	asn        uint32 // ours: the origin AS of route target membership
	attributes map[*bridge.Attributes][]bgp.PathAttributeInterface
	rds        map[bridge.RD]bgp.RouteDistinguisherInterface
}

func newEncoder(asn uint32) *encoder {
	return &encoder{
		asn:        asn,
		attributes: make(map[*bridge.Attributes][]bgp.PathAttributeInterface),
		rds:        make(map[bridge.RD]bgp.RouteDistinguisherInterface),
	}
}

// path returns the path of u, originated at now, Unix seconds, or an error
// that says why there can be none.
func (e *encoder) path(u *bridge.Update, now int64) (*apiutil.Path, error) {
	nlri, err := e.nlri(u)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", u.NLRI, err)
	}
	p := &apiutil.Path{
		Family:     families[familyOfNLRI(u.NLRI)],
		Nlri:       nlri,
		RemoteID:   u.NLRI.Path,
		Withdrawal: u.Withdraw,
		Age:        now,
	}
	if !u.Withdraw {
		if p.Attrs, err = e.attrs(u); err != nil {
			return nil, fmt.Errorf("%v: %w", u.NLRI, err)
		}
	}
	return p, nil
}

// attrs returns the path attributes of an announcement, in the order of their
// types, which GoBGP takes for granted. The next hop is a NEXT_HOP, whatever
// its family and the route's: GoBGP makes an MP_REACH_NLRI of it where one is
// needed.
func (e *encoder) attrs(u *bridge.Update) ([]bgp.PathAttributeInterface, error) {
	a := u.Attributes
	if a == nil {
		return nil, errors.New("no attributes")
	}
	if err := checkAttributes(u.NLRI.Kind, a); err != nil {
		return nil, err
	}
	if attrs, ok := e.attributes[a]; ok {
		return attrs, nil
	}
	attrs, err := newAttrs(a)
	if err != nil {
		return nil, err
	}
	if len(e.attributes) == maxShared {
		clear(e.attributes)
	}
	e.attributes[a] = attrs
	return attrs, nil
}

// checkAttributes returns what is wrong with attributes for routes of a kind.
func checkAttributes(kind bridge.NLRIKind, a *bridge.Attributes) error {
	vpn := kind == bridge.IPPrefix || kind == bridge.VPN
	switch {
	case !a.NextHop.IsValid() && kind != bridge.FlowSpec, vpn && a.NextHop.IsUnspecified():
		return fmt.Errorf("next hop %v: want an address", a.NextHop)
	case !vpn && len(a.DPath) > 0:
		return errors.New("a D-PATH is for VPN and EVPN routes only")
	case !vpn && a.SRv6.SID.IsValid():
		return errors.New("an SRv6 service is for VPN and EVPN routes only")
	}
	return nil
}

func newAttrs(a *bridge.Attributes) ([]bgp.PathAttributeInterface, error) {
	nextHop := a.NextHop
	if !nextHop.IsValid() {
		nextHop = zero4 // GoBGP wants one, also where none goes out
	}
	hop, err := bgp.NewPathAttributeNextHop(nextHop.WithZone(""))
	if err != nil {
		return nil, fmt.Errorf("next hop: %w", err)
	}
	attrs := []bgp.PathAttributeInterface{origin, hop}
	if a.MED != nil {
		attrs = append(attrs, bgp.NewPathAttributeMultiExitDisc(*a.MED))
	}
	if a.LocalPref != nil {
		attrs = append(attrs, bgp.NewPathAttributeLocalPref(*a.LocalPref))
	}
	if len(a.Communities) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeCommunities(a.Communities))
	}
	extended, err := extendedCommunities(a)
	if err != nil {
		return nil, err
	}
	short, long, err := redirect(a)
	if err != nil {
		return nil, err
	}
	if extended = append(extended, short...); len(extended) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeExtendedCommunities(extended))
	}
	if len(long) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeIP6ExtendedCommunities(long))
	}
	if len(a.Large) > 0 {
		large := make([]*bgp.LargeCommunity, len(a.Large))
		for i, l := range a.Large {
			large[i] = &bgp.LargeCommunity{ASN: l[0], LocalData1: l[1], LocalData2: l[2]}
		}
		attrs = append(attrs, bgp.NewPathAttributeLargeCommunities(large))
	}
	if len(a.DPath) > 0 {
		attrs = append(attrs, dPath(a.DPath))
	}
	if a.SRv6.SID.IsValid() {
		sid, err := prefixSID(a.SRv6)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, sid)
	}
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

// familyOfNLRI returns the family that an NLRI is of.
func familyOfNLRI(n bridge.NLRI) config.Family {
	is4 := n.Prefix.Addr().Is4()
	switch n.Kind {
	case bridge.Unicast:
		if is4 {
			return config.FamilyIPv4
		}
		return config.FamilyIPv6
	case bridge.VPN:
		if is4 {
			return config.FamilyVPNv4
		}
		return config.FamilyVPNv6
	case bridge.Membership:
		return config.FamilyRTC
	case bridge.FlowSpec:
		if is4 {
			return config.FamilyFlowSpec4
		}
		return config.FamilyFlowSpec6
	}
	return config.FamilyEVPN
}
