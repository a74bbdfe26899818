package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// linux/lwtunnel.h, linux/seg6_iptunnel.h, linux/seg6.h, linux/seg6_local.h,
// linux/mpls_iptunnel.h
const (
	ip6Dst      = 2 // LWTUNNEL_IP6_DST
	ip6Src      = 3 // LWTUNNEL_IP6_SRC
	ip6HopLimit = 4 // LWTUNNEL_IP6_HOPLIMIT

	seg6SRH             = 1 // SEG6_IPTUNNEL_SRH
	seg6ModeEncapRed    = 3 // SEG6_IPTUN_MODE_ENCAP_RED
	seg6RoutingType     = 4 // IPV6_SRCRT_TYPE_4
	sizeofSeg6Encap     = 4 + 8 + 16
	seg6LocalAction     = 1  // SEG6_LOCAL_ACTION
	seg6LocalTable      = 3  // SEG6_LOCAL_TABLE
	seg6LocalVRFTable   = 9  // SEG6_LOCAL_VRFTABLE
	seg6LocalCounters   = 10 // SEG6_LOCAL_COUNTERS
	mplsDst             = 1  // MPLS_IPTUNNEL_DST
	labelShift          = 12 // RFC 3032 section 2.1: label 20 bits, traffic class 3, bottom of stack 1, TTL 8
	labelBottom         = 1 << 8
	labelEntryEmptyMask = 0xfff &^ labelBottom
)

// lwtunnel returns the kind as LWTUNNEL_ENCAP_*.
func (k EncapKind) lwtunnel() uint16 {
	switch k {
	case EncapIP6:
		return unix.LWTUNNEL_ENCAP_IP6
	case EncapSeg6:
		return unix.LWTUNNEL_ENCAP_SEG6
	case EncapMPLS:
		return unix.LWTUNNEL_ENCAP_MPLS
	case EncapSeg6Local:
		return unix.LWTUNNEL_ENCAP_SEG6_LOCAL
	}
	return unix.LWTUNNEL_ENCAP_NONE
}

// append appends the encapsulation as two attributes whose numbers routes and
// next hop objects have their own of; nothing if there is none.
func (e *Encap) append(b []byte, kindAttribute, attribute uint16) []byte {
	kind := e.Kind.lwtunnel()
	if kind == unix.LWTUNNEL_ENCAP_NONE {
		return b
	}
	b = appendUint16(b, kindAttribute, kind)
	start := len(b)
	b = nest(b, attribute)
	switch e.Kind {
	case EncapIP6:
		b = appendAddr(b, ip6Dst, e.Dst)
		if e.Src.IsValid() {
			b = appendAddr(b, ip6Src, e.Src)
		}
		if e.HopLimit != 0 {
			b = appendUint8(b, ip6HopLimit, e.HopLimit)
		}
	case EncapSeg6:
		// struct seg6_iptunnel_encap: the mode, and a segment routing header (RFC 8754
		// section 2) of one segment. In this mode packets go without the header.
		b = appendHeader(b, seg6SRH, sizeofSeg6Encap)
		b = binary.NativeEndian.AppendUint32(b, seg6ModeEncapRed)
		segment := e.Dst.As16()
		b = append(b, 0, 2, seg6RoutingType, 0, 0, 0, 0, 0) // 2: length in 8 bytes, but for the first 8
		b = append(b, segment[:]...)
	case EncapMPLS:
		b = appendLabel(b, mplsDst, e.Label)
	case EncapSeg6Local:
		b = appendUint32(b, seg6LocalAction, uint32(e.Action))
		if e.Action == ActionDT6 {
			b = appendUint32(b, seg6LocalTable, e.Table)
		} else {
			b = appendUint32(b, seg6LocalVRFTable, e.Table)
		}
	}
	return endNest(b, start)
}

// decodeEncap reads what append has written. What Encap cannot say is
// EncapOther.
func decodeEncap(lwtunnel uint16, v []byte) (Encap, error) {
	var (
		e   Encap
		err error
	)
	switch lwtunnel {
	case unix.LWTUNNEL_ENCAP_NONE:
	case unix.LWTUNNEL_ENCAP_IP6:
		e, err = decodeIP6(v)
	case unix.LWTUNNEL_ENCAP_SEG6:
		e, err = decodeSeg6(v)
	case unix.LWTUNNEL_ENCAP_MPLS:
		e, err = decodeMPLS(v)
	case unix.LWTUNNEL_ENCAP_SEG6_LOCAL:
		e, err = decodeSeg6Local(v)
	default:
		e.Kind = EncapOther
	}
	if err != nil {
		return Encap{}, err
	}
	if e.Kind == EncapOther {
		return Encap{Kind: EncapOther}, nil
	}
	return e, nil
}

func decodeIP6(b []byte) (Encap, error) {
	e := Encap{Kind: EncapIP6}
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return e, err
		}
		b = rest
		switch kind {
		case ip6Dst:
			err = decodeAddr(v, &e.Dst)
		case ip6Src:
			err = decodeAddr(v, &e.Src)
		case ip6HopLimit:
			err = decodeUint8(v, &e.HopLimit)
		default: // tunnel id, traffic class, flags, options
			if !zero(v) {
				e.Kind = EncapOther
			}
		}
		if err != nil {
			return e, err
		}
	}
	if e.Src == netip.IPv6Unspecified() {
		e.Src = netip.Addr{}
	}
	return e, nil
}

func decodeSeg6(b []byte) (Encap, error) {
	e := Encap{Kind: EncapOther}
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return e, err
		}
		b = rest
		if kind == seg6SRH && len(v) == sizeofSeg6Encap && binary.NativeEndian.Uint32(v) == seg6ModeEncapRed {
			e = Encap{Kind: EncapSeg6, Dst: netip.AddrFrom16([16]byte(v[sizeofSeg6Encap-16:]))}
		}
	}
	return e, nil
}

func decodeMPLS(b []byte) (Encap, error) {
	e := Encap{Kind: EncapMPLS}
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return e, err
		}
		b = rest
		var ok bool
		if kind != mplsDst {
			e.Kind = EncapOther // a TTL of its own
		} else if e.Label, ok = decodeLabel(v); !ok {
			e.Kind = EncapOther
		}
	}
	return e, nil
}

func decodeSeg6Local(b []byte) (Encap, error) {
	e := Encap{Kind: EncapSeg6Local}
	var action uint32
	var vrf, other bool
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return e, err
		}
		b = rest
		switch kind {
		case seg6LocalAction:
			err = decodeUint32(v, &action)
		case seg6LocalTable:
			err = decodeUint32(v, &e.Table)
		case seg6LocalVRFTable:
			vrf = true
			err = decodeUint32(v, &e.Table)
		case seg6LocalCounters:
		default:
			other = true
		}
		if err != nil {
			return e, err
		}
	}
	e.Action = uint8(action)
	switch action {
	case uint32(ActionDT6):
		other = other || vrf
	case uint32(ActionDT4), uint32(ActionDT46):
	default:
		other = true
	}
	if other {
		e.Kind = EncapOther
	}
	return e, nil
}

// appendLabel appends a label stack of one entry (RFC 3032 section 2.1).
func appendLabel(b []byte, kind uint16, label uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, kind, 4), label<<labelShift|labelBottom)
}

// decodeLabel reads a label stack of one entry whose TTL and traffic class are
// not set.
func decodeLabel(v []byte) (label uint32, ok bool) {
	if len(v) != 4 {
		return 0, false
	}
	entry := binary.BigEndian.Uint32(v)
	return entry >> labelShift, entry&labelBottom != 0 && entry&labelEntryEmptyMask == 0
}

func zero(v []byte) bool {
	for _, c := range v {
		if c != 0 {
			return false
		}
	}
	return true
}
