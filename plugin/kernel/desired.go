package kernel

import (
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// Tables are what the kernel follows.
type Tables struct {
	MetalBond *rib.Table               // what hypervisors and gateways are told
	Fabric    *rib.Table               // where packets go that come to this gateway; nil: nowhere
	Label     func(vni rib.VNI) uint32 // the MPLS label of a VNI, 0: none; nil: none has one
}

// desired returns where packets of a VNI to a prefix are to go, by what the
// tables say now: nowhere at all if it is empty. It is overwritten by the next
// call.
//
// MetalBond's standard next hops decide, and of a prefix that has none those of
// its NAT ranges: which hypervisor owns which port is steering's, and the route
// serves what steering does not know. A next hop that is a gateway address of
// ours means the fabric: whatever it offers for that VNI. A prefix that nothing
// leads to may still be one to discard.
func (f *fib) desired(vni rib.VNI, p netip.Prefix) []hop {
	if f.cfg.IPv4Only && p.Addr().Is6() {
		return nil
	}
	f.paths = f.rib.MetalBond.Visible(f.paths[:0], vni, p)
	list := f.targets(f.found[:0], p, rib.Standard)
	if len(list) == 0 {
		list = f.targets(list, p, rib.NAT)
	}
	if len(list) == 0 {
		list = f.fabric(list, vni, p, true)
	}
	discard := func(h hop) bool { return h.kind == discardHop }
	if slices.ContainsFunc(list, func(h hop) bool { return !discard(h) }) { // there is somewhere to go
		list = slices.DeleteFunc(list, discard)
	}
	f.found = list
	return list
}

// targets appends the hops of the paths of a type. What a client announces is
// here already, and nothing to send away.
func (f *fib) targets(dst []hop, p netip.Prefix, kind rib.NextHopType) []hop {
	for i := range f.paths {
		nh := &f.paths[i].NextHop
		if nh.Type != kind || !nh.Target.IsValid() || f.cfg.RoutesOnly && f.paths[i].Source == rib.Static {
			continue
		}
		if owner, own := f.own[nh.Target]; own {
			dst = f.fabric(dst, owner, p, false)
		} else {
			dst = append(dst, hop{kind: overlayHop, target: nh.Target})
		}
	}
	return dst
}

// fabric appends the hops of what the fabric offers for a prefix of a VNI; with
// discard only that one.
func (f *fib) fabric(dst []hop, vni rib.VNI, p netip.Prefix, discard bool) []hop {
	if f.rib.Fabric == nil {
		return dst
	}
	f.offers = f.rib.Fabric.Visible(f.offers[:0], vni, p)
	for i := range f.offers {
		if nh := &f.offers[i].NextHop; !discard || !nh.Target.IsValid() {
			dst = append(dst, f.offered(vni, nh, p.Addr().Is6()))
		}
	}
	return dst
}

// portRanges returns who owns which ports of a NAT address in a VNI, or in those
// whose ranges it has as well.
func (f *fib) portRanges(from []rib.VNI, p netip.Prefix) (list []portRange) {
	for _, vni := range from {
		f.paths = f.rib.MetalBond.Visible(f.paths[:0], vni, p)
		for i := range f.paths {
			nh := &f.paths[i].NextHop
			if _, own := f.own[nh.Target]; own || nh.Type != rib.NAT || !nh.Target.IsValid() {
				continue
			}
			r := portRange{from: nh.NATFrom, to: nh.NATTo, target: nh.Target}
			if !slices.Contains(list, r) {
				list = append(list, r)
			}
		}
	}
	return list
}
