package bridge

// A VNI may originate prefixes toward hypervisors (originate), the default
// route above all: while the fabric offers exactly this prefix, the table has
// it with the gateway as next hop, whatever import.prefixes says. Hypervisors
// take the loss of a default badly, so it stays for hold-down when the last
// offer is gone: a fabric that flaps is not seen.
//
// What offers it are routes that the VNI would import but for its prefix
// rules. Our own domain's are none of these, so two bridges do not keep each
// other's default alive. The fabric table has the best of them, and in the
// hold-down those that were the last.

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// originations are all that VNIs originate. The BGP's mu guards it.
type originations struct {
	table    *rib.Table
	origin   rib.Origin
	fabric   *rib.Table // nil: none
	vias     rib.Origin // in it
	byPrefix map[netip.Prefix][]*origination
	missing  int           // that are not in the table
	complete chan struct{} // closed when none was missing for the first time
	closed   bool
}

// origination is a prefix that a VNI originates.
type origination struct {
	network  *network
	prefix   netip.Prefix
	holdDown time.Duration
	offers   map[NLRI]offer
	present  bool        // in the table
	end      *time.Timer // of the hold-down; nil if none is under way
}

// offer is an NLRI that offers a prefix.
type offer struct {
	neighbor netip.Addr
	via      rib.NextHop // of packets that come to this gateway; without target: nowhere
	rank     rank
}

// offering is an offer, and of what.
type offering struct {
	*origination
	offer
}

// OriginationStats are the figures of a prefix that a VNI originates.
type OriginationStats struct {
	Prefix  netip.Prefix
	Offers  int  // NLRIs that offer it
	Present bool // MetalBond has it; without offers: in its hold-down
}

// checkOriginate says which VNI has no next hop for what it originates.
func checkOriginate(c *config.VNI) error {
	if len(c.Originate) > 0 && !c.Gateway.IsValid() {
		return fmt.Errorf("vni %d: originate %v needs a gateway", c.VNI, c.Originate[0].Prefix)
	}
	return nil
}

// newOriginations returns those of a configuration. Without BGP nothing is
// originated.
func newOriginations(b *Bridge, cfg *config.Config) originations {
	o := originations{table: b.table, fabric: b.fabric, byPrefix: map[netip.Prefix][]*origination{}, complete: make(chan struct{})}
	if cfg.BGP == nil {
		close(o.complete)
		return o
	}
	for _, n := range b.current().sorted {
		for _, c := range n.originates {
			o.byPrefix[c.Prefix] = append(o.byPrefix[c.Prefix], &origination{
				network: n, prefix: c.Prefix, holdDown: c.HoldDown, offers: map[NLRI]offer{},
			})
			o.missing++
		}
	}
	if o.missing == 0 {
		close(o.complete)
	}
	info := rib.OriginInfo{Source: rib.BGP, Name: "originate"}
	o.origin = b.table.NewOrigin(info)
	if o.fabric != nil {
		o.vias = o.fabric.NewOrigin(info)
	}
	return o
}

// reconfigure makes what is originated that of a view. What was there before
// and has an heir is not looked for again.
func (o *originations) reconfigure(g *BGP, now *view, heirs map[*network]*network) {
	for p, list := range o.byPrefix {
		o.byPrefix[p] = slices.DeleteFunc(list, func(x *origination) bool {
			if heir, replaced := heirs[x.network]; replaced {
				return !g.inheritOrigination(x, heir)
			}
			return false
		})
		if len(o.byPrefix[p]) == 0 {
			delete(o.byPrefix, p)
		}
	}
	for _, n := range now.sorted {
		for _, c := range n.originates {
			if o.of(n, c.Prefix) == nil {
				o.byPrefix[c.Prefix] = append(o.byPrefix[c.Prefix], &origination{
					network: n, prefix: c.Prefix, holdDown: c.HoldDown, offers: map[NLRI]offer{},
				})
				o.missing++
			}
		}
	}
}

// inheritOrigination makes x one of the heir of its network, and reports false
// if that does not originate the prefix: then it is over.
func (g *BGP) inheritOrigination(x *origination, heir *network) bool {
	o := &g.originations
	i := -1
	if heir != nil {
		i = slices.IndexFunc(heir.originates, func(c config.Originate) bool { return c.Prefix == x.prefix })
	}
	if i < 0 {
		if x.end != nil {
			x.end.Stop()
			x.end = nil
		}
		if x.present {
			g.remove(x)
		}
		o.missing--
		return false
	}
	was := x.network
	x.network, x.holdDown = heir, heir.originates[i].HoldDown
	if x.present && heir.gateway != was.gateway {
		hop := []rib.NextHop{{Target: heir.gateway}}
		o.table.Replace(o.origin, heir.vni, x.prefix, hop, rib.Redistributed)
	}
	if was.forwards && !heir.forwards {
		o.fabric.Replace(o.vias, heir.vni, x.prefix, nil, rib.Redistributed)
	}
	return true
}

// of returns what the network originates under a prefix, nil if it does not.
func (o *originations) of(n *network, p netip.Prefix) *origination {
	for _, x := range o.byPrefix[p] {
		if x.network == n {
			return x
		}
	}
	return nil
}

// offer notes what an NLRI of prefix p offers now, instead of what it did
// before.
func (g *BGP) offer(n *NLRI, p netip.Prefix, offers []offering) {
	list := g.originations.byPrefix[p]
	if len(list) == 0 {
		return
	}
	key := *n
	key.Prefix = p
	for _, x := range list {
		i := slices.IndexFunc(offers, func(o offering) bool { return o.origination == x })
		if i >= 0 {
			x.offers[key] = offers[i].offer
			g.appear(x)
		} else if _, had := x.offers[key]; had {
			delete(x.offers, key)
			g.vanish(x)
		}
	}
}

// forgetOffers takes back what a neighbour offers.
func (g *BGP) forgetOffers(from netip.Addr) {
	for _, list := range g.originations.byPrefix {
		for _, x := range list {
			for key, o := range x.offers {
				if o.neighbor == from {
					delete(x.offers, key)
					g.vanish(x)
				}
			}
		}
	}
}

// appear puts a prefix that is offered into the tables.
func (g *BGP) appear(x *origination) {
	g.originations.direct(x)
	if x.end != nil {
		x.end.Stop()
		x.end = nil
	}
	if x.present {
		return
	}
	o := &g.originations
	x.present = true
	o.table.Add(o.origin, rib.Route{
		VNI: x.network.vni, Prefix: x.prefix, NextHop: rib.NextHop{Target: x.network.gateway}, Preference: rib.Redistributed,
	})
	if o.missing--; o.missing == 0 {
		select {
		case <-o.complete:
		default:
			close(o.complete)
		}
	}
}

// vanish begins the hold-down of a prefix that is not offered any more.
func (g *BGP) vanish(x *origination) {
	if len(x.offers) > 0 {
		g.originations.direct(x)
		return
	}
	if x.holdDown == 0 {
		g.remove(x)
		return
	}
	if g.originations.closed {
		return
	}
	var end *time.Timer
	end = time.AfterFunc(x.holdDown, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if x.end == end { // else it was offered again while we waited for mu
			x.end = nil
			g.remove(x)
		}
	})
	x.end = end
}

// direct makes what the fabric table has of a prefix that is offered what the
// best offers say.
func (o *originations) direct(x *origination) {
	if !x.network.forwards {
		return
	}
	var vias []rib.NextHop
	var best rank
	for _, y := range x.offers {
		if !y.via.Target.IsValid() {
			continue
		}
		if order := y.rank.compare(best); len(vias) == 0 || order > 0 {
			best, vias = y.rank, append(vias[:0], y.via)
		} else if order == 0 && !slices.Contains(vias, y.via) {
			vias = append(vias, y.via)
		}
	}
	o.fabric.Replace(o.vias, x.network.vni, x.prefix, vias, rib.Redistributed)
}

// remove takes a prefix out of the tables.
func (g *BGP) remove(x *origination) {
	o := &g.originations
	x.present = false
	o.missing++
	o.table.Remove(o.origin, x.network.vni, x.prefix, rib.NextHop{Target: x.network.gateway})
	if x.network.forwards {
		o.fabric.Replace(o.vias, x.network.vni, x.prefix, nil, rib.Redistributed)
	}
}

// Originated returns a channel that is closed once every prefix that VNIs
// originate has been in the table at the same time; at once if there are none.
func (g *BGP) Originated() <-chan struct{} { return g.originations.complete }

// Close ends all hold-downs: what is in one stays in the table.
func (g *BGP) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.originations.closed = true
	for _, list := range g.originations.byPrefix {
		for _, x := range list {
			if x.end != nil {
				x.end.Stop()
				x.end = nil
			}
		}
	}
}

// stats returns what a network originates.
func (o *originations) stats(n *network) []OriginationStats {
	var all []OriginationStats
	for _, c := range n.originates {
		if x := o.of(n, c.Prefix); x != nil {
			all = append(all, OriginationStats{x.prefix, len(x.offers), x.present})
		}
	}
	return all
}
