package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// wantExported are the BGP next hops that every exported prefix must have,
// worked out from what is in the table.
func wantExported(b *Bridge, n *network) map[netip.Prefix]map[netip.Addr]bool {
	want := map[netip.Prefix]map[netip.Addr]bool{}
	b.Table().Walk(n.vni, func(i rib.RouteInfo) bool {
		native := false
		for _, c := range i.Claims {
			native = native || c.Source != rib.BGP
		}
		t := i.NextHop.Target
		if !i.Visible || !native || i.NextHop.Type != rib.Standard || b.gatewayHop(t) ||
			!config.Permit(n.exports.Prefixes, i.Prefix) {
			return true
		}
		if n.self {
			t = b.bgp.local
		}
		if want[i.Prefix] == nil {
			want[i.Prefix] = map[netip.Addr]bool{}
		}
		want[i.Prefix][t] = true
		return true
	})
	return want
}

// checkExported compares what the speaker has with the table, and that every
// next hop which it had before is still at the same NLRI.
func checkExported(t *rapid.T, b *Bridge, out *adjOut, before map[NLRI]netip.Addr) map[NLRI]netip.Addr {
	out.take(t)
	now, owner := map[NLRI]netip.Addr{}, map[RD]rib.VNI{}
	for _, n := range b.sorted {
		if len(n.exports.Targets) == 0 {
			continue
		}
		own := map[RD]bool{}
		for _, rd := range b.bgp.rds.list(n.vni) {
			own[rd] = true
			if other, taken := owner[rd]; taken {
				t.Fatalf("vni %d and vni %d have %v", other, n.vni, rd)
			}
			owner[rd] = n.vni
		}
		want, got, at := wantExported(b, n), 0, map[string]NLRI{}
		for nlri, a := range out.routes {
			if !own[nlri.RD] {
				continue
			}
			if !want[nlri.Prefix][a.NextHop] {
				t.Fatalf("vni %d: %v by %v is in BGP", n.vni, nlri, a.NextHop)
			}
			key := fmt.Sprint(nlri.Prefix, a.NextHop)
			if other, twice := at[key]; twice {
				t.Fatalf("%v and %v have the same next hop", other, nlri)
			}
			at[key] = nlri
			now[nlri] = a.NextHop
			got++
		}
		for nlri, nextHop := range before {
			if own[nlri.RD] && want[nlri.Prefix][nextHop] && out.routes[nlri] != nil && out.routes[nlri].NextHop != nextHop {
				t.Fatalf("%v moved from %v to %v, which lives", nlri, nextHop, out.routes[nlri].NextHop)
			}
		}
		total := 0
		for _, hops := range want {
			total += len(hops)
		}
		s := n.exportStats()
		if got != total && n.exports.MaxPrefixes == 0 {
			t.Fatalf("vni %d: %d routes in BGP, want %d", n.vni, got, total)
		}
		if max := n.exports.MaxPrefixes; max > 0 && (s.Prefixes.Used > max || s.Prefixes.Used != min(max, len(want)) || s.Waiting != len(want)-s.Prefixes.Used) {
			t.Fatalf("vni %d: %+v, %d prefixes", n.vni, s, len(want))
		}
		if s.Routes != got {
			t.Fatalf("vni %d: counted %d, there are %d", n.vni, s.Routes, got)
		}
	}
	return now
}

// bubbled is a test in a synctest bubble, which may not be asked for its
// deadline as rapid would.
type bubbled struct{ rapid.TB }

func TestExportFollowsTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			cfg := testConfig(t)
			cfg.VNIs[0].Export.Prefixes = []config.PrefixRule{{Prefix: prefix("10.0.0.3/32")}, {Allow: true, Prefix: prefix("10.0.0.0/8"), LE: 32}}
			cfg.VNIs[2].Export = config.Export{Targets: []RouteTarget{rt(65000, 400)}, MaxPrefixes: 2}
			b := newBridge(t, cfg)
			channels := []*Channel{b.Open(rib.Client, "a"), b.Open(rib.Client, "b"), b.Open(rib.Server, "s"), b.Open(rib.Static, "static")}
			out := &adjOut{routes: map[NLRI]*Attributes{}}
			ctx, cancel := context.WithCancel(context.Background())
			done, gate := make(chan error, 1), make(chan struct{}, 1)
			slow := rapid.Bool().Draw(t, "slow speaker")
			go func() {
				done <- b.BGP().Export(ctx, func(u []Update) error {
					if slow {
						select {
						case gate <- struct{}{}:
						case <-ctx.Done():
						}
					}
					return out.send(u)
				})
			}()
			t.Cleanup(cancel)
			draw := func(t *rapid.T) (*Channel, rib.VNI, netip.Prefix, rib.NextHop) {
				nh := hop(fmt.Sprintf("2001:db8:%s::%d", rapid.SampledFrom([]string{"1", "1", "1", "f"}).Draw(t, "net"), rapid.IntRange(1, 4).Draw(t, "hop")))
				if rapid.IntRange(0, 7).Draw(t, "type") == 0 {
					nh.Type, nh.NATFrom, nh.NATTo = rib.NAT, 1, 2
				}
				return rapid.SampledFrom(channels).Draw(t, "channel"), rapid.SampledFrom([]rib.VNI{200, 300, 400}).Draw(t, "vni"),
					prefix(fmt.Sprintf("10.0.0.%d/32", rapid.IntRange(0, 3).Draw(t, "prefix"))), nh
			}
			before := map[NLRI]netip.Addr{}
			t.Repeat(map[string]func(*rapid.T){
				"announce": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					if err := c.Announce(vni, p, nh); err != nil {
						t.Fatal(err)
					}
				},
				"withdraw": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					c.Withdraw(vni, p, nh)
				},
				"import": func(t *rapid.T) {
					_, vni, p, nh := draw(t)
					b.BGP().Import([]Update{say(type5(1, p.String()), ipipPath(nh.Target.String(), rt(65000, uint32(vni))))})
				},
				"lose": func(t *rapid.T) {
					_, _, p, _ := draw(t)
					b.BGP().Import([]Update{unsay(type5(1, p.String()))})
				},
				"let one batch through": func(t *rapid.T) {
					select {
					case <-gate:
					default:
					}
				},
				"catch up": func(t *rapid.T) {
					for synctest.Wait(); len(gate) > 0; synctest.Wait() {
						<-gate
					}
					before = checkExported(t, b, out, before)
				},
			})
			for _, c := range channels {
				c.Close()
			}
			for synctest.Wait(); len(gate) > 0; synctest.Wait() {
				<-gate
			}
			checkExported(t, b, out, nil)
			if len(out.routes) != 0 {
				t.Fatalf("left in BGP: %v", out.routes)
			}
			for _, n := range b.sorted {
				if len(n.out.paths)+len(n.out.waiting) != 0 {
					t.Fatalf("vni %d keeps %d and %d", n.vni, len(n.out.paths), len(n.out.waiting))
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	})
}
