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

// The kinds of NLRI; the numbers are the EVPN route types.
const (
	MACIP    NLRIKind = 2 // EVPN MAC/IP advertisement (RFC 7432 section 7.2)
	IPPrefix NLRIKind = 5 // EVPN IP prefix (RFC 9136 section 3.1)
)

// String returns the name that logs and the command line use.
func (k NLRIKind) String() string {
	switch k {
	case MACIP:
		return "mac-ip"
	case IPPrefix:
		return "ip-prefix"
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// NLRI is the key of a BGP route. Two NLRIs are the same if they are equal
// with ==, which is why Prefix must be masked before they are compared.
type NLRI struct {
	Kind        NLRIKind
	RD          RD
	EthernetTag uint32
	MAC         MAC          // MACIP only
	Prefix      netip.Prefix // IPPrefix; MACIP: the host route of its IP, invalid if it has none
}

// String returns the NLRI for people.
func (n NLRI) String() string {
	if n.Kind == MACIP {
		return fmt.Sprintf("[%d]:[%v]:[%d]:[%v]:[%v]", n.Kind, n.RD, n.EthernetTag, n.MAC, n.Prefix)
	}
	return fmt.Sprintf("[%d]:[%v]:[%d]:[%v]", n.Kind, n.RD, n.EthernetTag, n.Prefix)
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
	NextHop       netip.Addr
	RouteTargets  []RouteTarget
	SiteOfOrigin  []ExtendedCommunity // RFC 4360 section 5
	Encapsulation uint16              // tunnel type, TunnelNone if absent
	RouterMAC     MAC                 // RFC 9135 section 8.1; zero if absent
	GatewayIP     netip.Addr          // type 5 overlay index; invalid or unspecified if there is none
	ESI           bool                // an Ethernet segment is named: on type 5 an overlay index
	Large         [][3]uint32         // large communities (RFC 8092)
	LocalPref     *uint32             // nil if absent
	MED           *uint32             // nil if absent
}

// Update is one BGP route announced or withdrawn, in either direction.
type Update struct {
	Withdraw bool
	NLRI     NLRI
	// Label is the raw 24-bit label field: with VXLAN and IP-in-IP the VNI. Of
	// a MACIP it is the second label, the L3 VNI, 0 if there is none.
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
