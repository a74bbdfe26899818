package wire

import (
	"bytes"
	"errors"
	"testing"
)

// malformed inputs end the session, with this text.
var malformed = []struct {
	name    string
	message Type // 0: the bytes are a stream, else a payload
	bytes   []string
	text    string
}{
	{"version 0", 0, []string{"00 0000 02"}, "malformed header: version at stream byte 0 is 0, allowed is 1"},
	{"version 2 after a good message", 0, []string{"01 0000 02", "02 0000 02"}, "malformed header: version at stream byte 4 is 2, allowed is 1"},
	{"an HTTP request, told at its first byte", 0, []string{"47"}, "malformed header: version at stream byte 0 is 71, allowed is 1"},
	{"a length over the limit, told before the type is there", 0, []string{"01 04a5"}, "malformed header: length at stream byte 1 is 1189, allowed is 0 to 1188 bytes"},
	{"the longest length", 0, []string{"01 ffff 05 00"}, "malformed header: length at stream byte 1 is 65535, allowed is 0 to 1188 bytes"},
	{"type 0, told before its payload is there", 0, []string{"01 0004 00"}, "malformed header: type at stream byte 3 is 0, allowed is 1 to 5"},
	{"type 6", 0, []string{"01 0000 06"}, "malformed header: type at stream byte 3 is 6, allowed is 1 to 5"},
	{"a length that lies short puts the stream out of step", 0, []string{"01 0001 01 08 05"}, "malformed header: version at stream byte 5 is 5, allowed is 1"},

	{"hello without an interval", TypeHello, []string{""}, "malformed HELLO: keepaliveInterval at byte 0 is 0, allowed is 1 to 4294967295 seconds"},
	{"hello with interval 0", TypeHello, []string{"10 01 08 00"}, "malformed HELLO: keepaliveInterval at byte 3 is 0, allowed is 1 to 4294967295 seconds"},
	{"hello with an interval over 32 bits", TypeHello, []string{"08 8580808010"}, "malformed HELLO: keepaliveInterval at byte 1 is 4294967301, allowed is 0 to 4294967295"},
	{"hello whose interval is bytes", TypeHello, []string{"0a 01 05"}, "malformed HELLO: keepaliveInterval at byte 0 is wire type 2 (bytes), allowed is 0 (varint)"},
	{"hello whose isServer is cut off", TypeHello, []string{"08 05 10 81"}, "malformed HELLO: isServer at byte 3 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"hello with half a tag", TypeHello, []string{"08 05 ff"}, "malformed HELLO: field tag at byte 2 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"subscription without its value", TypeSubscribe, []string{"08"}, "malformed SUBSCRIBE: vni at byte 1 is cut off after 0 bytes, allowed is a varint of 1 to 10 bytes"},
	{"subscription over 32 bits", TypeSubscribe, []string{"08 9780808010"}, "malformed SUBSCRIBE: vni at byte 1 is 4294967319, allowed is 0 to 4294967295"},
	{"subscription with half a tag", TypeUnsubscribe, []string{"88"}, "malformed SUBSCRIBE: field tag at byte 0 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},

	{"varint over 64 bits", TypeUpdate, []string{"10 ffffffffffffffffff 02"}, "malformed UPDATE: vni at byte 1 is a varint over 64 bits, allowed is a varint of 1 to 10 bytes"},
	{"varint of eleven bytes", TypeUpdate, []string{"10 8080808080808080808000"}, "malformed UPDATE: vni at byte 1 is a varint over 64 bits, allowed is a varint of 1 to 10 bytes"},
	{"field number 0", TypeUpdate, []string{vni, "00 00"}, "malformed UPDATE: field number at byte 2 is 0, allowed is 1 to 536870911"},
	{"field number too high", TypeUpdate, []string{"8080808010 00"}, "malformed UPDATE: field number at byte 0 is 536870912, allowed is 1 to 536870911"},
	{"wire type 6", TypeUpdate, []string{"3e"}, "malformed UPDATE: wire type at byte 0 is 6, allowed is 0 to 5"},
	{"wire type 7 in a destination", TypeUpdate, []string{"1a 02 27 00"}, "malformed UPDATE: wire type at byte 2 is 7, allowed is 0 to 5"},
	{"unknown action", TypeUpdate, []string{"08 02"}, "malformed UPDATE: action at byte 1 is 2, allowed is 0 (ADD) or 1 (REMOVE)"},
	{"negative action", TypeUpdate, []string{"08 ffffffffffffffffff01"}, "malformed UPDATE: action at byte 1 is 18446744073709551615, allowed is 0 (ADD) or 1 (REMOVE)"},
	{"action as a 32-bit value", TypeUpdate, []string{"0d 01000000"}, "malformed UPDATE: action at byte 0 is wire type 5 (32-bit), allowed is 0 (varint)"},
	{"destination as a varint", TypeUpdate, []string{vni, "18 18"}, "malformed UPDATE: destination at byte 2 is wire type 0 (varint), allowed is 2 (bytes)"},
	{"destination as a group", TypeUpdate, []string{vni, "1b 1c"}, "malformed UPDATE: destination at byte 2 is wire type 3 (group start), allowed is 2 (bytes)"},
	{"destination longer than the message", TypeUpdate, []string{"1a 08 12 04 0a001700"}, "malformed UPDATE: destination at byte 1 is 8 bytes long, allowed is 0 to 6 bytes, what is left"},
	{"destination without its length", TypeUpdate, []string{"1a"}, "malformed UPDATE: destination at byte 1 is cut off after 0 bytes, allowed is a varint of 1 to 10 bytes"},
	{"prefix longer than its destination", TypeUpdate, []string{"1a 06 12 05 0a001700", "18 18"}, "malformed UPDATE: destination.prefix at byte 3 is 5 bytes long, allowed is 0 to 4 bytes, what is left"},
	{"a length of 2^64-1", TypeUpdate, []string{"1a ffffffffffffffffff01"}, "malformed UPDATE: destination at byte 1 is 18446744073709551615 bytes long, allowed is 0 to 0 bytes, what is left"},
	{"half a tag in a destination, the rest of it behind", TypeUpdate, []string{"1a 01 92", "00"}, "malformed UPDATE: field tag at byte 2 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"unknown IP version", TypeUpdate, []string{"1a 02 08 04"}, "malformed UPDATE: destination.ipVersion at byte 3 is 4, allowed is 0 (IPv4) or 1 (IPv6)"},
	{"prefix length as bytes", TypeUpdate, []string{"1a 02 1a 00"}, "malformed UPDATE: destination.prefixLength at byte 2 is wire type 2 (bytes), allowed is 0 (varint)"},
	{"prefix length over 32 bits", TypeUpdate, []string{"1a 06 18 8080808010"}, "malformed UPDATE: destination.prefixLength at byte 3 is 4294967296, allowed is 0 to 4294967295"},
	{"next hop as a 64-bit value", TypeUpdate, []string{"21 0000000000000000"}, "malformed UPDATE: nextHop at byte 0 is wire type 1 (64-bit), allowed is 2 (bytes)"},
	{"next hop cut off", TypeUpdate, []string{vni, destination, "22 12 0a 10 2001"}, "malformed UPDATE: nextHop at byte 13 is 18 bytes long, allowed is 0 to 4 bytes, what is left"},
	{"half a tag in a next hop", TypeUpdate, []string{"22 01 8a"}, "malformed UPDATE: field tag at byte 2 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"target address as a varint", TypeUpdate, []string{"22 02 08 01"}, "malformed UPDATE: nextHop.targetAddress at byte 2 is wire type 0 (varint), allowed is 2 (bytes)"},
	{"unknown next hop type", TypeUpdate, []string{"22 02 18 03"}, "malformed UPDATE: nextHop.type at byte 3 is 3, allowed is 0 (STANDARD), 1 (NAT) or 2 (LOADBALANCER_TARGET)"},
	{"enum cut off", TypeUpdate, []string{"22 01 18"}, "malformed UPDATE: nextHop.type at byte 3 is cut off after 0 bytes, allowed is a varint of 1 to 10 bytes"},
	{"port over 32 bits", TypeUpdate, []string{"22 06 20 8080808010"}, "malformed UPDATE: nextHop.natPortRangeFrom at byte 3 is 4294967296, allowed is 0 to 4294967295"},
	{"unknown varint cut off", TypeUpdate, []string{"28 80"}, "malformed UPDATE: field 5 at byte 1 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"unknown 32-bit value cut off", TypeUpdate, []string{"2d 000000"}, "malformed UPDATE: field 5 at byte 1 is cut off after 3 bytes, allowed is 4 bytes"},
	{"unknown 64-bit value cut off", TypeUpdate, []string{"29"}, "malformed UPDATE: field 5 at byte 1 is cut off after 0 bytes, allowed is 8 bytes"},
	{"unknown bytes cut off", TypeUpdate, []string{"2a 02 00"}, "malformed UPDATE: field 5 at byte 1 is 2 bytes long, allowed is 0 to 1 bytes, what is left"},
	{"unknown bytes without their length", TypeUpdate, []string{"2a 80"}, "malformed UPDATE: field 5 at byte 1 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"group without an end", TypeUpdate, []string{vni, "2b 30 01"}, "malformed UPDATE: field 5 at byte 2 is a group without an end, allowed is a group that ends inside the message"},
	{"half a tag in a group", TypeUpdate, []string{"2b 80"}, "malformed UPDATE: field tag at byte 1 is cut off after 1 bytes, allowed is a varint of 1 to 10 bytes"},
	{"group that ends as another", TypeUpdate, []string{"2b 34"}, "malformed UPDATE: field 6 at byte 1 is the end of a group that is not open, allowed is a field"},
	{"end of a group that did not begin", TypeUpdate, []string{"2c"}, "malformed UPDATE: field 5 at byte 0 is the end of a group that is not open, allowed is a field"},
	{"malformed at the end beats impossible at the front", TypeUpdate, []string{"1a 00", nextHop, "3e"}, "malformed UPDATE: wire type at byte 22 is 6, allowed is 0 to 5"},
}

func TestMalformedInputIsToldWithPlaceValueAndWhatIsAllowed(t *testing.T) {
	for _, tt := range malformed {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.bytes...)
			var err error
			if tt.message == 0 {
				r := NewReader(bytes.NewReader(b))
				for err == nil {
					_, err = r.Next()
				}
				if _, again := r.Next(); again != err {
					t.Errorf("second call says %v", again)
				}
			} else {
				_, err = parse(Message{tt.message, b})
			}
			var bad *Malformed
			if !errors.As(err, &bad) || err.Error() != tt.text {
				t.Errorf("got  %v\nwant %s", err, tt.text)
			}
		})
	}
}

// invalid payloads are refused and counted under the reason.
var invalid = []struct {
	name    string
	payload []string
	reason  string
	text    string
}{
	{"empty update", nil, ReasonNoDestination, "destination at byte 0 is missing, allowed is one destination"},
	{"no destination", []string{vni, nextHop}, ReasonNoDestination, "destination at byte 22 is missing, allowed is one destination"},
	{"no next hop", []string{vni, destination}, ReasonNoNextHop, "nextHop at byte 12 is missing, allowed is one next hop"},
	{"withdrawal without a next hop", []string{"08 01", vni, destination}, ReasonNoNextHop, "nextHop at byte 14 is missing, allowed is one next hop"},
	{"empty destination", []string{vni, "1a 00", nextHop}, ReasonPrefixAddress, "destination.prefix at byte 24 is 0 bytes, allowed is 4 bytes for IPv4"},
	{"empty prefix", []string{"1a 04 12 00 18 18", nextHop}, ReasonPrefixAddress, "destination.prefix at byte 4 is 0 bytes, allowed is 4 bytes for IPv4"},
	{"IPv4 with 16 bytes", []string{"1a 14 12 10 20010db8002300000000000000000000 18 18", nextHop}, ReasonPrefixAddress, "destination.prefix at byte 4 is 16 bytes, allowed is 4 bytes for IPv4"},
	{"IPv6 with 4 bytes", []string{"1a 0a 08 01 12 04 0a001700 18 18", nextHop}, ReasonPrefixAddress, "destination.prefix at byte 6 is 4 bytes, allowed is 16 bytes for IPv6"},
	{"IPv6 without a prefix", []string{"1a 02 08 01", nextHop}, ReasonPrefixAddress, "destination.prefix at byte 24 is 0 bytes, allowed is 16 bytes for IPv6"},
	{"IPv4-mapped prefix", []string{"1a 17 08 01 12 10 00000000000000000000ffff0a000000 18 8001", nextHop}, ReasonPrefixMapped,
		"destination.prefix at byte 6 is ::ffff:10.0.0.0, allowed is an IPv6 address that is not IPv4-mapped"},
	{"IPv4 prefix length 33", []string{"1a 08 12 04 0a001700 18 21", nextHop}, ReasonPrefixLength, "destination.prefixLength at byte 9 is 33, allowed is 0 to 32"},
	{"IPv6 prefix length 129", []string{"1a 17 08 01 12 10 20010db8002300000000000000000000 18 8101", nextHop}, ReasonPrefixLength, "destination.prefixLength at byte 23 is 129, allowed is 0 to 128"},
	{"prefix length 280, 24 in eight bits", []string{"1a 09 12 04 0a001700 18 9802", nextHop}, ReasonPrefixLength, "destination.prefixLength at byte 9 is 280, allowed is 0 to 32"},
	{"prefix length 2^32-1", []string{"1a 0c 12 04 0a001700 18 ffffffff0f", nextHop}, ReasonPrefixLength, "destination.prefixLength at byte 9 is 4294967295, allowed is 0 to 32"},
	{"host bits in IPv4", []string{"1a 08 12 04 0a001701 18 18", nextHop}, ReasonPrefixHostBits, "destination.prefix at byte 4 is 10.0.23.1/24, allowed is 10.0.23.0/24, without host bits"},
	{"host bits behind length 0", []string{"1a 06 12 04 00000001", nextHop}, ReasonPrefixHostBits, "destination.prefix at byte 4 is 0.0.0.1/0, allowed is 0.0.0.0/0, without host bits"},
	{"host bits in IPv6", []string{"1a 16 08 01 12 10 20010db8002300000000000000000001 18 40", nextHop}, ReasonPrefixHostBits,
		"destination.prefix at byte 6 is 2001:db8:23::1/64, allowed is 2001:db8:23::/64, without host bits"},
	{"empty next hop", []string{destination, "22 00"}, ReasonNextHopAddress, "nextHop.targetAddress at byte 12 is 0 bytes, allowed is 16 bytes, IPv6"},
	{"next hop of 0 bytes", []string{destination, "22 02 0a 00"}, ReasonNextHopAddress, "nextHop.targetAddress at byte 14 is 0 bytes, allowed is 16 bytes, IPv6"},
	{"next hop of 3 bytes", []string{destination, "22 05 0a 03 c00002"}, ReasonNextHopAddress, "nextHop.targetAddress at byte 14 is 3 bytes, allowed is 16 bytes, IPv6"},
	{"next hop in IPv4", []string{destination, "22 06 0a 04 c0000201"}, ReasonNextHopAddress, "nextHop.targetAddress at byte 14 is 4 bytes, allowed is 16 bytes, IPv6"},
	{"next hop of 17 bytes", []string{destination, "22 13 0a 11 20010db800000000000000000000000100"}, ReasonNextHopAddress, "nextHop.targetAddress at byte 14 is 17 bytes, allowed is 16 bytes, IPv6"},
	{"next hop ::", []string{destination, "22 12 0a 10 00000000000000000000000000000000"}, ReasonNextHopUnspecified, "nextHop.targetAddress at byte 14 is ::, allowed is a unicast IPv6 address"},
	{"multicast next hop", []string{destination, "22 12 0a 10 ff020000000000000000000000000001"}, ReasonNextHopMulticast, "nextHop.targetAddress at byte 14 is ff02::1, allowed is a unicast IPv6 address"},
	{"IPv4-mapped next hop", []string{destination, "22 12 0a 10 00000000000000000000ffffc0000201"}, ReasonNextHopMapped,
		"nextHop.targetAddress at byte 14 is ::ffff:192.0.2.1, allowed is an IPv6 address that is not IPv4-mapped"},
	{"NAT from a port over 65535", []string{destination, "22 1c 0a 10 20010db8000000000000000000000001 18 01 20 808004 28 808004"}, ReasonNATPorts,
		"nextHop.natPortRangeFrom at byte 33 is 65536, allowed is 0 to 65535"},
	{"NAT to a port over 65535", []string{destination, "22 18 0a 10 20010db8000000000000000000000001 18 01 28 808004"}, ReasonNATPorts,
		"nextHop.natPortRangeTo at byte 33 is 65536, allowed is natPortRangeFrom (0) to 65535"},
	{"NAT with ports reversed", []string{destination, "22 1a 0a 10 20010db8000000000000000000000001 18 01 20 8108 28 8008"}, ReasonNATPorts,
		"nextHop.natPortRangeTo at byte 36 is 1024, allowed is natPortRangeFrom (1025) to 65535"},
	{"NAT without an end", []string{destination, "22 17 0a 10 20010db8000000000000000000000001 18 01 20 8008"}, ReasonNATPorts,
		"nextHop.natPortRangeTo at byte 35 is 0, allowed is natPortRangeFrom (1024) to 65535"},
}

func TestImpossibleUpdatesAreRefusedWithAReason(t *testing.T) {
	for _, tt := range invalid {
		t.Run(tt.name, func(t *testing.T) {
			u, err := ParseUpdate(unhex(t, tt.payload...))
			var refused *Invalid
			if !errors.As(err, &refused) {
				t.Fatalf("got %+v, %v", u, err)
			}
			if want := "invalid UPDATE: " + tt.text; err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if refused.Reason != tt.reason {
				t.Errorf("reason %s, want %s", refused.Reason, tt.reason)
			}
			if u != (Update{}) {
				t.Errorf("something came with the error: %+v", u)
			}
		})
	}
}

func TestAnUpdateCutOffAnywhereIsNeverAccepted(t *testing.T) {
	whole := unhex(t, "08 01", vni, destination, nextHop)
	for n := range whole {
		if u, err := ParseUpdate(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes accepted as %+v", n, len(whole), u)
		}
	}
}
