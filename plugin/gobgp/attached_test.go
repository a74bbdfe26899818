package gobgp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"mbbgp/bridge"
	"mbbgp/config"
)

// cable is a proxy before the API of a gobgpd, which a test can cut.
type cable struct {
	address string // as bgp.attach wants it
	target  string
	tried   atomic.Int64 // connections

	mu     sync.Mutex
	broken bool                  // guarded by mu
	conns  map[net.Conn]struct{} // guarded by mu
}

func newCable(t testing.TB, d *gobgpd) *cable {
	t.Helper()
	target := strings.TrimPrefix(d.api, unixScheme)
	path := filepath.Join(filepath.Dir(target), "cable")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: unixScheme + path, target: target, conns: make(map[net.Conn]struct{})}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut()
		tasks.Wait()
	})
	return c
}

func (c *cable) carry(near net.Conn) {
	defer near.Close()
	c.tried.Add(1)
	far, err := net.Dial("unix", c.target)
	if err != nil || !c.plug(near, far) {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(far, near); far.Close(); near.Close() })
	both.Go(func() { io.Copy(near, far); far.Close(); near.Close() })
	both.Wait()
}

// plug notes connections, unless the cable is cut.
func (c *cable) plug(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		if c.broken {
			conn.Close()
			continue
		}
		c.conns[conn] = struct{}{}
	}
	return !c.broken
}

// cut ends all connections, and lets no new one through until mend is called.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	for conn := range c.conns {
		conn.Close()
	}
	clear(c.conns)
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = false
}

// scene is a speaker that is attached to a gobgpd over a cable, and a neighbour
// of the gobgpd.
type scene struct {
	a, b   *host
	cfg    *config.Config // of a
	daemon *gobgpd
	cable  *cable
}

func newScene(t *testing.T, hold time.Duration) *scene {
	t.Helper()
	parallel(t)
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	meet(ca, cb, func(toB, toA *config.Neighbor) { toB.Passive, toA.Passive = true, false })
	s := &scene{daemon: startGobgpd(t, ca)}
	s.cable = newCable(t, s.daemon)
	s.cfg = attachedTo(s.daemon, ca)
	s.cfg.BGP.Attach, s.cfg.BGP.AttachHold = s.cable.address, hold
	s.a, s.b = start(t, s.cfg), start(t, cb)
	s.a.addr = addrs[0]
	s.a.up(t)
	s.b.up(t)
	return s
}

// own returns the paths in the daemon's EVPN table that nobody sent.
func (s *scene) own(t testing.TB) (list []*apipb.Path) {
	t.Helper()
	l, err := dial(t.Context(), s.daemon.api, 65001)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.list(t.Context(), config.FamilyEVPN, func(p *apipb.Path) bool {
		if !isNeighbor(p) {
			list = append(list, p)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func (h *host) counts() (announced, withdrawn int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.book.announced, h.book.withdrawn
}

func TestGobgpdThatWasKilledGetsEverythingAgain(t *testing.T) {
	s := newScene(t, time.Hour)
	s.a.tell(t, many(100, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	s.b.tell(t, many(50, "192.0.2.2:1", vxlan("192.0.2.2"))...)
	eventually(t, "routes exchanged", func() bool { return s.a.len() == 50 && s.b.len() == 100 })
	s.daemon.kill()
	eventually(t, "session down", func() bool { return s.a.neighbor(s.b.addr).State == Idle })
	eventually(t, "routes withdrawn from the neighbour", func() bool { return s.b.len() == 0 })
	s.daemon.start()
	eventually(t, "routes announced again", func() bool { return s.b.len() == 100 })
	eventually(t, "routes heard again", func() bool { n, _ := s.a.counts(); return n == 100 })
	if _, withdrawn := s.a.counts(); withdrawn != 0 || s.a.len() != 50 {
		t.Errorf("%d routes, %d withdrawn in between", s.a.len(), withdrawn)
	}
	if n := s.a.neighbor(s.b.addr); n.Ups != 2 || n.LastError == "" {
		t.Errorf("neighbour: %+v", n)
	}
}

func TestWhatAGobgpdSaidGoesWhenItIsAwayForTooLong(t *testing.T) {
	s := newScene(t, 500*time.Millisecond)
	s.b.tell(t, many(50, "192.0.2.2:1", vxlan("192.0.2.2"))...)
	eventually(t, "routes arrived", func() bool { return s.a.len() == 50 })
	s.cable.cut()
	eventually(t, "routes withdrawn", func() bool { return s.a.len() == 0 })
	s.cable.mend()
	eventually(t, "routes back", func() bool { return s.a.len() == 50 })
}

func TestNeighborThatGobgpdHasNoLongerIsForgotten(t *testing.T) {
	s := newScene(t, 100*time.Millisecond)
	s.b.tell(t, many(1, "192.0.2.2:1", vxlan("192.0.2.2"))...)
	eventually(t, "route arrived", func() bool { return s.a.len() == 1 })
	s.cable.cut()
	out, err := exec.Command("gobgp", "--target", s.daemon.api, "neighbor", "del", s.b.addr.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("gobgp: %v: %s", err, out)
	}
	eventually(t, "route withdrawn, as the time is over", func() bool { return s.a.len() == 0 })
	if n := s.a.Neighbors(); len(n) != 1 {
		t.Errorf("neighbours: %+v", n)
	}
	s.cable.mend()
	eventually(t, "no neighbour", func() bool { return len(s.a.Neighbors()) == 0 })
}

func TestLostConnectionIsMadeUpFor(t *testing.T) {
	s := newScene(t, time.Hour)
	ours, theirs := many(101, "192.0.2.1:1", vxlan("192.0.2.1")), many(51, "192.0.2.2:1", vxlan("192.0.2.2"))
	s.a.tell(t, ours[:100]...)
	s.b.tell(t, theirs[:50]...)
	eventually(t, "routes exchanged", func() bool { return s.a.len() == 50 && s.b.len() == 100 })
	s.cable.cut()
	eventually(t, "connection lost", func() bool { return s.a.neighbor(s.b.addr).State == Idle })
	// What happens meanwhile, on either side.
	s.b.tell(t, withdrawal(theirs[0]), theirs[50])
	s.a.book.forget(ours[0])
	s.a.book.remember(ours[100])
	s.cable.mend()
	eventually(t, "the new route", func() bool { _, ok := s.b.get(ours[100].NLRI); return ok })
	eventually(t, "the old route gone", func() bool { _, ok := s.b.get(ours[0].NLRI); return !ok })
	eventually(t, "the new route", func() bool { _, ok := s.a.get(theirs[50].NLRI); return ok })
	eventually(t, "the old route gone", func() bool { _, ok := s.a.get(theirs[0].NLRI); return !ok })
	if _, withdrawn := s.a.counts(); withdrawn != 1 || s.a.len() != 50 {
		t.Errorf("we have %d routes, %d withdrawn", s.a.len(), withdrawn)
	}
	if announced, withdrawn := s.b.counts(); announced != 101 || withdrawn != 1 || s.b.len() != 100 {
		t.Errorf("the neighbour has %d routes, %d announced, %d withdrawn", s.b.len(), announced, withdrawn)
	}
}

func TestEndOfRIBTakesWhatWasNotSaidAgain(t *testing.T) {
	s := newScene(t, time.Hour)
	ends := func() int {
		s.a.mu.Lock()
		defer s.a.mu.Unlock()
		return len(s.a.ended[s.b.addr])
	}
	routes := many(2, "192.0.2.2:1", vxlan("192.0.2.2"))
	s.b.tell(t, routes...)
	eventually(t, "end of RIB", func() bool { return ends() == 1 })
	n := s.a.neighbor(s.b.addr)
	if len(n.Families) != 1 || !n.Families[0].EndOfRIB || n.Restart != 0 || s.a.len() != 2 {
		t.Errorf("%d routes, neighbour %+v", s.a.len(), n)
	}
	s.daemon.kill()
	s.b.tell(t, withdrawal(routes[0]))
	s.daemon.start()
	eventually(t, "next end of RIB", func() bool { return ends() == 2 })
	eventually(t, "the old route gone", func() bool { return s.a.len() == 1 })
	if announced, withdrawn := s.a.counts(); announced != 3 || withdrawn != 1 {
		t.Errorf("%d announced, %d withdrawn", announced, withdrawn)
	}
}

func TestLeftoversOfACrashGoWhenAllIsSaid(t *testing.T) {
	s := newScene(t, 0)
	routes := many(100, "192.0.2.1:1", vxlan("192.0.2.1"))
	s.a.tell(t, routes...)
	eventually(t, "routes arrived", func() bool { return s.b.len() == 100 })
	s.cable.cut() // so that nothing can be withdrawn
	s.a.stop()
	if n := len(s.own(t)); n != 100 {
		t.Fatalf("%d paths are left in gobgpd, want 100", n)
	}
	s.cable.mend()
	routes[0].Label++ // which is not part of the key
	launch(t, s.cfg, quiet(), routes[:60]...)
	eventually(t, "leftovers withdrawn", func() bool { return s.b.len() == 60 })
	for _, r := range routes[:60] {
		if got, ok := s.b.get(r.NLRI); !ok || got.Label != r.Label {
			t.Errorf("%v: %+v", r.NLRI, got)
		}
	}
	if _, withdrawn := s.b.counts(); withdrawn != 40 {
		t.Errorf("%d withdrawn, want 40: the others were never gone", withdrawn)
	}
}

func TestLeftoversOfACrashHaveTime(t *testing.T) {
	s := newScene(t, time.Hour)
	s.a.tell(t, many(10, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "routes arrived", func() bool { return s.b.len() == 10 })
	s.cable.cut()
	s.a.stop()
	s.cable.mend()
	next := start(t, s.cfg)
	next.tell(t, many(11, "192.0.2.1:2", vxlan("192.0.2.1"))...)
	eventually(t, "new routes arrived", func() bool { return s.b.len() >= 21 })
	if n := s.b.len(); n != 21 {
		t.Errorf("the neighbour has %d routes, want 10 of before and 11 new ones", n)
	}
}

func TestLeavingTakesOurPathsAway(t *testing.T) {
	n := 20_000
	if testing.Short() || raceEnabled {
		n = 2_000
	}
	s := newScene(t, 0)
	out, err := exec.Command("gobgp", "--target", s.daemon.api, "global", "rib", "-a", "evpn", "add",
		"prefix", "198.51.100.0/24", "etag", "0", "label", "7", "rd", "192.0.2.7:7", "rt", "65000:200").CombinedOutput()
	if err != nil {
		t.Fatalf("gobgp: %v: %s", err, out)
	}
	s.a.tell(t, many(n, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "routes arrived", func() bool { return s.b.len() == n+1 })
	eventually(t, "the operator's route imported", func() bool { return s.a.len() == 1 })
	begun := time.Now()
	s.a.stop()
	t.Logf("%d routes withdrawn in %v", n, time.Since(begun))
	if list := s.own(t); len(list) != 1 {
		t.Errorf("%d paths in gobgpd, want the operator's alone", len(list))
	}
	eventually(t, "routes withdrawn from the neighbour", func() bool { return s.b.len() == 1 })
	if _, withdrawn := s.a.counts(); withdrawn != 0 {
		t.Errorf("%d of what we heard withdrawn", withdrawn)
	}
}

func TestGobgpdThatComesLaterIsWaitedFor(t *testing.T) {
	parallel(t)
	cfg := configuration(t, addresses(1)[0], 65001)
	d := startGobgpd(t, cfg)
	d.kill()
	c := newCable(t, d)
	attached := attachedTo(d, cfg)
	attached.BGP.Attach = c.address
	log, hook := test.NewNullLogger()
	h, _ := launch(t, attached, log)
	eventually(t, "several attempts", func() bool { return c.tried.Load() > 3 })
	select {
	case <-h.Ready():
		t.Error("ready without gobgpd")
	default:
	}
	if said := warnings(hook); len(said) == 0 || len(slices.Compact(said)) != len(warnings(hook)) {
		t.Errorf("said %q", said)
	}
	d.start()
	select {
	case <-h.Ready():
	case <-time.After(patience):
		t.Error("not ready")
	}
}

func warnings(hook *test.Hook) (list []string) {
	for _, e := range hook.AllEntries() {
		if err, ok := e.Data[logrus.ErrorKey].(error); ok && e.Level == logrus.WarnLevel {
			list = append(list, err.Error())
		}
	}
	return list
}

func TestWhatWeCannotAttachToIsNamed(t *testing.T) {
	parallel(t)
	needGobgpd(t)
	v4 := configuration(t, addresses(1)[0], 65001)
	v4.BGP.API = unixScheme + filepath.Join(t.TempDir(), "v4")
	start(t, v4)
	v3 := configuration(t, addresses(1)[0], 65001)
	running := startGobgpd(t, v3)
	idle := startGobgpd(t, nil)
	for _, row := range []struct {
		name, address string
		asn           uint32
		want          string
	}{
		{"a gobgpd of version 4", v4.BGP.API, 65001, "this gobgpd has the API of version 4, want one of version 3"},
		{"another AS", running.api, 65009, "this gobgpd has AS number 65001, want 65009, that of asn"},
		{"no BGP", idle.api, 65001, "this gobgpd runs no BGP yet: it has no AS number"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := dial(ctx, row.address, row.asn); err == nil || err.Error() != row.want {
				t.Errorf("error %v, want %s", err, row.want)
			}
		})
	}
}

func TestFamilyThatGobgpdHasNotIsNamed(t *testing.T) {
	parallel(t)
	cfg := configuration(t, addresses(1)[0], 65001)
	d := startGobgpd(t, cfg)
	d.kill()
	file, err := os.OpenFile(d.file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []config.Family{config.FamilyEVPN, config.FamilyIPv4, config.FamilyIPv6} {
		fmt.Fprintf(file, "[[global.afi-safis]]\n[global.afi-safis.config]\nafi-safi-name = %q\n", families[f])
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	d.start()
	log, hook := test.NewNullLogger()
	h, _ := launch(t, attachedTo(d, cfg), log)
	<-h.Ready()
	h.tell(t, many(1, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	eventually(t, "a route in the family that it has", func() bool {
		n := 0
		return h.Table(func(Path) bool { n++; return true }) == nil && n == 1
	})
	var named []any
	for _, e := range hook.AllEntries() {
		if f, ok := e.Data["family"]; ok {
			named = append(named, f)
		}
	}
	want := []any{config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyFlowSpec4, config.FamilyFlowSpec6}
	if !slices.Equal(named, want) {
		t.Errorf("named %v, want %v", named, want)
	}
}

func TestGobgpdTakesAllThatWeSay(t *testing.T) {
	s := newScene(t, time.Hour)
	routes := []bridge.Update{
		{NLRI: bridge.NLRI{Kind: bridge.Membership}},
		{NLRI: bridge.NLRI{Kind: bridge.Membership, Target: target("65000:200")}},
		{NLRI: bridge.NLRI{Kind: bridge.Membership, Target: target("192.0.2.1:9")}},
		{NLRI: bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24")}},
		{NLRI: bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix("2001:db8:7::/48")}},
		{NLRI: bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix("203.0.113.7/32"), Flow: bridge.Flow{Protocol: 6, First: 1024, Last: 2047}}},
		{NLRI: bridge.NLRI{Kind: bridge.FlowSpec, Prefix: netip.MustParsePrefix("2001:db8:7::7/128"), Flow: bridge.Flow{Protocol: 17, First: 1024, Last: 2047}}},
	}
	for i := range routes {
		routes[i].Attributes = &bridge.Attributes{NextHop: zero4, SiteOfOrigin: []bridge.ExtendedCommunity{site("65001:1")}}
		if routes[i].NLRI.Prefix.Addr().Is6() {
			routes[i].Attributes.NextHop = zero6
		}
	}
	routes[5].Attributes.NextHop = netip.MustParseAddr("2001:db8:1::7")
	routes[5].Attributes.Redirect = bridge.ExtendedCommunity{8}
	routes[6].Attributes.RedirectIPv6, routes[6].Attributes.RedirectLocal = true, 200
	routes[6].Attributes.RedirectTo = netip.MustParseAddr("2001:db8:1::7")
	srv6 := &bridge.Attributes{
		NextHop:      netip.MustParseAddr("2001:db8:1::7"),
		RouteTargets: []bridge.RouteTarget{target("65000:300")},
		SRv6: bridge.SRv6{
			SID: netip.MustParseAddr("2001:db8:1::7"), Behavior: bridge.EndDT46,
			Structure: bridge.SIDStructure{Block: 48, Node: 16, Function: 64},
		},
		DPath: []bridge.Domain{{ID: config.DomainID{1}}},
	}
	for _, prefix := range []string{"198.51.100.0/24", "2001:db8:9::/48"} {
		routes = append(routes,
			bridge.Update{NLRI: bridge.NLRI{Kind: bridge.VPN, RD: distinguisher("192.0.2.1:1"), Prefix: netip.MustParsePrefix(prefix)}, Label: bridge.ImplicitNull, Attributes: srv6},
			prefixRoute("192.0.2.1:1", prefix, bridge.ImplicitNullEVPN, srv6))
	}
	ours := func() map[string]bool {
		l, err := dial(t.Context(), s.daemon.api, 65001)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		found := make(map[string]bool)
		for f := range families {
			if err := l.list(t.Context(), config.Family(f), func(p *apipb.Path) bool {
				if k := keyOf(p); !isNeighbor(p) {
					found[k.family.String()+" "+k.nlri] = true
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		return found
	}
	s.a.tell(t, routes...)
	eventually(t, "all in its tables", func() bool { return len(ours()) == len(routes) })
	for i := range routes {
		routes[i] = withdrawal(routes[i])
	}
	s.a.tell(t, routes...)
	eventually(t, "all withdrawn", func() bool { return len(ours()) == 0 })
	if !s.daemon.alive() || s.a.neighbor(s.b.addr).Ups != 1 {
		t.Error("gobgpd was lost")
	}
}
