package rtnl

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A message is a header (struct nlmsghdr: length, type, flags, sequence number,
// port), the fixed part of its kind, and attributes (struct nlattr: length,
// type). Everything starts at a multiple of 4 bytes and is in the byte order of
// the machine, but for addresses and labels.

// What golang.org/x/sys/unix does not have.
const (
	rtaNextHopID = 0x1e // RTA_NH_ID

	attributeTypeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// errMalformed says that a message does not hold what its kind prescribes.
var errMalformed = errors.New("malformed netlink message")

// begin appends the header of a message whose length, sequence number and port
// come later (end, and Conn.Execute).
func begin(b []byte, kind, flags uint16) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
}

// end writes the length of the message that starts at start and goes on to the
// end of b.
func end(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendHeader(b []byte, kind uint16, length int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+length))
	return binary.NativeEndian.AppendUint16(b, kind)
}

func appendUint8(b []byte, kind uint16, v uint8) []byte {
	return append(appendHeader(b, kind, 1), v, 0, 0, 0)
}

func appendUint16(b []byte, kind, v uint16) []byte {
	b = binary.NativeEndian.AppendUint16(appendHeader(b, kind, 2), v)
	return append(b, 0, 0)
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return binary.NativeEndian.AppendUint32(appendHeader(b, kind, 4), v)
}

// appendAddr appends an address, of 4 bytes if it is an IPv4 one and not mapped
// into IPv6.
func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return append(appendHeader(b, kind, len(v)), v[:]...)
	}
	v := a.As16()
	return append(appendHeader(b, kind, len(v)), v[:]...)
}

// nest appends the header of an attribute that holds others; endNest writes its
// length.
func nest(b []byte, kind uint16) []byte { return appendHeader(b, kind, 0) }

func endNest(b []byte, start int) []byte {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// next takes the first attribute off b. What comes after the last one, kind is 0
// and nothing is left.
func next(b []byte) (kind uint16, value, rest []byte, err error) {
	if len(b) < unix.SizeofNlAttr {
		return 0, nil, nil, nil
	}
	length := int(binary.NativeEndian.Uint16(b))
	if length < unix.SizeofNlAttr || length > len(b) {
		return 0, nil, nil, errMalformed
	}
	kind = binary.NativeEndian.Uint16(b[2:]) & attributeTypeMask
	return kind, b[unix.SizeofNlAttr:length], b[min(align(length), len(b)):], nil
}

// align rounds up to where the next attribute or message starts.
func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func decodeUint8(v []byte, to *uint8) error {
	if len(v) != 1 {
		return errMalformed
	}
	*to = v[0]
	return nil
}

func decodeUint16(v []byte, to *uint16) error {
	if len(v) != 2 {
		return errMalformed
	}
	*to = binary.NativeEndian.Uint16(v)
	return nil
}

func decodeUint32(v []byte, to *uint32) error {
	if len(v) != 4 {
		return errMalformed
	}
	*to = binary.NativeEndian.Uint32(v)
	return nil
}

// decodeIndex reads an interface index, or another number that Go has as int.
func decodeIndex(v []byte, to *int) error {
	var n uint32
	err := decodeUint32(v, &n)
	*to = int(int32(n))
	return err
}

// decodeAddr reads an address of 4 or 16 bytes.
func decodeAddr(v []byte, to *netip.Addr) error {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return errMalformed
	}
	*to = a
	return nil
}
