package metalbond

import (
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// The reasons for which a client is refused what it is not entitled to. They are
// names of metrics, as those of bridge.Reason.
const (
	reasonSubscribe bridge.Reason = "client-subscribe" // it may not read the VNI
	reasonAnnounce  bridge.Reason = "client-vni"       // it may not announce in the VNI, or for the target VNI
	reasonPrefix    bridge.Reason = "client-prefix"    // outside of its prefixes
	reasonNextHop   bridge.Reason = "client-next-hop"  // outside of its next hops
	reasonType      bridge.Reason = "client-type"      // a type of next hop that is not its
)

// rights are what one client may do: the entry of the configuration that it
// comes under, for the address that it connects from.
type rights struct {
	entry     config.MetalBondClient
	prefixes  *prefixSet // nil: any
	nextHops  *prefixSet // nil: anywhere
	types     uint8      // a bit for each, by number
	unlimited bool       // nothing that can be announced is refused
}

// newRights returns the rights of a client from an address; without an entry it
// may do anything.
func newRights(entry *config.MetalBondClient, from netip.Addr) *rights {
	if entry == nil {
		return &rights{unlimited: true, entry: config.MetalBondClient{Subscribe: config.AllVNIs(), Announce: config.AllVNIs()}}
	}
	r := &rights{entry: *entry, types: 0xff}
	if entry.Prefixes != nil {
		r.prefixes = newPrefixSet(entry.Prefixes)
	}
	if entry.NextHops != nil {
		var list []netip.Prefix
		for _, scope := range entry.NextHops {
			if p := scope.In(from); p.IsValid() {
				list = append(list, p)
			}
		}
		r.nextHops = newPrefixSet(list)
	}
	if entry.Types != nil {
		r.types = 0
		for _, t := range entry.Types {
			r.types |= 1 << t
		}
	}
	r.unlimited = entry.Announce.All() && r.prefixes == nil && r.nextHops == nil && r.types == 0xff
	return r
}

// refuses returns why a route may not be announced, nil if it may.
func (r *rights) refuses(vni rib.VNI, p netip.Prefix, nh rib.NextHop) *bridge.Refusal {
	announce := r.entry.Announce
	switch {
	case r.unlimited:
	case !announce.Contains(uint32(vni)):
		return &bridge.Refusal{Reason: reasonAnnounce, Detail: fmt.Sprintf("this client may not announce in vni %d", vni)}
	case nh.TargetVNI != 0 && !announce.Contains(uint32(nh.TargetVNI)):
		return &bridge.Refusal{Reason: reasonAnnounce, Detail: fmt.Sprintf("this client may not announce for target vni %d", nh.TargetVNI)}
	case r.prefixes != nil && !r.prefixes.holds(p):
		return &bridge.Refusal{Reason: reasonPrefix, Detail: fmt.Sprintf("this client may not announce %v", p)}
	case r.nextHops != nil && !r.nextHops.holds(netip.PrefixFrom(nh.Target, nh.Target.BitLen())):
		return &bridge.Refusal{Reason: reasonNextHop, Detail: fmt.Sprintf("this client may not announce next hops at %v", nh.Target)}
	case nh.Type > 7 || r.types&(1<<nh.Type) == 0:
		return &bridge.Refusal{Reason: reasonType, Detail: fmt.Sprintf("this client may not announce next hops of type %v", nh.Type)}
	}
	return nil
}

// reads reports whether a VNI may be subscribed to.
func (r *rights) reads(vni rib.VNI) bool { return r.entry.Subscribe.Contains(uint32(vni)) }

// prefixSet is a set of prefixes and of what lies inside them.
type prefixSet struct {
	list []netip.Prefix // in order, none inside another
}

func newPrefixSet(list []netip.Prefix) *prefixSet {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Prefix.Compare)
	s := &prefixSet{}
	for _, p := range list {
		if !s.holds(p) { // what could hold it comes before it
			s.list = append(s.list, p)
		}
	}
	return s
}

// holds reports whether p lies inside one of the prefixes.
func (s *prefixSet) holds(p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(s.list, p, func(q, p netip.Prefix) int { return q.Addr().Compare(p.Addr()) })
	if !found {
		i-- // the last one that begins before p
	}
	return i >= 0 && p.IsValid() && s.list[i].Bits() <= p.Bits() && s.list[i].Contains(p.Addr())
}
