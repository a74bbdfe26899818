package gobgp

import (
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

// The Prefix-SID attribute (RFC 8669) with an SRv6 L3 Service TLV (RFC 9252
// sections 2 and 3). GoBGP reads and writes the bytes, and drops an attribute
// whose TLVs do not fit into each other; what is here is what they must hold.

// prefixSID returns the attribute that says s.
func prefixSID(s bridge.SRv6) (*bgp.PathAttributePrefixSID, error) {
	if !s.SID.Is6() || s.SID.Is4In6() || s.SID.Zone() != "" {
		return nil, fmt.Errorf("SID %v is no IPv6 address", s.SID)
	}
	var structure []bgp.PrefixSIDTLVInterface
	if t := s.Structure; t != (bridge.SIDStructure{}) {
		structure = append(structure, bgp.NewSRv6SIDStructureSubSubTLV(
			t.Block, t.Node, t.Function, t.Argument, t.TranspositionLength, t.TranspositionOffset))
	}
	sid := bgp.NewSRv6InformationSubTLV(s.SID, bgp.SRBehavior(s.Behavior), structure...)
	sid.Flags = s.Flags
	return bgp.NewPathAttributePrefixSID(bgp.NewSRv6ServiceTLV(bgp.TLVTypeSRv6L3Service, sid)), nil
}

// parsePrefixSID returns the first SID of the first L3 service, zero if there
// is no L3 service. Other TLVs are not looked at. ok is false if the service
// has no SID (RFC 9252 section 7).
func parsePrefixSID(p *bgp.PathAttributePrefixSID) (s bridge.SRv6, ok bool) {
	service := firstTLV(p.TLVs, func(t *bgp.SRv6ServiceTLV) bool { return t.Type == bgp.TLVTypeSRv6L3Service })
	if service == nil {
		return s, true
	}
	sid := firstTLV(service.SubTLVs, func(*bgp.SRv6InformationSubTLV) bool { return true })
	if sid == nil {
		return s, false
	}
	if s.SID, ok = netip.AddrFromSlice(sid.SID); !ok || !s.SID.Is6() {
		return bridge.SRv6{}, false
	}
	s.Behavior, s.Flags = sid.EndpointBehavior, sid.Flags
	if t := firstTLV(sid.SubSubTLVs, func(*bgp.SRv6SIDStructureSubSubTLV) bool { return true }); t != nil {
		s.Structure = bridge.SIDStructure{
			Block: t.LocatorBlockLength, Node: t.LocatorNodeLength,
			Function: t.FunctionLength, Argument: t.ArgumentLength,
			TranspositionLength: t.TranspositionLength, TranspositionOffset: t.TranspositionOffset,
		}
	}
	return s, true
}

// firstTLV returns the first TLV of a type that is wanted, nil if there is
// none.
func firstTLV[T bgp.PrefixSIDTLVInterface](list []bgp.PrefixSIDTLVInterface, wanted func(T) bool) (none T) {
	for _, tlv := range list {
		if t, ok := tlv.(T); ok && wanted(t) {
			return t
		}
	}
	return none
}
