package bridge

// A VNI may originate prefixes toward hypervisors (originate), the default
// route above all: while the fabric offers exactly this prefix, the table has
// it with the gateway as next hop, whatever import.prefixes says. Hypervisors
// take the loss of a default badly, so it stays for hold-down when the last
// offer is gone: a fabric that flaps is not seen.
//
// What offers it are routes that the VNI would import but for its prefix
// rules. Our own domain's are none of these, so two bridges do not keep each
// other's default alive.

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
	offers   map[NLRI]netip.Addr // by neighbour
	present  bool                // in the table
	end      *time.Timer         // of the hold-down; nil if none is under way
}

// OriginationStats are the figures of a prefix that a VNI originates.
type OriginationStats struct {
	Prefix  netip.Prefix
	Offers  int  // NLRIs that offer it
	Present bool // MetalBond has it; without offers: in its hold-down
}

// newOriginations returns an error for a VNI that has no next hop for what it
// originates. Without BGP nothing is originated.
func newOriginations(b *Bridge, cfg *config.Config) (originations, error) {
	o := originations{table: b.table, byPrefix: map[netip.Prefix][]*origination{}, complete: make(chan struct{})}
	if cfg.BGP == nil {
		close(o.complete)
		return o, nil
	}
	for _, n := range b.sorted {
		for _, c := range n.originates {
			if !n.gateway.IsValid() {
				return o, fmt.Errorf("vni %d: originate %v needs a gateway", n.vni, c.Prefix)
			}
			o.byPrefix[c.Prefix] = append(o.byPrefix[c.Prefix], &origination{
				network: n, prefix: c.Prefix, holdDown: c.HoldDown, offers: map[NLRI]netip.Addr{},
			})
			o.missing++
		}
	}
	if o.missing == 0 {
		close(o.complete)
		return o, nil
	}
	o.origin = b.table.NewOrigin(rib.OriginInfo{Source: rib.BGP, Name: "originate"})
	return o, nil
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
func (g *BGP) offer(n *NLRI, p netip.Prefix, from netip.Addr, offers []*origination) {
	list := g.originations.byPrefix[p]
	if len(list) == 0 {
		return
	}
	key := *n
	key.Prefix = p
	for _, x := range list {
		if slices.Contains(offers, x) {
			x.offers[key] = from
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
			for key, neighbor := range x.offers {
				if neighbor == from {
					delete(x.offers, key)
					g.vanish(x)
				}
			}
		}
	}
}

// appear puts a prefix that is offered into the table.
func (g *BGP) appear(x *origination) {
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

// remove takes a prefix out of the table.
func (g *BGP) remove(x *origination) {
	o := &g.originations
	x.present = false
	o.missing++
	o.table.Remove(o.origin, x.network.vni, x.prefix, rib.NextHop{Target: x.network.gateway})
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
