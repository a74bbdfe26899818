package bridge

// An EVPN type 2 route has the MAC in its key, so one sender can say the same
// host with two MACs, for instance while an address moves. The host route in
// MetalBond has no MAC: of those the one that came last is in use, the others
// stand behind it and come back, the latest first, when it goes. Nearly always
// there is just one, which costs an entry in macs.

import "slices"

// shadow is a type 2 route behind another one.
type shadow struct {
	mac      MAC
	standing uint32 // held
}

// putMAC makes next, 0 for none, the standing of the type 2 route of k and mac.
func (g *BGP) putMAC(k routeKey, mac MAC, next uint32) {
	id := k.v6() // a host: its length tells the family
	if next != 0 && slices.Contains(g.shadows[id], shadow{mac, next}) {
		return // said once more
	}
	if g.routes.get(k) != 0 && g.macs[id] != mac {
		g.join(next)
		g.leave(g.unshadow(id, mac))
		if next != 0 {
			front := g.macs[id]
			g.macs[id] = mac
			g.shadows[id] = append(g.shadows[id], shadow{front, g.become(k, next)})
		}
		return
	}
	g.join(next)
	if next == 0 {
		mac, next = g.popShadow(id)
	}
	if next == 0 {
		delete(g.macs, id)
	} else {
		g.macs[id] = mac
	}
	g.leave(g.become(k, next))
}

// unshadow removes a shadow and returns its standing with the hold on it.
func (g *BGP) unshadow(id key6, mac MAC) uint32 {
	list := g.shadows[id]
	i := slices.IndexFunc(list, func(s shadow) bool { return s.mac == mac })
	if i < 0 {
		return 0
	}
	number := list[i].standing
	g.setShadows(id, slices.Delete(list, i, i+1))
	return number
}

// popShadow removes the latest shadow and returns it with the hold on it.
func (g *BGP) popShadow(id key6) (MAC, uint32) {
	list := g.shadows[id]
	if len(list) == 0 {
		return MAC{}, 0
	}
	s := list[len(list)-1]
	g.setShadows(id, list[:len(list)-1])
	return s.mac, s.standing
}

func (g *BGP) setShadows(id key6, list []shadow) {
	if len(list) == 0 {
		delete(g.shadows, id)
		return
	}
	g.shadows[id] = list
}

// forgetShadows removes the shadows of a neighbour.
func (g *BGP) forgetShadows(n *neighbor) {
	for id, list := range g.shadows {
		g.setShadows(id, slices.DeleteFunc(list, func(s shadow) bool {
			mine := g.standings.at(s.standing).sender.neighbor == n
			if mine {
				g.leave(s.standing)
			}
			return mine
		}))
	}
}
