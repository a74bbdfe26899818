package wire

import (
	"fmt"
	"net/netip"
)

// The frame of MetalBond v1: one byte version, two bytes big-endian length of
// the payload, one byte type, payload.
const (
	Version    = 1    // the only version there is
	HeaderLen  = 4    // bytes in front of every payload
	MaxPayload = 1188 // bytes; a longer payload is malformed

	// MaxUpdateLen is the length in bytes of the longest frame that
	// AppendUpdate makes of a valid Update, its header included.
	MaxUpdateLen = 73
)

// Type is the kind of a message, the fourth byte of its header.
type Type uint8

// The types of MetalBond v1. Every other value is malformed.
const (
	TypeHello       Type = 1
	TypeKeepalive   Type = 2
	TypeSubscribe   Type = 3
	TypeUnsubscribe Type = 4
	TypeUpdate      Type = 5
)

// String returns the name of the type in capitals.
func (t Type) String() string {
	switch t {
	case TypeHello:
		return "HELLO"
	case TypeKeepalive:
		return "KEEPALIVE"
	case TypeSubscribe:
		return "SUBSCRIBE"
	case TypeUnsubscribe:
		return "UNSUBSCRIBE"
	case TypeUpdate:
		return "UPDATE"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Message is one frame without its header.
type Message struct {
	Type    Type
	Payload []byte // belongs to the Reader, valid until its next Next
}

// Hello opens a session in both directions.
type Hello struct {
	// Keepalive is the interval in seconds that the sender wishes, 1 to
	// 4294967295; the lower of both wishes holds. Take the minimum before
	// multiplying: 2.5 times the largest value overflows a time.Duration.
	Keepalive uint32
	IsServer  bool // set by servers
}

// The values of Update.HopType.
const (
	HopStandard           uint8 = 0
	HopNAT                uint8 = 1
	HopLoadBalancerTarget uint8 = 2
)

// Update announces or withdraws one next hop of one prefix.
type Update struct {
	Remove    bool         // withdraw; else announce
	VNI       uint32       // 0 to 4294967295
	Prefix    netip.Prefix // IPv4 or IPv6, no host bits, never IPv4-mapped
	Target    netip.Addr   // underlay IPv6 address, no zone, never IPv4-mapped
	TargetVNI uint32       // as told: 0 and the VNI itself mean the same
	HopType   uint8        // HopStandard, HopNAT or HopLoadBalancerTarget
	NATFrom   uint16       // HopNAT only, else 0: start of the port range
	NATTo     uint16       // HopNAT only, else 0: end of the port range, not below NATFrom
}
