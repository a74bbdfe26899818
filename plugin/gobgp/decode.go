package gobgp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

var (
	zero4 = netip.IPv4Unspecified()
	zero6 = netip.IPv6Unspecified()
)

// decoder makes updates of GoBGP paths. The paths of one UPDATE share their
// attribute objects, and UPDATEs of one VNI and next hop are equal in all that
// matters here, so equal attributes become the same bridge.Attributes as long
// as the cache lasts. It is not safe for concurrent use.
type decoder struct {
	shared map[string]*bridge.Attributes
	// The last path's objects and what they became: most paths come in runs
	// that share them.
	last struct {
		communities *bgp.PathAttributeExtendedCommunities
		large       *bgp.PathAttributeLargeCommunities
		nextHop     netip.Addr
		localPref   *bgp.PathAttributeLocalPref
		med         *bgp.PathAttributeMultiExitDisc
		attributes  *bridge.Attributes
	}
	key []byte
}

func newDecoder() *decoder { return &decoder{shared: make(map[string]*bridge.Attributes)} }

// update returns p as the bridge takes it. ok is false if the bridge has no
// use for p, announced or withdrawn; why says the reason. An announcement that
// cannot be read but has a key becomes a withdrawal (RFC 7606 section 2), and
// why is skipMalformed.
func (d *decoder) update(p *apiutil.Path) (u bridge.Update, why skip, ok bool) {
	evpn, isEVPN := p.Nlri.(*bgp.EVPNNLRI)
	if !isEVPN {
		return u, skipUnsupported, false
	}
	u.Neighbor = p.PeerAddress
	u.Withdraw = p.Withdrawal
	var gateway netip.Addr
	var esi bool
	switch r := evpn.RouteTypeData.(type) {
	case *bgp.EVPNIPPrefixRoute:
		prefix := netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength)).Masked()
		rd, valid := routeDistinguisher(r.RD)
		if !valid || !prefix.IsValid() || prefix.Addr().Is4In6() {
			return u, skipMalformed, false
		}
		u.NLRI = bridge.NLRI{Kind: bridge.IPPrefix, RD: rd, EthernetTag: r.ETag, Prefix: prefix}
		u.Label = r.Label
		esi = isSet(r.ESI)
		if r.GWIPAddress.IsValid() && !r.GWIPAddress.IsUnspecified() {
			gateway = r.GWIPAddress
		}
	case *bgp.EVPNMacIPAdvertisementRoute:
		rd, valid := routeDistinguisher(r.RD)
		if !valid || len(r.MacAddress) != 6 {
			return u, skipMalformed, false
		}
		u.NLRI = bridge.NLRI{Kind: bridge.MACIP, RD: rd, EthernetTag: r.ETag, MAC: bridge.MAC(r.MacAddress)}
		if r.IPAddressLength != 0 {
			u.NLRI.Prefix = netip.PrefixFrom(r.IPAddress, r.IPAddress.BitLen())
		}
		if len(r.Labels) > 1 {
			u.Label = r.Labels[1]
		}
		esi = isSet(r.ESI)
	default:
		return u, skipUnsupported, false
	}
	if u.Withdraw {
		return u, skipNothing, true
	}
	if u.Attributes = d.attributes(p.Attrs); !u.Attributes.NextHop.IsValid() {
		u.Withdraw, u.Attributes = true, nil
		return u, skipMalformed, true
	}
	if gateway.IsValid() || esi {
		a := *u.Attributes
		a.GatewayIP, a.ESI = gateway, esi
		u.Attributes = &a
	}
	return u, skipNothing, true
}

// attributes returns what the bridge wants to know of the path attributes. It
// is nobody's to change.
func (d *decoder) attributes(attrs []bgp.PathAttributeInterface) *bridge.Attributes {
	now := d.last
	now.communities, now.large, now.localPref, now.med, now.nextHop = nil, nil, nil, nil, netip.Addr{}
	for _, attr := range attrs {
		switch t := attr.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			now.nextHop = t.Nexthop
		case *bgp.PathAttributeExtendedCommunities:
			now.communities = t
		case *bgp.PathAttributeLargeCommunities:
			now.large = t
		case *bgp.PathAttributeLocalPref:
			now.localPref = t
		case *bgp.PathAttributeMultiExitDisc:
			now.med = t
		}
	}
	if now == d.last && now.attributes != nil {
		return now.attributes
	}
	a := &bridge.Attributes{NextHop: now.nextHop.Unmap()}
	if now.localPref != nil {
		a.LocalPref = &now.localPref.Value
	}
	if now.med != nil {
		a.MED = &now.med.Value
	}
	if now.large != nil {
		for _, l := range now.large.Values {
			a.Large = append(a.Large, [3]uint32{l.ASN, l.LocalData1, l.LocalData2})
		}
	}
	if now.communities != nil {
		for _, c := range now.communities.Value {
			if raw, err := c.Serialize(); err == nil && len(raw) == 8 {
				addCommunity(a, [8]byte(raw))
			}
		}
	}
	now.attributes = d.share(a)
	d.last = now
	return now.attributes
}

// addCommunity sorts an extended community into a. Types and sub-types are
// those of the IANA registries.
func addCommunity(a *bridge.Attributes, c [8]byte) {
	switch {
	case c[0] <= 2 && c[1] == 0x02:
		a.RouteTargets = append(a.RouteTargets, c)
	case c[0] <= 2 && c[1] == 0x03:
		a.SiteOfOrigin = append(a.SiteOfOrigin, c)
	case c[0] == 0x03 && c[1] == 0x0c:
		// Who can do several names them all (RFC 8365 section 5.1.3). The first
		// that the bridge maps counts.
		if a.Encapsulation != bridge.TunnelVXLAN && a.Encapsulation != bridge.TunnelIPinIP {
			a.Encapsulation = uint16(c[6])<<8 | uint16(c[7])
		}
	case c[0] == 0x06 && c[1] == 0x03:
		a.RouterMAC = bridge.MAC(c[2:8])
	}
}

// share returns an equal value that was seen before, or else a.
func (d *decoder) share(a *bridge.Attributes) *bridge.Attributes {
	k := d.key[:0]
	k = append(k, byte(a.NextHop.BitLen()), byte(a.Encapsulation>>8), byte(a.Encapsulation))
	k = append(k, a.NextHop.AsSlice()...)
	k = append(k, a.RouterMAC[:]...)
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.RouteTargets)))
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.SiteOfOrigin)))
	for _, rt := range a.RouteTargets {
		k = append(k, rt[:]...)
	}
	for _, soo := range a.SiteOfOrigin {
		k = append(k, soo[:]...)
	}
	for _, v := range []*uint32{a.LocalPref, a.MED} {
		if v == nil {
			k = append(k, 0)
		} else {
			k = binary.BigEndian.AppendUint32(append(k, 1), *v)
		}
	}
	for _, l := range a.Large {
		for _, v := range l {
			k = binary.BigEndian.AppendUint32(k, v)
		}
	}
	d.key = k
	if old, ok := d.shared[string(k)]; ok {
		return old
	}
	if len(d.shared) == maxShared {
		clear(d.shared)
	}
	// The numbers come from objects that GoBGP would not free for us.
	a.LocalPref, a.MED = copyOf(a.LocalPref), copyOf(a.MED)
	a.RouteTargets, a.SiteOfOrigin = slices.Clip(a.RouteTargets), slices.Clip(a.SiteOfOrigin)
	d.shared[string(k)] = a
	return a
}

func copyOf(v *uint32) *uint32 {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}

// isSet reports whether esi names an Ethernet segment (RFC 7432 section 5).
func isSet(esi bgp.EthernetSegmentIdentifier) bool {
	return esi.Type != 0 || len(bytes.TrimLeft(esi.Value, "\x00")) > 0
}

func routeDistinguisher(rd bgp.RouteDistinguisherInterface) (bridge.RD, bool) {
	if rd == nil {
		return bridge.RD{}, false
	}
	raw, err := rd.Serialize()
	if err != nil || len(raw) != 8 {
		return bridge.RD{}, false
	}
	return bridge.RD(raw), true
}
