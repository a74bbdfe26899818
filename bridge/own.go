package bridge

// What this bridge says to MetalBond servers comes back from them: a Go server
// replays a client's own routes at SUBSCRIBE, and never tells the client when
// it has become the last to say a route. A server's word on a route that this
// bridge announces to servers itself is therefore unknowable, and taking it
// would leave a route behind when its real announcer goes. So a server's claim
// never stands beside one of our own sources on the same next hop, whichever
// came first:
//   - hearing from a server looks for own claims and, if there is one, does
//     nothing (hear);
//   - an own claim removes those that servers have (claimed).
//
// What came from BGP is such an own claim: a sibling's copy of it, heard from a
// server, would otherwise look native and be exported. While this bridge does
// not have it from BGP (not yet, or no longer), it does: the siblings refuse it
// by its Site-of-Origin, and the fabric hears one more path to the same next
// hop for a moment. But between two domains of more than one bridge each, which
// exchange routes with no gateway in the data path (IP in IP), such copies could
// keep each other alive. There a domain must list the underlay prefixes that
// are not its own among metalbond.gateways: next hops in them are never native.
//
// The own claim is in the table before claimed runs, and hear looks and adds
// under one hold of the table's lock. So of two that run at once either hear
// sees the claim, or claimed removes what hear added.

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"mbbgp/rib"
)

// servers are the open channels to MetalBond servers.
type servers struct {
	count   atomic.Int32 // length of origins
	mu      sync.Mutex
	origins []rib.Origin // guarded by mu
}

func (s *servers) open(o rib.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = append(s.origins, o)
	s.count.Store(int32(len(s.origins)))
}

func (s *servers) close(o rib.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = slices.DeleteFunc(s.origins, func(x rib.Origin) bool { return x == o })
	s.count.Store(int32(len(s.origins)))
}

// hear adds what a server says, unless this bridge says it too.
func hear(table *rib.Editor, x *Edit) (heard bool) {
	if table.Sources(x.Prefix, x.NextHop)&^rib.Sources(rib.Server) != 0 {
		table.Remove(x.Prefix, x.NextHop)
		return false
	}
	table.Add(x.Prefix, x.NextHop, x.preference)
	return true
}

// claimed takes from the servers a next hop that this bridge now says itself.
func (b *Bridge) claimed(vni rib.VNI, p netip.Prefix, nh rib.NextHop) {
	if b.servers.count.Load() == 0 {
		return
	}
	b.servers.mu.Lock()
	defer b.servers.mu.Unlock()
	for _, o := range b.servers.origins {
		b.table.Remove(o, vni, p, nh)
	}
}
