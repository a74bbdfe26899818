package rib

import (
	"encoding/binary"
	"net/netip"
)

// index finds the entry of a prefix. Each family has a map with the smallest
// key that holds its prefixes. A Go map does not shrink, so one that has become
// much too large is made anew.
type index struct {
	v4    map[key4]uint32
	v6    map[key6]uint32
	most4 int // length since the map was made
	most6 int
}

type key4 uint64 // address and length

type key6 struct {
	address [16]byte
	bits    uint8
}

const keptMap = 1024 // entries; a map that was never larger is never made anew

func newKey4(p netip.Prefix) key4 {
	a := p.Addr().As4()
	return key4(binary.BigEndian.Uint32(a[:]))<<8 | key4(p.Bits())
}

func newKey6(p netip.Prefix) key6 { return key6{p.Addr().As16(), uint8(p.Bits())} }

func (x *index) get(p netip.Prefix) uint32 {
	if p.Addr().Is4() {
		return x.v4[newKey4(p)]
	}
	return x.v6[newKey6(p)]
}

func (x *index) set(p netip.Prefix, n uint32) {
	if p.Addr().Is4() {
		if x.v4 == nil {
			x.v4 = make(map[key4]uint32)
		}
		x.v4[newKey4(p)] = n
		x.most4 = max(x.most4, len(x.v4))
		return
	}
	if x.v6 == nil {
		x.v6 = make(map[key6]uint32)
	}
	x.v6[newKey6(p)] = n
	x.most6 = max(x.most6, len(x.v6))
}

func (x *index) remove(p netip.Prefix) {
	if p.Addr().Is4() {
		delete(x.v4, newKey4(p))
		x.v4, x.most4 = shrunk(x.v4, x.most4)
		return
	}
	delete(x.v6, newKey6(p))
	x.v6, x.most6 = shrunk(x.v6, x.most6)
}

// shrunk returns m, or a smaller copy if m was made for far more than it holds.
func shrunk[K comparable](m map[K]uint32, most int) (map[K]uint32, int) {
	if most <= keptMap || len(m) > most/4 {
		return m, most
	}
	if len(m) == 0 {
		return nil, 0
	}
	small := make(map[K]uint32, len(m))
	for k, n := range m {
		small[k] = n
	}
	return small, len(small)
}
