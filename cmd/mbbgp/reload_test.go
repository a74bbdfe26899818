package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/gobgp"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

// site is a daemon that runs by a file.
type site struct {
	*daemon
	t    *testing.T
	file string
	log  *logs
	stop func()
}

// startSite runs a daemon by a configuration until stop, or the end of the test.
func startSite(t *testing.T, text string) *site {
	t.Helper()
	s := &site{t: t, file: filepath.Join(t.TempDir(), "mbbgp.yaml")}
	s.write(text)
	cfg, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if s.log, err = newLogs(cfg.Log, logFlags{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if s.daemon, err = newDaemon(cfg, s.log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	s.until("the speaker runs", func() bool { return closed(s.speaker.Ready()) })
	return s
}

func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// reloads makes a configuration the running one, and returns the paths of what
// has changed.
func (s *site) reloadWith(text string) ([]string, error) {
	s.t.Helper()
	s.write(text)
	answer, err := s.reload(s.t.Context(), s.file, s.log)
	var paths []string
	for _, c := range answer.Changes {
		paths = append(paths, c.Path)
	}
	return paths, err
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after a minute still not: %s", what)
		}
	}
}

// routes are the next hops of VNIs in the table, and what kind of source says
// them.
func (s *site) routes() (list []string) {
	for _, vni := range s.table.VNIs() {
		s.table.Walk(vni, func(i rib.RouteInfo) bool {
			for _, c := range i.Claims {
				list = append(list, fmt.Sprint(vni, " ", i.Prefix, " ", i.NextHop, " ", i.Visible, " ", c.Source))
			}
			return true
		})
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// session returns what is known of a BGP neighbour.
func (s *site) session(address string) (n gobgp.NeighborInfo) {
	for _, x := range s.speaker.Neighbors() {
		if x.Address == netip.MustParseAddr(address) {
			n = x
		}
	}
	return n
}

// hypervisorOf connects a MetalBond client that reads VNI 200, and returns its
// table when all is in it, and what tells whether its first session goes on.
func hypervisorOf(t *testing.T, s *site) (table *rib.Table, established func() bool) {
	t.Helper()
	table = rib.New(rib.Options{Encode: metalbond.Encode})
	log := s.log.of(config.LogBridge)
	b, err := bridge.New(&config.Config{}, table, log)
	if err != nil {
		t.Fatal(err)
	}
	s.until("hypervisors may connect", func() bool { return closed(s.listening) })
	client := metalbond.NewClient(metalbond.ClientOptions{
		Servers: []string{s.server.Addr().String()}, Subscribe: []rib.VNI{200}, Bridge: b, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.until("the hypervisor has its routes", func() bool { return table.Stats(200).Prefixes == s.table.Stats(200).Prefixes })
	since := client.Sessions()[0].Since
	return table, func() bool {
		x := client.Sessions()[0]
		return x.State == metalbond.Established && x.Since.Equal(since)
	}
}

// watch returns what changes in a VNI from now on.
func (s *site) watch(vni rib.VNI) (changes func() []string) { return watchTable(s.t, s.table, vni) }

func watchTable(t *testing.T, table *rib.Table, vni rib.VNI) (changes func() []string) {
	r := table.NewReader(vni, rib.ReaderOptions{})
	t.Cleanup(r.Close)
	buf := make([]rib.Change, 100)
	read := func() (list []string) {
		for more := true; more; {
			var n int
			n, more = r.ReadChanges(buf)
			for _, c := range buf[:n] {
				list = append(list, fmt.Sprint(c.Prefix, " ", c.Old, " -> ", c.New))
			}
		}
		return list
	}
	read()
	return read
}

func freeBGPPort(t *testing.T, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

const (
	here  = "127.70.0.1"
	there = "127.70.0.2"
	third = "127.70.0.3"
)

// fabricText is the configuration of a fabric that has what we have, and a
// neighbor in the way of each address.
func fabricText(address string, asn, port int, neighbors ...string) string {
	text := fmt.Sprintf("router-id: %s\nasn: %d\ndomain: %[2]d:1\nhttp: off\napi: {socket: off}\nmetalbond: {listen: \"127.0.0.1:0\"}\n", strings.Replace(address, "127", "10", 1), asn)
	text += fmt.Sprintf("bgp:\n  listen: %s:%d\n  neighbors:\n", address, port)
	for _, n := range neighbors {
		text += "    - " + n + "\n"
	}
	text += "vnis:\n"
	for vni := 200; vni < 206; vni++ {
		text += fmt.Sprintf("  - {vni: %d, gateway: \"2001:db8:b::%[1]d\", import: [\"target:65000:%[1]d\"], export: [\"target:65000:%[1]d\"]}\n", vni)
	}
	return text
}

// variant is a configuration of the bridge under test: VNI 200 and the session
// to the fabric are always the same.
func variant(r *rand.Rand, port, fabricPort int) string {
	text := fmt.Sprintf("router-id: 10.70.0.1\nasn: 65001\ndomain: 65001:1\nhttp: off\napi: {socket: off}\nmetalbond: {listen: \"127.0.0.1:0\", keepalive: %ds}\n", 5+r.IntN(3))
	text += fmt.Sprintf("bgp:\n  listen: %s:%d\n  neighbors:\n    - {address: %s, port: %d, asn: 65002, local-address: %[1]s, timers: {connect-retry: 1s}, max-prefixes: %d}\n", here, port, there, fabricPort, 1000+r.IntN(9))
	for _, n := range []string{third, "127.70.0.4"} {
		if r.IntN(2) == 0 {
			text += fmt.Sprintf("    - {address: %s, asn: 65003, passive: true, timers: {hold: %ds}}\n", n, 30+30*r.IntN(2))
		}
	}
	if r.IntN(2) == 0 {
		text += fmt.Sprintf("  dynamic-neighbors: [{prefix: 127.71.0.0/16, asn: %d}]\n", 65004+r.IntN(2))
	}
	text += "vnis:\n  - {vni: 200, gateway: \"2001:db8:a::200\", import: [\"target:65000:200\"], export: [\"target:65000:200\"]}\n"
	for vni := 201; vni < 206; vni++ {
		if r.IntN(4) == 0 {
			continue
		}
		target := func() int { return 201 + r.IntN(5) }
		text += fmt.Sprintf("  - vni: %d\n    gateway: \"2001:db8:a::%x\"\n    import: [\"target:65000:%d\"]\n    export: {targets: [\"target:65000:%d\"]", vni, vni<<4+r.IntN(2), target(), target())
		if r.IntN(3) == 0 {
			text += ", prefixes: [{allow: 10.2.0.0/24, le: 32}]"
		}
		if r.IntN(3) == 0 {
			text += fmt.Sprintf(", rules: [{set: {med: %d}}]", r.IntN(9))
		}
		text += "}\n"
		if r.IntN(3) == 0 {
			text += fmt.Sprintf("    aggregates: [{prefix: 10.2.0.0/24, summary-only: %v}]\n", r.IntN(2) == 0)
		}
		if r.IntN(3) == 0 {
			text += fmt.Sprintf("    import-from: [%d]\n", 200)
		}
		if r.IntN(4) == 0 {
			text += "    originate: [{prefix: 0.0.0.0/0, hold-down: 0s}]\n"
		}
	}
	return text
}

func TestReloadsEndLikeAFreshStartAndDisturbNobodyElse(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	port, fabricPort := freeBGPPort(t, here), freeBGPPort(t, there)
	fabric := startSite(t, fabricText(there, 65002, fabricPort,
		fmt.Sprintf("{address: %s, asn: 65001, passive: true, local-address: %s}", here, there)))
	b := startSite(t, variant(r, port, fabricPort))

	said := fabric.bridge.Open(rib.Static, "fabric")
	for vni := rib.VNI(200); vni < 206; vni++ {
		for _, p := range []string{"0.0.0.0/0", "10.1.0.0/16"} {
			if err := said.Announce(vni, netip.MustParsePrefix(p), rib.NextHop{Target: netip.MustParseAddr("2001:db8:9::1")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What hypervisors say goes on while the configuration changes.
	type route struct {
		vni    rib.VNI
		prefix netip.Prefix
	}
	hop := rib.NextHop{Target: netip.MustParseAddr("2001:db8:1::1")}
	announced := map[route]bool{}
	hypervisors := b.bridge.Open(rib.Client, "hypervisors")
	churn := func(n int) {
		for range n {
			x := route{rib.VNI(201 + r.IntN(5)), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(r.IntN(64))}), 32)}
			if announced[x] = !announced[x]; announced[x] {
				if err := hypervisors.Announce(x.vni, x.prefix, hop); err != nil {
					t.Fatal(err)
				}
			} else {
				hypervisors.Withdraw(x.vni, x.prefix, hop)
			}
		}
	}
	for i := range 50 {
		if err := hypervisors.Announce(200, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, 1, byte(i)}), 32), hop); err != nil {
			t.Fatal(err)
		}
	}
	churn(100)
	b.until("VNI 200 is in both tables", func() bool {
		return fabric.table.Stats(200).Prefixes == 52 && b.table.Stats(200).Prefixes == 52
	})
	heardHere, heardThere := b.watch(200), fabric.watch(200)

	hypervisor, established := hypervisorOf(t, b)
	heard := watchTable(t, hypervisor, 200)

	text := ""
	for range 20 {
		text = variant(r, port, fabricPort)
		if _, err := b.reloadWith(text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		churn(20)
		if paths, err := b.reloadWith(text); err != nil || len(paths) > 0 {
			t.Fatalf("the same file once more: %v %v", paths, err)
		}
	}
	time.Sleep(time.Second) // in which nothing may be heard
	for who, list := range map[string][]string{"here": heardHere(), "there": heardThere()} {
		if len(list) > 0 {
			t.Errorf("%s, what no change named has changed: %q", who, list)
		}
	}
	if list := heard(); len(list) > 0 || !established() {
		t.Errorf("a hypervisor has heard %q, and its session is still there: %v", list, established())
	}
	if n := b.session(there); n.Ups != 1 || n.State != gobgp.Established {
		t.Errorf("the session to the fabric: %+v", n)
	}

	b.until("imports have settled", func() bool { return settled(b, fabric) })
	after, afterThere := b.routes(), fabric.routes()
	b.stop()
	// A speaker that starts writes a variable of GoBGP's that the others read
	// when they lose routes.
	fabric.until("the fabric has forgotten what it heard", func() bool {
		for vni := rib.VNI(200); vni < 206; vni++ {
			if fabric.table.Stats(vni).Prefixes > 2 { // its own
				return false
			}
		}
		return true
	})
	fresh := startSite(t, text)
	hypervisors = fresh.bridge.Open(rib.Client, "hypervisors")
	for i := range 50 {
		_ = hypervisors.Announce(200, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, 1, byte(i)}), 32), hop)
	}
	for x, there := range announced {
		if there {
			_ = hypervisors.Announce(x.vni, x.prefix, hop)
		}
	}
	var now, nowThere []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now, nowThere = fresh.routes(), fabric.routes(); slices.Equal(now, after) && slices.Equal(nowThere, afterThere) {
			return
		}
	}
	t.Errorf("after 20 reloads, not after a start:\n%q\n%q\nafter a start, not after 20 reloads:\n%q\n%q",
		minus(after, now), minus(afterThere, nowThere), minus(now, after), minus(nowThere, afterThere))
}

// settled waits until nothing changes for longer than the pause between two
// copies of BGP's table.
func settled(list ...*site) bool {
	look := func() (all []string) {
		for _, s := range list {
			all = append(all, s.routes()...)
		}
		return all
	}
	before := look()
	for range 12 {
		time.Sleep(time.Second)
		if !slices.Equal(before, look()) {
			return false
		}
	}
	return true
}

func minus(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func TestOnlyTheSessionThatAChangeNamesRestarts(t *testing.T) {
	port, two, three := freeBGPPort(t, here), freeBGPPort(t, there), freeBGPPort(t, third)
	passive := func(at string) string {
		return fmt.Sprintf("{address: %s, asn: 65001, passive: true, local-address: %s}", here, at)
	}
	startSite(t, fabricText(there, 65002, two, passive(there)))
	startSite(t, fabricText(third, 65003, three, passive(third)))
	text := func(more string, neighbors ...string) string {
		list := fmt.Sprintf("{address: %s, port: %d, asn: 65002, local-address: %s, timers: {connect-retry: 1s}}", there, two, here)
		return fabricText(here, 65001, port, append([]string{list}, neighbors...)...) + more
	}
	other := func(more string) string {
		return fmt.Sprintf("{address: %s, port: %d, asn: 65003, local-address: %s, timers: {connect-retry: 1s%s}}", third, three, here, more)
	}
	b := startSite(t, text(""))
	up := func(address string, ups uint64) {
		t.Helper()
		b.until(fmt.Sprint(address, " is up the ", ups, ". time"), func() bool {
			n := b.session(address)
			return n.State == gobgp.Established && n.Ups == ups
		})
	}
	up(there, 1)
	for _, step := range []struct {
		name string
		text string
		want []string
		ups  uint64
	}{
		{"one is added", text("", other("")), []string{"bgp.neighbors[address=127.70.0.3]"}, 1},
		{"it gets a maximum", strings.Replace(text("", other("")), "asn: 65003,", "asn: 65003, max-prefixes: 9, description: b,", 1),
			[]string{"bgp.neighbors[address=127.70.0.3].description", "bgp.neighbors[address=127.70.0.3].max-prefixes"}, 1},
		{"it gets other timers", text("", other(", hold: 30s")), []string{
			"bgp.neighbors[address=127.70.0.3].timers.hold", "bgp.neighbors[address=127.70.0.3].timers.keepalive",
			"bgp.neighbors[address=127.70.0.3].description", "bgp.neighbors[address=127.70.0.3].max-prefixes"}, 1},
	} {
		paths, err := b.reloadWith(step.text)
		if err != nil || !slices.Equal(paths, step.want) {
			t.Fatalf("%s: %v, %v", step.name, paths, err)
		}
		up(third, step.ups)
	}
	if _, err := b.reloadWith(text("")); err != nil {
		t.Fatal(err)
	}
	b.until("it is gone", func() bool { return !b.session(third).Address.IsValid() })
	up(there, 1)
}

func TestReloadIsRefusedAsAWhole(t *testing.T) {
	port := freeBGPPort(t, here)
	good := fabricText(here, 65001, port, "{address: 127.70.0.9, asn: 65002, passive: true}")
	b := startSite(t, good)
	before := b.running.Load()
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a file that is no configuration", "vnis: 7\n", []string{":1:7: vnis: 7 is not a list"}},
		{"a file that is not there", "", nil},
		{"what needs a restart", strings.Replace(strings.Replace(good, "http: off", "http: 127.0.0.1:1", 1), "vni: 203", "vni: 207", 1),
			[]string{"nothing has changed", "http: 127.0.0.1:1, was off"}},
		{"a password that cannot be read", strings.Replace(good, "passive: true", "passive: true, password-file: /nowhere", 1), []string{"/nowhere"}},
		{"an RD that is given away", strings.Replace(good, "{vni: 204", "{rd: \"10.70.0.1:203\", vni: 204", 1), []string{"vni 204: 203 is in use"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if c.text == "" {
				_, err = b.reload(t.Context(), filepath.Join(t.TempDir(), "none"), b.log)
			} else {
				_, err = b.reloadWith(c.text)
			}
			if err == nil || b.running.Load() != before {
				t.Fatalf("it was not refused: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q", err, want)
				}
			}
		})
	}
	b.reloads.Lock()
	if _, err := b.reload(t.Context(), b.file, b.log); !errors.Is(err, errReloading) {
		t.Errorf("a second one at once: %v", err)
	}
	b.reloads.Unlock()
}

func TestReloadThatStopsHalfWaySaysWhatIsLeft(t *testing.T) {
	port := freeBGPPort(t, here)
	old := fabricText(here, 65001, port, "{address: 127.70.0.9, asn: 65002, passive: true}")
	b := startSite(t, old)
	b.stop() // BGP is what does not work any more
	next := strings.Replace(strings.Replace(old, "vni: 203", "vni: 207", 1), "asn: 65002", "asn: 65003", 1)
	if _, err := b.reloadWith(next); err == nil || !strings.Contains(err.Error(), "BGP is not running") {
		t.Fatal(err)
	}
	var left []string
	cfg, err := config.Load(b.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Diff(b.running.Load(), cfg) {
		left = append(left, c.Path)
	}
	if want := []string{"bgp.neighbors[address=127.70.0.9].asn"}; !slices.Equal(left, want) {
		t.Errorf("left to do: %q, want %q", left, want)
	}
	if err := b.bridge.Check(cfg); err != nil || len(b.bridge.BGP().Stats().VNIs) != 6 || b.bridge.BGP().Stats().VNIs[5].VNI != 207 {
		t.Errorf("the bridge: %v, %+v", err, b.bridge.BGP().Stats().VNIs)
	}
}
