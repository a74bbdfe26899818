package gobgp

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"

	"mbbgp/config"
)

// crossing proves that routes go both ways between two hosts.
func crossing(t *testing.T, a, b *host) {
	t.Helper()
	a.tell(t, prefixRoute("192.0.2.1:1", "198.51.100.1/32", 200, vxlan("192.0.2.1")))
	b.tell(t, prefixRoute("192.0.2.2:1", "198.51.100.2/32", 200, vxlan("192.0.2.2")))
	eventually(t, "routes exchanged", func() bool { return a.len() == 1 && b.len() == 1 })
}

func TestSessionOverIPv6(t *testing.T) {
	parallel(t)
	one := netip.IPv6Loopback()
	ca, cb := configuration(t, one, 65001), configuration(t, one, 65002)
	ca.BGP.Listen = nil
	cb.BGP.Neighbors = []config.Neighbor{{Address: one, Passive: true, Peering: config.Peering{
		ASN: 65001, Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
	}}}
	ca.BGP.Neighbors = []config.Neighbor{{Address: one, Port: cb.BGP.Listen[0].Port(), Peering: config.Peering{
		ASN: 65002, Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
	}}}
	a, b := start(t, ca), start(t, cb)
	settle(t, a, b)
	crossing(t, a, b)
}

func TestNeighborOptions(t *testing.T) {
	parallel(t)
	for _, tt := range []struct {
		name   string
		a, b   uint32
		change func(toB, toA *config.Neighbor)
	}{
		{"internal", 65001, 65001, nil},
		{"4-octet AS", 4200000001, 4200000002, nil},
		{"other local AS", 65001, 65002, func(toB, toA *config.Neighbor) { toB.LocalASN, toA.ASN = 65009, 65009 }},
		{"multihop", 65001, 65002, func(toB, toA *config.Neighbor) { toB.Multihop, toA.Multihop = 5, 255 }},
		{"short timers", 65001, 65002, func(toB, _ *config.Neighbor) {
			toB.Timers.Hold, toB.Timers.Keepalive = 3*time.Second, time.Second
		}},
		{"no graceful restart", 65001, 65002, func(toB, _ *config.Neighbor) {
			toB.GracefulRestart.Mode = config.GracefulRestartOff
		}},
		{"all families", 65001, 65002, func(toB, toA *config.Neighbor) {
			toB.Families = []config.Family{config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6, config.FamilyEVPN}
			toA.Families = toB.Families
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			a, b := pair(t, tt.a, tt.b, tt.change)
			crossing(t, a, b)
		})
	}
}

func TestRouteReflectorReflectsBetweenClients(t *testing.T) {
	parallel(t)
	addrs := addresses(3)
	rr := configuration(t, addrs[0], 65001)
	rr.BGP.ClusterID = addr("192.0.2.77")
	var clients []*config.Config
	for _, a := range addrs[1:] {
		c := configuration(t, a, 65001)
		meet(c, rr, func(_, toClient *config.Neighbor) { toClient.RouteReflectorClient = true })
		clients = append(clients, c)
	}
	r, a, b := start(t, rr), start(t, clients[0]), start(t, clients[1])
	settle(t, r, a, b)
	crossing(t, a, b)
	if n := r.len(); n != 2 {
		t.Errorf("the reflector has %d routes, want 2", n)
	}
}

func password(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMD5PasswordProtectsTheSession(t *testing.T) {
	parallel(t)
	right, wrong := password(t, "secret\n", 0o600), password(t, "other\n", 0o600)
	t.Run("same password", func(t *testing.T) {
		parallel(t)
		a, b := pair(t, 65001, 65002, func(toB, toA *config.Neighbor) { toB.PasswordFile, toA.PasswordFile = right, right })
		crossing(t, a, b)
	})
	t.Run("wrong password", func(t *testing.T) {
		parallel(t)
		addrs := addresses(3)
		ca, cb, cc := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002), configuration(t, addrs[2], 65003)
		meet(ca, cb, func(toB, toA *config.Neighbor) { toB.PasswordFile, toA.PasswordFile = wrong, right })
		meet(cc, cb, func(toB, toC *config.Neighbor) { toB.PasswordFile, toC.PasswordFile = right, right })
		a, b, c := start(t, ca), start(t, cb), start(t, cc)
		settle(t, a, b, c)
		// The neighbour with the right password shows that time enough passed.
		crossing(t, c, b)
		if n := b.neighbor(a.addr); n.State == Established || n.Ups != 0 {
			t.Errorf("established with a wrong password: %+v", n)
		}
	})
}

func TestDynamicNeighborComesAndGoes(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	key := password(t, "secret", 0o600)
	meet(ca, cb, func(toB, _ *config.Neighbor) { toB.PasswordFile = key })
	p := cb.BGP.Neighbors[0].Peering
	p.LocalAddress, p.PasswordFile, p.Description = netip.Addr{}, key, "anybody"
	cb.BGP.Neighbors = nil
	cb.BGP.DynamicNeighbors = []config.DynamicNeighbor{{Prefix: netip.PrefixFrom(addrs[0], 24).Masked(), Peering: p}}
	a, b := start(t, ca), start(t, cb)
	settle(t, a, b)
	if n := len(b.Neighbors()); n != 0 {
		t.Errorf("%d neighbours before any came", n)
	}
	crossing(t, a, b)
	n := b.neighbor(a.addr)
	if !n.Dynamic || n.Description != "anybody" || n.State != Established || n.ASN != 65001 {
		t.Errorf("dynamic neighbour: %+v", n)
	}
	a.stop()
	eventually(t, "neighbour forgotten", func() bool { return len(b.Neighbors()) == 0 && b.len() == 0 })
}

func TestConfiguredNeighborIsListedBeforeItComes(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	meet(ca, cb, func(toB, _ *config.Neighbor) { toB.Description = "spine" })
	a := start(t, ca)
	eventually(t, "neighbour listed", func() bool { return a.neighbor(addrs[1]).State == Active })
	want := NeighborInfo{Address: addrs[1], ASN: 65002, LocalASN: 65001, Description: "spine", State: Active}
	if diff := cmp.Diff(want, a.neighbor(addrs[1]), compareAddr); diff != "" {
		t.Errorf("neighbour (-want +got):\n%s", diff)
	}
}

func TestOpenRefusedIsLoggedOnce(t *testing.T) {
	parallel(t)
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	meet(ca, cb, func(toB, _ *config.Neighbor) { toB.ASN = 65099 })
	log, hook := test.NewNullLogger()
	s, err := newSpeaker(ca, newBook(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	b := start(t, cb)
	settle(t, b)
	failed := func() int {
		n := 0
		for _, e := range hook.AllEntries() {
			if e.Message == "BGP session failed" {
				n++
			}
		}
		return n
	}
	eventually(t, "refusal logged", func() bool { return failed() > 0 })
	if n := s.Neighbors()[0]; n.LastError == "" || n.Ups != 0 {
		t.Errorf("neighbour: %+v", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if failed() != 1 {
		t.Errorf("the same failure was logged %d times", failed())
	}
}

func TestNeighborThatNeverCameIsNews(t *testing.T) {
	log, hook := test.NewNullLogger()
	s := newSessions(log)
	for _, c := range []change{
		{neighbor: addr("192.0.2.1"), asn: 65001, state: Active},
		{neighbor: addr("192.0.2.2"), asn: 65002, state: Established},
		{neighbor: addr("192.0.2.3"), asn: 65003, state: Established},
		{neighbor: addr("192.0.2.3"), asn: 65003, state: Idle, reason: "hold-timer-expired"},
		{neighbor: addr("192.0.2.4"), asn: 65004, state: Idle, reason: "notification-received"},
		{neighbor: addr("192.0.2.5"), asn: 65005, state: OpenSent, dynamic: true},
	} {
		s.change(c)
	}
	hook.Reset()
	s.overdue()
	entries := hook.AllEntries()
	if len(entries) != 1 || entries[0].Data["neighbor"] != addr("192.0.2.1") || entries[0].Data["state"] != Active {
		t.Errorf("logged: %v", entries)
	}
}

func TestConfigurationThatCannotWorkIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"no bgp section", func(c *config.Config) { c.BGP = nil }, "no bgp section"},
		{"two ports", func(c *config.Config) {
			c.BGP.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1790"), netip.MustParseAddrPort("[::1]:1791")}
		}, "bgp.listen: 127.0.0.1:1790 and [::1]:1791: all addresses must have the same port"},
		{"API without scheme", func(c *config.Config) { c.BGP.API = "/run/x.sock" }, `bgp.api: "/run/x.sock": want unix:///PATH or IP:PORT`},
		{"API with relative path", func(c *config.Config) { c.BGP.API = "unix://x.sock" }, "absolute path"},
		{"no password file", func(c *config.Config) { c.BGP.Neighbors[0].PasswordFile = filepath.Join(dir, "none") },
			"bgp.neighbors[0].password-file: open " + filepath.Join(dir, "none")},
		{"empty password", func(c *config.Config) { c.BGP.Neighbors[0].PasswordFile = password(t, "\n", 0o600) }, "holds no password"},
		{"long password", func(c *config.Config) { c.BGP.Neighbors[0].PasswordFile = password(t, strings.Repeat("x", 81), 0o600) }, "81 bytes, want 1 to 80"},
		{"two lines", func(c *config.Config) { c.BGP.Neighbors[0].PasswordFile = password(t, "a\nb\n", 0o600) }, "several lines"},
		{"two at once", func(c *config.Config) {
			c.BGP.Neighbors[0].PasswordFile = filepath.Join(dir, "none")
			c.BGP.DynamicNeighbors = []config.DynamicNeighbor{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Peering: c.BGP.Neighbors[0].Peering}}
		}, "bgp.dynamic-neighbors[0].password-file: open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := configuration(t, netip.MustParseAddr("127.0.0.1"), 65001)
			cfg.BGP.Neighbors = []config.Neighbor{{Address: addr("127.0.0.2"), Peering: config.Peering{ASN: 65002, Timers: timers()}}}
			tt.change(cfg)
			_, err := newSpeaker(cfg, newBook(), quiet())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestReadablePasswordFileIsWarnedOf(t *testing.T) {
	log, hook := test.NewNullLogger()
	for _, tt := range []struct {
		mode os.FileMode
		want int
	}{{0o600, 0}, {0o640, 0}, {0o644, 1}} {
		name := password(t, "secret\r\n", tt.mode)
		if err := os.Chmod(name, tt.mode); err != nil {
			t.Fatal(err)
		}
		hook.Reset()
		if p, err := readPassword(name, log); err != nil || p != "secret" {
			t.Errorf("mode %o: password %q, error %v", tt.mode, p, err)
		}
		if n := len(hook.AllEntries()); n != tt.want {
			t.Errorf("mode %o: %d warnings, want %d", tt.mode, n, tt.want)
		}
	}
}

func TestIPv6RoutesOverIPv4WithoutNextHopAreWarnedOf(t *testing.T) {
	both := []config.Family{config.FamilyIPv4, config.FamilyIPv6}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   int
	}{
		{"sessions over IPv4 and IPv6", func(*config.Config) {}, 1},
		{"an IPv4 next hop", func(c *config.Config) { c.BGP.NextHops = []netip.Addr{addr("192.0.2.1")} }, 1},
		{"an IPv6 next hop", func(c *config.Config) { c.BGP.NextHops = []netip.Addr{addr("2001:db8::1")} }, 0},
		{"no unicast VNI", func(c *config.Config) { c.VNIs = nil }, 0},
		{"IPv4 routes only", func(c *config.Config) { c.BGP.Neighbors[0].Families = both[:1] }, 0},
	} {
		log, hook := test.NewNullLogger()
		cfg := &config.Config{
			RouterID: addr("192.0.2.1"), ASN: 65001, VNIs: []config.VNI{{VNI: 100, Family: config.VNIFamilyUnicast}},
			BGP: &config.BGP{Neighbors: []config.Neighbor{
				{Address: addr("192.0.2.9"), Peering: config.Peering{ASN: 65000, Families: both, Timers: timers()}},
				{Address: addr("2001:db8::9"), Peering: config.Peering{ASN: 65000, Families: both, Timers: timers()}},
			}},
		}
		tt.change(cfg)
		if _, err := newSetup(cfg, log); err != nil {
			t.Fatal(err)
		}
		if list := hook.AllEntries(); len(list) != tt.want {
			t.Errorf("%s: logged %v, want %d warnings", tt.name, list, tt.want)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for _, tt := range []struct {
		listen []string
		want   []string
		port   int32
	}{
		{nil, nil, -1},
		{[]string{"[::]:179"}, []string{"::", "0.0.0.0"}, 179},
		{[]string{"[::]:179", "192.0.2.1:179"}, []string{"::", "192.0.2.1"}, 179},
		{[]string{"0.0.0.0:1790"}, []string{"0.0.0.0"}, 1790},
		{[]string{"192.0.2.1:179", "[2001:db8::1]:179"}, []string{"192.0.2.1", "2001:db8::1"}, 179},
	} {
		var list []netip.AddrPort
		for _, s := range tt.listen {
			list = append(list, netip.MustParseAddrPort(s))
		}
		got, port, err := listenAddresses(list)
		if diff := cmp.Diff(tt.want, got); diff != "" || port != tt.port || err != nil {
			t.Errorf("%v: port %d, error %v, addresses (-want +got):\n%s", tt.listen, port, err, diff)
		}
	}
}
