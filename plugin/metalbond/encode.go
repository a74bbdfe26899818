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

// set makes x, which is empty, an UPDATE in the bridge's terms. The numbers of
// the next hop types are the same in both.
func set(x *bridge.Edit, u *wire.Update) {
	x.Remove, x.VNI, x.Prefix = u.Remove, rib.VNI(u.VNI), u.Prefix
	nh := &x.NextHop
	nh.Target, nh.TargetVNI, nh.Type = u.Target, rib.VNI(u.TargetVNI), rib.NextHopType(u.HopType)
	nh.NATFrom, nh.NATTo = u.NATFrom, u.NATTo
}
