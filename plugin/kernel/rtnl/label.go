package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const labelBits = 20 // RFC 3032 section 2.1

// LabelRoute is an MPLS route that takes the label off and hands the packet to a
// device, which may be a VRF.
type LabelRoute struct {
	Label    uint32
	Device   int // interface index
	Protocol uint8
}

// append appends a request about the route.
func (r *LabelRoute) append(b []byte, kind, flags uint16) []byte {
	start := len(b)
	b = begin(b, kind, flags)
	b = append(b, unix.AF_MPLS, labelBits, 0, 0, unix.RT_TABLE_MAIN, r.Protocol, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = appendLabel(b, unix.RTA_DST, r.Label)
	if kind == unix.RTM_NEWROUTE {
		b = appendUint32(b, unix.RTA_OIF, uint32(r.Device))
	}
	return end(b, start)
}

// decode reads a message about a route without its header. ok means that it is
// an MPLS route such as LabelRoute can say.
func (r *LabelRoute) decode(b []byte) (ok bool, err error) {
	*r = LabelRoute{}
	if len(b) < unix.SizeofRtMsg {
		return false, errMalformed
	}
	if b[0] != unix.AF_MPLS {
		return false, nil
	}
	r.Protocol = b[5]
	ok = true
	for b = b[unix.SizeofRtMsg:]; len(b) > 0; {
		kind, v, rest, err := next(b)
		if err != nil {
			return false, err
		}
		b = rest
		switch kind {
		case unix.RTA_DST:
			if len(v) != 4 {
				return false, errMalformed
			}
			r.Label = binary.BigEndian.Uint32(v) >> labelShift
		case unix.RTA_OIF:
			err = decodeIndex(v, &r.Device)
		case unix.RTA_VIA, unix.RTA_NEWDST, unix.RTA_MULTIPATH:
			ok = false
		}
		if err != nil {
			return false, err
		}
	}
	return ok, nil
}
