package wire

import (
	"fmt"
	"net/netip"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// ParseHello decodes the payload of a HELLO. Its error is a *Malformed.
func ParseHello(p []byte) (Hello, error) {
	var h Hello
	s := scanner{p: p, message: TypeHello, known: helloFields}
	interval := 0 // where it stands
	for i := 0; i < len(p); {
		tag, at, ok := uvarint(p, i)
		if !ok {
			return Hello{}, s.badTag(i)
		}
		var bad *Malformed
		switch tag {
		case 1<<3 | varintField:
			interval = at
			h.Keepalive, i, bad = s.uint32(1, at)
		case 2<<3 | varintField:
			var v uint64
			if v, i, ok = uvarint(p, at); !ok {
				return Hello{}, s.badVarint(2, at)
			}
			h.IsServer = v != 0
		default:
			i, bad = s.skip(tag, i, at)
		}
		if bad != nil {
			return Hello{}, bad
		}
	}
	if h.Keepalive == 0 {
		return Hello{}, &Malformed{TypeHello, helloFields[1].name, int64(interval), "0", "1 to 4294967295 seconds"}
	}
	return h, nil
}

// ParseSubscription decodes the payload of a SUBSCRIBE or an UNSUBSCRIBE and
// returns its VNI. Its error is a *Malformed, which names SUBSCRIBE for both.
func ParseSubscription(p []byte) (uint32, error) {
	var vni uint32
	s := scanner{p: p, message: TypeSubscribe, known: subscriptionFields}
	for i := 0; i < len(p); {
		tag, at, ok := uvarint(p, i)
		if !ok {
			return 0, s.badTag(i)
		}
		var bad *Malformed
		if tag == 1<<3|varintField {
			vni, i, bad = s.uint32(1, at)
		} else {
			i, bad = s.skip(tag, i, at)
		}
		if bad != nil {
			return 0, bad
		}
	}
	return vni, nil
}

// ParseUpdate decodes the payload of an UPDATE. It does not allocate unless it
// returns an error, which is a *Malformed or an *Invalid; what is malformed
// anywhere in the payload comes first.
func ParseUpdate(p []byte) (Update, error) {
	var f updateParts
	if !f.usual(p) {
		if bad := f.update(p); bad != nil {
			return Update{}, bad
		}
	}
	return f.check(len(p))
}

// updateParts are the fields of an UPDATE as they stand on the wire. The last
// occurrence of a field wins; a submessage that occurs twice is merged, since
// both occurrences write here. The numbers are offsets in the payload.
type updateParts struct {
	action, vni                uint32
	destination, nextHop       bool // present
	family, bits               uint32
	prefix, target             []byte
	targetVNI, hopType         uint32
	natFrom, natTo             uint32
	prefixAt, bitsAt, targetAt int
	natFromAt, natToAt         int
}

func (f *updateParts) update(p []byte) (bad *Malformed) {
	s := scanner{p: p, message: TypeUpdate, known: updateFields}
	for i := 0; i < len(p); {
		tag, at, ok := uvarint(p, i)
		if !ok {
			return s.badTag(i)
		}
		switch tag {
		case 1<<3 | varintField:
			f.action, i, bad = s.enum(1, at, 1, "0 (ADD) or 1 (REMOVE)")
		case 2<<3 | varintField:
			f.vni, i, bad = s.uint32(2, at)
		case 3<<3 | bytesField:
			var from int
			if from, i, bad = s.bytes(3, at); bad == nil {
				f.destination = true
				bad = f.parseDestination(p[:i], from)
			}
		case 4<<3 | bytesField:
			var from int
			if from, i, bad = s.bytes(4, at); bad == nil {
				f.nextHop = true
				bad = f.parseNextHop(p[:i], from)
			}
		default:
			i, bad = s.skip(tag, i, at)
		}
		if bad != nil {
			return bad
		}
	}
	return nil
}

// parseDestination reads a Destination that stands in p from i to the end.
func (f *updateParts) parseDestination(p []byte, i int) (bad *Malformed) {
	s := scanner{p: p, message: TypeUpdate, known: destinationFields}
	for i < len(p) {
		tag, at, ok := uvarint(p, i)
		if !ok {
			return s.badTag(i)
		}
		switch tag {
		case 1<<3 | varintField:
			f.family, i, bad = s.enum(1, at, 1, "0 (IPv4) or 1 (IPv6)")
		case 2<<3 | bytesField:
			if f.prefixAt, i, bad = s.bytes(2, at); bad == nil {
				f.prefix = p[f.prefixAt:i]
			}
		case 3<<3 | varintField:
			f.bitsAt = at
			f.bits, i, bad = s.uint32(3, at)
		default:
			i, bad = s.skip(tag, i, at)
		}
		if bad != nil {
			return bad
		}
	}
	return nil
}

// parseNextHop reads a NextHop that stands in p from i to the end.
func (f *updateParts) parseNextHop(p []byte, i int) (bad *Malformed) {
	s := scanner{p: p, message: TypeUpdate, known: nextHopFields}
	for i < len(p) {
		tag, at, ok := uvarint(p, i)
		if !ok {
			return s.badTag(i)
		}
		switch tag {
		case 1<<3 | bytesField:
			if f.targetAt, i, bad = s.bytes(1, at); bad == nil {
				f.target = p[f.targetAt:i]
			}
		case 2<<3 | varintField:
			f.targetVNI, i, bad = s.uint32(2, at)
		case 3<<3 | varintField:
			f.hopType, i, bad = s.enum(3, at, 2, "0 (STANDARD), 1 (NAT) or 2 (LOADBALANCER_TARGET)")
		case 4<<3 | varintField:
			f.natFromAt = at
			f.natFrom, i, bad = s.uint32(4, at)
		case 5<<3 | varintField:
			f.natToAt = at
			f.natTo, i, bad = s.uint32(5, at)
		default:
			i, bad = s.skip(tag, i, at)
		}
		if bad != nil {
			return bad
		}
	}
	return nil
}

// check makes an Update of the parts. end is the length of the payload: where
// a field stands that is missing.
func (f *updateParts) check(end int) (Update, error) {
	at := func(offset int) int {
		if offset == 0 { // no value stands at 0: its tag is in front
			return end
		}
		return offset
	}
	if !f.destination {
		return Update{}, &Invalid{ReasonNoDestination, "destination", end, "missing", "one destination"}
	}
	if !f.nextHop {
		return Update{}, &Invalid{ReasonNoNextHop, "nextHop", end, "missing", "one next hop"}
	}

	var addr netip.Addr
	switch {
	case f.family == 0 && len(f.prefix) == 4:
		addr = netip.AddrFrom4([4]byte(f.prefix))
	case f.family == 1 && len(f.prefix) == 16:
		addr = netip.AddrFrom16([16]byte(f.prefix))
	case f.family == 0:
		return Update{}, &Invalid{ReasonPrefixAddress, "destination.prefix", at(f.prefixAt), byteCount(f.prefix), "4 bytes for IPv4"}
	default:
		return Update{}, &Invalid{ReasonPrefixAddress, "destination.prefix", at(f.prefixAt), byteCount(f.prefix), "16 bytes for IPv6"}
	}
	if addr.Is4In6() {
		return Update{}, &Invalid{ReasonPrefixMapped, "destination.prefix", f.prefixAt, addr.String(), "an IPv6 address that is not IPv4-mapped"}
	}
	if f.bits > uint32(addr.BitLen()) {
		return Update{}, &Invalid{ReasonPrefixLength, "destination.prefixLength", f.bitsAt, number(uint64(f.bits)), "0 to " + strconv.Itoa(addr.BitLen())}
	}
	prefix := netip.PrefixFrom(addr, int(f.bits))
	if masked := prefix.Masked(); masked != prefix {
		return Update{}, &Invalid{ReasonPrefixHostBits, "destination.prefix", f.prefixAt, prefix.String(), masked.String() + ", without host bits"}
	}

	if len(f.target) != 16 {
		return Update{}, &Invalid{ReasonNextHopAddress, "nextHop.targetAddress", at(f.targetAt), byteCount(f.target), "16 bytes, IPv6"}
	}
	target := netip.AddrFrom16([16]byte(f.target))
	switch {
	case target.IsUnspecified():
		return Update{}, &Invalid{ReasonNextHopUnspecified, "nextHop.targetAddress", f.targetAt, "::", "a unicast IPv6 address"}
	case target.IsMulticast():
		return Update{}, &Invalid{ReasonNextHopMulticast, "nextHop.targetAddress", f.targetAt, target.String(), "a unicast IPv6 address"}
	case target.Is4In6():
		return Update{}, &Invalid{ReasonNextHopMapped, "nextHop.targetAddress", f.targetAt, target.String(), "an IPv6 address that is not IPv4-mapped"}
	}

	var from, to uint16
	if f.hopType == uint32(HopNAT) {
		if f.natFrom > 65535 {
			return Update{}, &Invalid{ReasonNATPorts, "nextHop.natPortRangeFrom", f.natFromAt, number(uint64(f.natFrom)), "0 to 65535"}
		}
		if f.natTo > 65535 || f.natTo < f.natFrom {
			return Update{}, &Invalid{ReasonNATPorts, "nextHop.natPortRangeTo", at(f.natToAt), number(uint64(f.natTo)), fmt.Sprintf("natPortRangeFrom (%d) to 65535", f.natFrom)}
		}
		from, to = uint16(f.natFrom), uint16(f.natTo)
	}
	return Update{
		Remove:    f.action == 1,
		VNI:       f.vni,
		Prefix:    prefix,
		Target:    target,
		TargetVNI: f.targetVNI,
		HopType:   uint8(f.hopType),
		NATFrom:   from,
		NATTo:     to,
	}, nil
}

func byteCount(b []byte) string { return strconv.Itoa(len(b)) + " bytes" }

func number(v uint64) string { return strconv.FormatUint(v, 10) }

// Wire types of protobuf as plain numbers, for switches on a whole tag.
const (
	varintField = uint64(protowire.VarintType)
	bytesField  = uint64(protowire.BytesType)
)
