package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"mbbgp/wire/internal/pb"
)

// The codec by hand against generated protobuf code: equal bytes out, equal
// meaning in.

// toGenerated is u as generated code has it.
func toGenerated(u Update) *pb.Update {
	m := &pb.Update{
		Vni:         u.VNI,
		Destination: &pb.Destination{Prefix: u.Prefix.Addr().AsSlice(), PrefixLength: uint32(u.Prefix.Bits())},
		NextHop: &pb.NextHop{
			TargetAddress:    u.Target.AsSlice(),
			TargetVNI:        u.TargetVNI,
			Type:             pb.NextHopType(u.HopType),
			NatPortRangeFrom: uint32(u.NATFrom),
			NatPortRangeTo:   uint32(u.NATTo),
		},
	}
	if u.Remove {
		m.Action = pb.Action_REMOVE
	}
	if u.Prefix.Addr().Is6() {
		m.Destination.IpVersion = pb.IPVersion_IPv6
	}
	return m
}

// fromGenerated is the Update that m stands for, and false if it stands for
// none: the rules of the package comment, said a second time and differently.
func fromGenerated(m *pb.Update) (Update, bool) {
	u := Update{Remove: m.Action == pb.Action_REMOVE, VNI: m.Vni}
	if m.Destination == nil || m.NextHop == nil {
		return u, false
	}
	addr, _ := netip.AddrFromSlice(m.Destination.Prefix)
	u.Prefix, _ = addr.Prefix(int(min(m.Destination.PrefixLength, 200)))
	u.Target, _ = netip.AddrFromSlice(m.NextHop.TargetAddress)
	u.TargetVNI = m.NextHop.TargetVNI
	u.HopType = uint8(m.NextHop.Type)
	if u.HopType == HopNAT {
		u.NATFrom, u.NATTo = uint16(m.NextHop.NatPortRangeFrom), uint16(m.NextHop.NatPortRangeTo)
		if max(m.NextHop.NatPortRangeFrom, m.NextHop.NatPortRangeTo) > 65535 || u.NATFrom > u.NATTo {
			return u, false
		}
	}
	return u, u.Prefix.IsValid() && u.Prefix.Addr() == addr &&
		addr.Is6() == (m.Destination.IpVersion == pb.IPVersion_IPv6) && !addr.Is4In6() &&
		u.Target.Is6() && !u.Target.Is4In6() && !u.Target.IsUnspecified() && !u.Target.IsMulticast()
}

// sameVerdict holds what ParseUpdate says of a payload against the meaning
// that generated code finds in it.
func sameVerdict(tb interface{ Fatalf(string, ...any) }, payload []byte, m *pb.Update) {
	want, possible := fromGenerated(m)
	got, err := ParseUpdate(payload)
	var refused *Invalid
	switch {
	case possible && (err != nil || got != want):
		tb.Fatalf("%x\ngot  %+v, %v\nwant %+v", payload, got, err, want)
	case !possible && !errors.As(err, &refused):
		tb.Fatalf("%x\ngot  %+v, %v\nwant a refusal of %v", payload, got, err, m)
	}
}

// uint32s draws numbers of every length on the wire.
func uint32s() *rapid.Generator[uint32] {
	return rapid.OneOf(rapid.Uint32Max(127), rapid.Uint32Max(1<<17), rapid.Uint32())
}

func addresses(t *rapid.T, label string) (a [16]byte) {
	copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	return a
}

// updates draws valid updates.
func updates(t *rapid.T) Update {
	u := Update{
		Remove:    rapid.Bool().Draw(t, "remove"),
		VNI:       uint32s().Draw(t, "vni"),
		TargetVNI: uint32s().Draw(t, "target vni"),
		HopType:   rapid.Uint8Max(2).Draw(t, "hop type"),
	}
	a := addresses(t, "prefix")
	a[0] |= 0x10 // never IPv4-mapped
	if rapid.Bool().Draw(t, "ipv6") {
		u.Prefix, _ = netip.AddrFrom16(a).Prefix(rapid.IntRange(0, 128).Draw(t, "bits"))
	} else {
		u.Prefix, _ = netip.AddrFrom4([4]byte(a[:4])).Prefix(rapid.IntRange(0, 32).Draw(t, "bits"))
	}
	a = addresses(t, "target")
	a[0] = a[0]&0x7f | 0x10 // neither multicast nor IPv4-mapped
	u.Target = netip.AddrFrom16(a)
	if u.HopType == HopNAT {
		u.NATTo = rapid.Uint16().Draw(t, "to")
		u.NATFrom = rapid.Uint16Max(u.NATTo).Draw(t, "from")
	}
	return u
}

func TestUpdatesHaveTheBytesAndTheMeaningOfGeneratedCode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := updates(t)
		payload := AppendUpdate(nil, u)[HeaderLen:]
		want, err := proto.Marshal(toGenerated(u))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(payload, want) {
			t.Fatalf("%+v\ngot  %x\nwant %x", u, payload, want)
		}
		if got, err := ParseUpdate(payload); err != nil || got != u {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, u)
		}
		var m pb.Update
		if err := proto.Unmarshal(payload, &m); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(&m, toGenerated(u)) {
			t.Fatalf("generated code reads %v, want %v", &m, toGenerated(u))
		}
	})
}

func TestHellosAndSubscriptionsHaveTheBytesAndTheMeaningOfGeneratedCode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Hello{max(1, uint32s().Draw(t, "keepalive")), rapid.Bool().Draw(t, "server")}
		want, _ := proto.Marshal(&pb.Hello{KeepaliveInterval: h.Keepalive, IsServer: h.IsServer})
		if got := AppendHello(nil, h)[HeaderLen:]; !bytes.Equal(got, want) {
			t.Fatalf("%+v: got %x, want %x", h, got, want)
		}
		if got, err := ParseHello(want); err != nil || got != h {
			t.Fatalf("got %+v, %v, want %+v", got, err, h)
		}
		vni := uint32s().Draw(t, "vni")
		want, _ = proto.Marshal(&pb.Subscription{Vni: vni})
		for _, frame := range [][]byte{AppendSubscribe(nil, vni), AppendUnsubscribe(nil, vni)} {
			if got := frame[HeaderLen:]; !bytes.Equal(got, want) {
				t.Fatalf("vni %d: got %x, want %x", vni, got, want)
			}
		}
		if got, err := ParseSubscription(want); err != nil || got != vni {
			t.Fatalf("got %d, %v, want %d", got, err, vni)
		}
	})
}

// appendLong appends a varint with up to pad bytes more than it needs.
func appendLong(b []byte, v uint64, pad int) []byte {
	b = protowire.AppendVarint(b, v)
	n := protowire.SizeVarint(v)
	for range min(pad, 10-n) {
		b[len(b)-1] |= 0x80
		b = append(b, 0)
	}
	return b
}

// fields draws the fields of a message as protobuf allows them: in any order,
// several times, in long varints, with unknown ones between.
func fields(t *rapid.T, known []field, values func(t *rapid.T, num int) (uint64, []byte)) (b []byte) {
	for range rapid.IntRange(0, 8).Draw(t, "fields") {
		pad := rapid.SampledFrom([]int{0, 0, 0, 1, 9}).Draw(t, "pad")
		if rapid.IntRange(0, 4).Draw(t, "unknown") == 0 {
			b = appendUnknown(t, b, len(known), 2)
			continue
		}
		num := rapid.IntRange(1, len(known)-1).Draw(t, "number")
		v, content := values(t, num)
		b = appendLong(b, protowire.EncodeTag(protowire.Number(num), known[num].typ), pad)
		if known[num].typ == protowire.VarintType {
			b = appendLong(b, v, pad)
		} else {
			b = append(appendLong(b, uint64(len(content)), pad), content...)
		}
	}
	return b
}

func appendUnknown(t *rapid.T, b []byte, above, depth int) []byte {
	num := protowire.Number(rapid.IntRange(above, int(protowire.MaxValidNumber)).Draw(t, "unknown number"))
	typ := rapid.SampledFrom([]protowire.Type{protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.BytesType,
		protowire.StartGroupType}).Draw(t, "unknown type")
	b = protowire.AppendTag(b, num, typ)
	switch typ {
	case protowire.VarintType:
		return protowire.AppendVarint(b, rapid.Uint64().Draw(t, "varint"))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, rapid.Uint32().Draw(t, "32 bits"))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, rapid.Uint64().Draw(t, "64 bits"))
	case protowire.BytesType:
		return protowire.AppendBytes(b, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"))
	}
	for range rapid.IntRange(0, depth).Draw(t, "group") {
		b = appendUnknown(t, b, 1, depth-1) // inside a group every number is unknown
	}
	return protowire.AppendTag(b, num, protowire.EndGroupType)
}

// plausible draws address bytes of right and of wrong lengths.
func plausible(t *rapid.T, lengths ...int) []byte {
	n := rapid.SampledFrom(lengths).Draw(t, "length")
	first := rapid.SampledFrom([]byte{0, 0x20, 0xfd, 0xff}).Draw(t, "first byte")
	b := make([]byte, n)
	if n > 0 {
		b[0] = first
		b[n-1] = rapid.Byte().Draw(t, "last byte")
	}
	if n == 16 && first == 0 && rapid.Bool().Draw(t, "mapped") {
		b[10], b[11] = 0xff, 0xff
	}
	return b
}

func drawUpdatePayload(t *rapid.T) []byte {
	return fields(t, updateFields, func(t *rapid.T, num int) (uint64, []byte) {
		switch num {
		case 1:
			return uint64(rapid.IntRange(0, 1).Draw(t, "action")), nil
		case 2:
			return uint64(uint32s().Draw(t, "vni")), nil
		case 3:
			return 0, fields(t, destinationFields, func(t *rapid.T, num int) (uint64, []byte) {
				switch num {
				case 1:
					return uint64(rapid.IntRange(0, 1).Draw(t, "family")), nil
				case 2:
					return 0, plausible(t, 4, 16, 4, 16, 0, 5)
				}
				return rapid.SampledFrom([]uint64{0, 24, 32, 33, 64, 128, 129, 280, 1<<32 - 1}).Draw(t, "bits"), nil
			})
		}
		return 0, fields(t, nextHopFields, func(t *rapid.T, num int) (uint64, []byte) {
			switch num {
			case 1:
				return 0, plausible(t, 16, 16, 16, 0, 3, 4, 17)
			case 2:
				return uint64(uint32s().Draw(t, "target vni")), nil
			case 3:
				return uint64(rapid.IntRange(0, 2).Draw(t, "type")), nil
			}
			return uint64(uint32s().Draw(t, "port")), nil
		})
	})
}

func TestAnyLegalPayloadMeansWhatGeneratedCodeFindsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawUpdatePayload(t)
		var m pb.Update
		if err := proto.Unmarshal(payload, &m); err != nil {
			t.Fatalf("the generator makes payloads that are not legal: %v", err)
		}
		sameVerdict(t, payload, &m)
		compact, err := proto.Marshal(&m) // unknown fields are kept, at the end
		if err != nil {
			t.Fatal(err)
		}
		sameVerdict(t, compact, &m)
	})
}

func TestTheTablesOfPayloadsMeanTheSameToGeneratedCode(t *testing.T) {
	check := func(name string, payload []byte) {
		var m pb.Update
		if err := proto.Unmarshal(payload, &m); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		sameVerdict(t, payload, &m)
	}
	for _, tt := range variations {
		if _, ok := tt.body.(Update); ok {
			check(tt.name, unhex(t, tt.payload...))
		}
	}
	for _, tt := range invalid {
		check(tt.name, unhex(t, tt.payload...))
	}
}
