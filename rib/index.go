package rib

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
)

// key is a prefix without a pointer.
type key struct {
	address [16]byte
	bits    uint8
	v4      bool
}

func newKey(p netip.Prefix) key {
	return key{p.Addr().As16(), uint8(p.Bits()), p.Addr().Is4()}
}

func (k key) prefix() netip.Prefix {
	a := netip.AddrFrom16(k.address)
	if k.v4 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, int(k.bits))
}

// compare orders keys somehow.
func (k key) compare(l key) int {
	return cmp.Or(bytes.Compare(k.address[:], l.address[:]), cmp.Compare(k.bits, l.bits))
}

func (k key) key4() key4 {
	return key4(binary.BigEndian.Uint32(k.address[12:]))<<8 | key4(k.bits)
}

func (k key) key6() key6 { return key6{k.address, k.bits} }

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

func (x *index) get(k key) uint32 {
	if k.v4 {
		return x.v4[k.key4()]
	}
	return x.v6[k.key6()]
}

func (x *index) set(k key, n uint32) {
	if k.v4 {
		if x.v4 == nil {
			x.v4 = make(map[key4]uint32)
		}
		x.v4[k.key4()] = n
		x.most4 = max(x.most4, len(x.v4))
		return
	}
	if x.v6 == nil {
		x.v6 = make(map[key6]uint32)
	}
	x.v6[k.key6()] = n
	x.most6 = max(x.most6, len(x.v6))
}

func (x *index) remove(k key) {
	if k.v4 {
		delete(x.v4, k.key4())
		x.v4, x.most4 = shrunk(x.v4, x.most4)
		return
	}
	delete(x.v6, k.key6())
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
