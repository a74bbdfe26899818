package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxGroups is how deep unknown groups may nest, as in the C++ and the Java
// implementation of protobuf.
const maxGroups = 100

// field is what the schema says of one field number.
type field struct {
	name string // its path in the message; "": there is no such field
	typ  protowire.Type
}

// The schema, by field number.
var (
	helloFields = []field{
		1: {"keepaliveInterval", protowire.VarintType},
		2: {"isServer", protowire.VarintType},
	}
	subscriptionFields = []field{
		1: {"vni", protowire.VarintType},
	}
	updateFields = []field{
		1: {"action", protowire.VarintType},
		2: {"vni", protowire.VarintType},
		3: {"destination", protowire.BytesType},
		4: {"nextHop", protowire.BytesType},
	}
	destinationFields = []field{
		1: {"destination.ipVersion", protowire.VarintType},
		2: {"destination.prefix", protowire.BytesType},
		3: {"destination.prefixLength", protowire.VarintType},
	}
	nextHopFields = []field{
		1: {"nextHop.targetAddress", protowire.BytesType},
		2: {"nextHop.targetVNI", protowire.VarintType},
		3: {"nextHop.type", protowire.VarintType},
		4: {"nextHop.natPortRangeFrom", protowire.VarintType},
		5: {"nextHop.natPortRangeTo", protowire.VarintType},
	}
)

// scanner reads the fields of one message or submessage. All positions are
// offsets in p, which ends where the message ends and begins where the payload
// begins, so that an offset in a submessage is one in the payload.
type scanner struct {
	p       []byte
	message Type
	known   []field
}

// uvarint reads the varint at p[i:] and returns what stands behind it.
func uvarint(p []byte, i int) (v uint64, next int, ok bool) {
	if i < len(p) && p[i] < 0x80 {
		return uint64(p[i]), i + 1, true
	}
	return uvarintSlow(p, i)
}

func uvarintSlow(p []byte, i int) (v uint64, next int, ok bool) {
	v, n := protowire.ConsumeVarint(p[i:])
	return v, i + n, n > 0
}

// uint32 reads the value of field num at i. Generated code would cut a longer
// value to 32 bits and put a route into somebody else's VNI.
func (s *scanner) uint32(num, i int) (uint32, int, *Malformed) {
	v, next, ok := uvarint(s.p, i)
	if !ok {
		return 0, 0, s.badVarint(num, i)
	}
	if v > 1<<32-1 {
		return 0, 0, s.bad(s.known[num].name, i, number(v), "0 to 4294967295")
	}
	return uint32(v), next, nil
}

// enum reads the value of field num at i, which is at most top.
func (s *scanner) enum(num, i int, top uint64, allowed string) (uint32, int, *Malformed) {
	v, next, ok := uvarint(s.p, i)
	if !ok {
		return 0, 0, s.badVarint(num, i)
	}
	if v > top {
		return 0, 0, s.bad(s.known[num].name, i, number(v), allowed)
	}
	return uint32(v), next, nil
}

// bytes reads the length at i and returns where the value begins and ends.
func (s *scanner) bytes(num, i int) (from, to int, bad *Malformed) {
	v, from, ok := uvarint(s.p, i)
	if !ok {
		return 0, 0, s.badVarint(num, i)
	}
	if v > uint64(len(s.p)-from) {
		return 0, 0, s.badLength(s.known[num].name, i, v, from)
	}
	return from, from + int(v), nil
}

// skip passes over a field that the schema does not know, or says what is wrong
// with one that it does. The tag stands at i, the value at at.
func (s *scanner) skip(tag uint64, i, at int) (int, *Malformed) {
	return s.skipDepth(tag, i, at, 0)
}

func (s *scanner) skipDepth(tag uint64, i, at, depth int) (int, *Malformed) {
	num, typ := tag>>3, protowire.Type(tag&7)
	if num < 1 || num > uint64(protowire.MaxValidNumber) {
		return 0, s.bad("field number", i, number(num), fmt.Sprintf("1 to %d", protowire.MaxValidNumber))
	}
	if depth == 0 && num < uint64(len(s.known)) {
		f := s.known[num]
		return 0, s.bad(f.name, i, "wire type "+wireType(typ), wireType(f.typ))
	}
	switch typ {
	case protowire.VarintType:
		_, next, ok := uvarint(s.p, at)
		if !ok {
			return 0, s.badVarintOf(unknown(num), at)
		}
		return next, nil
	case protowire.Fixed32Type, protowire.Fixed64Type:
		size := 4
		if typ == protowire.Fixed64Type {
			size = 8
		}
		if left := len(s.p) - at; left < size {
			return 0, s.bad(unknown(num), at, fmt.Sprintf("cut off after %d bytes", left), fmt.Sprintf("%d bytes", size))
		}
		return at + size, nil
	case protowire.BytesType:
		v, from, ok := uvarint(s.p, at)
		if !ok {
			return 0, s.badVarintOf(unknown(num), at)
		}
		if v > uint64(len(s.p)-from) {
			return 0, s.badLength(unknown(num), at, v, from)
		}
		return from + int(v), nil
	case protowire.StartGroupType:
		return s.skipGroup(num, i, at, depth+1)
	case protowire.EndGroupType:
		return 0, s.bad(unknown(num), i, "the end of a group that is not open", "a field")
	}
	return 0, s.bad("wire type", i, wireType(typ), "0 to 5")
}

// skipGroup passes over the fields of group num, whose tag stands at start,
// and its end.
func (s *scanner) skipGroup(num uint64, start, i, depth int) (int, *Malformed) {
	if depth > maxGroups {
		return 0, s.bad(unknown(num), start, fmt.Sprintf("a group at depth %d", depth), fmt.Sprintf("depth 1 to %d", maxGroups))
	}
	for i < len(s.p) {
		tag, at, ok := uvarint(s.p, i)
		if !ok {
			return 0, s.badTag(i)
		}
		if tag == num<<3|uint64(protowire.EndGroupType) {
			return at, nil
		}
		var bad *Malformed
		if i, bad = s.skipDepth(tag, i, at, depth); bad != nil {
			return 0, bad
		}
	}
	return 0, s.bad(unknown(num), start, "a group without an end", "a group that ends inside the message")
}

func (s *scanner) bad(name string, i int, value, allowed string) *Malformed {
	return &Malformed{s.message, name, int64(i), value, allowed}
}

func (s *scanner) badTag(i int) *Malformed {
	return s.badVarintOf("field tag", i)
}

func (s *scanner) badVarint(num, i int) *Malformed {
	return s.badVarintOf(s.known[num].name, i)
}

func (s *scanner) badVarintOf(name string, i int) *Malformed {
	value := "a varint over 64 bits"
	if left := len(s.p) - i; left < 10 {
		value = fmt.Sprintf("cut off after %d bytes", left)
	}
	return s.bad(name, i, value, "a varint of 1 to 10 bytes")
}

func (s *scanner) badLength(name string, i int, length uint64, from int) *Malformed {
	return s.bad(name, i, number(length)+" bytes long", fmt.Sprintf("0 to %d bytes, what is left", len(s.p)-from))
}

func unknown(num uint64) string { return "field " + number(num) }

func wireType(t protowire.Type) string {
	names := [...]string{"varint", "64-bit", "bytes", "group start", "group end", "32-bit"}
	if int(t) < len(names) {
		return fmt.Sprintf("%d (%s)", t, names[t])
	}
	return fmt.Sprint(int(t))
}
