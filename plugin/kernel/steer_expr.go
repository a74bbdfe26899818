package kernel

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What rules are made of. Registers 8 and on are the 4-byte ones that keys of several
// fields are put together in.

// iifname and oifname are the names of the packet's devices in registers 8 to 11.
func iifname() []expr.Any { return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 8}} }

func oifname() []expr.Any { return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 8}} }

// ifname is a name of a device as it is compared and looked up.
func ifname(name string) []byte {
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

// ipv4 and ipv6 are "meta nfproto".
func ipv4() []expr.Any { return metaIs(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV4) }
func ipv6() []expr.Any { return metaIs(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV6) }

func metaIs(key expr.MetaKey, value byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{value}},
	}
}

// destination4 and destination6 are the destination address in a register.
func destination4(register uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}}
}

func destination6(register uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16}}
}

// in is a lookup in a set of what is in a register and behind it.
func in(s *nftables.Set, register uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: register, SetName: s.Name, SetID: s.ID}}
}

// vmap is a lookup of a verdict.
func vmap(s *nftables.Set, register uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: register, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}}
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

// setMark sets our bits of the packet's mark, and no others.
func setMark(shift uint8, value uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^uint32(markBits << shift)),
			Xor:  binaryutil.NativeEndian.PutUint32(value << shift),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// markIsNot compares our bits of the packet's mark.
func markIsNot(shift uint8, value uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(markBits << shift), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(value << shift)},
	}
}
