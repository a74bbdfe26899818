package bridge

import (
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// importState is what BGP put into a network. The BGP's mu guards it.
type importState struct {
	routes  int // NLRIs
	limit       // of prefixes; Used is kept only if there is a maximum
	refused map[Reason]uint64
}

func newImportState() *importState { return &importState{refused: map[Reason]uint64{}} }

// Import takes what the speaker heard: a stream of the best path of each NLRI,
// without the speaker's own. An announcement replaces what was known of its
// NLRI, whoever said that; a withdrawal is of the NLRI, whoever is named. Said
// twice is said once. When it returns all is in the table and batch is not
// kept, but the Attributes may not be changed.
//
// A route that a limit refuses is only counted: BGP.Refresh is called when
// there is room.
func (g *BGP) Import(batch []Update) {
	g.mu.Lock()
	for i := range batch {
		u := &batch[i]
		if u.Withdraw || u.Attributes == nil {
			p := u.NLRI.Prefix.Masked()
			g.offer(&u.NLRI, p, nil)
			g.put(&u.NLRI, p, 0)
			continue
		}
		g.announce(u)
	}
	g.decision.attributes = nil
	g.finish()
}

// finish does what a number of updates led to, and unlocks mu.
func (g *BGP) finish() {
	g.standings.ranks.part()
	g.reorder()
	refresh := g.refresh
	g.refresh = false
	g.mu.Unlock()
	if refresh && g.Refresh != nil {
		g.Refresh()
	}
}

func (g *BGP) announce(u *Update) {
	d := &g.decision
	g.decide(u, d)
	if d.reason != Accepted {
		g.refused[d.reason]++
		if d.reason == NeighborLimit {
			if n := g.neighbor(u.Neighbor); n.refuse() {
				logCrossed(g.bridge.log.WithField("neighbor", n.address), n.LimitStats)
			}
		}
	}
	for _, r := range d.refused {
		in := r.network.in
		in.refused[r.reason]++
		if r.reason == VNILimit && in.refuse() {
			logCrossed(g.bridge.log.WithField("vni", r.network.vni), in.LimitStats)
		}
	}
	g.offer(&u.NLRI, d.prefix, d.offers)
	if d.reason != Accepted || len(d.places) == 0 {
		g.put(&u.NLRI, d.prefix, 0)
		return
	}
	number := g.standings.find(g.neighbor(u.Neighbor), groupOf(&u.NLRI), d.places)
	g.reorder()
	g.put(&u.NLRI, d.prefix, number)
}

// reorder gives the routes of ranks whose preference has changed the new one.
// It looks at all that is imported, once.
func (g *BGP) reorder() {
	shifts := g.standings.ranks.shifts()
	if len(shifts) == 0 {
		return
	}
	turn := make(map[rank]int, len(shifts))
	for i, x := range shifts {
		turn[x.rank] = i
	}
	concerned := g.standings.ranked(turn)
	turns := make([][]routeKey, len(shifts))
	g.routes.all(func(k routeKey, number uint32) {
		for _, i := range concerned[number] {
			turns[i] = append(turns[i], k)
		}
	})
	for i, keys := range turns {
		for _, k := range keys {
			s := g.standings.at(g.routes.get(k))
			for j := range s.places {
				if s.places[j].rank == shifts[i].rank {
					g.say(s.sender, k.prefix, s.places[j])
				}
			}
		}
	}
}

func groupOf(n *NLRI) group { return group{n.Kind, n.RD, n.EthernetTag, n.Path} }

// put makes next, 0 for none, the standing of an NLRI.
func (g *BGP) put(n *NLRI, p netip.Prefix, next uint32) {
	x := g.standings.groupOf(n, next)
	if x == 0 || !p.IsValid() {
		return // nothing of the kind was imported
	}
	k := routeKey{x, p}
	if n.Kind == MACIP {
		g.putMAC(k, n.MAC, next)
		return
	}
	g.join(next)
	g.leave(g.become(k, next))
}

// become makes next the standing of a route. It takes over the caller's hold
// on next, and the caller gets that on what the route had before.
func (g *BGP) become(k routeKey, next uint32) (old uint32) {
	if old = g.routes.get(k); old != next {
		g.move(k.prefix, old, next)
		g.routes.set(k, next)
	}
	return old
}

// join takes a hold on a standing: one more NLRI of its neighbour.
func (g *BGP) join(number uint32) {
	if number != 0 {
		g.standings.hold(number)
		g.standings.at(number).sender.neighbor.Used++
	}
}

// leave gives a hold back.
func (g *BGP) leave(number uint32) {
	if number == 0 {
		return
	}
	n := g.standings.at(number).sender.neighbor
	n.Used--
	if n.clear() {
		logClear(g.bridge.log.WithField("neighbor", n.address), n.LimitStats)
		g.refresh = true
	}
	g.standings.drop(number)
}

// move takes a prefix from where old has it to where next has it. What is new
// is said before what is over is withdrawn, so that a route that only changes
// its sender is never gone.
func (g *BGP) move(p netip.Prefix, old, next uint32) {
	was, is := g.standings.at(old), g.standings.at(next)
	same := was.sender == is.sender
	for i := range is.places {
		if pl := is.places[i]; !same || !slices.Contains(was.places, pl) {
			g.place(is.sender, p, pl)
		}
	}
	for i := range was.places {
		pl := was.places[i]
		if same && slices.Contains(is.places, pl) {
			continue
		}
		pl.network.in.routes--
		if !same || !is.in(pl.network) { // else place has replaced it
			g.displace(was.sender, p, pl.network)
		}
	}
}

// in reports whether the standing has a place in n.
func (s *standing) in(n *network) bool {
	return slices.ContainsFunc(s.places, func(p place) bool { return p.network == n })
}

func (g *BGP) place(from *sender, p netip.Prefix, pl place) {
	n := pl.network
	fresh := n.in.Max > 0 && !g.imported(n, p)
	g.say(from, p, pl)
	n.in.routes++
	if fresh {
		n.in.Used++
	}
	if pl.hop.Target != n.gateway {
		g.bridge.claimed(n.vni, p, pl.hop)
	}
}

// say puts a next hop into the tables, in place of what the sender said there.
// Who is sent to this gateway has a way on from it: the fabric table has it
// first, and loses it last.
func (g *BGP) say(from *sender, p netip.Prefix, pl place) {
	vni, preference := pl.network.vni, g.standings.ranks.preference(pl.rank)
	if pl.via.Target.IsValid() {
		g.hop[0] = pl.via
		g.bridge.fabric.Replace(from.fabric, vni, p, g.hop[:], preference)
	}
	g.hop[0] = pl.hop
	g.bridge.table.Replace(from.origin, vni, p, g.hop[:], preference)
	if !pl.via.Target.IsValid() && pl.network.forwards {
		g.bridge.fabric.Replace(from.fabric, vni, p, nil, preference)
	}
}

func (g *BGP) displace(from *sender, p netip.Prefix, n *network) {
	g.bridge.table.Replace(from.origin, n.vni, p, nil, rib.Redistributed)
	if n.forwards {
		g.bridge.fabric.Replace(from.fabric, n.vni, p, nil, rib.Redistributed)
	}
	if n.in.Max == 0 || g.imported(n, p) {
		return
	}
	n.in.Used--
	if n.in.clear() {
		logClear(g.bridge.log.WithField("vni", n.vni), n.in.LimitStats)
		g.refresh = true
	}
}

// imported reports whether the network has imported a prefix. The table knows;
// it is asked only where there is a maximum.
func (g *BGP) imported(n *network, p netip.Prefix) bool {
	for _, info := range g.bridge.table.Lookup(n.vni, p) {
		for _, c := range info.Claims {
			if c.Source == rib.BGP && c.Origin != g.originations.origin {
				return true
			}
		}
	}
	return false
}

// knowledge is what is known of an NLRI before an update of it is applied.
type knowledge struct {
	standing *standing // without sender if the NLRI is not imported
	mac      bool      // it is of the update's MAC, if it has one
}

func (g *BGP) known(u *Update) knowledge {
	number := g.standings.groups[groupOf(&u.NLRI)]
	if number == 0 {
		return knowledge{standing: g.standings.at(0)}
	}
	k := routeKey{number, u.NLRI.Prefix.Masked()}
	return knowledge{g.standings.at(g.routes.get(k)), u.NLRI.Kind != MACIP || g.macs[k.v6()] == u.NLRI.MAC}
}

// from reports whether the NLRI counts for the sender of u already.
func (k knowledge) from(u *Update) bool {
	return k.mac && k.standing.sender != nil && k.standing.sender.neighbor.address == u.Neighbor
}

// in reports whether the NLRI is in n.
func (k knowledge) in(n *network) bool { return k.standing.in(n) }

// limitOf is the limit of a neighbour, known or not.
func (g *BGP) limitOf(address netip.Addr) limit {
	if n := g.neighbors[address]; n != nil {
		return n.limit
	}
	return limit{LimitStats{Max: g.limits.of(address)}}
}

// Forget withdraws all that a neighbour said, its End-of-RIB too, and returns
// how many NLRIs that were. It takes time in proportion to all that is
// imported.
func (g *BGP) Forget(address netip.Addr) int {
	g.mu.Lock()
	g.forgetOffers(address)
	n := g.neighbors[address]
	if n == nil {
		g.mu.Unlock()
		return 0
	}
	count := n.Used
	g.forgetShadows(n)
	g.routes.all(func(k routeKey, number uint32) {
		if g.standings.at(number).sender.neighbor != n {
			return
		}
		if g.standings.names[k.group].kind == MACIP {
			g.putMAC(k, g.macs[k.v6()], 0)
			return
		}
		g.leave(g.become(k, 0))
	})
	delete(g.neighbors, address)
	g.finish()
	return count
}
