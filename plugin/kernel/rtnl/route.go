package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// append appends a request about the route. One to remove it says only what
// tells it from others: table, prefix, metric and protocol.
func (r *Route) append(b []byte, kind, flags uint16) []byte {
	start := len(b)
	b = begin(b, kind, flags)
	addr := r.Prefix.Addr()
	family := uint8(unix.AF_INET6)
	if addr.Is4() {
		family = unix.AF_INET
	}
	var table uint8
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	added := kind == unix.RTM_NEWROUTE
	scope, routeType, hopFlags := uint8(unix.RT_SCOPE_NOWHERE), uint8(0), uint32(0)
	if added {
		scope, routeType = r.scope(family), max(r.Type, unix.RTN_UNICAST)
		if r.NextHopID == 0 && len(r.Hops) == 1 && r.Hops[0].OnLink {
			hopFlags = unix.RTNH_F_ONLINK
		}
	}
	b = append(b, family, uint8(r.Prefix.Bits()), 0, 0, table, r.Protocol, scope, routeType)
	b = binary.NativeEndian.AppendUint32(b, hopFlags)
	if r.Prefix.Bits() > 0 {
		b = appendAddr(b, unix.RTA_DST, addr)
	}
	if r.Metric != 0 {
		b = appendUint32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if table == 0 {
		b = appendUint32(b, unix.RTA_TABLE, r.Table)
	}
	switch {
	case !added:
	case r.NextHopID != 0:
		b = appendUint32(b, rtaNextHopID, r.NextHopID)
	case len(r.Hops) == 1:
		h := &r.Hops[0]
		if h.Device != 0 {
			b = appendUint32(b, unix.RTA_OIF, uint32(h.Device))
		}
		b = h.append(b, family)
	case len(r.Hops) > 1:
		b = r.appendHops(b, family)
	}
	return end(b, start)
}

// scope is that of iproute2: of an IPv4 route without a gateway the link, so
// that gateways can be behind it.
func (r *Route) scope(family uint8) uint8 {
	if family == unix.AF_INET && r.NextHopID == 0 && len(r.Hops) == 1 && !r.Hops[0].Gateway.IsValid() {
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// appendHops appends RTA_MULTIPATH: a struct rtnexthop (length, flags, weight,
// interface index) and attributes for each hop.
func (r *Route) appendHops(b []byte, family uint8) []byte {
	start := len(b)
	b = nest(b, unix.RTA_MULTIPATH)
	for i := range r.Hops {
		h := &r.Hops[i]
		hop := len(b)
		var flags uint8
		if h.OnLink {
			flags = unix.RTNH_F_ONLINK
		}
		b = append(b, 0, 0, flags, h.Weight)
		b = binary.NativeEndian.AppendUint32(b, uint32(h.Device))
		b = h.append(b, family)
		b = endNest(b, hop)
	}
	return endNest(b, start)
}

// append appends gateway and encapsulation of a hop of a route of family.
func (h *Hop) append(b []byte, family uint8) []byte {
	switch {
	case !h.Gateway.IsValid():
	case family == unix.AF_INET && !h.Gateway.Is4():
		// struct rtvia: the family and the address (RFC 5549, RFC 8950)
		v := h.Gateway.As16()
		b = appendHeader(b, unix.RTA_VIA, 2+len(v))
		b = binary.NativeEndian.AppendUint16(b, unix.AF_INET6)
		b = append(append(b, v[:]...), 0, 0)
	default:
		b = appendAddr(b, unix.RTA_GATEWAY, h.Gateway)
	}
	return h.Encap.append(b, unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP)
}

// decode reads a message about a route of IPv4 or IPv6 without its header. What
// r held before is gone, but for the memory of its hops. cloned means that it is
// no route but a result of one that the kernel keeps.
func (r *Route) decode(b []byte) (cloned bool, err error) {
	*r = Route{Hops: r.Hops[:0]}
	if len(b) < unix.SizeofRtMsg {
		return false, errMalformed
	}
	dst, err := unspecified(b[0])
	if err != nil {
		return false, err
	}
	bits := int(b[1])
	r.Table, r.Protocol, r.Type = uint32(b[4]), b[5], b[7]
	flags := binary.NativeEndian.Uint32(b[8:])
	hop := Hop{OnLink: flags&unix.RTNH_F_ONLINK != 0}
	var multipath []byte
	var lwtunnel uint16
	var encap []byte
	for b = b[unix.SizeofRtMsg:]; len(b) > 0; {
		kind, v, rest, err := next(b)
		if err != nil {
			return false, err
		}
		b = rest
		switch kind {
		case unix.RTA_DST:
			err = decodeAddr(v, &dst)
		case unix.RTA_TABLE:
			err = decodeUint32(v, &r.Table)
		case unix.RTA_PRIORITY:
			err = decodeUint32(v, &r.Metric)
		case rtaNextHopID:
			err = decodeUint32(v, &r.NextHopID)
		case unix.RTA_OIF:
			err = decodeIndex(v, &hop.Device)
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			err = hop.decodeGateway(kind, v)
		case unix.RTA_ENCAP_TYPE:
			err = decodeUint16(v, &lwtunnel)
		case unix.RTA_ENCAP:
			encap = v
		case unix.RTA_MULTIPATH:
			multipath = v
		}
		if err != nil {
			return false, err
		}
	}
	r.Prefix = netip.PrefixFrom(dst, bits)
	if !r.Prefix.IsValid() {
		return false, errMalformed
	}
	cloned = flags&unix.RTM_F_CLONED != 0
	switch {
	case r.NextHopID != 0:
		// Hops that come with it repeat the object, as sysctl nexthop_compat_mode has it.
		return cloned, nil
	case r.discards():
		return cloned, nil // of IPv6 they have lo as device
	case multipath != nil:
		return cloned, r.decodeHops(multipath)
	case hop.Device == 0 && !hop.Gateway.IsValid():
		return cloned, nil
	}
	hop.Encap, err = decodeEncap(lwtunnel, encap)
	r.Hops = append(r.Hops, hop)
	return cloned, err
}

// discards reports whether packets of the route go nowhere.
func (r *Route) discards() bool {
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

func (r *Route) decodeHops(b []byte) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtNexthop {
			return errMalformed
		}
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			return errMalformed
		}
		h := Hop{
			Device: int(int32(binary.NativeEndian.Uint32(b[4:]))),
			OnLink: b[2]&unix.RTNH_F_ONLINK != 0,
			Weight: b[3],
		}
		if err := h.decode(b[unix.SizeofRtNexthop:length]); err != nil {
			return err
		}
		r.Hops = append(r.Hops, h)
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// decode reads the attributes of a hop of several.
func (h *Hop) decode(b []byte) error {
	var lwtunnel uint16
	var encap []byte
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch kind {
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			err = h.decodeGateway(kind, v)
		case unix.RTA_ENCAP_TYPE:
			err = decodeUint16(v, &lwtunnel)
		case unix.RTA_ENCAP:
			encap = v
		}
		if err != nil {
			return err
		}
	}
	var err error
	h.Encap, err = decodeEncap(lwtunnel, encap)
	return err
}

// decodeGateway reads RTA_GATEWAY, or RTA_VIA: the family and the address.
func (h *Hop) decodeGateway(kind uint16, v []byte) error {
	if kind == unix.RTA_VIA {
		if len(v) < 2 {
			return errMalformed
		}
		v = v[2:]
	}
	return decodeAddr(v, &h.Gateway)
}

func unspecified(family uint8) (netip.Addr, error) {
	switch family {
	case unix.AF_INET:
		return netip.IPv4Unspecified(), nil
	case unix.AF_INET6:
		return netip.IPv6Unspecified(), nil
	}
	return netip.Addr{}, errMalformed
}
