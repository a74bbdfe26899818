package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// A world is one or two MetalBond domains, each a server and two bridges that
// are its clients, around one BGP route reflector with a fabric behind it.
// Nothing moves by itself but the exports: every other message is delivered by
// pump, in the order that the test draws.
type world struct {
	t       *rapid.T
	domains []*domain
	sites   []*site // of all domains
	fabric  map[NLRI]Update
	moved   int // messages delivered
}

// domain is a MetalBond server, which like the Go one knows no preference and
// sends no announcer its own routes but when it subscribes.
type domain struct {
	number  int
	server  *rib.Table
	hosts   rib.Origin // hypervisors at the server
	bridges []*site
}

// site is a bridge with its two sessions.
type site struct {
	*Bridge
	domain  *domain
	name    string
	channel *Channel   // what the server says
	client  *Channel   // a hypervisor of its own
	origin  rib.Origin // what the server hears
	up      []*session // to the server
	down    []*session // from the server
	mu      sync.Mutex // of inbox of all sites
	inbox   []Update   // from the reflector; guarded by mu
}

type session struct {
	vni    rib.VNI
	reader *rib.Reader
}

var worldVNIs = []rib.VNI{200, 300}

// newWorld makes a world. If leaks, the two VNIs of each bridge have each
// other's routes.
func newWorld(t *rapid.T, domains int, leaks bool) *world {
	w := &world{t: t, fabric: map[NLRI]Update{}}
	for d := range domains {
		dom := &domain{number: d, server: rib.New(rib.Options{})}
		dom.hosts = dom.server.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "hosts"})
		for i := range 2 {
			cfg := testConfig(t)
			cfg.RouterID = netip.AddrFrom4([4]byte{192, 0, 2, byte(10*d + i + 1)})
			cfg.VXLAN.Local = cfg.RouterID
			cfg.Domain = soo(t, fmt.Sprintf("65001:%d", d+1))
			cfg.VNIs, cfg.Kernel = cfg.VNIs[:2], &config.Kernel{}
			if leaks {
				cfg.VNIs[0].ImportFrom, cfg.VNIs[1].ImportFrom = []uint32{300}, []uint32{200}
			}
			if other := 1 - d; domains > 1 { // own.go says why
				cfg.MetalBond.Gateways = append(cfg.MetalBond.Gateways, prefix("2001:db8:9::/64"),
					prefix(fmt.Sprintf("2001:db8:1:%d::/64", other)), prefix(fmt.Sprintf("2001:db8:2:%d::/64", other)))
			}
			for k := range cfg.VNIs {
				cfg.VNIs[k].Table = cfg.VNIs[k].VNI
				cfg.VNIs[k].Gateway = addr(fmt.Sprintf("2001:db8:f::%d:%d:%d", d, i, cfg.VNIs[k].VNI))
			}
			s := &site{Bridge: newBridge(t, cfg), domain: dom, name: fmt.Sprintf("%d/%d", d, i)}
			s.channel, s.client = s.Open(rib.Server, "server"), s.Open(rib.Client, "client")
			s.origin = dom.server.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: s.name})
			for _, vni := range worldVNIs {
				s.up = append(s.up, &session{vni, s.Table().NewReader(vni, rib.ReaderOptions{Sources: rib.Sources(rib.Static, rib.Client, rib.BGP, rib.Leaked)})})
				s.down = append(s.down, &session{vni, dom.server.NewReader(vni, rib.ReaderOptions{Except: []rib.Origin{s.origin}})})
			}
			dom.bridges = append(dom.bridges, s)
			w.sites = append(w.sites, s)
		}
		w.domains = append(w.domains, dom)
	}
	for _, s := range w.sites {
		leaking(t, s.Bridge)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.BGP().Export(ctx, func(u []Update) error { w.reflect(s, u); return nil }) }()
		t.Cleanup(func() {
			cancel()
			<-done
		})
	}
	return w
}

// reflect sends updates to all bridges, the sender too.
func (w *world) reflect(from *site, updates []Update) {
	for _, s := range w.sites {
		s.mu.Lock()
		for _, u := range updates {
			u.Neighbor = fabric
			s.inbox = append(s.inbox, u)
		}
		s.mu.Unlock()
	}
}

// deliver lets the reflector say up to n updates to a bridge.
func (w *world) deliver(s *site, n int) int {
	s.mu.Lock()
	n = min(n, len(s.inbox))
	batch := slices.Clone(s.inbox[:n])
	s.inbox = s.inbox[n:]
	s.mu.Unlock()
	s.BGP().Import(batch)
	return n
}

// read moves up to n changes from a reader.
func read(r *rib.Reader, n int, add, remove func(netip.Prefix, rib.NextHop)) int {
	changes := make([]rib.Change, n)
	got, _ := r.ReadChanges(changes)
	moved := 0
	for _, c := range changes[:got] {
		has := func(list []rib.Path, nh rib.NextHop) bool {
			return slices.ContainsFunc(list, func(p rib.Path) bool { return p.NextHop == nh })
		}
		for _, p := range c.Old {
			if !has(c.New, p.NextHop) {
				remove(c.Prefix, p.NextHop)
				moved++
			}
		}
		for _, p := range c.New {
			if !has(c.Old, p.NextHop) {
				add(c.Prefix, p.NextHop)
				moved++
			}
		}
	}
	return moved
}

// pump moves some messages of one bridge on one of its sessions.
func (w *world) pump(s *site, session, n int) int {
	moved := 0
	switch session {
	case 0:
		moved = w.deliver(s, n)
	case 1, 2:
		x := s.up[session-1]
		moved = read(x.reader, n,
			func(p netip.Prefix, nh rib.NextHop) {
				s.domain.server.Add(s.origin, rib.Route{VNI: x.vni, Prefix: p, NextHop: nh, Preference: rib.Native})
			},
			func(p netip.Prefix, nh rib.NextHop) { s.domain.server.Remove(s.origin, x.vni, p, nh) })
	default:
		x := s.down[session-3]
		moved = read(x.reader, n,
			func(p netip.Prefix, nh rib.NextHop) { _ = s.channel.Announce(x.vni, p, nh) },
			func(p netip.Prefix, nh rib.NextHop) { s.channel.Withdraw(x.vni, p, nh) })
	}
	w.moved += moved
	return moved
}

// settle delivers everything until nothing moves any more.
func (w *world) settle() {
	sessions := make([]int, 5*len(w.sites))
	for i := range sessions {
		sessions[i] = i
	}
	sessions = rapid.Permutation(sessions).Draw(w.t, "sessions")
	for round := 0; ; round++ {
		synctest.Wait()
		moved := 0
		for _, i := range sessions {
			moved += w.pump(w.sites[i/5], i%5, 50)
		}
		synctest.Wait()
		waiting := 0
		for _, s := range w.sites {
			s.mu.Lock()
			waiting += len(s.inbox)
			s.mu.Unlock()
		}
		if moved+waiting == 0 {
			return
		}
		if round > 30 {
			w.t.Fatalf("still moving after %d rounds", round)
		}
	}
}

// replay is what a Go server does at SUBSCRIBE: it sends all it has, also what
// only the subscriber announces. What the subscriber has said before reaches it
// before, as both are on one connection.
func (w *world) replay(s *site, vni rib.VNI) {
	i := slices.Index(worldVNIs, vni)
	for synctest.Wait(); w.pump(s, 1+i, 50)+w.pump(s, 3+i, 50) > 0; synctest.Wait() {
	}
	s.domain.server.Walk(vni, func(i rib.RouteInfo) bool {
		_ = s.channel.Announce(vni, i.Prefix, i.NextHop)
		return true
	})
}

// check compares every bridge and server with what hosts and fabric say.
func (w *world) check(native []map[rib.VNI]map[string]bool) {
	for _, d := range w.domains {
		for _, s := range d.bridges {
			for _, vni := range worldVNIs {
				n := s.current().networks[vni]
				want := wantExported(s.Bridge, n)
				if got := s.BGP().Stats().VNIs[slices.Index(worldVNIs, vni)].Exported.Prefixes.Used; got != len(want) {
					w.t.Fatalf("%s vni %d: exports %d prefixes, want %d", s.name, vni, got, len(want))
				}
				for p, hops := range want {
					for h := range hops {
						if vni == 300 && !native[d.number][vni][at(p, h)] {
							w.t.Fatalf("%s vni %d exports %v by %v, which no host of its domain says", s.name, vni, p, h)
						}
					}
				}
			}
		}
	}
}

// checkGateways checks that a bridge knows where all goes on that it takes
// itself, whichever VNI's gateway address stands for that.
func (w *world) checkGateways(s *site) {
	owner := map[netip.Addr]rib.VNI{}
	for _, n := range s.current().sorted {
		owner[n.gateway] = n.vni
	}
	for _, vni := range worldVNIs {
		s.Table().Walk(vni, func(i rib.RouteInfo) bool {
			if x := owner[i.NextHop.Target]; i.Visible && x != 0 && vias(s.Bridge, x, i.Prefix.String()) == "" {
				w.t.Fatalf("%s vni %d: %v ends at the gateway of vni %d", s.name, vni, i.Prefix, x)
			}
			return true
		})
	}
}

func TestBridgesDoNotLoopOrFlap(t *testing.T) {
	for _, leaks := range []bool{false, true} {
		for domains := 1; domains <= 2; domains++ {
			t.Run(fmt.Sprintf("%d domains, leaks %v", domains, leaks), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rapid.Check(bubbled{t}, func(t *rapid.T) { churn(t, domains, leaks) })
				})
			})
		}
	}
}

func churn(t *rapid.T, domains int, leaks bool) {
	w := newWorld(t, domains, leaks)
	native := make([]map[rib.VNI]map[string]bool, domains)
	for d := range native {
		native[d] = map[rib.VNI]map[string]bool{200: {}, 300: {}}
	}
	changes := 0
	host := func(t *rapid.T) (int, rib.Route) {
		d := rapid.IntRange(0, domains-1).Draw(t, "domain")
		return d, rib.Route{
			VNI:        rapid.SampledFrom(worldVNIs).Draw(t, "vni"),
			Prefix:     prefix(fmt.Sprintf("10.0.0.%d/32", rapid.IntRange(0, 2).Draw(t, "prefix"))),
			NextHop:    hop(fmt.Sprintf("2001:db8:1:%d::%d", d, rapid.IntRange(1, 2).Draw(t, "hop"))),
			Preference: rib.Native,
		}
	}
	route := func(t *rapid.T) Update {
		n := type5(rapid.Uint16Range(1, 2).Draw(t, "rd"), fmt.Sprintf("10.0.0.%d/32", rapid.IntRange(1, 3).Draw(t, "prefix")))
		a := vxlanPath(rt(65000, 200))
		if rapid.Bool().Draw(t, "straight") {
			a = ipipPath(fmt.Sprintf("2001:db8:9::%d", rapid.IntRange(1, 2).Draw(t, "hop")), rt(65000, 300))
		}
		a.ASPathLength = rapid.Uint16Range(1, 3).Draw(t, "ASes")
		return say(n, a)
	}
	site := func(t *rapid.T) *site { return rapid.SampledFrom(w.sites).Draw(t, "bridge") }
	t.Repeat(map[string]func(*rapid.T){
		"a host comes": func(t *rapid.T) {
			d, r := host(t)
			if w.domains[d].server.Add(w.domains[d].hosts, r) {
				changes++
			}
			native[d][r.VNI][at(r.Prefix, r.NextHop.Target)] = true
		},
		"a host goes": func(t *rapid.T) {
			d, r := host(t)
			if w.domains[d].server.Remove(w.domains[d].hosts, r.VNI, r.Prefix, r.NextHop) {
				changes++
			}
		},
		"a bridge's own host comes": func(t *rapid.T) {
			s := site(t)
			p := fmt.Sprintf("10.0.0.%d/32", rapid.IntRange(0, 2).Draw(t, "prefix"))
			vni := rapid.SampledFrom(worldVNIs).Draw(t, "vni")
			target := fmt.Sprintf("2001:db8:2:%d::%d", s.domain.number, rapid.IntRange(1, 2).Draw(t, "hop"))
			announce(t, s.client, vni, p, target)
			native[s.domain.number][vni][at(prefix(p), addr(target))] = true
			changes++
		},
		"a bridge's own hosts go": func(t *rapid.T) {
			s := site(t)
			changes += s.Table().Flush(s.client.Origins()[0])
		},
		"the fabric announces": func(t *rapid.T) {
			u := route(t)
			w.fabric[u.NLRI] = u
			w.reflect(nil, []Update{u})
			changes++
		},
		"the fabric withdraws": func(t *rapid.T) {
			u := route(t)
			delete(w.fabric, u.NLRI)
			w.reflect(nil, []Update{unsay(u.NLRI)})
			changes++
		},
		"some messages arrive": func(t *rapid.T) {
			synctest.Wait()
			w.pump(site(t), rapid.IntRange(0, 4).Draw(t, "session"), rapid.IntRange(1, 3).Draw(t, "messages"))
		},
		"a bridge subscribes again": func(t *rapid.T) {
			w.replay(site(t), rapid.SampledFrom(worldVNIs).Draw(t, "vni"))
		},
		"all messages arrive": func(t *rapid.T) {
			w.settle()
			w.check(native)
			for _, s := range w.sites {
				checkLeaks(t, s.Bridge)
				w.checkGateways(s)
			}
		},
	})
	// Everybody who owns a route takes it back: then nothing may stay.
	for _, d := range w.domains {
		d.server.Flush(d.hosts)
	}
	for _, s := range w.sites {
		s.Table().Flush(s.client.Origins()[0])
	}
	for n := range w.fabric {
		w.reflect(nil, []Update{unsay(n)})
	}
	changes += 100
	w.settle()
	for _, s := range w.sites {
		for _, vni := range worldVNIs {
			if n := s.Table().Stats(vni).Prefixes; n != 0 {
				t.Fatalf("%s vni %d: %d prefixes go round", s.name, vni, n)
			}
			if n := s.Fabric().Stats(vni).Prefixes; n != 0 {
				t.Fatalf("%s vni %d: %d prefixes are left in the fabric table", s.name, vni, n)
			}
			if n := s.domain.server.Stats(vni).Prefixes; n != 0 {
				t.Fatalf("server of %s vni %d: %d prefixes go round", s.name, vni, n)
			}
		}
		wantNothingKept(t, s.BGP())
	}
	// A change reaches each of the other sessions a bounded number of times, and
	// with leaks is one in two VNIs.
	limit := changes * 10 * len(w.sites)
	if leaks {
		limit *= 2
	}
	if w.moved > limit {
		t.Fatalf("%d changes moved %d messages", changes, w.moved)
	}
}

func at(p netip.Prefix, target netip.Addr) string { return p.String() + " " + target.String() }
