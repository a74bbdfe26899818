package bridge

// Route target membership (RFC 4684): a neighbour that speaks it sends only
// routes with a route target that it was asked for. What to ask for follows
// from what hypervisors subscribe to: a VNI that nobody reads needs no routes.
// One that is left stays asked for some time, as an agent that restarts is back
// before that, and the table need not come again.
//
// If no neighbour speaks it, nothing is said, and everything comes as before.

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// linger is how long the routes of a VNI are asked for after its last
// subscription ended.
const linger = 60 * time.Second

// memberships are the route targets that BGP is asked for.
type memberships struct {
	common *Attributes // of all memberships; fixed

	mu          sync.Mutex
	interests                         // guarded by mu
	subscribers map[rib.VNI]bool      // guarded by mu; VNIs that somebody reads, whatever is configured
	wanted      map[rib.VNI]*interest // guarded by mu
	said        map[RouteTarget]bool  // guarded by mu; what BGP was told
	stale       bool                  // guarded by mu; said may not be what is wanted
	wake        func()                // guarded by mu; tells the exporter of a change; nil before the first
}

// interest is that of MetalBond clients in a VNI.
type interest struct {
	until time.Time   // zero while it is subscribed to
	end   *time.Timer // nil before its first end
}

// MembershipStats are the figures of route target membership at one moment.
type MembershipStats struct {
	Spoken  bool          // with a neighbour, as far as the configuration says
	VNIs    []rib.VNI     // whose routes BGP is asked for, ascending
	Targets []RouteTarget // what BGP was told; the zero one, first, stands for all
}

// interests are what the configuration says of memberships.
type interests struct {
	spoken  bool                      // with a neighbour
	targets map[rib.VNI][]RouteTarget // of imports, by VNI; the zero one stands for all
	from    map[rib.VNI][]uint32      // import-from, by VNI
	always  []rib.VNI                 // wanted whoever subscribes
}

// newMemberships returns nil without BGP.
func newMemberships(cfg *config.Config) *memberships {
	if cfg.BGP == nil {
		return nil
	}
	return &memberships{
		interests:   newInterests(cfg),
		common:      &Attributes{NextHop: netip.IPv4Unspecified()},
		wanted:      map[rib.VNI]*interest{},
		subscribers: map[rib.VNI]bool{},
	}
}

func newInterests(cfg *config.Config) interests {
	m := interests{spoken: speaksMembership(cfg.BGP), targets: map[rib.VNI][]RouteTarget{}, from: map[rib.VNI][]uint32{}}
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		vni := rib.VNI(v.VNI)
		m.targets[vni], m.from[vni] = []RouteTarget{}, slices.Clone(v.ImportFrom)
		for _, match := range v.Import.Targets {
			target := match.Target
			if match.Any {
				target = RouteTarget{} // no prefix of a membership leaves the AS open and not the number
			}
			m.targets[vni] = append(m.targets[vni], target)
		}
		// A server wants all, and what is originated waits for no subscriber.
		if len(cfg.MetalBond.Servers) > 0 || len(v.Originate) > 0 {
			m.always = append(m.always, vni)
		}
	}
	return m
}

// speaksMembership reports whether a neighbour may speak it. Those of a gobgpd
// or of its file are not known.
func speaksMembership(c *config.BGP) bool {
	return c.Attach != "" || c.GoBGPConfig != "" ||
		slices.ContainsFunc(c.Neighbors, func(n config.Neighbor) bool { return slices.Contains(n.Families, config.FamilyRTC) }) ||
		slices.ContainsFunc(c.DynamicNeighbors, func(n config.DynamicNeighbor) bool { return slices.Contains(n.Families, config.FamilyRTC) })
}

// Subscribed notes that MetalBond clients began to read a VNI, or that the last
// one ended. It does not block.
func (g *BGP) Subscribed(vni rib.VNI, on bool) {
	if g.memberships != nil {
		g.memberships.subscribed(vni, on)
	}
}

func (m *memberships) subscribed(vni rib.VNI, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subscribers[vni] = on; !on {
		delete(m.subscribers, vni)
	}
	if _, known := m.targets[vni]; !known {
		return
	}
	m.want(vni, on)
}

// want notes an interest that began, or ended. mu is held.
func (m *memberships) want(vni rib.VNI, on bool) {
	i := m.wanted[vni]
	switch {
	case i == nil && on:
		m.wanted[vni] = &interest{}
		m.changed()
	case i == nil:
	case on:
		i.until = time.Time{}
	case i.end == nil:
		i.until = time.Now().Add(linger)
		i.end = time.AfterFunc(linger, func() { m.expire(vni) })
	default:
		i.until = time.Now().Add(linger)
		i.end.Reset(linger)
	}
}

// expire drops a VNI, unless it was subscribed to meanwhile.
func (m *memberships) expire(vni rib.VNI) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.wanted[vni]; i != nil && !i.until.IsZero() && !time.Now().Before(i.until) {
		delete(m.wanted, vni)
		m.changed()
	}
}

// changed makes the exporter look. mu is held.
func (m *memberships) changed() {
	m.stale = true
	if m.wake != nil {
		m.wake()
	}
}

// vnis are those whose routes are wanted: what is read, and what that has by
// import-from. mu is held.
func (m *memberships) vnis() []rib.VNI {
	list := slices.AppendSeq(slices.Clone(m.always), maps.Keys(m.wanted))
	for _, vni := range list {
		for _, from := range m.from[vni] {
			list = append(list, rib.VNI(from))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reconfigure makes the interests those of another configuration.
func (m *memberships) reconfigure(cfg *config.Config) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interests = newInterests(cfg)
	for vni, i := range m.wanted {
		if _, known := m.targets[vni]; !known {
			if i.end != nil {
				i.end.Stop()
			}
			delete(m.wanted, vni)
		}
	}
	for vni := range m.subscribers {
		if _, known := m.targets[vni]; known {
			m.want(vni, true)
		}
	}
	m.changed()
}

// open begins an export: BGP knows nothing. wake is called when there is
// something to say, and must not block.
func (m *memberships) open(wake func()) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said, m.stale, m.wake = map[RouteTarget]bool{}, true, wake
}

// changes appends what BGP is to be told of memberships.
func (m *memberships) changes(batch []Update) []Update {
	if m == nil {
		return batch
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stale {
		return batch
	}
	m.stale = false
	want := map[RouteTarget]bool{}
	for _, vni := range m.vnis() {
		if !m.spoken {
			break
		}
		for _, target := range m.targets[vni] {
			want[target] = true
		}
	}
	for target := range want {
		if !m.said[target] {
			batch = append(batch, Update{NLRI: NLRI{Kind: Membership, Target: target}, Attributes: m.common})
		}
	}
	for target := range m.said {
		if !want[target] {
			batch = append(batch, Update{NLRI: NLRI{Kind: Membership, Target: target}, Withdraw: true})
		}
	}
	m.said = want
	return batch
}

// Memberships returns the figures of route target membership.
func (g *BGP) Memberships() MembershipStats {
	m := g.memberships
	if m == nil {
		return MembershipStats{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.spoken {
		return MembershipStats{}
	}
	targets := slices.SortedFunc(maps.Keys(m.said), func(a, b RouteTarget) int { return bytes.Compare(a[:], b[:]) })
	return MembershipStats{Spoken: true, VNIs: m.vnis(), Targets: targets}
}
