//go:build !race

// GoBGP marks routes as stale where others read the mark, without a lock, so
// these tests are not for the race detector.

package gobgp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

const (
	llgrStale = 0xffff0006 // RFC 9494 section 8
	noLLGR    = 0xffff0007
)

// mortal is a fabric that comes and goes, and whose routes are to be kept
// meanwhile.
type mortal struct {
	*fabric
	addr netip.Addr
	port uint16
	peer *api.Peer
}

// restarts makes a neighbour of a fabric want its routes kept for restart
// seconds, and long-lived ones longer.
func restarts(p *api.Peer, restart, longLived uint32) *api.Peer {
	p.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: restart, LonglivedEnabled: longLived > 0}
	for _, f := range p.AfiSafis {
		f.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		f.LongLivedGracefulRestart = &api.LongLivedGracefulRestart{
			Config: &api.LongLivedGracefulRestartConfig{Enabled: longLived > 0, RestartTime: longLived},
		}
	}
	return p
}

// born starts the fabric. Its routes are there before its neighbour.
func (m *mortal) born(t testing.TB, routes ...bridge.Update) {
	t.Helper()
	m.fabric = startFabric(t, m.addr, m.port, 65000)
	for _, r := range routes {
		m.add(t, routePath(t, r))
	}
	if err := m.AddPeer(t.Context(), &api.AddPeerRequest{Peer: m.peer}); err != nil {
		t.Fatal(err)
	}
}

// die ends the fabric without a word.
func (m *mortal) die(t testing.TB) {
	t.Helper()
	if err := m.StopBgp(t.Context(), &api.StopBgpRequest{AllowGracefulRestart: true}); err != nil {
		t.Fatal(err)
	}
	m.stop()
}

// withMortal starts a speaker and a fabric with these routes.
func withMortal(t testing.TB, restart, longLived uint32, routes ...bridge.Update) (*host, *mortal) {
	t.Helper()
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Listen = nil
	m := &mortal{addr: addrs[1], port: freePort(t, addrs[1])}
	m.peer = restarts(speaking(passivePeer(addrs[0], 65001), bgp.RF_EVPN, bgp.RF_IPv4_VPN), restart, longLived)
	m.born(t, routes...)
	cfg.BGP.Neighbors = []config.Neighbor{{Address: m.addr, Port: m.port, Peering: config.Peering{
		ASN: 65000, LocalAddress: addrs[0], Families: []config.Family{config.FamilyEVPN, config.FamilyVPNv4}, Timers: timers(),
		GracefulRestart: config.GracefulRestart{LongLived: time.Duration(longLived) * time.Second},
	}}}
	h := start(t, cfg)
	settle(t, h)
	h.up(t)
	eventually(t, "routes arrived", func() bool { return h.len() == len(routes) })
	return h, m
}

// stale returns which families of the neighbour are stale.
func (h *host) stale(neighbor netip.Addr) (families []config.Family, longLived bool) {
	for _, s := range h.neighbor(neighbor).Stale {
		families, longLived = append(families, s.Family), s.LongLived
	}
	return families, longLived
}

func mortalRoutes() []bridge.Update {
	a := &bridge.Attributes{NextHop: addr("192.0.2.9"), RouteTargets: []bridge.RouteTarget{target("65000:200")}}
	return []bridge.Update{
		prefixRoute("192.0.2.9:1", "10.1.1.0/24", 200, a),
		vpnRoute("192.0.2.9:1", "10.1.1.0/24", 16, a),
		vpnRoute("192.0.2.9:1", "10.1.2.0/24", 16, a),
	}
}

func TestRoutesOfADeadNeighborAreKeptForItsTime(t *testing.T) {
	parallel(t)
	h, m := withMortal(t, 2, 0, mortalRoutes()...)
	if n := h.neighbor(m.addr); n.Restart != 2*time.Second || !n.Families[0].GracefulRestart || n.Families[0].LongLived != 0 {
		t.Errorf("neighbour: %+v", n)
	}
	died := time.Now()
	m.die(t)
	eventually(t, "routes are stale", func() bool { f, _ := h.stale(m.addr); return len(f) == 2 })
	if h.len() != 3 || h.Counters().Removed != 0 {
		t.Errorf("%d of 3 routes are left", h.len())
	}
	if s := h.neighbor(m.addr).Stale[0]; s.Until.Sub(died) > 3*time.Second || s.Until.Before(died) || s.LongLived {
		t.Errorf("stale: %+v", s)
	}
	eventually(t, "routes are gone", func() bool { return h.len() == 0 })
	if kept := time.Since(died); kept < 1900*time.Millisecond {
		t.Errorf("they were kept for %v, want 2s", kept)
	}
	eventually(t, "nothing is stale", func() bool { f, _ := h.stale(m.addr); return f == nil })
}

func TestRoutesThatComeBackWereNeverGone(t *testing.T) {
	parallel(t)
	routes := mortalRoutes()
	h, m := withMortal(t, 60, 0, routes...)
	m.die(t)
	eventually(t, "routes are stale", func() bool { f, _ := h.stale(m.addr); return len(f) == 2 })
	m.born(t, routes[:2]...)
	eventually(t, "the third one is gone", func() bool { return h.len() == 2 })
	eventually(t, "nothing is stale", func() bool { f, _ := h.stale(m.addr); return f == nil })
	if c := h.Counters(); c.Removed != 1 {
		t.Errorf("%d routes went, want 1", c.Removed)
	}
	if n := h.neighbor(m.addr); n.Ups != 2 || len(n.Families) != 2 || !n.Families[0].EndOfRIB || !n.Families[1].EndOfRIB {
		t.Errorf("neighbour: %+v", n)
	}
}

// withLongLived starts a speaker and a fabric whose third route must not be
// long-lived, and ends the fabric. marked reports whether the others have
// LLGR_STALE, and no other route is there.
func withLongLived(t *testing.T, longLived uint32) (h *host, m *mortal, routes []bridge.Update, marked func() bool) {
	t.Helper()
	routes = mortalRoutes()
	never := *routes[2].Attributes
	never.Communities = []uint32{noLLGR}
	routes[2].Attributes = &never
	h, m = withMortal(t, 1, longLived, routes...)
	if n := h.neighbor(m.addr); n.Families[1].LongLived != time.Duration(longLived)*time.Second {
		t.Errorf("neighbour: %+v", n)
	}
	m.die(t)
	return h, m, routes, func() bool {
		for _, r := range routes[:2] {
			if u, ok := h.get(r.NLRI); !ok || !slices.Contains(u.Attributes.Communities, llgrStale) {
				return false
			}
		}
		return h.len() == 2
	}
}

func TestLongLivedRoutesAreMarkedAndKeptLonger(t *testing.T) {
	parallel(t)
	h, m, _, marked := withLongLived(t, 2)
	eventually(t, "the routes are marked", marked)
	since := time.Now()
	if f, longLived := h.stale(m.addr); len(f) != 2 || !longLived {
		t.Errorf("stale: %v, long-lived %v", f, longLived)
	}
	eventually(t, "routes are gone", func() bool { return h.len() == 0 })
	if kept := time.Since(since); kept < 1900*time.Millisecond {
		t.Errorf("they were kept for %v more, want 2s", kept)
	}
	eventually(t, "nothing is stale", func() bool { f, _ := h.stale(m.addr); return f == nil })
}

func TestLongLivedRoutesThatComeBackLoseTheirMark(t *testing.T) {
	parallel(t)
	h, m, routes, marked := withLongLived(t, 600)
	eventually(t, "the routes are marked", marked)
	m.born(t, routes[1:]...)
	eventually(t, "what is said again is there", func() bool { return h.len() == 2 && !marked() })
	eventually(t, "nothing is stale", func() bool { f, _ := h.stale(m.addr); return f == nil })
	if u, ok := h.get(routes[1].NLRI); !ok || len(u.Attributes.Communities) != 0 {
		t.Errorf("route: %+v", u)
	}
	if c := h.Counters(); c.Removed != 2 {
		t.Errorf("%d routes went, want that without a long life and that which was not said again", c.Removed)
	}
}

// helped is a fabric at addrs[1] that keeps the routes of its neighbour at
// addrs[0]:port, and dials it.
func helped(t testing.TB, addrs []netip.Addr, port uint16) *mortal {
	t.Helper()
	m := &mortal{addr: addrs[1], port: freePort(t, addrs[1])}
	m.peer = speaking(passivePeer(addrs[0], 65001), bgp.RF_EVPN, bgp.RF_IPv4_VPN)
	m.peer.Transport = &api.Transport{LocalAddress: addrs[1].String(), RemotePort: uint32(port)}
	m.peer.Timers = &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1}}
	m.born(t, mortalRoutes()[0])
	return m
}

// restarting is the configuration of a speaker at addr whose neighbour keeps
// its routes.
func restarting(t testing.TB, addrs []netip.Addr, restart time.Duration) *config.Config {
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Passive: true, Peering: config.Peering{
		ASN: 65000, LocalAddress: addrs[0], Families: []config.Family{config.FamilyEVPN, config.FamilyVPNv4}, Timers: timers(),
		GracefulRestart: config.GracefulRestart{Mode: config.GracefulRestartFull, Time: restart},
	}}}
	return cfg
}

func ourRoutes() []bridge.Update {
	return []bridge.Update{
		prefixRoute("192.0.2.1:1", "198.51.100.1/32", 200, vxlan("192.0.2.1")),
		prefixRoute("192.0.2.1:1", "198.51.100.2/32", 200, vxlan("192.0.2.1")),
	}
}

func TestNeighborKeepsOurRoutesWhenWeStop(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	cfg := restarting(t, addrs, 3*time.Second)
	h := start(t, cfg)
	f := helped(t, addrs, h.port)
	h.up(t)
	h.tell(t, ourRoutes()...)
	eventually(t, "our routes are there", func() bool { return f.foreign(t) == 2 })
	stopped := time.Now()
	h.stop()
	if n := f.foreign(t); n != 2 {
		t.Errorf("%d of 2 routes are left", n)
	}
	eventually(t, "they are gone", func() bool { return f.foreign(t) == 0 })
	if kept := time.Since(stopped); kept < 2500*time.Millisecond {
		t.Errorf("they were kept for %v, want 3s", kept)
	}
}

// The earlier run of ours is a plain GoBGP, which has no clients to wait for.
func TestOurEndOfRIBWaitsForClients(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	cfg := restarting(t, addrs, 6*time.Second)
	before := startFabric(t, addrs[0], cfg.BGP.Listen[0].Port(), 65001,
		restarts(speaking(passivePeer(addrs[1], 65000), bgp.RF_EVPN, bgp.RF_IPv4_VPN), 60, 0))
	for _, r := range ourRoutes() {
		before.add(t, routePath(t, r))
	}
	f := helped(t, addrs, cfg.BGP.Listen[0].Port())
	eventually(t, "our routes are there", func() bool { return f.foreign(t) == 2 })
	if err := before.StopBgp(t.Context(), &api.StopBgpRequest{AllowGracefulRestart: true}); err != nil {
		t.Fatal(err)
	}
	before.stop()
	eventually(t, "the neighbour dials again", func() bool { return f.state(t, addrs[0]) == api.PeerState_SESSION_STATE_ACTIVE })

	h := start(t, cfg)
	h.up(t)
	up := time.Now()
	eventually(t, "their route is here", func() bool { return h.len() == 1 })
	if c := f.restart(t, addrs[0]); c.GetFlags()&0x08 == 0 || c.GetTime() != 6 || len(c.GetTuples()) != 2 || c.Tuples[0].Flags&0x80 == 0 {
		t.Errorf("our capability: %+v", c)
	}
	h.tell(t, ourRoutes()[0])
	least := f.foreign(t)
	eventually(t, "the second route is gone", func() bool {
		n := f.foreign(t)
		least = min(least, n)
		return n == 1
	})
	if waited := time.Since(up); least < 1 || waited < 2500*time.Millisecond {
		t.Errorf("our End-of-RIB came after %v, want 3s; %d routes were left", waited, least)
	}
	if list := h.Neighbors(); len(list) != 1 {
		t.Errorf("neighbours: %+v", list)
	}
	h.tell(t, ourRoutes()[1])
	eventually(t, "the second route is back", func() bool { return f.foreign(t) == 2 })
}

// Nobody can be the neighbour that holds us back, and who takes it away through
// the API does no harm.
func TestHoldMayEndThroughTheAPI(t *testing.T) {
	parallel(t)
	h := start(t, restarting(t, addresses(2), 2*time.Second))
	began, b := time.Now(), h.engine.(*embedded).server
	f := &fabric{BgpServer: b}
	if n := f.neighbor(t, absentee); n.GetState().GetAdminState() != api.PeerState_ADMIN_STATE_DOWN {
		t.Errorf("it may connect: %+v", n)
	}
	if err := b.DeletePeer(t.Context(), &api.DeletePeerRequest{Address: absentee.String()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hold is over", func() bool { return time.Since(began) > deferral(2*time.Second)+time.Second/2 })
	h.stop()
}

// neighbor returns what the fabric knows of a neighbour.
func (f *fabric) neighbor(t testing.TB, address netip.Addr) (peer *api.Peer) {
	t.Helper()
	if err := f.ListPeer(t.Context(), &api.ListPeerRequest{Address: address.String()}, func(p *api.Peer) { peer = p }); err != nil {
		t.Fatal(err)
	}
	return peer
}

func (f *fabric) state(t testing.TB, neighbor netip.Addr) api.PeerState_SessionState {
	t.Helper()
	return f.neighbor(t, neighbor).GetState().GetSessionState()
}

// restart returns the graceful restart capability that a neighbour announced,
// nil if it did not.
func (f *fabric) restart(t testing.TB, neighbor netip.Addr) *api.GracefulRestartCapability {
	t.Helper()
	for _, c := range f.neighbor(t, neighbor).GetState().GetRemoteCap() {
		if r := c.GetGracefulRestart(); r != nil {
			return r
		}
	}
	return nil
}

// GoBGP would keep the routes, and wait.
func TestStaleRoutesGoWhenTheNeighborForgetsGracefulRestart(t *testing.T) {
	parallel(t)
	h, r, peer := withRaw(t, bgp.NewCapGracefulRestart(false, false, 600,
		[]*bgp.CapGracefulRestartTuple{bgp.NewCapGracefulRestartTuple(bgp.RF_EVPN, true)}))
	n, _ := typeFive("10.1.2.0/24", 7)
	r.send(update([]uint32{65000}, n))
	eventually(t, "route arrived", func() bool { return h.len() == 1 })
	r.Close()
	eventually(t, "it is stale", func() bool { f, _ := h.stale(peer); return len(f) == 1 })
	if h.len() != 1 {
		t.Error("the route is not there any more")
	}
	open(t, h, peer, bgp.NewCapMultiProtocol(bgp.RF_EVPN))
	eventually(t, "no route", func() bool { return h.len() == 0 })
	eventually(t, "nothing is stale", func() bool { f, _ := h.stale(peer); return f == nil })
	// GoBGP keeps the routes of the next session, too, in which there was none.
	again := connect(t, h, peer, bgp.NewCapMultiProtocol(bgp.RF_EVPN))
	again.send(update([]uint32{65000}, n))
	eventually(t, "route arrived", func() bool { return h.len() == 1 })
	again.Close()
	eventually(t, "the session is over", func() bool { return h.neighbor(peer).State != Established })
	open(t, h, peer, bgp.NewCapMultiProtocol(bgp.RF_EVPN))
	eventually(t, "no route", func() bool { return h.len() == 0 })
}

func TestDeferralIsHalfTheRestartTime(t *testing.T) {
	for restart, want := range map[time.Duration]time.Duration{
		time.Second:        time.Second,
		5 * time.Second:    2 * time.Second,
		120 * time.Second:  time.Minute,
		4095 * time.Second: 2047 * time.Second,
	} {
		if got := deferral(restart); got != want {
			t.Errorf("of %v: %v, want %v", restart, got, want)
		}
	}
}

func TestDynamicNeighborIsForgottenWithItsLastRoute(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.DynamicNeighbors = []config.DynamicNeighbor{{Prefix: netip.PrefixFrom(addrs[1], 32), Peering: config.Peering{
		ASN: 65000, Families: []config.Family{config.FamilyEVPN, config.FamilyVPNv4}, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	m := &mortal{addr: addrs[1], port: freePort(t, addrs[1])}
	m.peer = restarts(speaking(passivePeer(addrs[0], 65001), bgp.RF_EVPN, bgp.RF_IPv4_VPN), 2, 0)
	m.peer.Transport = &api.Transport{LocalAddress: addrs[1].String(), RemotePort: uint32(h.port)}
	m.peer.Timers = &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1}}
	m.born(t, mortalRoutes()...)
	eventually(t, "routes arrived", func() bool { return h.len() == 3 })
	m.die(t)
	eventually(t, "routes are stale", func() bool { f, _ := h.stale(m.addr); return len(f) == 2 })
	forgotten := func() []netip.Addr {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Clone(h.forgotten)
	}
	if h.len() != 3 || len(forgotten()) > 0 || !h.neighbor(m.addr).Dynamic {
		t.Errorf("%d of 3 routes, forgotten: %v", h.len(), forgotten())
	}
	eventually(t, "forgotten", func() bool { return len(forgotten()) > 0 })
	if diff := cmp.Diff([]netip.Addr{m.addr}, forgotten(), compareAddr); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
	if h.len() != 0 || h.Counters().Removed != 3 || len(h.Neighbors()) != 0 {
		t.Errorf("%d routes, %d withdrawals, neighbours %+v", h.len(), h.Counters().Removed, h.Neighbors())
	}
}
