package gobgp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"pgregory.net/rapid"

	"mbbgp/bridge"
	"mbbgp/config"
)

// recorder is a sink that looks at each update.
type recorder struct {
	sink
	see func(bridge.Update)
}

func (r recorder) update(u bridge.Update) { r.see(u) }

// TestSeveralPathsOfAnNLRIAreASet changes paths of a few neighbours at random.
// What the bridge has must be one path for each way out, in a slot that does not
// change while it is in use, and never nothing as long as there is a path.
func TestSeveralPathsOfAnNLRIAreASet(t *testing.T) {
	nlri := vpnRoute("192.0.2.1:1", "198.51.100.7/32", 0, nil).NLRI
	var hops []*bridge.Attributes
	for i := range 4 {
		hops = append(hops, &bridge.Attributes{NextHop: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})})
	}
	type source struct{ neighbor, id byte }
	rapid.Check(t, func(t *rapid.T) {
		m := newMultipath()
		model := make(map[source]int)
		book := make(map[uint32]netip.Addr) // next hop by slot
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			before := maps.Clone(book)
			had := ways(model)
			var event []identified
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				s := source{rapid.Byte().Draw(t, "neighbor") % 2, rapid.Byte().Draw(t, "id") % 3}
				u := identified{bridge.Update{NLRI: nlri, Neighbor: netip.AddrFrom4([4]byte{10, 0, 0, s.neighbor})}, uint32(s.id)}
				if hop := rapid.IntRange(-1, len(hops)-1).Draw(t, "hop"); hop < 0 {
					delete(model, s)
					u.Withdraw = true
				} else {
					model[s] = hop
					u.Attributes = hops[hop]
				}
				event = append(event, u)
			}
			has := ways(model)
			m.change(recorder{see: func(u bridge.Update) {
				if u.Withdraw {
					delete(book, u.NLRI.Path)
				} else {
					book[u.NLRI.Path] = u.Attributes.NextHop
				}
				if len(book) == 0 && len(had) > 0 && len(has) > 0 {
					t.Fatalf("no path is left for a moment: %+v", event)
				}
			}}, event)
			if got := slices.SortedFunc(maps.Values(book), netip.Addr.Compare); !slices.Equal(got, has) {
				t.Fatalf("next hops %v, want %v", got, has)
			}
			for slot, hop := range before {
				if now, ok := book[slot]; slices.Contains(has, hop) && (!ok || now != hop) {
					t.Fatalf("%v had slot %d and is in use, slots are %v", hop, slot, book)
				}
			}
		}
		if len(model) == 0 && len(m.paths) > 0 {
			t.Fatalf("%d NLRIs are left", len(m.paths))
		}
	})
}

// ways returns the next hops of a model, sorted.
func ways[K comparable](model map[K]int) (list []netip.Addr) {
	for _, hop := range model {
		list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, byte(hop)}))
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// With ADD-PATH the paths of several leaves with one route distinguisher come
// through route reflectors as one set. GoBGP has one switch for all servers of
// a process, so this test does not overlap with others.
func TestParallelPathsComeThroughTwoReflectors(t *testing.T) {
	const leaves = 3
	addrs := addresses(3 + leaves)
	families := []bgp.Family{bgp.RF_EVPN, bgp.RF_IPv4_VPN, bgp.RF_IPv4_UC}
	cfg := configuration(t, addrs[0], 65000)
	cfg.BGP.Listen = nil
	var reflectors []*fabric
	for _, rr := range addrs[1:3] {
		port := freePort(t, rr)
		var peers []*api.Peer
		for i, client := range append([]netip.Addr{addrs[0]}, addrs[3:]...) {
			p := speaking(passivePeer(client, 65000), families...)
			p.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: rr.String()}
			for _, f := range p.AfiSafis {
				if i == 0 {
					f.AddPaths = &api.AddPaths{Config: &api.AddPathsConfig{SendMax: 8}}
				}
			}
			peers = append(peers, p)
		}
		reflectors = append(reflectors, startFabric(t, rr, port, 65000, peers...))
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: rr, Port: port, Peering: config.Peering{
			ASN: 65000, LocalAddress: addrs[0], Timers: timers(), AddPath: config.AddPathReceive,
			Families: []config.Family{config.FamilyEVPN, config.FamilyVPNv4, config.FamilyIPv4},
		}})
	}
	var leaf []*fabric
	for _, a := range addrs[3:] {
		f := startFabric(t, a, freePort(t, a), 65000)
		for i, rr := range addrs[1:3] {
			p := speaking(passivePeer(rr, 65000), families...)
			p.Transport = &api.Transport{LocalAddress: a.String(), RemotePort: uint32(cfg.BGP.Neighbors[i].Port)}
			p.Timers = &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1}}
			if err := f.AddPeer(t.Context(), &api.AddPeerRequest{Peer: p}); err != nil {
				t.Fatal(err)
			}
		}
		leaf = append(leaf, f)
	}
	h := start(t, cfg) // last: GoBGP's switch is as the last start has it
	settle(t, h)
	h.up(t)

	via := func(i int) *bridge.Attributes {
		return &bridge.Attributes{
			NextHop:      netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}),
			RouteTargets: []bridge.RouteTarget{target("65000:200")},
		}
	}
	routes := func(a *bridge.Attributes) []bridge.Update {
		return []bridge.Update{
			prefixRoute("65000:1", "10.1.2.0/24", 200, a),
			vpnRoute("65000:1", "10.1.2.0/24", 16, a),
			unicastRoute("10.1.2.0/24", a),
		}
	}
	announce := func(i int, a *bridge.Attributes) {
		for _, u := range routes(a) {
			leaf[i].add(t, routePath(t, u))
		}
	}
	// wants waits until each of the NLRIs has these next hops, each once.
	wants := func(what string, hops ...int) {
		t.Helper()
		var want []string
		for _, i := range hops {
			want = append(want, fmt.Sprintf("192.0.2.%d", i))
		}
		eventually(t, what, func() bool {
			for _, u := range routes(nil) {
				if !slices.Equal(h.hops(u.NLRI), want) {
					return false
				}
			}
			return true
		})
	}
	for i := range leaves {
		announce(i, via(i+1))
	}
	wants("three ways", 1, 2, 3)
	if f := h.neighbor(addrs[1]).Families; len(f) != 3 || !f[0].AddPathReceive || f[0].AddPathSend {
		t.Errorf("families: %+v", f)
	}
	eventually(t, "each by two reflectors", func() bool {
		paths := 0
		_ = h.Table(func(Path) bool { paths++; return true })
		return paths == len(routes(nil))*leaves*len(reflectors)
	})

	announce(1, via(9))
	wants("one has changed", 1, 3, 9)
	removed := h.Counters().Removed
	reflectors[0].stop()
	eventually(t, "one reflector has left", func() bool { return h.neighbor(addrs[1]).State != Established })
	h.Refresh()
	announce(1, via(2))
	wants("and nobody misses it", 1, 2, 3)
	if n := h.Counters().Removed; n != removed {
		t.Errorf("%d withdrawals, of routes that were there all the time", n-removed)
	}
	compareTable(t, h)

	for _, u := range routes(via(3)) {
		leaf[2].remove(t, routePath(t, u))
	}
	wants("one is gone", 1, 2)
	worse := via(1)
	worse.LocalPref = new(uint32)
	announce(0, worse)
	wants("one is not as good any more", 2)
	for _, u := range routes(via(2)) {
		leaf[1].remove(t, routePath(t, u))
	}
	wants("it is the last", 1)
	leaf[0].stop()
	eventually(t, "none", func() bool { return h.len() == 0 })
}

// hops returns the next hops that the host has of an NLRI, sorted.
func (h *host) hops(n bridge.NLRI) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, u := range h.routes {
		if k.Path = 0; k == n {
			list = append(list, u.Attributes.NextHop.String())
		}
	}
	slices.Sort(list)
	return list
}

// compareTable proves that the table names the paths as the bridge has them.
func compareTable(t *testing.T, h *host) {
	t.Helper()
	best := make(map[bridge.NLRI]string)
	if err := h.Table(func(p Path) bool {
		if p.Best {
			best[p.NLRI] = fmt.Sprint(p.Attributes.NextHop, " from ", p.Neighbor)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	want := make(map[bridge.NLRI]string)
	for n, u := range h.routes {
		want[n] = fmt.Sprint(u.Attributes.NextHop, " from ", u.Neighbor)
	}
	if diff := cmp.Diff(want, best, compareAddr, comparePrefix); diff != "" {
		t.Errorf("best paths of the table (-bridge +table):\n%s", diff)
	}
}
