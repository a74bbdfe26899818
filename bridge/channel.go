package bridge

// The import policy of MetalBond, in the order in which it is applied:
//
//	prefix-invalid, next-hop-invalid  what nobody can forward
//	own-gateway       from a server: our own gateway address, an old echo of us
//	memory-limit      there is no memory for what is new
//	max-routes        the session says as much as it may
//	vni-max-prefixes  the VNI is full and this prefix is new to it
//	own-route         from a server: what we say to servers ourselves (own.go)
//
// What passes is Relayed if its next hop is a gateway's or another bridge's leak
// (leak.go), Native otherwise: that number alone makes a natively known prefix
// beat its copies. In a VNI that prefers BGP it is Deferred (prefer.go).

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
	limit   limit             // guarded by mu; of next hops; Used is kept only if there is a maximum
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

// Edit is one thing that a session says: a next hop of a prefix, announced or
// withdrawn.
type Edit struct {
	Remove  bool // withdraw; else announce
	VNI     rib.VNI
	Prefix  netip.Prefix
	NextHop rib.NextHop

	// Preference is what an announcement has instead of what the rules give it; 0
	// leaves it to them. A next hop that is announced already gets it.
	Preference rib.Preference

	// Refused is set by Apply: why an announcement was not taken, nil if it was.
	// One that is set before is left alone, and nothing is announced.
	// A refused route is only counted: when the reason is gone, it is accepted
	// with its next announcement.
	Refused *Refusal

	preference rib.Preference
	done       bool // Apply is done with it
}

// Apply says and takes back what the list holds, of each VNI in its order. The
// readers of a VNI wait until all of its edits are made, so a list should have
// no more than some hundred. A duplicate is not refused, nor is what a server
// says of our own route, which has no effect.
func (c *Channel) Apply(list []Edit) {
	v := c.bridge.current()
	for i := range list {
		c.judge(v, &list[i])
	}
	for i := range list {
		if !list[i].done {
			c.put(v, list[i:])
		}
	}
}

// put makes the edits that a list has of the VNI of its first one. They were
// judged by v.
func (c *Channel) put(v *view, list []Edit) {
	vni := list[0].VNI
	c.mu.Lock()
	defer c.mu.Unlock()
	var room *tableLimit
	if n := v.networks[vni]; n != nil && n.config.MaxPrefixes > 0 {
		room = n.admitted
		room.mu.Lock()
		defer room.mu.Unlock()
	}
	table := c.bridge.table.Edit(c.origin, vni)
	now := c.bridge.current() // prefer waits for the table
	for i := range list {
		x := &list[i]
		if x.VNI != vni {
			continue
		}
		if now != v {
			x.prefer(now)
		}
		x.done = true
		if c.enter(&table, x, room) {
			table.Done()
			c.bridge.claimed(vni, x.Prefix, x.NextHop)
			table = c.bridge.table.Edit(c.origin, vni)
			now = c.bridge.current()
		}
	}
	table.Done()
}

// enter makes an edit, unless room is a limit that has none. It returns true if
// a server says, too, what this bridge now says itself. mu is held.
func (c *Channel) enter(table *rib.Editor, x *Edit, room *tableLimit) (contested bool) {
	switch {
	case x.Refused != nil:
	case x.Remove:
		table.Remove(x.Prefix, x.NextHop)
	case c.closed:
		x.Refused = c.refuseLocked(ChannelClosed, "")
	case c.bridge.short.Load() && c.source != rib.Static && !table.Says(x.Prefix, x.NextHop):
		x.Refused = c.refuseLocked(MemoryLimit, fmt.Sprintf("no memory for %v", x.Prefix))
	case c.limit.Max > 0 && !c.hasRoom(table, x):
		x.Refused = c.refuseLocked(MaxRoutes, fmt.Sprintf("%s says %d next hops, no room for %v", c.name, c.limit.Used, x.Prefix))
	case room != nil && !room.admits(c.bridge, table, x.VNI, x.Prefix):
		x.Refused = c.refuseLocked(VNILimit, fmt.Sprintf("vni %d has %d prefixes, no room for %v", x.VNI, room.Used, x.Prefix))
	case c.source != rib.Server:
		return table.Add(x.Prefix, x.NextHop, x.preference) && c.bridge.servers.count.Load() > 0 &&
			table.Sources(x.Prefix, x.NextHop).Has(rib.Server)
	case !hear(table, x):
		c.refused[OwnRoute]++
	}
	return false
}

// judge applies the rules that need no more than the route, and gives it the
// one form that it has in the table.
func (c *Channel) judge(v *view, x *Edit) {
	p, nh := x.Prefix, x.NextHop
	x.Prefix, x.NextHop = normal(x.VNI, p, nh)
	if x.Remove || x.Refused != nil {
		return
	}
	reason := Accepted
	switch {
	case !p.IsValid() || p.Addr().Is4In6():
		reason = PrefixInvalid
	case !nh.Target.Is6() || nh.Target.Is4In6() || nh.Target.IsUnspecified() ||
		nh.Target.IsMulticast() || nh.Target.Zone() != "":
		reason = NextHopInvalid
	case c.source == rib.Server && v.own[nh.Target]:
		reason = OwnGateway
	}
	if reason != Accepted {
		x.Refused = c.refuse(reason, fmt.Sprintf("vni %d, %v by %v", x.VNI, p, nh))
		return
	}
	x.prefer(v)
}

// prefer sets the preference.
func (x *Edit) prefer(v *view) {
	x.preference = v.preference(x.VNI, x.NextHop)
	if x.Preference != 0 && x.Preference != rib.Native { // which is what the rules give
		x.preference = x.Preference
	}
}

// preference returns that of a next hop that a MetalBond peer says.
func (v *view) preference(vni rib.VNI, nh rib.NextHop) rib.Preference {
	switch {
	case v.gatewayHop(nh.Target) || nh.TargetVNI != 0 && v.copied(vni, nh):
		return rib.Relayed
	case nh.Type == rib.Standard && v.deferred[vni]:
		return rib.Deferred
	}
	return rib.Native
}

// normal gives a route the one form it has in the table.
func normal(vni rib.VNI, p netip.Prefix, nh rib.NextHop) (netip.Prefix, rib.NextHop) {
	if nh.TargetVNI == vni {
		nh.TargetVNI = 0
	}
	return p.Masked(), nh
}

func (c *Channel) refuse(reason Reason, detail string) *Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuseLocked(reason, detail)
}

func (c *Channel) refuseLocked(reason Reason, detail string) *Refusal {
	c.refused[reason]++
	return &Refusal{Reason: reason, Detail: detail}
}

// Announce says a next hop of a prefix, as Apply does. The error is a *Refusal.
func (c *Channel) Announce(vni rib.VNI, p netip.Prefix, nh rib.NextHop) error {
	one := [1]Edit{{VNI: vni, Prefix: p, NextHop: nh}}
	c.Apply(one[:])
	if one[0].Refused != nil {
		return one[0].Refused
	}
	return nil
}

// Withdraw takes a next hop back and reports whether c had announced it.
func (c *Channel) Withdraw(vni rib.VNI, p netip.Prefix, nh rib.NextHop) bool {
	p, nh = normal(vni, p, nh)
	return c.bridge.table.Remove(c.origin, vni, p, nh)
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
