package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// decode reads a message about a link without its header.
func (l *Link) decode(b []byte) error {
	*l = Link{}
	if len(b) < unix.SizeofIfInfomsg {
		return errMalformed
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	flags := binary.NativeEndian.Uint32(b[8:])
	l.Up, l.Carrier = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0
	for b = b[unix.SizeofIfInfomsg:]; len(b) > 0; {
		kind, v, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(v)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(v)
		case unix.IFLA_MASTER:
			err = decodeIndex(v, &l.Master)
		case unix.IFLA_MTU:
			err = decodeIndex(v, &l.MTU)
		case unix.IFLA_LINKINFO:
			l.Kind, err = decodeKind(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeKind reads the kind of a link out of IFLA_LINKINFO.
func decodeKind(b []byte) (string, error) {
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return "", err
		}
		if kind == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(v), nil
		}
		b = rest
	}
	return "", nil
}
