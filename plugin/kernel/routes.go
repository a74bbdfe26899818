package kernel

import "net/netip"

// routes are the routes of ours in one table of the kernel, each with the
// number of its set of next hops (sets.go). A million of them take about 30
// bytes each for IPv4 and 45 for IPv6.
type routes struct {
	v4 map[key4]uint32
	v6 map[key6]uint32
}

type key4 struct {
	addr [4]byte
	bits uint8
}

type key6 struct {
	addr [16]byte
	bits uint8
}

func newRoutes() routes { return routes{v4: map[key4]uint32{}, v6: map[key6]uint32{}} }

func newKey4(p netip.Prefix) key4 { return key4{p.Addr().As4(), uint8(p.Bits())} }

func newKey6(p netip.Prefix) key6 { return key6{p.Addr().As16(), uint8(p.Bits())} }

// get returns what was set, 0 if nothing was.
func (r *routes) get(p netip.Prefix) uint32 {
	if p.Addr().Is4() {
		return r.v4[newKey4(p)]
	}
	return r.v6[newKey6(p)]
}

// set changes the value of a route; 0 forgets it.
func (r *routes) set(p netip.Prefix, n uint32) {
	switch is4 := p.Addr().Is4(); {
	case is4 && n == 0:
		delete(r.v4, newKey4(p))
	case is4:
		r.v4[newKey4(p)] = n
	case n == 0:
		delete(r.v6, newKey6(p))
	default:
		r.v6[newKey6(p)] = n
	}
}

func (r *routes) len() int { return len(r.v4) + len(r.v6) }

// all visits every route. visit may change or forget the one it is given.
func (r *routes) all(visit func(p netip.Prefix, n uint32)) {
	for k, n := range r.v4 {
		visit(netip.PrefixFrom(netip.AddrFrom4(k.addr), int(k.bits)), n)
	}
	for k, n := range r.v6 {
		visit(netip.PrefixFrom(netip.AddrFrom16(k.addr), int(k.bits)), n)
	}
}
