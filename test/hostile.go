package test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
)

// What a MetalBond server must survive, as named byte sequences. They are
// written down by hand: a server that is tested with its own codec would agree
// with itself.

// The types of a frame, and how long its payload may be.
const (
	typeHello       = 1
	typeKeepalive   = 2
	typeSubscribe   = 3
	typeUnsubscribe = 4
	typeUpdate      = 5

	maxPayload = 1188 // bytes
	headerLen  = 4    // bytes
)

// Stage is how far a client has come when it begins to do harm.
type Stage uint8

// The stages.
const (
	Connected   Stage = iota // TCP only
	Established              // after HELLO and KEEPALIVE both ways, interval 1 s
)

// Outcome is what becomes of the session.
type Outcome uint8

// The outcomes.
const (
	Ends    Outcome = iota // the server closes it and logs why
	Refuses                // an UPDATE is refused and counted; the session goes on
	GoesOn                 // nothing is wrong
)

// Input is something that a peer may do to a server. The routes in it are of
// HostileVNI.
type Input struct {
	Name    string
	Stage   Stage
	Send    []byte
	Piece   int  // bytes a write; 0: all at once
	Close   bool // the client ends its side of the connection behind it
	Outcome Outcome
	Says    string // Ends: in the log; Refuses: the reason
	Routes  int    // how many routes the session announces behind it
}

// HostileVNI is the VNI that inputs are about.
const HostileVNI = 70000

// The pieces of a valid UPDATE, which inputs vary: 203.0.113.0/24 of HostileVNI
// by 2001:db8:bad::1.
const (
	vni         = "10 f0a204"
	destination = "1a 08 12 04 cb007100 18 18"
	nextHop     = "22 12 0a 10 " + hostile
	hostile     = "20010db80bad00000000000000000001"
)

// raw joins pieces of hex.
func raw(pieces ...string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(pieces, ""), " ", ""))
	if err != nil {
		panic(err) // of a constant in this folder
	}
	return b
}

// framed puts a right header in front of a payload.
func framed(kind byte, payload []byte) []byte {
	return append([]byte{1, byte(len(payload) >> 8), byte(len(payload)), kind}, payload...)
}

func frame(kind byte, pieces ...string) []byte { return framed(kind, raw(pieces...)) }

func update(pieces ...string) []byte { return frame(typeUpdate, pieces...) }

// hello and about are the messages with one number in field 1.
func hello(interval uint32) []byte { return about(typeHello, interval) }

func about(kind byte, number uint32) []byte {
	return framed(kind, binary.AppendUvarint([]byte{0x08}, uint64(number)))
}

func keepalive() []byte { return frame(typeKeepalive) }

// announce returns the UPDATE of an IPv4 host route in HostileVNI.
func announce(remove bool, host [4]byte, via string) []byte {
	p := raw(vni, "1a 08 12 04", hex.EncodeToString(host[:]), "18 20", "22 12 0a 10", via)
	if remove {
		p = append(raw("08 01"), p...)
	}
	return framed(typeUpdate, p)
}

// Framing are inputs that are wrong before they are a message.
func Framing() []Input {
	whole := update(vni, destination, nextHop)
	wrong := []Input{
		{Name: "version 0", Send: raw("00 0000 02"), Says: "version"},
		{Name: "version 2", Send: raw("02 0002 01 08 05"), Says: "version"},
		{Name: "a request of HTTP", Send: []byte("GET / HTTP/1.1\r\n\r\n"), Says: "version at stream byte"},
		{Name: "a length of 65535 with fewer bytes following", Send: raw("01 ffff 01 08 05"), Says: "length"},
		{Name: "a length of 65535 and nothing", Send: raw("01 ffff"), Says: "length"},
		{Name: "a payload over 1188 bytes", Send: append(raw("01 04a5 05"), make([]byte, 1189)...), Says: "length"},
		{Name: "type 0", Send: raw("01 0000 00"), Says: "type"},
		{Name: "type 6", Send: raw("01 0000 06"), Says: "type"},
		{Name: "type 255", Send: raw("01 0000 ff"), Says: "type"},
		{Name: "a header that ends in the middle", Send: raw("01 00"), Close: true, Says: "in the middle of a message"},
		{Name: "a payload that ends in the middle", Send: raw("01 0010 01 08"), Close: true, Says: "in the middle of a message"},
	}
	var all []Input
	for _, stage := range []Stage{Connected, Established} {
		for _, in := range wrong {
			in.Stage = stage
			in.Name += map[Stage]string{Connected: ", first of all", Established: ", in a session"}[stage]
			all = append(all, in)
		}
	}
	return append(all, []Input{
		{Name: "a header never finished", Stage: Established, Send: raw("01 00"), Says: "silent"},
		{Name: "a payload never finished", Stage: Established, Send: whole[:20], Says: "silent"},
		{Name: "a length that lies short", Stage: Established, Send: slice(whole, func(b []byte) { b[2] -= 2 }), Says: "malformed UPDATE"},
		{Name: "a length that lies short where a field ends", Stage: Established, Send: append(raw("01 0004 05"), whole[4:]...), Says: "version"},
		{Name: "a length that lies long", Stage: Established, Send: append(slice(whole, func(b []byte) { b[2] += 4 }), whole...), Says: "malformed UPDATE"},
		{Name: "a message over two segments, cut in the header", Stage: Established, Send: whole, Piece: 2, Outcome: GoesOn, Routes: 1},
		{Name: "a message over two segments, cut in the payload", Stage: Established, Send: whole, Piece: 20, Outcome: GoesOn, Routes: 1},
		{Name: "a message byte by byte", Stage: Established, Send: whole, Piece: 1, Outcome: GoesOn, Routes: 1},
		{Name: "two and a half messages, then the rest", Stage: Established, Send: bytes.Repeat(whole, 3), Piece: len(whole)*5/2 + 1, Outcome: GoesOn, Routes: 1},
		{Name: "20,000 updates in one write", Stage: Established, Send: manyUpdates(20000), Outcome: GoesOn, Routes: 20000},
	}...)
}

// Handshakes are inputs that are wrong before there is a session.
func Handshakes() []Input {
	greeting := hello(1)
	return []Input{
		{Name: "nothing at all", Says: "no HELLO within"},
		{Name: "a header never finished", Send: raw("01 00"), Says: "no HELLO within"},
		{Name: "HELLO and then nothing", Send: greeting, Says: "no KEEPALIVE within"},
		{Name: "HELLO without an interval", Send: frame(typeHello), Says: "keepaliveInterval"},
		{Name: "HELLO with interval 0", Send: frame(typeHello, "08 00"), Says: "keepaliveInterval"},
		{Name: "HELLO with an interval over 32 bits", Send: frame(typeHello, "08 8580808010"), Says: "keepaliveInterval"},
		{Name: "HELLO whose interval is bytes", Send: frame(typeHello, "0a 01 05"), Says: "wire type"},
		{Name: "HELLO that is no protobuf", Send: frame(typeHello, "ffffffff"), Says: "malformed HELLO"},
		{Name: "KEEPALIVE before HELLO", Send: keepalive(), Says: "KEEPALIVE came where HELLO was expected"},
		{Name: "SUBSCRIBE before HELLO", Send: about(typeSubscribe, HostileVNI), Says: "SUBSCRIBE came where HELLO was expected"},
		{Name: "UPDATE before HELLO", Send: update(vni, destination, nextHop), Says: "UPDATE came where HELLO was expected"},
		{Name: "UPDATE between HELLO and KEEPALIVE", Send: slices.Concat(greeting, update(vni, destination, nextHop)), Says: "UPDATE came where KEEPALIVE was expected"},
		{Name: "HELLO twice", Send: bytes.Repeat(greeting, 2), Says: "HELLO came where KEEPALIVE was expected"},
		{Name: "HELLO in a session", Stage: Established, Send: greeting, Says: "HELLO in an established session"},
		{Name: "HELLO of a server", Send: slices.Concat(frame(typeHello, "08 01 10 01"), keepalive()), Outcome: GoesOn},
		{Name: "HELLO with the longest interval", Send: slices.Concat(hello(1<<32-1), keepalive()), Outcome: GoesOn},
		{Name: "HELLO and KEEPALIVE byte by byte", Send: slices.Concat(greeting, keepalive()), Piece: 1, Outcome: GoesOn},
		{Name: "HELLO, KEEPALIVE and an update in one segment", Send: slices.Concat(greeting, keepalive(), update(vni, destination, nextHop)), Outcome: GoesOn, Routes: 1},
	}
}

// Subscriptions are inputs about SUBSCRIBE, UNSUBSCRIBE and KEEPALIVE.
func Subscriptions() []Input {
	twice := bytes.Repeat(about(typeSubscribe, HostileVNI), 2)
	in := []Input{
		{Name: "SUBSCRIBE twice to one VNI", Send: twice, Outcome: GoesOn},
		{Name: "SUBSCRIBE a thousand times to one VNI", Send: bytes.Repeat(twice, 500), Outcome: GoesOn},
		{Name: "SUBSCRIBE without a VNI, which is VNI 0", Send: frame(typeSubscribe), Outcome: GoesOn},
		{Name: "SUBSCRIBE to the highest VNI", Send: about(typeSubscribe, 1<<32-1), Outcome: GoesOn},
		{Name: "SUBSCRIBE to a VNI over 32 bits", Send: frame(typeSubscribe, "08 9780808010"), Says: "malformed SUBSCRIBE"},
		{Name: "SUBSCRIBE that is cut off", Send: frame(typeSubscribe, "08"), Says: "malformed SUBSCRIBE"},
		{Name: "UNSUBSCRIBE from what was never subscribed", Send: about(typeUnsubscribe, HostileVNI), Outcome: GoesOn},
		{Name: "SUBSCRIBE and UNSUBSCRIBE 70,000 times, each of another VNI", Send: subscribeAndLeave(70000), Outcome: GoesOn},
		{Name: "KEEPALIVE with a payload", Send: frame(typeKeepalive, "08 01"), Outcome: GoesOn},
	}
	for i := range in {
		in[i].Stage = Established
	}
	return in
}

// Updates are UPDATEs that are malformed, impossible or odd.
func Updates() []Input {
	ends := func(name, says string, payload ...string) Input {
		return Input{Name: name, Send: update(payload...), Says: says}
	}
	refuses := func(name, reason string, payload ...string) Input {
		return Input{Name: name, Send: update(payload...), Outcome: Refuses, Says: reason}
	}
	goesOn := func(name string, routes int, payload ...string) Input {
		return Input{Name: name, Send: update(payload...), Outcome: GoesOn, Routes: routes}
	}
	in := []Input{
		refuses("an empty update", "no-destination"),
		refuses("an update without destination", "no-destination", vni, nextHop),
		refuses("an update without next hop", "no-next-hop", vni, destination),
		refuses("a withdrawal without next hop", "no-next-hop", "08 01", vni, destination),
		refuses("an empty destination", "prefix-address", vni, "1a 00", nextHop),
		refuses("an empty prefix", "prefix-address", vni, "1a 04 12 00 18 18", nextHop),
		refuses("the IPv4 flag with 16 bytes", "prefix-address", vni, "1a 14 12 10 20010db8000000000000000000000000 18 20", nextHop),
		refuses("the IPv6 flag with 4 bytes", "prefix-address", vni, "1a 0a 08 01 12 04 cb007100 18 18", nextHop),
		refuses("an IPv4-mapped prefix", "prefix-ipv4-mapped", vni, "1a 17 08 01 12 10 00000000000000000000ffffcb007100 18 8001", nextHop),
		refuses("prefix length 33", "prefix-length", vni, "1a 08 12 04 cb007100 18 21", nextHop),
		refuses("prefix length 129", "prefix-length", vni, "1a 17 08 01 12 10 20010db8000000000000000000000000 18 8101", nextHop),
		refuses("prefix length 280", "prefix-length", vni, "1a 09 12 04 cb007100 18 9802", nextHop),
		refuses("prefix length 4294967295", "prefix-length", vni, "1a 0c 12 04 cb007100 18 ffffffff0f", nextHop),
		refuses("host bits", "prefix-host-bits", vni, "1a 08 12 04 cb007101 18 18", nextHop),
		refuses("a next hop of 0 bytes", "next-hop-address", vni, destination, "22 00"),
		refuses("a next hop of 3 bytes", "next-hop-address", vni, destination, "22 05 0a 03 c00002"),
		refuses("a next hop of 4 bytes", "next-hop-address", vni, destination, "22 06 0a 04 c0000201"),
		refuses("a next hop of 17 bytes", "next-hop-address", vni, destination, "22 13 0a 11 20010db80bad0000000000000000000100"),
		refuses("the next hop ::", "next-hop-unspecified", vni, destination, "22 12 0a 10 00000000000000000000000000000000"),
		refuses("a multicast next hop", "next-hop-multicast", vni, destination, "22 12 0a 10 ff020000000000000000000000000001"),
		refuses("an IPv4-mapped next hop", "next-hop-ipv4-mapped", vni, destination, "22 12 0a 10 00000000000000000000ffffc0000201"),
		refuses("a NAT port over 65535", "nat-ports", vni, destination, "22 18 0a 10 20010db80bad00000000000000000001 18 01 28 808004"),
		refuses("NAT ports reversed", "nat-ports", vni, destination, "22 1a 0a 10 20010db80bad00000000000000000001 18 01 20 8108 28 8008"),

		ends("an unknown action", "action", "08 02", vni, destination, nextHop),
		ends("an unknown IP version", "ipVersion", vni, "1a 0a 08 02 12 04 cb007100 18 18", nextHop),
		ends("an unknown next hop type", "nextHop.type", vni, destination, "22 14 0a 10 20010db80bad00000000000000000001 18 03"),
		ends("a VNI over 32 bits", "vni", "10 9780808010", destination, nextHop),
		ends("the wrong wire type", "wire type", "15 00000000", destination, nextHop),
		ends("a destination that is a number", "destination", vni, "18 18", nextHop),
		ends("a destination longer than the update", "destination", vni, "1a 7f 12 04 cb007100 18 18"),
		ends("a varint without an end", "vni", "10 ffffffffffffffffffffff"),
		ends("field number 0", "field number", vni, destination, nextHop, "00 00"),
		ends("wire type 7", "wire type", vni, destination, nextHop, "3f"),
		ends("a group without an end", "group", vni, destination, nextHop, "2b"),
		ends("groups a thousand deep", "group", vni, destination, nextHop, strings.Repeat("2b", 550), strings.Repeat("2c", 550)),
		ends("a payload of zeros", "malformed UPDATE", strings.Repeat("00", 1188)),
		ends("a payload of ones", "malformed UPDATE", strings.Repeat("ff", 1188)),

		goesOn("unknown fields", 1, "28 01 3a 02 0000", vni, destination, nextHop, "4b 4c"),
		goesOn("the longest payload, unknown fields most of it", 1, vni, destination, nextHop, "2a ff08", strings.Repeat("00", maxPayload-34-3)),
		goesOn("fields in descending order", 1, nextHop, destination, vni),
		goesOn("the withdrawal of what nobody announced", 0, "08 01", vni, "1a 08 12 04 c6336400 18 18", nextHop),
		goesOn("NAT ports of a standard next hop", 1, vni, destination, "22 18 0a 10 20010db80bad00000000000000000001 20 8008 28 ff0f"),
		{Name: "a refused update between two good ones", Send: slices.Concat(
			update(vni, destination, nextHop), update(vni, destination), manyUpdates(1),
		), Outcome: Refuses, Says: "no-next-hop", Routes: 2},
	}
	for i := range in {
		in[i].Stage = Established
	}
	return in
}

// RandomPayloads returns n frames with a valid header and random bytes, of all
// types that have a payload.
func RandomPayloads(rnd *rand.Rand, n int) [][]byte {
	frames := make([][]byte, n)
	for i := range frames {
		p := make([]byte, rnd.IntN(64))
		if rnd.IntN(16) == 0 {
			p = make([]byte, rnd.IntN(maxPayload+1))
		}
		for j := range p {
			p[j] = byte(rnd.Uint32())
		}
		kind := byte(typeUpdate)
		if rnd.IntN(4) == 0 {
			kind = []byte{typeHello, typeSubscribe, typeUnsubscribe}[rnd.IntN(3)]
		}
		frames[i] = framed(kind, p)
	}
	return frames
}

// Mutations returns a valid UPDATE with every byte replaced by other ones,
// stride apart: 1 is every possible single-byte mutation.
func Mutations(stride int) (frames [][]byte) {
	whole := update(vni, destination, nextHop)
	for i := 0; i < len(whole)*255; i += stride {
		frames = append(frames, slice(whole, func(b []byte) { b[i/255] += byte(1 + i%255) }))
	}
	return frames
}

// slice returns a changed copy.
func slice(b []byte, change func([]byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return b
}

// manyUpdates returns n announcements of different prefixes.
func manyUpdates(n int) (b []byte) {
	for i := range n {
		b = append(b, announce(false, [4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}, hostile)...)
	}
	return b
}

func subscribeAndLeave(n uint32) (b []byte) {
	for i := range n {
		b = append(b, about(typeSubscribe, 1<<20+i)...)
		b = append(b, about(typeUnsubscribe, 1<<20+i)...)
	}
	return b
}
