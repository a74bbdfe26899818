package bridge

// An SRv6 service route names a segment, the SID, that packets are sent to
// (RFC 9252). A MetalBond next hop is on the wire just that: IPv6 with the one
// SID as its destination and no routing header. So a SID becomes the target of
// a next hop as it is, if what its endpoint does is to decapsulate.
//
// A peer may move bits of the SID into the label, to share the attribute among
// routes: TranspositionLength bits from TranspositionOffset on are zero in the
// attribute, and are the most significant bits of the label (RFC 9252 section
// 4). A uSID (RFC 9800) is used as the whole address that it is.

import (
	"fmt"
	"net/netip"
	"slices"
)

// The width of the label field, in bits: what may be transposed into it.
const (
	labelWidthVPN  = 20
	labelWidthEVPN = 24
)

// The behaviours that decapsulate to a prefix of each family (RFC 9252
// sections 5.1, 5.2 and 6.5).
var (
	behaviors4 = []uint16{EndDT46, EndDT4, EndDX4, UDT46, UDT4, UDX4, OpaqueBehavior}
	behaviors6 = []uint16{EndDT46, EndDT6, EndDX6, UDT46, UDT6, UDX6, OpaqueBehavior}
)

// decapsulates reports whether the behaviour of the SID serves prefixes of the
// family of p.
func (s *SRv6) decapsulates(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return slices.Contains(behaviors4, s.Behavior)
	}
	return slices.Contains(behaviors6, s.Behavior)
}

// valid reports whether a SID of this structure exists, and a label of width
// bits holds what is transposed. The parts fit into an address, and what is
// transposed lies in them (RFC 9252 section 3.2.1 with erratum 7817).
func (t *SIDStructure) valid(width int) bool {
	bits := int(t.Block) + int(t.Node) + int(t.Function) + int(t.Argument)
	transposed := int(t.TranspositionLength)
	return bits <= 128 && transposed <= width && int(t.TranspositionOffset)+transposed <= bits
}

// String returns the structure for people.
func (t SIDStructure) String() string {
	return fmt.Sprintf("block %d, node %d, function %d, argument %d, transposed %d at %d",
		t.Block, t.Node, t.Function, t.Argument, t.TranspositionLength, t.TranspositionOffset)
}

// restore returns the whole SID: the bits that were transposed into the label,
// whose field is width bits wide, are put back. The structure must be valid.
func (s *SRv6) restore(label uint32, width int) netip.Addr {
	length := int(s.Structure.TranspositionLength)
	if length == 0 {
		return s.SID
	}
	offset := int(s.Structure.TranspositionOffset)
	sid := s.SID.As16()
	for i := range length {
		octet, bit := (offset+i)/8, byte(0x80>>((offset+i)%8))
		sid[octet] &^= bit
		if label>>(width-1-i)&1 != 0 {
			sid[octet] |= bit
		}
	}
	return netip.AddrFrom16(sid)
}

// usableSID reports whether packets can be sent to an address as a segment.
func usableSID(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() }
