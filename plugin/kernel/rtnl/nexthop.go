package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// append appends a request about the next hop object. To remove one its id is
// enough.
func (n *NextHop) append(b []byte, kind, flags uint16) []byte {
	start := len(b)
	b = begin(b, kind, flags)
	var family uint8
	var hopFlags uint32
	if kind == unix.RTM_NEWNEXTHOP && len(n.Group) == 0 {
		family = unix.AF_INET6
		if n.Hop.Gateway.Is4() {
			family = unix.AF_INET
		}
		if n.Hop.OnLink {
			hopFlags = unix.RTNH_F_ONLINK
		}
	}
	b = append(b, family, 0, n.Protocol, 0)
	b = binary.NativeEndian.AppendUint32(b, hopFlags)
	b = appendUint32(b, unix.NHA_ID, n.ID)
	switch {
	case kind != unix.RTM_NEWNEXTHOP:
	case n.Blackhole:
		b = appendHeader(b, unix.NHA_BLACKHOLE, 0)
	case len(n.Group) > 0:
		b = appendHeader(b, unix.NHA_GROUP, len(n.Group)*unix.SizeofNexthopGrp)
		for _, m := range n.Group {
			b = binary.NativeEndian.AppendUint32(b, m.ID)
			b = append(b, m.Weight, 0, 0, 0)
		}
	default:
		b = appendUint32(b, unix.NHA_OIF, uint32(n.Hop.Device))
		if n.Hop.Gateway.IsValid() {
			b = appendAddr(b, unix.NHA_GATEWAY, n.Hop.Gateway)
		}
		b = n.Hop.Encap.append(b, unix.NHA_ENCAP_TYPE, unix.NHA_ENCAP|unix.NLA_F_NESTED)
	}
	return end(b, start)
}

// decode reads a message about a next hop object without its header. What n held
// before is gone, but for the memory of its group.
func (n *NextHop) decode(b []byte) error {
	*n = NextHop{Group: n.Group[:0]}
	if len(b) < unix.SizeofNhmsg {
		return errMalformed
	}
	n.Protocol = b[2]
	n.Hop.OnLink = binary.NativeEndian.Uint32(b[4:])&unix.RTNH_F_ONLINK != 0
	var lwtunnel uint16
	var encap []byte
	for b = b[unix.SizeofNhmsg:]; len(b) > 0; {
		kind, v, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch kind {
		case unix.NHA_ID:
			err = decodeUint32(v, &n.ID)
		case unix.NHA_OIF:
			err = decodeIndex(v, &n.Hop.Device)
		case unix.NHA_GATEWAY:
			err = decodeAddr(v, &n.Hop.Gateway)
		case unix.NHA_BLACKHOLE:
			n.Blackhole = true
		case unix.NHA_GROUP:
			err = n.decodeGroup(v)
		case unix.NHA_ENCAP_TYPE:
			err = decodeUint16(v, &lwtunnel)
		case unix.NHA_ENCAP:
			encap = v
		}
		if err != nil {
			return err
		}
	}
	e, err := decodeEncap(lwtunnel, encap)
	n.Hop.Encap = e
	return err
}

func (n *NextHop) decodeGroup(v []byte) error {
	if len(v)%unix.SizeofNexthopGrp != 0 {
		return errMalformed
	}
	for ; len(v) > 0; v = v[unix.SizeofNexthopGrp:] {
		n.Group = append(n.Group, Member{ID: binary.NativeEndian.Uint32(v), Weight: v[4]})
	}
	return nil
}
