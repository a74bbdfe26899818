package kernel

import (
	"net/netip"

	"mbbgp/rib"
)

// hopKind says how packets go to a next hop.
type hopKind uint8

const (
	overlayHop hopKind = iota // in the tunnel, to a hypervisor or a segment
	vtepHop                   // in VXLAN, to a tunnel endpoint of the fabric
	labelHop                  // with an MPLS label
	plainHop                  // as they are
	discardHop                // nowhere
)

// hop is one next hop as the kernel is told of it. Two are the same if they are
// equal with ==.
type hop struct {
	kind   hopKind
	target netip.Addr // hypervisor, segment, VTEP, or BGP next hop; invalid: discard
	vni    rib.VNI    // vtepHop: whose VXLAN device is used; plainHop and labelHop: 0
	mac    [6]byte    // vtepHop: inner destination address
	label  uint32     // vtepHop: VNI on the wire; labelHop: the label
	ip6    bool       // plainHop and labelHop to an IPv4 address: of IPv6 routes, which cannot have an IPv4 gateway
}

// portRange is a part of the destination ports of a NAT address, and who owns
// it.
type portRange struct {
	from, to uint16     // half-open; to 0 means 65536
	target   netip.Addr // hypervisor
}
