package bridge

// A MetalBond next hop says more than BGP has room for. Between mbbgps the rest
// travels in large communities (RFC 8092) whose global administrator is
// bgp.lossless-asn, and whose first local part says which field the second is:
//
//	ASN:1:type             the next hop type, as MetalBond numbers it
//	ASN:2:(from<<16|to)    the port range, of NAT only
//	ASN:3:VNI              the target VNI, if it is another than the route's
//
// A route without any of them is a standard one. Other first parts are the
// operator's own business.

import (
	"slices"

	"mbbgp/rib"
)

// The fields that large communities carry.
const (
	losslessType      = 1
	losslessPorts     = 2
	losslessTargetVNI = 3
)

// appendLossless appends to dst what says all of hop but its target.
func appendLossless(dst [][3]uint32, asn uint32, hop rib.NextHop) [][3]uint32 {
	dst = append(dst, [3]uint32{asn, losslessType, uint32(hop.Type)})
	if hop.Type == rib.NAT {
		dst = append(dst, [3]uint32{asn, losslessPorts, uint32(hop.NATFrom)<<16 | uint32(hop.NATTo)})
	}
	if hop.TargetVNI != 0 {
		dst = append(dst, [3]uint32{asn, losslessTargetVNI, uint32(hop.TargetVNI)})
	}
	return dst
}

// isLossless reports whether a route says its next hop type.
func isLossless(large [][3]uint32, asn uint32) bool {
	return slices.ContainsFunc(large, func(c [3]uint32) bool { return c[0] == asn && c[1] == losslessType })
}

// parseLossless sets type, port range and target VNI of hop to what the large
// communities of a route say. It reports false, and leaves hop alone, if they
// contradict each other or say what no next hop has.
func parseLossless(large [][3]uint32, asn uint32, hop *rib.NextHop) bool {
	var value [4]uint32
	var said [4]bool
	for _, c := range large {
		field := c[1]
		if c[0] != asn || field < losslessType || field > losslessTargetVNI {
			continue
		}
		if said[field] && value[field] != c[2] {
			return false
		}
		said[field], value[field] = true, c[2]
	}
	kind, ports := value[losslessType], value[losslessPorts]
	isNAT := kind == uint32(rib.NAT)
	switch {
	case kind > uint32(rib.LoadBalancerTarget):
		return false
	case !said[losslessType] && (said[losslessPorts] || said[losslessTargetVNI]):
		return false
	case said[losslessPorts] != isNAT || ports>>16 > ports&0xffff:
		return false
	case said[losslessTargetVNI] && value[losslessTargetVNI] == 0:
		return false
	}
	hop.Type = rib.NextHopType(kind)
	hop.NATFrom, hop.NATTo = uint16(ports>>16), uint16(ports)
	hop.TargetVNI = rib.VNI(value[losslessTargetVNI])
	return true
}
