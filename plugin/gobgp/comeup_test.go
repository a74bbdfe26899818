package gobgp

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/config"
)

// changes are routes of one origin that come, change and go, each at most once
// in a turn: nothing that comes later makes good for a change that is lost.
type changes struct {
	tell       func(prefix string, hop netip.Addr) // no hop: withdrawn
	number     byte
	next       int
	fresh, old []string // announced in a turn before, and changed after that
	want       map[string]netip.Addr
}

func newChanges(number byte, tell func(string, netip.Addr)) *changes {
	return &changes{tell: tell, number: number, want: make(map[string]netip.Addr)}
}

func (c *changes) say(prefix string, hop netip.Addr) {
	n, _ := typeFive(prefix, 200)
	if c.want[n.String()] = hop; !hop.IsValid() {
		delete(c.want, n.String())
	}
	c.tell(prefix, hop)
}

// turn announces n routes, one by one, and between them changes and withdraws
// as many of those of the turns before.
func (c *changes) turn(n int) {
	var fresh, old []string
	for range n {
		prefix := fmt.Sprintf("10.%d.%d.%d/32", c.number, c.next>>8&255, c.next&255)
		c.next++
		c.say(prefix, addr("192.0.2.1"))
		fresh = append(fresh, prefix)
		if len(c.fresh) > 0 {
			c.say(c.fresh[0], addr("192.0.2.2"))
			old, c.fresh = append(old, c.fresh[0]), c.fresh[1:]
		}
		if len(c.old) > 0 {
			c.say(c.old[0], netip.Addr{})
			c.old = c.old[1:]
		}
	}
	c.fresh, c.old = append(c.fresh, fresh...), append(c.old, old...)
}

// relayed are the changes that a neighbour tells.
func (r *raw) relayed(prefix string, hop netip.Addr) {
	r.t.Helper()
	n, _ := typeFive(prefix, 200)
	m := update([]uint32{65009}, n)
	attributes := m.Body.(*bgp.BGPUpdate).PathAttributes
	if hop.IsValid() {
		attributes[len(attributes)-1].(*bgp.PathAttributeMpReachNLRI).Nexthop = hop
		r.send(m)
		return
	}
	gone, err := bgp.NewPathAttributeMpUnreachNLRI(bgp.RF_EVPN, []bgp.PathNLRI{{NLRI: n}})
	if err != nil {
		r.t.Error(err)
		return
	}
	r.send(bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{gone}, nil))
}

func (r *raw) messages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heard)
}

// withNeighbors is the configuration of a speaker at the first address that waits
// for raw neighbours at the others.
func withNeighbors(t testing.TB, addrs ...netip.Addr) *config.Config {
	t.Helper()
	cfg := configuration(t, addrs[0], 65001)
	for _, a := range addrs[1:] {
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Passive: true, Peering: config.Peering{
			ASN: 65000, Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
		}})
	}
	return cfg
}

// endSessions ends sessions from this side, where a neighbour may be back soonest,
// and returns when all may.
func (h *host) endSessions(t testing.TB, neighbors ...netip.Addr) {
	t.Helper()
	for _, n := range neighbors {
		r := &api.ResetPeerRequest{Address: n.String()}
		if err := h.engine.(*embedded).server.ResetPeer(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range neighbors {
		eventually(t, "session over", func() bool { return h.neighbor(n).State == Active })
	}
}

// locks returns those that GoBGP holds while it reads its table for a neighbour,
// and while it makes the event of the session's state.
func (h *host) locks(t testing.TB, neighbor netip.Addr) (table *sync.RWMutex, state *sync.Mutex) {
	t.Helper()
	err := peerOf(h.engine.(*embedded).server, neighbor, func(peer reflect.Value) {
		table = field(peer, "routeRefreshInProgress").Addr().Interface().(*sync.RWMutex)
		state = field(field(peer, "fsm").Elem(), "lock").Addr().Interface().(*sync.Mutex)
	})
	if err != nil || table == nil || state == nil {
		t.Fatalf("no locks of %v: %v", neighbor, err)
	}
	return table, state
}

// TestChangeBehindTheTableReachesTheNeighbor holds up a session between the two
// steps of its start, as a busy machine may.
func TestChangeBehindTheTableReachesTheNeighbor(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	h := start(t, withNeighbors(t, addrs...))
	settle(t, h)
	source := newChanges(100, connect(t, h, addrs[1], bgp.NewCapMultiProtocol(bgp.RF_EVPN)).relayed)
	// turn returns when all of it was propagated, but perhaps the last route.
	turn := func(last string) {
		source.turn(3)
		source.say(last, addr("192.0.2.1"))
		_, n := typeFive(last, 200)
		eventually(t, "the last route has arrived", func() bool { _, ok := h.get(n); return ok })
	}
	for i, which := range []string{"first session", "second session"} {
		if i > 0 {
			h.endSessions(t, addrs[2])
		}
		turn(fmt.Sprintf("10.200.0.%d/32", i))
		table, state := h.locks(t, addrs[2])
		table.RLock()
		read := sync.OnceFunc(table.RUnlock)
		t.Cleanup(read)
		to := open(t, h, addrs[2], bgp.NewCapMultiProtocol(bgp.RF_EVPN))
		free := func() bool {
			ok := table.TryRLock()
			if ok {
				table.RUnlock()
			}
			return ok
		}
		eventually(t, which+": the table is to be read", func() bool { return !free() })
		state.Lock()
		established := sync.OnceFunc(state.Unlock)
		t.Cleanup(established)
		read()
		eventually(t, which+": the table is queued", free)
		turn(fmt.Sprintf("10.201.0.%d/32", i))
		established()
		eventually(t, fmt.Sprintf("%s: all %d routes as they are", which, len(source.want)), func() bool {
			return maps.Equal(to.holds(), source.want)
		})
	}
}

// TestNothingIsLostWhenASessionComesUp has some neighbours and this side change
// routes while other neighbours come up, and again after these were reset.
func TestNothingIsLostWhenASessionComesUp(t *testing.T) {
	parallel(t)
	for _, tt := range []struct {
		name   string
		routes int
	}{
		{"small table", 1},
		{"large table", 20_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			const talkers, listeners, turns = 3, 4, 2
			addrs := addresses(1 + talkers + listeners)
			h := start(t, withNeighbors(t, addrs...))
			settle(t, h)
			if raceEnabled {
				tt.routes = min(tt.routes, 2_000)
			}
			table := make(map[string]netip.Addr)
			first := many(tt.routes, "192.0.2.9:9", vxlan("192.0.2.1"))
			for _, u := range first {
				n, _ := typeFive(u.NLRI.Prefix.String(), u.Label)
				table[n.String()] = u.Attributes.NextHop
			}
			h.tell(t, first...)
			sources := []*changes{newChanges(100, func(prefix string, hop netip.Addr) {
				u := prefixRoute("192.0.2.9:9", prefix, 200, vxlan("192.0.2.1"))
				if u.Attributes.NextHop = hop; !hop.IsValid() {
					u = withdrawal(u)
				}
				h.tell(t, u)
			})}
			var talking []*raw
			for i, a := range addrs[1 : 1+talkers] {
				r := connect(t, h, a, bgp.NewCapMultiProtocol(bgp.RF_EVPN))
				talking = append(talking, r)
				sources = append(sources, newChanges(byte(101+i), r.relayed))
			}
			for turn := range turns {
				if turn > 0 {
					h.endSessions(t, addrs[1+talkers:]...)
				}
				var telling sync.WaitGroup
				for _, c := range sources {
					telling.Go(func() { c.turn(300) })
				}
				var coming []*raw
				for _, a := range addrs[1+talkers:] {
					coming = append(coming, open(t, h, a, bgp.NewCapMultiProtocol(bgp.RF_EVPN)))
				}
				telling.Wait()
				want := maps.Clone(table)
				for _, c := range sources {
					maps.Copy(want, c.want)
				}
				for i, r := range coming {
					for _, other := range slices.Concat(talking, coming) {
						other.send(bgp.NewBGPKeepAliveMessage())
					}
					seen, judged := 0, 0 // messages; to judge costs more than to wait for the next
					eventually(t, fmt.Sprintf("turn %d: neighbour %d has all %d routes as they are", turn, i, len(want)), func() bool {
						before := seen
						if seen = r.messages(); seen != before || seen == judged {
							return false
						}
						judged = seen
						return maps.Equal(r.holds(), want)
					})
				}
			}
		})
	}
}
