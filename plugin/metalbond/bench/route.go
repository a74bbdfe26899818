package bench

import (
	"encoding/binary"
	"net/netip"

	"mbbgp/wire"
)

// Family is the address family of routes.
type Family string

// The values of Family.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
	Both Family = "both" // in turn
)

// MaxRoutes is the most that Routes can number.
const MaxRoutes = 1 << 24

// Routes are numbered routes: a number means the same host route each time. VNI,
// family and next hop change from one number to the next.
type Routes struct {
	Count    int    // 1 to MaxRoutes
	VNI      uint32 // the first one
	VNIs     int    // that they are spread over, at least 1
	Family   Family
	NextHops int // that they are spread over, 1 to 65536
}

// vnis returns the VNIs that the routes are in.
func (r Routes) vnis() []uint32 {
	list := make([]uint32, r.VNIs)
	for i := range list {
		list[i] = r.VNI + uint32(i)
	}
	return list
}

func (r Routes) update(i int, remove bool) wire.Update {
	return wire.Update{
		Remove: remove,
		VNI:    r.VNI + uint32(i%r.VNIs),
		Prefix: r.prefix(i),
		Target: target(i % r.NextHops),
	}
}

// prefix returns 10.0.0.0/32 and on, or 2001:db8:a::/128 and on.
func (r Routes) prefix(i int) netip.Prefix {
	if r.Family == IPv6 || r.Family == Both && i/r.VNIs%2 == 1 {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x0a}
		binary.BigEndian.PutUint32(a[12:], uint32(i))
		return netip.PrefixFrom(netip.AddrFrom16(a), 128)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

// target is the underlay address of a hypervisor.
func target(hop int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 6: byte(hop >> 8), 7: byte(hop), 15: 1})
}

// digest returns what a client knows that was told the routes from one number to
// before another.
func (r Routes) digest(from, to int) digest {
	var d digest
	var frame []byte
	for i := from; i < to; i++ {
		frame = wire.AppendUpdate(frame[:0], r.update(i, false))
		d.take(frame[wire.HeaderLen:])
	}
	return d
}

// speech appends the next whole frames of what is to be said to dst, up to its
// capacity, and says how many they are. None: all has been said.
type speech func(dst []byte) (frames []byte, n int)

// say announces or withdraws the routes from one number to before another.
func (r Routes) say(from, to int, remove bool) speech {
	return func(dst []byte) ([]byte, int) {
		n := 0
		for ; from < to && cap(dst)-len(dst) >= wire.MaxUpdateLen; from++ {
			dst = wire.AppendUpdate(dst, r.update(from, remove))
			n++
		}
		return dst, n
	}
}

// flap announces and withdraws the routes from one number to before another
// again and again. It ends after it has announced them all once stop says so.
func (r Routes) flap(from, to int, stop func() bool) speech {
	next, remove, over := from, false, false
	return func(dst []byte) ([]byte, int) {
		n := 0
		for !over && cap(dst)-len(dst) >= wire.MaxUpdateLen {
			dst = wire.AppendUpdate(dst, r.update(next, remove))
			n++
			if next++; next == to {
				over = !remove && stop()
				next, remove = from, !remove
			}
		}
		return dst, n
	}
}
