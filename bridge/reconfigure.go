package bridge

import (
	"net/netip"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// number gives the VNIs of a view their labels and route distinguishers. The
// error is about cfg; then all is as it was.
func (g *BGP) number(cfg *config.Config, now *view) error {
	if cfg.BGP == nil {
		return nil
	}
	rds, labels, err := g.wantNumbers(cfg)
	if err != nil {
		return err
	}
	if err := g.labels.assign(labels); err != nil {
		return err
	}
	if err := g.rds.assign(rds); err != nil {
		return err
	}
	all := g.labels.all()
	for _, n := range now.sorted {
		if label := n.exportLabel(all); label != n.label { // of a new network only
			n.label = label
		}
	}
	return nil
}

// wantNumbers returns what a configuration says of numbers. The error says what
// contradicts itself, or what is there.
func (g *BGP) wantNumbers(cfg *config.Config) (rds wantedRDs, labels wantedLabels, err error) {
	if rds, err = g.rds.want(cfg); err != nil {
		return rds, labels, err
	}
	if labels, err = wantLabels(cfg); err != nil {
		return rds, labels, err
	}
	if err = g.rds.indexes.check(rds.demand); err != nil {
		return rds, labels, err
	}
	return rds, labels, g.labels.inRange.check(labels.demand)
}

// checkNumbers returns the error with which number would refuse a configuration.
func (g *BGP) checkNumbers(cfg *config.Config) error {
	if cfg.BGP == nil {
		return nil
	}
	_, _, err := g.wantNumbers(cfg)
	return err
}

// reconfigure replaces the view of the bridge, and makes what BGP has put into
// the tables follow as far as that needs no routes. It reports whether the rest
// has to be imported once more.
func (g *BGP) reconfigure(cfg *config.Config, was, now *view) (refresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bridge.view.Store(now)
	g.memberships.reconfigure(cfg)
	if cfg.BGP == nil {
		return false
	}
	g.index = newTargetIndex(now.sorted)
	g.limits = newNeighborLimits(cfg.BGP)
	for address, n := range g.neighbors {
		refresh = refresh || n.Over && n.Max != g.limits.of(address)
		n.Max = g.limits.of(address)
	}
	heirs := map[*network]*network{} // of those that are not there any more; nil: none
	for _, n := range was.sorted {
		if heir := now.networks[n.vni]; heir != n {
			heirs[n] = heir
		}
	}
	g.originations.reconfigure(g, now, heirs)
	g.inherit(heirs)
	for _, n := range now.sorted {
		if old := was.networks[n.vni]; old == nil || n.in.Max != n.imports.MaxPrefixes {
			g.limitImports(n)
		}
		refresh = refresh || was.networks[n.vni] != n
	}
	return refresh
}

// inherit makes what lies in networks lie in their heirs, and withdraws what has
// none.
func (g *BGP) inherit(heirs map[*network]*network) {
	if len(heirs) == 0 {
		return
	}
	gone, hidden := map[*network]bool{}, map[*network]bool{}
	for n, heir := range heirs {
		gone[n] = heir == nil
		hidden[n] = heir != nil && n.forwards && !heir.forwards
	}
	walk := false
	for i := range g.standings.all {
		places := g.standings.all[i].places
		for k := range places {
			n := places[k].network
			heir, replaced := heirs[n]
			walk = walk || gone[n] || hidden[n]
			if replaced && heir != nil && !hidden[n] {
				places[k].network = heir
			}
		}
	}
	if !walk {
		return
	}
	g.withdraw(gone, hidden)
	for i := range g.standings.all { // those whose routes are not in the fabric table any more
		places := g.standings.all[i].places
		for k := range places {
			if n := places[k].network; hidden[n] {
				places[k].network, places[k].via = heirs[n], rib.NextHop{} // found no more by its hash, which costs room alone
			}
		}
	}
}

// withdraw takes all that is imported out of networks that are gone, and out of
// the fabric table if they are hidden.
func (g *BGP) withdraw(gone, hidden map[*network]bool) {
	for id, list := range g.shadows {
		for i := range list {
			next := g.without(list[i].standing, gone)
			g.join(next)
			g.leave(list[i].standing)
			list[i].standing = next
		}
		g.setShadows(id, slices.DeleteFunc(list, func(s shadow) bool { return s.standing == 0 }))
	}
	g.routes.all(func(k routeKey, number uint32) {
		s := g.standings.at(number)
		for _, p := range s.places {
			if hidden[p.network] {
				g.bridge.fabric.Replace(s.sender.fabric, p.network.vni, k.prefix, nil, rib.Redistributed)
			}
		}
		next := g.without(number, gone)
		switch {
		case next == number:
		case next == 0 && g.standings.names[k.group].kind == MACIP:
			g.putMAC(k, g.macs[k.v6()], 0)
		default:
			g.join(next)
			g.leave(g.become(k, next))
		}
	})
}

// without returns the number of the standing that is left of another one, 0 if
// there is none.
func (g *BGP) without(number uint32, gone map[*network]bool) uint32 {
	s := g.standings.at(number)
	left := slices.DeleteFunc(slices.Clone(s.places), func(p place) bool { return gone[p.network] })
	switch len(left) {
	case len(s.places):
		return number
	case 0:
		return 0
	}
	return g.standings.find(s.sender.neighbor, g.standings.names[s.sender.group], left)
}

// limitImports gives the imports of a network their maximum, and counts what
// there is.
func (g *BGP) limitImports(n *network) {
	n.in.Max = n.imports.MaxPrefixes
	if n.in.Max == 0 {
		n.in.limit = limit{}
		return
	}
	prefixes := map[netip.Prefix]struct{}{}
	g.routes.all(func(k routeKey, number uint32) {
		if g.standings.at(number).in(n) {
			prefixes[k.prefix] = struct{}{}
		}
	})
	n.in.Used = len(prefixes)
	n.in.clear()
}

// newNeighborLimits returns the maximums of a configuration.
func newNeighborLimits(c *config.BGP) neighborLimits {
	l := neighborLimits{fixed: map[netip.Addr]int{}, dynamic: slices.Clone(c.DynamicNeighbors)}
	for _, n := range c.Neighbors {
		l.fixed[n.Address] = n.MaxPrefixes
	}
	return l
}
