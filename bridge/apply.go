package bridge

// A new configuration is applied in one step for all that comes: from then on
// it is judged by the new view. What was there before follows, each part in its
// own way, and nothing is taken back that is said again:
//
//	preferences   MetalBond next hops that have become a gateway's, or are none
//	              any more, and those of VNIs that prefer the other side from now
//	              on, get another one (prefer)
//	imports       what lies in VNIs that are gone is withdrawn at once; the rest
//	              is decided once more when the speaker has said it once more
//	              (BGP.Refresh), which changes nothing where nothing changes
//	exports       the exporter goes through the VNIs concerned once more, and
//	              tells BGP the difference (handover.go)
//	leaks         Leak ends those that are over and begins those that are new

import (
	"maps"
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// Apply makes cfg what is configured: its VNIs, metalbond.gateways, and the
// limits and families of BGP neighbours. All else of cfg must be as it was in
// New. With an error, which says which values contradict each other or what is
// there, nothing has changed.
func (b *Bridge) Apply(cfg *config.Config) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	was := b.current()
	now, err := newView(cfg, was)
	if err != nil {
		return err
	}
	if err := b.bgp.number(cfg, now); err != nil {
		return err
	}
	b.prefers.mark(now)
	for _, n := range now.sorted {
		n.admitted.mu.Lock()
		n.admitted.Max = n.config.MaxPrefixes
		n.admitted.mu.Unlock()
	}
	refresh := b.bgp.reconfigure(cfg, was, now)
	b.leaks.set(b, now)
	b.bgp.handovers.add(was, now, b.prefer(was, now))
	if refresh && b.bgp.Refresh != nil {
		b.bgp.Refresh()
	}
	return nil
}

// Check returns the error with which Apply would refuse a configuration now.
func (b *Bridge) Check(cfg *config.Config) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	if _, err := newView(cfg, b.current()); err != nil {
		return err
	}
	return b.bgp.checkNumbers(cfg)
}

// prefer gives the next hops that MetalBond peers have said the preference that
// they have in another view, and returns the VNIs where there were some to whose
// gateways the views do not agree.
func (b *Bridge) prefer(was, now *view) map[rib.VNI]bool {
	concerned := map[rib.VNI]bool{}
	gateways := !maps.Equal(was.own, now.own) || !slices.Equal(was.pools, now.pools)
	for _, vni := range b.table.VNIs() {
		if !gateways && was.deferred[vni] == now.deferred[vni] && slices.Equal(was.sourcesOf(vni), now.sourcesOf(vni)) {
			continue
		}
		b.table.Walk(vni, func(info rib.RouteInfo) bool {
			old, next := was.preference(vni, info.NextHop), now.preference(vni, info.NextHop)
			if was.gatewayHop(info.NextHop.Target) != now.gatewayHop(info.NextHop.Target) {
				concerned[vni] = true
			}
			for _, c := range info.Claims {
				switch {
				case c.Source == rib.Server && now.own[info.NextHop.Target]: // an echo of ours, by now
					b.table.Remove(c.Origin, vni, info.Prefix, info.NextHop)
				case old != next && c.Preference == old && c.Source <= rib.Server:
					b.again(c.Origin, vni, info.Prefix, info.NextHop, next)
				}
			}
			return true
		})
	}
	return concerned
}

// sourcesOf returns the VNIs whose routes a VNI has, too.
func (v *view) sourcesOf(vni rib.VNI) []rib.VNI {
	if n := v.networks[vni]; n != nil {
		return n.from
	}
	return nil
}

// again gives what an origin says another preference, unless it has taken it
// back meanwhile.
func (b *Bridge) again(o rib.Origin, vni rib.VNI, p netip.Prefix, nh rib.NextHop, preference rib.Preference) {
	e := b.table.Edit(o, vni)
	defer e.Done()
	if e.Remove(p, nh) {
		e.Add(p, nh, preference)
	}
}
