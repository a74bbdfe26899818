package gobgp

import (
	"bytes"
	"encoding/binary"
	"math"
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
	last  run
	attrs *bridge.Attributes
	key   []byte
}

// run is what the paths of a run share: GoBGP's objects, which are the same
// ones, of all attributes that the bridge looks at.
type run struct {
	nextHop     netip.Addr
	asPath      *bgp.PathAttributeAsPath
	med         *bgp.PathAttributeMultiExitDisc
	localPref   *bgp.PathAttributeLocalPref
	standard    *bgp.PathAttributeCommunities
	communities *bgp.PathAttributeExtendedCommunities
	large       *bgp.PathAttributeLargeCommunities
	dPath       *bgp.PathAttributeUnknown
	prefixSID   *bgp.PathAttributePrefixSID
}

func newDecoder() *decoder { return &decoder{shared: make(map[string]*bridge.Attributes)} }

// update returns p as the bridge takes it. ok is false if the bridge has no
// use for p, announced or withdrawn; why says the reason. An announcement that
// cannot be read but has a key becomes a withdrawal (RFC 7606 section 2), and
// why is skipMalformed.
func (d *decoder) update(p *apiutil.Path) (u bridge.Update, why skip, ok bool) {
	if u.NLRI, u.Label, why, ok = key(p.Nlri); !ok {
		return bridge.Update{}, why, false
	}
	u.Neighbor = p.PeerAddress
	if u.Withdraw = p.Withdrawal; u.Withdraw {
		return u, skipNothing, true
	}
	u.Attributes = d.attributes(p.Attrs)
	if a := u.Attributes; a == nil || !a.NextHop.IsValid() || a.DPath != nil && u.NLRI.Kind == bridge.Unicast {
		u.Withdraw, u.Attributes = true, nil
		return u, skipMalformed, true
	}
	if evpn, isEVPN := p.Nlri.(*bgp.EVPNNLRI); isEVPN {
		if gateway, esi := overlayIndex(evpn); gateway.IsValid() || esi {
			a := *u.Attributes
			a.GatewayIP, a.ESI = gateway, esi
			u.Attributes = &a
		}
	}
	return u, skipNothing, true
}

// overlayIndex returns what an EVPN route names beside the next hop: the
// gateway of a type 5 (RFC 9136 section 3.1), and whether there is an Ethernet
// segment.
func overlayIndex(n *bgp.EVPNNLRI) (gateway netip.Addr, esi bool) {
	switch r := n.RouteTypeData.(type) {
	case *bgp.EVPNIPPrefixRoute:
		if r.GWIPAddress.IsValid() && !r.GWIPAddress.IsUnspecified() {
			gateway = r.GWIPAddress
		}
		return gateway, isSet(r.ESI)
	case *bgp.EVPNMacIPAdvertisementRoute:
		return gateway, isSet(r.ESI)
	}
	return gateway, false
}

// attributes returns what the bridge wants to know of the path attributes, nil
// if they cannot be read. It is nobody's to change.
func (d *decoder) attributes(attrs []bgp.PathAttributeInterface) *bridge.Attributes {
	var now run
	var legacy netip.Addr // in a NEXT_HOP: IPv4 unicast has no other
	for _, attr := range attrs {
		switch t := attr.(type) {
		case *bgp.PathAttributeNextHop:
			legacy = t.Value
		case *bgp.PathAttributeMpReachNLRI:
			now.nextHop = t.Nexthop
			if t.Nexthop.IsUnspecified() && t.LinkLocalNexthop.IsValid() { // of a link without global addresses
				now.nextHop = t.LinkLocalNexthop
			}
		case *bgp.PathAttributeAsPath:
			now.asPath = t
		case *bgp.PathAttributeMultiExitDisc:
			now.med = t
		case *bgp.PathAttributeLocalPref:
			now.localPref = t
		case *bgp.PathAttributeCommunities:
			now.standard = t
		case *bgp.PathAttributeExtendedCommunities:
			now.communities = t
		case *bgp.PathAttributeLargeCommunities:
			now.large = t
		case *bgp.PathAttributePrefixSID:
			now.prefixSID = t
		case *bgp.PathAttributeUnknown:
			if t.Type == attrDPath {
				now.dPath = t
			}
		}
	}
	if !now.nextHop.IsValid() {
		now.nextHop = legacy
	}
	if now != d.last {
		d.last, d.attrs = now, nil
		if a, ok := now.attributes(); ok {
			d.attrs = d.share(a)
		}
	}
	return d.attrs
}

// attributes makes the bridge's attributes of GoBGP's. ok is false if a D-PATH
// or Prefix-SID is malformed.
func (r *run) attributes() (a *bridge.Attributes, ok bool) {
	a = &bridge.Attributes{NextHop: r.nextHop.Unmap()}
	if r.asPath != nil {
		a.ASPathLength = asPathLength(r.asPath)
	}
	if r.localPref != nil {
		a.LocalPref = &r.localPref.Value
	}
	if r.med != nil {
		a.MED = &r.med.Value
	}
	if r.standard != nil {
		a.Communities = slices.Clone(r.standard.Value)
	}
	if r.large != nil {
		for _, l := range r.large.Values {
			a.Large = append(a.Large, [3]uint32{l.ASN, l.LocalData1, l.LocalData2})
		}
	}
	if r.communities != nil {
		for _, c := range r.communities.Value {
			if raw, err := c.Serialize(); err == nil && len(raw) == 8 {
				addCommunity(a, [8]byte(raw))
			}
		}
	}
	if r.dPath != nil {
		var err error
		if a.DPath, err = parseDPath(r.dPath.Value); err != nil || r.dPath.Flags&flagsDPath != flagsDPath {
			return nil, false
		}
	}
	if r.prefixSID != nil {
		if a.SRv6, ok = parsePrefixSID(r.prefixSID); !ok {
			return nil, false
		}
	}
	return a, true
}

// asPathLength returns the number of ASes that count: of a set one, of
// confederation segments none (RFC 4271 section 9.1.2.2, RFC 5065 section 5.3).
func asPathLength(p *bgp.PathAttributeAsPath) uint16 {
	n := 0
	for _, segment := range p.Value {
		n += segment.ASLen()
	}
	return uint16(min(n, math.MaxUint16))
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
	k = append(k, byte(a.NextHop.BitLen()))
	k = append(k, a.NextHop.AsSlice()...)
	k = append(k, a.RouterMAC[:]...)
	k = binary.BigEndian.AppendUint16(k, a.Encapsulation)
	k = binary.BigEndian.AppendUint16(k, a.ASPathLength)
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.RouteTargets)))
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.SiteOfOrigin)))
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.Communities)))
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
	k = binary.BigEndian.AppendUint16(k, uint16(len(a.DPath)))
	k = appendDPath(k, a.DPath)
	k = appendSRv6(k, &a.SRv6)
	for _, c := range a.Communities {
		k = binary.BigEndian.AppendUint32(k, c)
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

func appendSRv6(k []byte, s *bridge.SRv6) []byte {
	if !s.SID.IsValid() {
		return append(k, 0)
	}
	sid, t := s.SID.As16(), s.Structure
	k = append(append(k, 1), sid[:]...)
	k = append(binary.BigEndian.AppendUint16(k, s.Behavior), s.Flags)
	return append(k, t.Block, t.Node, t.Function, t.Argument, t.TranspositionLength, t.TranspositionOffset)
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
