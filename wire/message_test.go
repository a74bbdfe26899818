package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// unhex joins commented pieces of hex.
func unhex(tb testing.TB, pieces ...string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(pieces, ""), " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// body is a decoded payload: Hello, Update, subscription, unsubscription or
// nil (KEEPALIVE).
type (
	subscription   uint32
	unsubscription uint32
)

func parse(m Message) (any, error) {
	switch m.Type {
	case TypeHello:
		return ParseHello(m.Payload)
	case TypeSubscribe:
		vni, err := ParseSubscription(m.Payload)
		return subscription(vni), err
	case TypeUnsubscribe:
		vni, err := ParseSubscription(m.Payload)
		return unsubscription(vni), err
	case TypeUpdate:
		return ParseUpdate(m.Payload)
	}
	return nil, nil
}

func appendBody(dst []byte, body any) []byte {
	switch b := body.(type) {
	case Hello:
		return AppendHello(dst, b)
	case subscription:
		return AppendSubscribe(dst, uint32(b))
	case unsubscription:
		return AppendUnsubscribe(dst, uint32(b))
	case Update:
		return AppendUpdate(dst, b)
	}
	return AppendKeepalive(dst)
}

var (
	prefix4 = netip.MustParsePrefix("10.0.23.0/24")
	target  = netip.MustParseAddr("2001:db8::1")
)

// messages hold in both directions: the bytes are what the body encodes to, and
// what they decode to is the body.
var messages = []struct {
	name  string
	bytes []string
	body  any
}{
	{"hello of a client", []string{
		"01 0002 01", // version 1, length 2, HELLO
		"08 05",      // keepaliveInterval 5
	}, Hello{Keepalive: 5}},
	{"hello of a server with the longest interval", []string{
		"01 0008 01",
		"08 ffffffff0f", // keepaliveInterval 2^32-1
		"10 01",         // isServer
	}, Hello{Keepalive: 1<<32 - 1, IsServer: true}},
	{"keepalive", []string{"01 0000 02"}, nil},
	{"subscribe to VNI 0, which is omitted", []string{"01 0000 03"}, subscription(0)},
	{"subscribe to the highest VNI", []string{
		"01 0006 03",
		"08 ffffffff0f",
	}, subscription(1<<32 - 1)},
	{"unsubscribe from a VNI of 24 bits", []string{
		"01 0005 04",
		"08 ffffff07",
	}, unsubscription(1<<24 - 1)},
	{"update adds an IPv4 prefix", []string{
		"01 0020 05",
		"10 17",            // vni 23
		"1a 08",            // destination
		"  12 04 0a001700", // prefix
		"  18 18",          // prefixLength 24
		"22 12",            // nextHop
		"  0a 10 20010db8000000000000000000000001", // targetAddress
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"update removes an IPv6 NAT range in another VNI", []string{
		"01 003c 05",
		"08 01",   // action REMOVE
		"10 b960", // vni 12345
		"1a 17",   // destination
		"  08 01", // ipVersion IPv6
		"  12 10 20010db8002300000000000000000000",
		"  18 8001", // prefixLength 128
		"22 1c",     // nextHop
		"  0a 10 20010db8000000000000000000000001", // targetAddress
		"  10 2a",   // targetVNI 42
		"  18 01",   // type NAT
		"  20 8008", // natPortRangeFrom 1024
		"  28 ff0f", // natPortRangeTo 2047
	}, Update{Remove: true, VNI: 12345, Prefix: netip.MustParsePrefix("2001:db8:23::/128"), Target: target,
		TargetVNI: 42, HopType: HopNAT, NATFrom: 1024, NATTo: 2047}},
	{"update with every number at its largest is as long as a frame gets", []string{
		"01 0045 05",
		"08 01",
		"10 ffffffff0f",
		"1a 17",
		"  08 01",
		"  12 10 20010db800230000000000000000ffff",
		"  18 8001",
		"22 22",
		"  0a 10 fdffffffffffffffffffffffffffffff",
		"  10 ffffffff0f",
		"  18 01",
		"  20 ffff03",
		"  28 ffff03",
	}, Update{Remove: true, VNI: 1<<32 - 1, Prefix: netip.MustParsePrefix("2001:db8:23::ffff/128"),
		Target: netip.MustParseAddr("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), TargetVNI: 1<<32 - 1, HopType: HopNAT, NATFrom: 65535, NATTo: 65535}},
	{"update of both default routes: IPv4", []string{
		"01 001e 05",
		"10 17",
		"1a 06",
		"  12 04 00000000", // prefixLength 0 is omitted
		"22 12",
		"  0a 10 20010db8000000000000000000000001",
	}, Update{VNI: 23, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Target: target}},
	{"update of both default routes: IPv6", []string{
		"01 002c 05",
		"10 17",
		"1a 14",
		"  08 01",
		"  12 10 00000000000000000000000000000000",
		"22 12",
		"  0a 10 20010db8000000000000000000000001",
	}, Update{VNI: 23, Prefix: netip.MustParsePrefix("::/0"), Target: target}},
	{"update of a load balancer target in VNI 0", []string{
		"01 0020 05",
		"1a 08",
		"  12 04 c6336409",
		"  18 20",
		"22 14",
		"  0a 10 20010db8000000000000000000000001",
		"  18 02", // type LOADBALANCER_TARGET
	}, Update{Prefix: netip.MustParsePrefix("198.51.100.9/32"), Target: target, HopType: HopLoadBalancerTarget}},
	{"update of NAT from port 0", []string{
		"01 0025 05",
		"10 17",
		"1a 08",
		"  12 04 c0000207",
		"  18 20",
		"22 17",
		"  0a 10 20010db8000000000000000000000001",
		"  18 01",
		"  28 ff07", // natPortRangeTo 1023; from 0 is omitted
	}, Update{VNI: 23, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Target: target, HopType: HopNAT, NATTo: 1023}},
	{"update of NAT that was told no range", []string{
		"01 0022 05",
		"10 17",
		"1a 08",
		"  12 04 c0000207",
		"  18 20",
		"22 14",
		"  0a 10 20010db8000000000000000000000001",
		"  18 01",
	}, Update{VNI: 23, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Target: target, HopType: HopNAT}},
}

func TestMessagesEncodeToTheirBytes(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.bytes...)
			prefix := []byte("in front")
			got := appendBody(prefix, tt.body)
			if !bytes.Equal(got[len(prefix):], want) {
				t.Errorf("got  %x\nwant %x", got[len(prefix):], want)
			}
			if string(got[:len(prefix)]) != "in front" {
				t.Error("what stood in the slice before is gone")
			}
		})
	}
}

func TestMessagesDecodeFromTheirBytes(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			frame := unhex(t, tt.bytes...)
			m, err := NewReader(bytes.NewReader(frame)).Next()
			if err != nil {
				t.Fatal(err)
			}
			got, err := parse(m)
			if err != nil || got != tt.body {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.body)
			}
		})
	}
}

// base is an UPDATE payload in pieces: what the variations below vary.
const (
	vni         = "10 17"
	destination = "1a 08 12 04 0a001700 18 18"
	nextHop     = "22 12 0a 10 20010db8000000000000000000000001"
)

// variations are bytes that no peer sends and protobuf allows. They decode to
// the body; it encodes to other bytes.
var variations = []struct {
	name    string
	payload []string
	body    any
}{
	{"fields in descending order", []string{nextHop, destination, vni}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"the last of two scalars counts", []string{"08 01", "10 05", destination, nextHop, vni, "08 00"}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"a destination in two parts is merged", []string{vni, "1a 06 12 04 0a001700", nextHop, "1a 02 18 18"}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"a next hop in two parts is merged, the last value counts", []string{
		vni, destination, "22 14 0a 10 20010db8000000000000000000000002 10 2a", nextHop,
	}, Update{VNI: 23, Prefix: prefix4, Target: target, TargetVNI: 42}},
	{"a second, empty destination changes nothing", []string{vni, destination, nextHop, "1a 00"}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"zero values that are written out", []string{
		"08 00", vni, "1a 0a 08 00 12 04 0a001700 18 18", "22 1a 0a 10 20010db8000000000000000000000001 10 00 18 00 20 00 28 00",
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"varints longer than they need be", []string{
		"10 9780808080 00",                 // vni 23 in six bytes
		"9a80 00 08 12 04 0a001700 18 18",  // tag of destination in three
		"22 9280808080808080 80 00 0a 10 ", // length of nextHop in ten
		"20010db8000000000000000000000001",
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"unknown fields of every wire type", []string{
		"28 96 01",                                    // 5: varint
		"31 0102030405060708",                         // 6: 64-bit
		"3a 03 616263",                                // 7: bytes
		"43 08 01 4b 0a 00 4c 44",                     // 8: group with a varint and group 9 in it
		"4d 01020304",                                 // 9: 32-bit
		"f8ffffff0f 00",                               // 536870911: varint
		vni, "1a 0c 20 01 12 04 0a001700 2a 00 18 18", // 4 and 5 in destination
		"22 17 0a 10 20010db8000000000000000000000001 35 00000000", // 6 in nextHop
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"known numbers inside an unknown group mean nothing", []string{
		vni, destination, nextHop, "2b 08 01 10 18 1d 00000000 2c",
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"ports of a standard next hop are dropped", []string{
		vni, destination, "22 18 0a 10 20010db8000000000000000000000001 20 8008 28 ff0f",
	}, Update{VNI: 23, Prefix: prefix4, Target: target}},
	{"keepalive with a payload", []string{"08 01"}, nil},
	{"hello whose isServer is 2", []string{"10 02 08 05"}, Hello{Keepalive: 5, IsServer: true}},
	{"hello with unknown fields", []string{"08 05 18 01 22 01 00"}, Hello{Keepalive: 5}},
	{"hello whose last interval counts", []string{"08 00 08 05"}, Hello{Keepalive: 5}},
	{"subscription with unknown fields", []string{"12 00 08 17 19 0000000000000000"}, subscription(23)},
}

func TestLegalVariationsOfProtobufAreUnderstood(t *testing.T) {
	for _, tt := range variations {
		t.Run(tt.name, func(t *testing.T) {
			m := Message{Payload: unhex(t, tt.payload...)}
			switch tt.body.(type) {
			case Hello:
				m.Type = TypeHello
			case subscription:
				m.Type = TypeSubscribe
			case Update:
				m.Type = TypeUpdate
			default:
				m.Type = TypeKeepalive
			}
			got, err := parse(m)
			if err != nil || got != tt.body {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.body)
			}
		})
	}
}

func TestUnknownGroupsMayNestAHundredDeep(t *testing.T) {
	payload := func(depth int) []byte {
		return unhex(t, vni, destination, strings.Repeat("2b", depth), strings.Repeat("2c", depth), nextHop)
	}
	if _, err := ParseUpdate(payload(maxGroups)); err != nil {
		t.Error(err)
	}
	_, err := ParseUpdate(payload(maxGroups + 1))
	want := "malformed UPDATE: field 5 at byte 112 is a group at depth 101, allowed is depth 1 to 100"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestTheLongestUpdateIsMaxUpdateLen(t *testing.T) {
	longest := 0
	for _, tt := range messages {
		longest = max(longest, len(unhex(t, tt.bytes...)))
	}
	if longest != MaxUpdateLen {
		t.Errorf("longest frame is %d bytes, MaxUpdateLen %d", longest, MaxUpdateLen)
	}
}

func TestValuesThatNobodyMaySendAreEncodedAndRefusedByTheReader(t *testing.T) {
	for name, u := range map[string]Update{
		"nothing at all":       {},
		"no prefix":            {Target: target},
		"no target":            {Prefix: prefix4},
		"mapped prefix":        {Prefix: netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 120), Target: target},
		"prefix length -1":     {Prefix: netip.PrefixFrom(target, 200), Target: target},
		"target in IPv4":       {Prefix: prefix4, Target: netip.MustParseAddr("192.0.2.1")},
		"unknown hop type":     {Prefix: prefix4, Target: target, HopType: 255},
		"reversed NAT ports":   {Prefix: prefix4, Target: target, HopType: HopNAT, NATFrom: 2, NATTo: 1},
		"prefix with host bit": {Prefix: netip.MustParsePrefix("10.0.0.1/24"), Target: target},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := NewReader(bytes.NewReader(AppendUpdate(nil, u))).Next()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ParseUpdate(m.Payload); err == nil {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
}

func TestTypesHaveNames(t *testing.T) {
	got := fmt.Sprint(TypeHello, TypeKeepalive, TypeSubscribe, TypeUnsubscribe, TypeUpdate, Type(9))
	if want := "HELLO KEEPALIVE SUBSCRIBE UNSUBSCRIBE UPDATE type 9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
