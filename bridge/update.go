package bridge

import (
	"fmt"
	"net/netip"

	"mbbgp/config"
)

// RD is a Route Distinguisher (RFC 4364 section 4.2).
type RD = config.RD

// RouteTarget is a Route Target extended community (RFC 4360 section 4).
type RouteTarget = config.RouteTarget

// ExtendedCommunity is an extended community as it is on the wire.
type ExtendedCommunity = config.ExtendedCommunity

// Family is a BGP address family.
type Family = config.Family

// MAC is a 48-bit Ethernet address.
type MAC = config.MAC

// NLRIKind says what an NLRI names.
type NLRIKind uint8

// The kinds of NLRI. The numbers below 100 are EVPN route types, those above
// SAFIs; unicast, SAFI 1, is the exception.
const (
	Unicast    NLRIKind = 1   // IPv4 and IPv6 unicast
	MACIP      NLRIKind = 2   // EVPN MAC/IP advertisement (RFC 7432 section 7.2)
	IPPrefix   NLRIKind = 5   // EVPN IP prefix (RFC 9136 section 3.1)
	VPN        NLRIKind = 128 // VPNv4 and VPNv6 (RFC 4364 section 4.3.4, RFC 4659 section 3.1)
	Membership NLRIKind = 132 // route target membership (RFC 4684 section 4); exports only
	FlowSpec   NLRIKind = 133 // flow specification (RFC 8955, RFC 8956); exports only
)

// String returns the name that logs and the command line use.
func (k NLRIKind) String() string {
	switch k {
	case MACIP:
		return "mac-ip"
	case IPPrefix:
		return "ip-prefix"
	case Unicast:
		return "unicast"
	case VPN:
		return "vpn"
	case Membership:
		return "membership"
	case FlowSpec:
		return "flowspec"
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// NLRI is the key of a BGP route. Two NLRIs are the same if they are equal
// with ==, which is why Prefix must be masked before they are compared.
type NLRI struct {
	Kind        NLRIKind
	RD          RD           // EVPN and VPN
	EthernetTag uint32       // EVPN
	MAC         MAC          // MACIP only
	Prefix      netip.Prefix // MACIP: the host route of its IP, invalid if it has none; FlowSpec: destination
	Path        uint32       // tells several paths of one NLRI apart that are in use at once; 0 if there is one
	Target      RouteTarget  // Membership: the zero one stands for all
	Flow        Flow         // FlowSpec: what it selects besides the destination
}

// Flow is the part of a flow specification besides its destination: a range of
// destination ports of a protocol, both ends included.
type Flow struct {
	Protocol    uint8
	First, Last uint16
}

// String returns the NLRI for people.
func (n NLRI) String() string {
	var s string
	switch n.Kind {
	case MACIP:
		s = fmt.Sprintf("[%d]:[%v]:[%d]:[%v]:[%v]", n.Kind, n.RD, n.EthernetTag, n.MAC, n.Prefix)
	case Unicast:
		s = n.Prefix.String()
	case VPN:
		s = fmt.Sprintf("%v:%v", n.RD, n.Prefix)
	case Membership:
		if s = n.Target.String(); n.Target == (RouteTarget{}) {
			s = "default"
		}
	case FlowSpec:
		s = fmt.Sprintf("[destination: %v][protocol: %d][destination-port: %d-%d]", n.Prefix, n.Flow.Protocol, n.Flow.First, n.Flow.Last)
	default:
		s = fmt.Sprintf("[%d]:[%v]:[%d]:[%v]", n.Kind, n.RD, n.EthernetTag, n.Prefix)
	}
	if n.Path != 0 {
		s += fmt.Sprintf(" path %d", n.Path)
	}
	return s
}

// The tunnel types of the encapsulation extended community that the bridge
// maps (RFC 9012 section 4.1 and the IANA registry of tunnel types).
const (
	TunnelNone   uint16 = 0 // no encapsulation community
	TunnelIPinIP uint16 = 7
	TunnelVXLAN  uint16 = 8
)

// Attributes are what BGP says of a route beside its key. They are immutable
// once they are part of an Update: updates share them.
type Attributes struct {
	// NextHop of an export may be unspecified, 0.0.0.0 or ::, which means our
	// address of each session.
	NextHop       netip.Addr
	RouteTargets  []RouteTarget
	SiteOfOrigin  []ExtendedCommunity // RFC 4360 section 5
	Encapsulation uint16              // tunnel type, TunnelNone if absent
	RouterMAC     MAC                 // RFC 9135 section 8.1; zero if absent
	GatewayIP     netip.Addr          // type 5 overlay index; invalid or unspecified if there is none
	ESI           bool                // an Ethernet segment is named: on type 5 an overlay index
	Communities   []uint32            // RFC 1997
	Large         [][3]uint32         // large communities (RFC 8092)
	SRv6          SRv6                // SRv6 L3 service (RFC 9252); zero if absent
	DPath         []Domain            // D-PATH (RFC 10039), the latest domain first; nil if absent
	Redirect      ExtendedCommunity   // FlowSpec: redirect in a community of 8 octets; zero if there is none
	RedirectIPv6  bool                // FlowSpec: redirect to the route target of RedirectTo and RedirectLocal (RFC 8956 section 6.1)
	RedirectTo    netip.Addr          // IPv6 address, global administrator
	RedirectLocal uint16              // local administrator
	ASPathLength  uint16              // of imports: ASes that count (RFC 4271 section 9.1.2.2)
	LocalPref     *uint32             // nil if absent
	MED           *uint32             // nil if absent
}

// SRv6 is the first SID of an SRv6 L3 Service TLV (RFC 9252 section 3). Bits of
// the SID that were transposed into the label are zero in it.
type SRv6 struct {
	SID       netip.Addr // invalid: the route has no SRv6 service
	Behavior  uint16     // SRv6 endpoint behaviour (RFC 8986 section 10.2)
	Flags     uint8
	Structure SIDStructure // zero if absent
}

// SIDStructure is the SRv6 SID Structure sub-sub-TLV (RFC 9252 section 3.2.1),
// in bits.
type SIDStructure struct {
	Block, Node, Function, Argument          uint8
	TranspositionLength, TranspositionOffset uint8
}

// Domain is one domain of a D-PATH (RFC 10039).
type Domain struct {
	ID   config.DomainID
	SAFI uint8 // where the route came from: 128 IP VPN, 70 EVPN, 0 local
}

// The SRv6 endpoint behaviours that the bridge maps (RFC 8986 section 10.2.2;
// those from 60 on are the NEXT-CSID flavours of RFC 9800).
const (
	EndDX6  uint16 = 16
	EndDX4  uint16 = 17
	EndDT6  uint16 = 18
	EndDT4  uint16 = 19
	EndDT46 uint16 = 20
	UDX6    uint16 = 60
	UDX4    uint16 = 61
	UDT6    uint16 = 62
	UDT4    uint16 = 63
	UDT46   uint16 = 64

	// OpaqueBehavior hides what the SID does (RFC 9252 section 3.1), as FRR 8.4
	// does with all of its own: the kind of route must tell.
	OpaqueBehavior uint16 = 0xffff
)

// The Implicit NULL label (RFC 3032 section 2.1): as a 20-bit label, and as it
// stands in the 24-bit field of EVPN (RFC 9252 section 6.5).
const (
	ImplicitNull     uint32 = 3
	ImplicitNullEVPN uint32 = 0x30
)

// Update is one BGP route announced or withdrawn, in either direction.
type Update struct {
	Withdraw bool
	NLRI     NLRI
	// Label is, of EVPN, the raw 24-bit label field: with VXLAN and IP-in-IP the
	// VNI. Of a MACIP it is the second label, the L3 VNI, 0 if there is none. Of
	// VPN it is the 20-bit label. Unicast and the others have none.
	Label uint32
	// Attributes is never nil on an announcement. Consecutive exported updates
	// of the same VNI and next hop share it. On a withdrawal it may be nil and
	// is not looked at.
	Attributes *Attributes
	// Neighbor is who sent an imported update; invalid on exports.
	Neighbor netip.Addr
}

// maxVNI is the largest VNI that the 24-bit label field of EVPN carries
// (RFC 8365 section 5.1.3).
const maxVNI = 1<<24 - 1
