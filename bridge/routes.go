package bridge

import "net/netip"

// routeKey is an NLRI without the MAC: of those that differ in it alone, one
// is in use (macip.go).
type routeKey struct {
	group  uint32
	prefix netip.Prefix
}

type key4 struct {
	group uint32
	addr  [4]byte
	bits  uint8
}

type key6 struct {
	group uint32
	addr  [16]byte
	bits  uint8
}

// routes maps the imported routes to their standings.
type routes struct {
	v4 map[key4]uint32
	v6 map[key6]uint32
}

func newRoutes() routes { return routes{v4: map[key4]uint32{}, v6: map[key6]uint32{}} }

func (k routeKey) v4() key4 {
	return key4{k.group, k.prefix.Addr().As4(), uint8(k.prefix.Bits())}
}

func (k routeKey) v6() key6 {
	return key6{k.group, k.prefix.Addr().As16(), uint8(k.prefix.Bits())}
}

func (r *routes) get(k routeKey) uint32 {
	if k.prefix.Addr().Is4() {
		return r.v4[k.v4()]
	}
	return r.v6[k.v6()]
}

// set changes the standing of a route; 0 forgets it.
func (r *routes) set(k routeKey, standing uint32) {
	switch is4 := k.prefix.Addr().Is4(); {
	case is4 && standing == 0:
		delete(r.v4, k.v4())
	case is4:
		r.v4[k.v4()] = standing
	case standing == 0:
		delete(r.v6, k.v6())
	default:
		r.v6[k.v6()] = standing
	}
}

func (r *routes) len() int { return len(r.v4) + len(r.v6) }

// all visits every route. visit may change or delete the one it is given.
func (r *routes) all(visit func(k routeKey, standing uint32)) {
	for k, s := range r.v4 {
		visit(routeKey{k.group, netip.PrefixFrom(netip.AddrFrom4(k.addr), int(k.bits))}, s)
	}
	for k, s := range r.v6 {
		visit(routeKey{k.group, netip.PrefixFrom(netip.AddrFrom16(k.addr), int(k.bits))}, s)
	}
}
