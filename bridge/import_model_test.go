package bridge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/rib"
)

// heard is the model of what BGP said of one NLRI.
type heard struct {
	neighbor netip.Addr
	hops     map[rib.VNI]rib.NextHop
	order    int
}

// expected are the claims that the table must have, as text: of NLRIs that
// differ only in the MAC, the one that came last counts.
func expected(model map[NLRI]heard) []string {
	front := map[NLRI]heard{}
	for n, h := range model {
		n.MAC = MAC{}
		if f, ok := front[n]; !ok || f.order < h.order {
			front[n] = h
		}
	}
	var all []string
	for n, h := range front {
		for vni, nh := range h.hops {
			all = append(all, fmt.Sprintln(vni, n.Prefix, nh, h.neighbor, n.Kind, n.RD))
		}
	}
	slices.Sort(all)
	return all
}

// claims are those that BGP has in the table, in the same form.
func claims(b *Bridge) []string {
	var all []string
	for _, n := range b.sorted {
		b.Table().Walk(n.vni, func(i rib.RouteInfo) bool {
			for _, c := range i.Claims {
				var neighbor, kind, rd string
				if _, err := fmt.Sscan(c.Name, &neighbor, &kind, &rd); err == nil {
					all = append(all, fmt.Sprintln(n.vni, i.Prefix, i.NextHop, neighbor, kind, rd))
				}
			}
			return true
		})
	}
	slices.Sort(all)
	return all
}

func TestImportFollowsTheModel(t *testing.T) {
	nlris := func(t *rapid.T) NLRI {
		n := type5(rapid.Uint16Range(1, 2).Draw(t, "rd"), "10.0.0.0/8")
		n.EthernetTag = rapid.Uint32Range(0, 1).Draw(t, "tag")
		if rapid.Bool().Draw(t, "host") {
			n.Kind = MACIP
			n.MAC = MAC{5: rapid.Byte().Draw(t, "mac") % 3}
		}
		n.Prefix = prefix(rapid.SampledFrom([]string{"10.1.0.1/32", "10.1.0.2/32", "2001:db8:77::1/128"}).Draw(t, "prefix"))
		return n
	}
	paths := []*Attributes{
		vxlanPath(rt(65000, 200)), vxlanPath(rt(65000, 300)), vxlanPath(rt(65000, 300), rt(65000, 200)),
		ipipPath("2001:db8:9::1", rt(65000, 300)), ipipPath("2001:db8:9::2", rt(65000, 300)),
		ipipPath("2001:db8:9::1", rt(65000, 200), rt(65000, 300)), ipipPath("2001:db8:9::1", rt(7, 400)),
		vxlanPath(rt(65000, 999)), {NextHop: addr("192.0.2.9"), RouteTargets: []RouteTarget{rt(65000, 200)}},
	}
	neighbors := []netip.Addr{fabric, fabric2, addr("198.51.100.7")}
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig(t)
		b := newBridge(t, cfg)
		g := b.BGP()
		model := map[NLRI]heard{}
		order := 0
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				u := say(nlris(t), rapid.SampledFrom(paths).Draw(t, "path"))
				u.Neighbor = rapid.SampledFrom(neighbors).Draw(t, "neighbor")
				hops := map[rib.VNI]rib.NextHop{}
				for _, v := range g.ExplainImport(u) {
					if v.Reason == Accepted {
						hops[v.VNI] = v.NextHop
					}
				}
				if order++; len(hops) == 0 {
					delete(model, u.NLRI)
				} else {
					model[u.NLRI] = heard{u.Neighbor, hops, order}
				}
				g.Import([]Update{u})
			},
			"withdraw": func(t *rapid.T) {
				n := nlris(t)
				delete(model, n)
				g.Import([]Update{unsay(n)})
			},
			"forget": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
					return
				}
				gone := rapid.SampledFrom(neighbors).Draw(t, "gone")
				before := len(model)
				maps.DeleteFunc(model, func(_ NLRI, h heard) bool { return h.neighbor == gone })
				if got := g.Forget(gone); got != before-len(model) {
					t.Fatalf("forgot %d of %d", got, before-len(model))
				}
			},
			"": func(t *rapid.T) {
				if got, want := claims(b), expected(model); !slices.Equal(got, want) {
					t.Fatalf("in the table:\n%q\nwant\n%q", got, want)
				}
			},
		})
		for n := range model {
			g.Import([]Update{unsay(n)})
		}
		if got := claims(b); len(got) != 0 {
			t.Fatalf("left behind: %q", got)
		}
		wantNothingKept(t, g)
	})
}

func TestLimitsAlwaysHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig(t)
		cfg.VNIs[0].Import.MaxPrefixes = rapid.IntRange(1, 6).Draw(t, "vni")
		cfg.VNIs[1].Import.MaxPrefixes = rapid.IntRange(1, 6).Draw(t, "vni")
		cfg.BGP.Neighbors[0].MaxPrefixes = rapid.IntRange(1, 12).Draw(t, "neighbor")
		b := newBridge(t, cfg)
		g := b.BGP()
		paths := []*Attributes{
			vxlanPath(rt(65000, 200)), vxlanPath(rt(65000, 300), rt(65000, 200)), ipipPath("2001:db8:9::1", rt(65000, 300)),
		}
		nlri := func(t *rapid.T) NLRI {
			return type5(rapid.Uint16Range(1, 3).Draw(t, "rd"), fmt.Sprintf("10.%d.0.0/16", rapid.IntRange(0, 9).Draw(t, "prefix")))
		}
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				u := say(nlri(t), rapid.SampledFrom(paths).Draw(t, "path"))
				u.Neighbor = rapid.SampledFrom([]netip.Addr{fabric, fabric2}).Draw(t, "neighbor")
				g.Import([]Update{u})
			},
			"withdraw": func(t *rapid.T) { g.Import([]Update{unsay(nlri(t))}) },
			"": func(t *rapid.T) {
				s := g.Stats()
				for _, v := range s.VNIs[:2] {
					l := v.Imported.Prefixes
					if real := b.Table().Stats(v.VNI).Prefixes; l.Used != real || l.Used > l.Max {
						t.Fatalf("vni %d: %+v, in the table %d", v.VNI, l, real)
					}
				}
				total := 0
				for _, n := range s.Neighbors {
					total += n.Routes.Used
					if n.Routes.Max > 0 && n.Routes.Used > n.Routes.Max {
						t.Fatalf("%+v", n)
					}
				}
				if total != s.Routes {
					t.Fatalf("neighbours have %d routes, all %d", total, s.Routes)
				}
			},
		})
		g.Forget(fabric)
		g.Forget(fabric2)
		wantNothingKept(t, g)
	})
}
