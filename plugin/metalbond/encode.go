package metalbond

import (
	"net/netip"

	"mbbgp/bridge"
	"mbbgp/rib"
	"mbbgp/wire"
)

// Encode appends the UPDATE that announces (remove: withdraws) a next hop of a
// prefix. It is what rib.Options.Encode wants.
func Encode(dst []byte, remove bool, vni rib.VNI, p netip.Prefix, nh rib.NextHop) []byte {
	return wire.AppendUpdate(dst, wire.Update{
		Remove:    remove,
		VNI:       uint32(vni),
		Prefix:    p,
		Target:    nh.Target,
		TargetVNI: uint32(nh.TargetVNI),
		HopType:   uint8(nh.Type),
		NATFrom:   nh.NATFrom,
		NATTo:     nh.NATTo,
	})
}

// edit returns an UPDATE in the bridge's terms. The numbers of the next hop
// types are the same in both.
func edit(u wire.Update) bridge.Edit {
	return bridge.Edit{
		Remove: u.Remove,
		VNI:    rib.VNI(u.VNI),
		Prefix: u.Prefix,
		NextHop: rib.NextHop{
			Target:    u.Target,
			TargetVNI: rib.VNI(u.TargetVNI),
			Type:      rib.NextHopType(u.HopType),
			NATFrom:   u.NATFrom,
			NATTo:     u.NATTo,
		},
	}
}
