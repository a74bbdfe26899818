package gobgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	apipb "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/protobuf/types/known/anypb"

	"mbbgp/config"
)

// The API of gobgpd v3 has two forms of a path: as it is on the wire, and as
// messages in messages. The first one costs a third of the second, and loses
// nothing. We announce with it, and ListPath gives it; events have the second
// one only. Either becomes the objects of GoBGP v4, which the codec knows.

// outgoing makes paths for gobgpd of the encoder's. It is not safe for
// concurrent use.
type outgoing struct {
	asn    uint32 // with id, the source that tells our paths from all others
	id     string
	shared map[*bgp.PathAttributeInterface][][]byte // by the first one of attributes that paths share
}

func newOutgoing(asn uint32, id netip.Addr) *outgoing {
	return &outgoing{asn: asn, id: id.String(), shared: make(map[*bgp.PathAttributeInterface][][]byte)}
}

func (o *outgoing) path(p *apiutil.Path) (*apipb.Path, error) {
	nlri, err := p.Nlri.Serialize()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", p.Nlri, err)
	}
	out := &apipb.Path{
		Family:     familyAPI(p.Family),
		NlriBinary: nlri,
		IsWithdraw: p.Withdrawal,
		Identifier: p.RemoteID,
		SourceAsn:  o.asn,
		SourceId:   o.id,
	}
	if !p.Withdrawal {
		if out.PattrsBinary, err = o.attrs(p.Attrs); err != nil {
			return nil, fmt.Errorf("%v: %w", p.Nlri, err)
		}
	}
	return out, nil
}

func (o *outgoing) attrs(attrs []bgp.PathAttributeInterface) ([][]byte, error) {
	if len(attrs) == 0 {
		return nil, errors.New("no attributes")
	}
	if raw, ok := o.shared[&attrs[0]]; ok {
		return raw, nil
	}
	list := make([][]byte, len(attrs))
	for i, a := range attrs {
		var err error
		if list[i], err = a.Serialize(); err != nil {
			return nil, fmt.Errorf("attribute %v: %w", a.GetType(), err)
		}
	}
	if len(o.shared) == maxShared {
		clear(o.shared)
	}
	o.shared[&attrs[0]] = list
	return list, nil
}

// isOwn reports whether a path is one of those that path makes. What others
// gave gobgpd has no source, or that of a neighbour.
func (o *outgoing) isOwn(p *apipb.Path) bool {
	return p.SourceAsn == o.asn && p.SourceId == o.id && !isNeighbor(p)
}

// isNeighbor reports whether a neighbour sent the path; gobgpd writes "<nil>"
// where none did.
func isNeighbor(p *apipb.Path) bool {
	_, err := netip.ParseAddr(p.NeighborIp)
	return err == nil
}

func familyAPI(f bgp.Family) *apipb.Family {
	return &apipb.Family{Afi: apipb.Family_Afi(f.Afi()), Safi: apipb.Family_Safi(f.Safi())}
}

func familyV4(f *apipb.Family) bgp.Family {
	return bgp.NewFamily(uint16(f.GetAfi()), uint8(f.GetSafi()))
}

func familyFromAPI(f *apipb.Family) (config.Family, bool) { return familyOf(familyV4(f)) }

// incoming makes paths for the decoder of gobgpd's. Equal attributes become
// the same object as long as the cache lasts, as the decoder likes it. It is
// not safe for concurrent use.
type incoming struct {
	local  netip.Addr // gobgpd's router ID: the neighbour of paths that it has from nobody
	shared map[string]bgp.PathAttributeInterface
	key    []byte
}

func newIncoming(local netip.Addr) *incoming {
	return &incoming{local: local, shared: make(map[string]bgp.PathAttributeInterface)}
}

// path returns p for the decoder. An announcement whose attributes cannot be
// read has none; without an NLRI that can be read there is an error.
func (in *incoming) path(p *apipb.Path) (*apiutil.Path, error) {
	family := familyV4(p.Family)
	nlri, err := in.nlri(family, p)
	if err != nil {
		return nil, err
	}
	out := &apiutil.Path{
		Family:      family,
		Nlri:        nlri,
		Age:         p.GetAge().GetSeconds(),
		Best:        p.Best,
		Stale:       p.Stale,
		Withdrawal:  p.IsWithdraw,
		PeerASN:     p.SourceAsn,
		PeerAddress: in.local,
		RemoteID:    p.Identifier,
	}
	if a, err := netip.ParseAddr(p.NeighborIp); err == nil {
		out.PeerAddress = a
	}
	if !p.IsWithdraw {
		if out.Attrs, err = in.attrs(p); err != nil {
			out.Attrs = nil
		}
	}
	return out, nil
}

// whySkipped returns what to count for an error of path.
func whySkipped(err error) skip {
	if errors.Is(err, errors.ErrUnsupported) {
		return skipUnsupported
	}
	return skipMalformed
}

func (in *incoming) nlri(family bgp.Family, p *apipb.Path) (bgp.NLRI, error) {
	if len(p.NlriBinary) > 0 {
		return bgp.NLRIFromSlice(family, p.NlriBinary)
	}
	return nlriFromAPI(p.Nlri)
}

func (in *incoming) attrs(p *apipb.Path) ([]bgp.PathAttributeInterface, error) {
	list := make([]bgp.PathAttributeInterface, 0, len(p.PattrsBinary)+len(p.Pattrs))
	for _, raw := range p.PattrsBinary {
		in.key = append(in.key[:0], raw...)
		a, err := in.share(func() (bgp.PathAttributeInterface, error) { return attrFromBytes(raw) })
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	for _, message := range p.Pattrs {
		in.key = append(append(in.key[:0], message.GetTypeUrl()...), message.GetValue()...)
		a, err := in.share(func() (bgp.PathAttributeInterface, error) { return attrFromAPI(message) })
		if err != nil {
			return nil, err
		}
		if a != nil {
			list = append(list, a)
		}
	}
	return list, nil
}

// share returns the attribute of in.key, made anew unless it is known. An
// MP_REACH_NLRI is never shared: it holds the NLRI.
func (in *incoming) share(build func() (bgp.PathAttributeInterface, error)) (bgp.PathAttributeInterface, error) {
	if a, ok := in.shared[string(in.key)]; ok {
		return a, nil
	}
	a, err := build()
	if err != nil {
		return nil, err
	}
	if _, reach := a.(*bgp.PathAttributeMpReachNLRI); reach {
		return a, nil
	}
	if len(in.shared) == maxShared {
		clear(in.shared)
	}
	in.shared[string(in.key)] = a
	return a, nil
}

func attrFromBytes(raw []byte) (bgp.PathAttributeInterface, error) {
	a, err := bgp.GetPathAttribute(raw)
	if err != nil {
		return nil, err
	}
	if err := a.DecodeFromBytes(raw); err != nil {
		return nil, fmt.Errorf("attribute %d: %w", raw[1], err)
	}
	return a, nil
}

// nlriFromAPI makes an NLRI of a message. The route types that the bridge has
// no use for are an error.
func nlriFromAPI(message *anypb.Any) (bgp.NLRI, error) {
	m, err := message.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("NLRI: %w", err)
	}
	switch n := m.(type) {
	case *apipb.IPAddressPrefix:
		prefix, err := parsePrefix(n.Prefix, n.PrefixLen)
		if err != nil {
			return nil, err
		}
		return bgp.NewIPAddrPrefix(prefix)
	case *apipb.LabeledVPNIPAddressPrefix:
		rd, err := rdFromAPI(n.Rd)
		if err != nil {
			return nil, err
		}
		prefix, err := parsePrefix(n.Prefix, n.PrefixLen)
		if err != nil {
			return nil, err
		}
		return bgp.NewLabeledVPNIPAddrPrefix(prefix, *bgp.NewMPLSLabelStack(n.Labels...), rd)
	case *apipb.EVPNIPPrefixRoute:
		rd, err := rdFromAPI(n.Rd)
		if err != nil {
			return nil, err
		}
		prefix, err := parsePrefix(n.IpPrefix, n.IpPrefixLen)
		if err != nil {
			return nil, err
		}
		gateway, err := netip.ParseAddr(n.GwAddress)
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		return bgp.NewEVPNIPPrefixRoute(rd, esiFromAPI(n.Esi), n.EthernetTag, uint8(prefix.Bits()), prefix.Addr(), gateway, n.Label)
	case *apipb.EVPNMACIPAdvertisementRoute:
		rd, err := rdFromAPI(n.Rd)
		if err != nil {
			return nil, err
		}
		// A route without an address has "<nil>" there.
		address, _ := netip.ParseAddr(n.IpAddress)
		return bgp.NewEVPNMacIPAdvertisementRoute(rd, esiFromAPI(n.Esi), n.EthernetTag, n.MacAddress, address, n.Labels)
	}
	return nil, fmt.Errorf("NLRI of type %s: %w", message.GetTypeUrl(), errors.ErrUnsupported)
}

func parsePrefix(address string, bits uint32) (netip.Prefix, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("prefix: %w", err)
	}
	p := netip.PrefixFrom(a, int(bits))
	if !p.IsValid() {
		return p, fmt.Errorf("prefix %s/%d: want at most %d bits", address, bits, a.BitLen())
	}
	return p, nil
}

func rdFromAPI(message *anypb.Any) (bgp.RouteDistinguisherInterface, error) {
	m, err := message.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("route distinguisher: %w", err)
	}
	switch rd := m.(type) {
	case *apipb.RouteDistinguisherTwoOctetASN:
		return bgp.NewRouteDistinguisherTwoOctetAS(uint16(rd.Admin), rd.Assigned), nil
	case *apipb.RouteDistinguisherIPAddress:
		admin, err := netip.ParseAddr(rd.Admin)
		if err != nil {
			return nil, fmt.Errorf("route distinguisher: %w", err)
		}
		return bgp.NewRouteDistinguisherIPAddressAS(admin, uint16(rd.Assigned))
	case *apipb.RouteDistinguisherFourOctetASN:
		return bgp.NewRouteDistinguisherFourOctetAS(rd.Admin, uint16(rd.Assigned)), nil
	}
	return nil, fmt.Errorf("route distinguisher of type %s", message.GetTypeUrl())
}

func esiFromAPI(esi *apipb.EthernetSegmentIdentifier) bgp.EthernetSegmentIdentifier {
	return bgp.EthernetSegmentIdentifier{Type: bgp.ESIType(esi.GetType()), Value: esi.GetValue()}
}

// attrFromAPI makes a path attribute of a message; nil if it is one that the
// bridge does not look at.
func attrFromAPI(message *anypb.Any) (bgp.PathAttributeInterface, error) {
	m, err := message.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	switch a := m.(type) {
	case *apipb.AsPathAttribute:
		segments := make([]bgp.AsPathParamInterface, len(a.Segments))
		for i, s := range a.Segments {
			segments[i] = bgp.NewAs4PathParam(uint8(s.Type), s.Numbers)
		}
		return bgp.NewPathAttributeAsPath(segments), nil
	case *apipb.NextHopAttribute:
		hop, err := netip.ParseAddr(a.NextHop)
		if err != nil {
			return nil, fmt.Errorf("next hop: %w", err)
		}
		return bgp.NewPathAttributeNextHop(hop)
	case *apipb.MpReachNLRIAttribute:
		return reachFromAPI(a)
	case *apipb.MultiExitDiscAttribute:
		return bgp.NewPathAttributeMultiExitDisc(a.Med), nil
	case *apipb.LocalPrefAttribute:
		return bgp.NewPathAttributeLocalPref(a.LocalPref), nil
	case *apipb.CommunitiesAttribute:
		return bgp.NewPathAttributeCommunities(a.Communities), nil
	case *apipb.ExtendedCommunitiesAttribute:
		return extendedFromAPI(a)
	case *apipb.LargeCommunitiesAttribute:
		list := make([]*bgp.LargeCommunity, len(a.Communities))
		for i, c := range a.Communities {
			list[i] = &bgp.LargeCommunity{ASN: c.GlobalAdmin, LocalData1: c.LocalData1, LocalData2: c.LocalData2}
		}
		return bgp.NewPathAttributeLargeCommunities(list), nil
	case *apipb.PrefixSID:
		return prefixSIDFromAPI(a)
	case *apipb.UnknownAttribute:
		return bgp.NewPathAttributeUnknown(bgp.BGPAttrFlag(a.Flags), bgp.BGPAttrType(a.Type), a.Value), nil
	}
	return nil, nil
}

// reachFromAPI returns an MP_REACH_NLRI with nothing but its next hops: the
// global one and, of IPv6, that of the link.
func reachFromAPI(a *apipb.MpReachNLRIAttribute) (bgp.PathAttributeInterface, error) {
	reach := &bgp.PathAttributeMpReachNLRI{AFI: uint16(a.GetFamily().GetAfi()), SAFI: uint8(a.GetFamily().GetSafi())}
	for i, to := range []*netip.Addr{&reach.Nexthop, &reach.LinkLocalNexthop} {
		if i == len(a.NextHops) {
			break
		}
		hop, err := netip.ParseAddr(a.NextHops[i])
		if err != nil {
			return nil, fmt.Errorf("next hop: %w", err)
		}
		*to = hop
	}
	return reach, nil
}

// Types of extended communities (RFC 4360 section 3, RFC 5668, RFC 7153).
const (
	typeTwoOctetAS   = 0x00
	typeIPv4Address  = 0x01
	typeFourOctetAS  = 0x02
	typeOpaque       = 0x03
	typeEVPN         = 0x06
	nonTransitive    = 0x40 // the bit of those that do not cross an AS border
	subTypeRouterMAC = 0x03
)

// extendedFromAPI keeps the communities that name a target or site, a tunnel
// or a MAC, and those that gobgpd does not know.
func extendedFromAPI(a *apipb.ExtendedCommunitiesAttribute) (bgp.PathAttributeInterface, error) {
	var list []bgp.ExtendedCommunityInterface
	for _, message := range a.Communities {
		m, err := message.UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("extended community: %w", err)
		}
		raw, err := communityFromAPI(m)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		c, err := bgp.ParseExtended(raw)
		if err != nil {
			return nil, fmt.Errorf("extended community %x: %w", raw, err)
		}
		list = append(list, c)
	}
	return bgp.NewPathAttributeExtendedCommunities(list), nil
}

// communityFromAPI returns the eight octets of an extended community; nil if
// it is none of those that extendedFromAPI keeps.
func communityFromAPI(m any) ([]byte, error) {
	kind := func(t uint8, transitive bool) byte {
		if !transitive {
			t |= nonTransitive
		}
		return t
	}
	switch c := m.(type) {
	case *apipb.TwoOctetAsSpecificExtended:
		return []byte{kind(typeTwoOctetAS, c.IsTransitive), byte(c.SubType), byte(c.Asn >> 8), byte(c.Asn),
			byte(c.LocalAdmin >> 24), byte(c.LocalAdmin >> 16), byte(c.LocalAdmin >> 8), byte(c.LocalAdmin)}, nil
	case *apipb.IPv4AddressSpecificExtended:
		address, err := netip.ParseAddr(c.Address)
		if err != nil || !address.Is4() {
			return nil, fmt.Errorf("extended community of address %q: want IPv4", c.Address)
		}
		raw := []byte{kind(typeIPv4Address, c.IsTransitive), byte(c.SubType)}
		return append(append(raw, address.AsSlice()...), byte(c.LocalAdmin>>8), byte(c.LocalAdmin)), nil
	case *apipb.FourOctetAsSpecificExtended:
		return []byte{kind(typeFourOctetAS, c.IsTransitive), byte(c.SubType),
			byte(c.Asn >> 24), byte(c.Asn >> 16), byte(c.Asn >> 8), byte(c.Asn), byte(c.LocalAdmin >> 8), byte(c.LocalAdmin)}, nil
	case *apipb.EncapExtended:
		return bgp.NewEncapExtended(bgp.TunnelType(c.TunnelType)).Serialize()
	case *apipb.RouterMacExtended:
		mac, err := net.ParseMAC(c.Mac)
		if err != nil || len(mac) != 6 {
			return nil, fmt.Errorf("router's MAC %q: want six octets", c.Mac)
		}
		return append([]byte{typeEVPN, subTypeRouterMAC}, mac...), nil
	case *apipb.OpaqueExtended:
		return eight(kind(typeOpaque, c.IsTransitive), c.Value)
	case *apipb.UnknownExtended:
		return eight(byte(c.Type), c.Value)
	}
	return nil, nil
}

func eight(kind byte, value []byte) ([]byte, error) {
	if len(value) != 7 {
		return nil, fmt.Errorf("extended community of type %#x with %d octets: want 7", kind, len(value))
	}
	return append([]byte{kind}, value...), nil
}

// subTLVs of an SRv6 L3 Service TLV by their numbers (RFC 9252 section 3).
const (
	srv6Information = 1
	srv6Structure   = 1
)

// prefixSIDFromAPI makes a Prefix-SID of its L3 service with the first SID.
func prefixSIDFromAPI(a *apipb.PrefixSID) (bgp.PathAttributeInterface, error) {
	var services []bgp.PrefixSIDTLVInterface
	for _, message := range a.Tlvs {
		m, err := message.UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("prefix SID: %w", err)
		}
		service, ok := m.(*apipb.SRv6L3ServiceTLV)
		if !ok {
			continue
		}
		var sids []bgp.PrefixSIDTLVInterface
		for _, message := range service.GetSubTlvs()[srv6Information].GetTlv() {
			sid, err := sidFromAPI(message)
			if err != nil {
				return nil, err
			}
			sids = append(sids, sid)
		}
		services = append(services, bgp.NewSRv6ServiceTLV(bgp.TLVTypeSRv6L3Service, sids...))
	}
	return bgp.NewPathAttributePrefixSID(services...), nil
}

func sidFromAPI(message *anypb.Any) (*bgp.SRv6InformationSubTLV, error) {
	m := new(apipb.SRv6InformationSubTLV)
	if err := message.UnmarshalTo(m); err != nil {
		return nil, fmt.Errorf("SRv6 SID: %w", err)
	}
	sid, ok := netip.AddrFromSlice(m.Sid)
	if !ok || !sid.Is6() {
		return nil, fmt.Errorf("SRv6 SID of %d octets: want 16", len(m.Sid))
	}
	var structures []bgp.PrefixSIDTLVInterface
	for _, message := range m.GetSubSubTlvs()[srv6Structure].GetTlv() {
		s := new(apipb.SRv6StructureSubSubTLV)
		if err := message.UnmarshalTo(s); err != nil {
			return nil, fmt.Errorf("SRv6 SID structure: %w", err)
		}
		structures = append(structures, bgp.NewSRv6SIDStructureSubSubTLV(uint8(s.LocatorBlockLength), uint8(s.LocatorNodeLength),
			uint8(s.FunctionLength), uint8(s.ArgumentLength), uint8(s.TranspositionLength), uint8(s.TranspositionOffset)))
	}
	return bgp.NewSRv6InformationSubTLV(sid, bgp.SRBehavior(m.EndpointBehavior), structures...), nil
}
