package bridge

// The import policy of MetalBond, in the order in which it is applied:
//
//	prefix-invalid, next-hop-invalid  what nobody can forward
//	own-gateway       from a server: our own gateway address, an old echo of us
//	vni-max-prefixes  the VNI is full and this prefix is new to it
//	own-route         from a server: what we say to servers ourselves (own.go)
//
// What passes is Relayed if its next hop is a gateway's or another bridge's leak
// (leak.go), Native otherwise: that number alone makes a natively known prefix
// beat its copies.

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"mbbgp/rib"
)

// Channel is the border between one MetalBond session (or the static routes)
// and the table. It is safe for concurrent use.
type Channel struct {
	bridge *Bridge
	source rib.Source
	name   string
	origin rib.Origin

	mu      sync.Mutex
	closed  bool              // guarded by mu
	refused map[Reason]uint64 // guarded by mu
}

// ChannelStats are the figures of a channel at one moment.
type ChannelStats struct {
	Source  rib.Source
	Name    string
	Routes  int               // next hops that it announces
	Refused map[Reason]uint64 // announcements refused or (OwnRoute) ignored, since it was opened
}

// Open makes the channel of a session. name is for people.
func (b *Bridge) Open(source rib.Source, name string) *Channel {
	c := &Channel{
		bridge:  b,
		source:  source,
		name:    name,
		origin:  b.table.NewOrigin(rib.OriginInfo{Source: source, Name: name}),
		refused: map[Reason]uint64{},
	}
	if source == rib.Server {
		b.servers.open(c.origin)
	}
	return c
}

// Announce says a next hop of a prefix. A duplicate is no error, nor is what a
// server says of our own route, which has no effect. The error is a *Refusal.
// A refused route is only counted: when the reason is gone, it is accepted
// with its next announcement.
func (c *Channel) Announce(vni rib.VNI, p netip.Prefix, nh rib.NextHop) error {
	r, reason := c.judge(vni, p, nh)
	if reason != Accepted {
		return c.refuse(reason, fmt.Sprintf("vni %d, %v by %v", vni, p, nh))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.refuseLocked(ChannelClosed, "")
	}
	if n := c.bridge.networks[vni]; n != nil && n.admitted.Max > 0 {
		n.admitted.mu.Lock()
		defer n.admitted.mu.Unlock()
		if !n.admitted.room(c.bridge, vni, r.Prefix) {
			return c.refuseLocked(VNILimit, fmt.Sprintf("vni %d has %d prefixes, no room for %v", vni, n.admitted.Used, r.Prefix))
		}
	}
	if c.source == rib.Server {
		if !c.bridge.hear(c.origin, r) {
			c.refused[OwnRoute]++
		}
		return nil
	}
	if c.bridge.table.Add(c.origin, r) {
		c.bridge.claimed(r.VNI, r.Prefix, r.NextHop)
	}
	return nil
}

// judge applies the rules that need no more than the route.
func (c *Channel) judge(vni rib.VNI, p netip.Prefix, nh rib.NextHop) (rib.Route, Reason) {
	r := normal(vni, p, nh)
	switch {
	case !p.IsValid() || p.Addr().Is4In6():
		return r, PrefixInvalid
	case !nh.Target.Is6() || nh.Target.Is4In6() || nh.Target.IsUnspecified() ||
		nh.Target.IsMulticast() || nh.Target.Zone() != "":
		return r, NextHopInvalid
	case c.source == rib.Server && c.bridge.own[nh.Target]:
		return r, OwnGateway
	}
	r.Preference = rib.Native
	if c.bridge.gatewayHop(nh.Target) || c.bridge.copied(vni, r.NextHop) {
		r.Preference = rib.Relayed
	}
	return r, Accepted
}

// normal gives a route the one form it has in the table.
func normal(vni rib.VNI, p netip.Prefix, nh rib.NextHop) rib.Route {
	if nh.TargetVNI == vni {
		nh.TargetVNI = 0
	}
	return rib.Route{VNI: vni, Prefix: p.Masked(), NextHop: nh}
}

func (c *Channel) refuse(reason Reason, detail string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuseLocked(reason, detail)
}

func (c *Channel) refuseLocked(reason Reason, detail string) error {
	c.refused[reason]++
	return &Refusal{Reason: reason, Detail: detail}
}

// Withdraw takes a next hop back and reports whether c had announced it.
func (c *Channel) Withdraw(vni rib.VNI, p netip.Prefix, nh rib.NextHop) bool {
	r := normal(vni, p, nh)
	return c.bridge.table.Remove(c.origin, r.VNI, r.Prefix, r.NextHop)
}

// Origins are what the routes of c come from: the ReaderOptions.Except of a
// session that must not hear its own.
func (c *Channel) Origins() []rib.Origin { return []rib.Origin{c.origin} }

// Count is the number of next hops that c announces.
func (c *Channel) Count() int { return c.bridge.table.Count(c.origin) }

// Stats returns the figures of c.
func (c *Channel) Stats() ChannelStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ChannelStats{Source: c.source, Name: c.name, Refused: maps.Clone(c.refused)}
	if !c.closed {
		s.Routes = c.bridge.table.Count(c.origin)
	}
	return s
}

// Close withdraws everything and forgets c. It returns how many next hops that
// were. Afterwards c announces nothing more.
func (c *Channel) Close() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	c.closed = true
	if c.source == rib.Server {
		c.bridge.servers.close(c.origin)
	}
	n := c.bridge.table.Count(c.origin)
	c.bridge.table.Release(c.origin)
	return n
}
