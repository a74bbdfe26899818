package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Both existing implementations emit the same bytes, and so does this one:
// fields in ascending order of their numbers, zero values omitted, submessages
// always present, addresses as raw bytes. Every length is computed before the
// first byte is written, so a frame is appended in one go.

// AppendHello appends the HELLO frame of h to dst.
func AppendHello(dst []byte, h Hello) []byte {
	n := sizeUint32(h.Keepalive)
	if h.IsServer {
		n += 2
	}
	dst = appendHeader(dst, TypeHello, n)
	dst = appendUint32(dst, 0x08, h.Keepalive)
	if h.IsServer {
		dst = append(dst, 0x10, 1)
	}
	return dst
}

// AppendKeepalive appends a KEEPALIVE frame to dst.
func AppendKeepalive(dst []byte) []byte {
	return appendHeader(dst, TypeKeepalive, 0)
}

// AppendSubscribe appends the SUBSCRIBE frame of vni to dst.
func AppendSubscribe(dst []byte, vni uint32) []byte {
	dst = appendHeader(dst, TypeSubscribe, sizeUint32(vni))
	return appendUint32(dst, 0x08, vni)
}

// AppendUnsubscribe appends the UNSUBSCRIBE frame of vni to dst.
func AppendUnsubscribe(dst []byte, vni uint32) []byte {
	dst = appendHeader(dst, TypeUnsubscribe, sizeUint32(vni))
	return appendUint32(dst, 0x08, vni)
}

// AppendUpdate appends the UPDATE frame of u to dst, at most MaxUpdateLen bytes.
// Ports are written for HopNAT only. The values of u are the caller's business:
// what ParseUpdate would refuse is encoded as it is and refused by who reads it.
func AppendUpdate(dst []byte, u Update) []byte {
	prefix := u.Prefix.Addr()
	addrLen, family := 0, 0
	bits := uint32(0)
	switch {
	case prefix.Is4():
		addrLen = 4
		bits = uint32(u.Prefix.Bits())
	case prefix.Is6():
		addrLen, family = 16, 2
		bits = uint32(u.Prefix.Bits())
	}

	destination := family + sizeUint32(bits)
	if addrLen > 0 {
		destination += 2 + addrLen
	}
	nextHop := 2 + 16 + sizeUint32(u.TargetVNI) + sizeUint32(uint32(u.HopType))
	if u.HopType == HopNAT {
		nextHop += sizeUint32(uint32(u.NATFrom)) + sizeUint32(uint32(u.NATTo))
	}
	n := sizeUint32(u.VNI) + 2 + destination + 2 + nextHop
	if u.Remove {
		n += 2
	}

	dst = appendHeader(dst, TypeUpdate, n)
	if u.Remove {
		dst = append(dst, 0x08, 1)
	}
	dst = appendUint32(dst, 0x10, u.VNI)

	dst = append(dst, 0x1a, byte(destination))
	switch addrLen {
	case 4:
		a := prefix.As4()
		dst = append(dst, 0x12, 4, a[0], a[1], a[2], a[3])
	case 16:
		a := prefix.As16()
		dst = append(dst, 0x08, 1, 0x12, 16)
		dst = append(dst, a[:]...)
	}
	dst = appendUint32(dst, 0x18, bits)

	target := u.Target.As16()
	dst = append(dst, 0x22, byte(nextHop), 0x0a, 16)
	dst = append(dst, target[:]...)
	dst = appendUint32(dst, 0x10, u.TargetVNI)
	dst = appendUint32(dst, 0x18, uint32(u.HopType))
	if u.HopType == HopNAT {
		dst = appendUint32(dst, 0x20, uint32(u.NATFrom))
		dst = appendUint32(dst, 0x28, uint32(u.NATTo))
	}
	return dst
}

// appendHeader makes room for the whole frame and appends its header.
func appendHeader(dst []byte, t Type, payload int) []byte {
	dst = slices.Grow(dst, HeaderLen+payload)
	return append(dst, Version, byte(payload>>8), byte(payload), byte(t))
}

// sizeUint32 returns how many bytes appendUint32 appends.
func sizeUint32(v uint32) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

// appendUint32 appends a field with a one-byte tag; zero is omitted.
func appendUint32(dst []byte, tag byte, v uint32) []byte {
	switch {
	case v == 0:
		return dst
	case v < 1<<7:
		return append(dst, tag, byte(v))
	case v < 1<<14:
		return append(dst, tag, byte(v)|0x80, byte(v>>7))
	case v < 1<<21:
		return append(dst, tag, byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14))
	}
	return protowire.AppendVarint(append(dst, tag), uint64(v))
}
