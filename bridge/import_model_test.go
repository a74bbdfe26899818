package bridge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/rib"
)

// heard is the model of what BGP said of one NLRI.
type heard struct {
	neighbor netip.Addr
	at       map[rib.VNI]standsAt
	order    int
}

// standsAt is a next hop with its rank, as text that sorts by it, and where
// packets go on from the gateway.
type standsAt struct {
	hop  rib.NextHop
	rank string
	via  rib.NextHop
}

// viaIn is where packets of a route go on from the gateway of a VNI of
// kernelConfig.
func viaIn(vni rib.VNI, u *Update, h rib.NextHop) rib.NextHop {
	gateways := map[rib.VNI]string{100: "2001:db8:f::100", 200: "2001:db8:f::200", 600: "2001:db8:f::600"}
	a := u.Attributes
	if g := gateways[vni]; g == "" || h.Target != addr(g) || h.Type != rib.Standard || !reachable(u) {
		return rib.NextHop{}
	}
	switch u.NLRI.Kind {
	case Unicast:
		return rib.NextHop{Target: a.NextHop}
	case VPN:
		return rib.NextHop{Target: a.NextHop, Label: u.Label}
	}
	return rib.NextHop{Target: a.NextHop, MAC: a.RouterMAC, Label: u.Label}
}

// reachable reports whether a route that is drawn names a BGP next hop that is
// not our own address, and a VPN.
func reachable(u *Update) bool {
	next := u.Attributes.NextHop
	return next.IsValid() && next != addr("192.0.2.1") && (u.NLRI.Kind != VPN || u.Label != 0)
}

// theHop and theVia are what the two tables have of what stands somewhere.
func theHop(s standsAt) rib.NextHop { return s.hop }
func theVia(s standsAt) rib.NextHop { return s.via }

// rankIn is the rank of a route in a VNI of kindsConfig.
func rankIn(vni rib.VNI, kind NLRIKind, a *Attributes, h rib.NextHop) string {
	if kind == Unicast {
		return "alone"
	}
	local, med := uint32(100), uint32(0)
	if a.LocalPref != nil {
		local = *a.LocalPref
	}
	if a.MED != nil {
		med = *a.MED
	}
	if vni == 600 { // its rules "dear" and "near"
		if slices.Contains(a.Large, [3]uint32{65000, 9, 9}) {
			med = 7
		}
		from := h.Target
		if from == addr("2001:db8:f::600") {
			from = a.NextHop
		}
		if prefix("2001:db8:2::/48").Contains(from) {
			local = 300
		}
	}
	direct := !prefix("2001:db8:e::/47").Contains(h.Target) // those are the gateways
	preferred := local >= 100 && !slices.Contains(a.Communities, llgrStale)
	if isLossless(a.Large, 65001) && direct && (preferred || h.Type == rib.NAT) {
		return "~native"
	}
	return fmt.Sprintf("%v %010d %03d %05d %010d", !slices.Contains(a.Communities, llgrStale), local,
		999-len(a.DPath), 99999-int(a.ASPathLength), 9999999999-int64(med))
}

// expected are the claims that a table must have, as text: of NLRIs that differ
// only in the MAC, the one that came last counts, and of the next hops of a
// type and prefix those of the best rank are visible. of returns a zero next hop
// for what is not in the table.
func expected(model map[NLRI]heard, of func(standsAt) rib.NextHop) []string {
	front := map[NLRI]heard{}
	for n, h := range model {
		n.MAC = MAC{}
		if f, ok := front[n]; !ok || f.order < h.order {
			front[n] = h
		}
	}
	type key struct {
		vni  rib.VNI
		p    netip.Prefix
		kind rib.NextHopType
	}
	type hopKey struct {
		key
		hop rib.NextHop
	}
	best, bestOf := map[key]string{}, map[hopKey]string{}
	each := func(visit func(n NLRI, h heard, k hopKey, rank string)) {
		for n, h := range front {
			for vni, s := range h.at {
				if hop := of(s); hop != (rib.NextHop{}) {
					visit(n, h, hopKey{key{vni, n.Prefix, hop.Type}, hop}, s.rank)
				}
			}
		}
	}
	each(func(_ NLRI, _ heard, k hopKey, rank string) {
		best[k.key], bestOf[k] = max(best[k.key], rank), max(bestOf[k], rank)
	})
	var all []string
	each(func(n NLRI, h heard, k hopKey, _ string) {
		all = append(all, fmt.Sprintln(k.vni, k.p, k.hop, bestOf[k] == best[k.key], h.neighbor, groupOf(&n)))
	})
	slices.Sort(all)
	return all
}

// claims are those that BGP has in a table, in the same form, without what is
// originated.
func claims(b *Bridge, table *rib.Table) []string {
	var all []string
	for _, n := range b.current().sorted {
		table.Walk(n.vni, func(i rib.RouteInfo) bool {
			for _, c := range i.Claims {
				if c.Source == rib.BGP && c.Name != "originate" {
					all = append(all, fmt.Sprintln(n.vni, i.Prefix, i.NextHop, i.Visible, c.Name))
				}
			}
			return true
		})
	}
	slices.Sort(all)
	return all
}

// drawNLRI draws one of few NLRIs of any kind.
func drawNLRI(t *rapid.T) NLRI {
	n := type5(rapid.Uint16Range(1, 2).Draw(t, "rd"), "10.0.0.0/8")
	n.Kind = rapid.SampledFrom([]NLRIKind{IPPrefix, IPPrefix, VPN, VPN, MACIP, Unicast, FlowSpec}).Draw(t, "kind")
	n.Prefix = prefix(rapid.SampledFrom([]string{"10.1.0.1/32", "10.1.0.2/32", "2001:db8:77::1/128"}).Draw(t, "prefix"))
	n.Path = rapid.SampledFrom([]uint32{0, 0, 0, 7}).Draw(t, "path")
	switch n.Kind {
	case MACIP:
		n.MAC = MAC{5: rapid.Byte().Draw(t, "mac") % 3}
	case IPPrefix:
		n.EthernetTag = rapid.Uint32Range(0, 1).Draw(t, "tag")
	case Unicast:
		n.RD = RD{}
		n.Prefix = prefix(rapid.SampledFrom([]string{"0.0.0.0/0", "::/0", "203.0.113.1/32", "198.51.100.0/24"}).Draw(t, "prefix"))
	}
	return n
}

// drawAttributes draws what may be said of a route, in all combinations.
func drawAttributes(t *rapid.T) *Attributes {
	number := func(name string, values ...uint32) *uint32 {
		if v := rapid.SampledFrom(append(values, 1<<31)).Draw(t, name); v < 1<<31 {
			return &v
		}
		return nil
	}
	var targets []RouteTarget
	for range rapid.IntRange(0, 3).Draw(t, "targets") {
		targets = append(targets, rt(65000, rapid.SampledFrom([]uint32{200, 300, 500, 600, 700, 999}).Draw(t, "target")))
	}
	a := rapid.SampledFrom([]*Attributes{
		vxlanPath(), vxlanPath(), changed(vxlanPath(), func(a *Attributes) { a.NextHop = addr("192.0.2.1") }), ipipPath("2001:db8:9::1"), ipipPath("2001:db8:2::2"), {NextHop: addr("2001:db8:2::9")},
		sidPath("2001:db8:2:1:100::", EndDT46), sidPath("2001:db8:3:1:100::", EndDT46), sidPath("2001:db8:3:1:100::", EndDX4),
		{SRv6: SRv6{SID: addr("2001:db8:2:1::"), Behavior: UDT46, Structure: SIDStructure{40, 24, 16, 0, 16, 64}}},
	}).Draw(t, "path")
	return changed(a, func(a *Attributes) {
		a.RouteTargets = targets
		a.LocalPref = number("local preference", 50, 100, 200)
		a.MED = number("MED", 0, 10)
		a.ASPathLength = rapid.Uint16Range(0, 2).Draw(t, "ASes")
		a.DPath = make([]Domain, rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "domains"))
		a.Communities = rapid.SampledFrom([][]uint32{nil, nil, nil, {llgrStale}, {666}}).Draw(t, "communities")
		a.Large = rapid.SampledFrom([][][3]uint32{
			nil, nil, nil, {{65000, 9, 9}}, {{65001, 1, 2}}, {{65001, 1, 1}, {65001, 2, 7}}, {{65001, 1, 0}, {65001, 3, 200}}, {{65001, 2, 7}},
		}).Draw(t, "large")
		if rapid.IntRange(0, 9).Draw(t, "ours") == 0 {
			a.SiteOfOrigin = []ExtendedCommunity{{0, 3, 0xfd, 0xe9, 0, 0, 0, 1}}
		}
	})
}

func TestImportFollowsTheModel(t *testing.T) {
	neighbors := []netip.Addr{fabric, fabric2, addr("198.51.100.7")}
	rapid.Check(t, func(t *rapid.T) {
		b := newBridge(t, kernelConfig(t))
		g := b.BGP()
		if g.domain != soo(t, "65001:1") || g.domain != (ExtendedCommunity{0, 3, 0xfd, 0xe9, 0, 0, 0, 1}) {
			t.Fatal("drawAttributes has another domain")
		}
		model := map[NLRI]heard{}
		offers := map[NLRI]Update{}
		nowhere := map[netip.Prefix]bool{} // that were ever said with no usable next hop
		order := 0
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				label := rapid.SampledFrom([]uint32{0, ImplicitNull, ImplicitNullEVPN, 0x1000, 0x010000, 5000}).Draw(t, "label")
				u := labelled(drawNLRI(t), label, drawAttributes(t))
				u.Neighbor = rapid.SampledFrom(neighbors).Draw(t, "neighbor")
				nowhere[u.NLRI.Prefix] = nowhere[u.NLRI.Prefix] || !reachable(&u)
				at := map[rib.VNI]standsAt{}
				for _, v := range g.ExplainImport(u) {
					if v.Reason == Accepted {
						at[v.VNI] = standsAt{v.NextHop, rankIn(v.VNI, u.NLRI.Kind, u.Attributes, v.NextHop), viaIn(v.VNI, &u, v.NextHop)}
					}
				}
				if order++; len(at) == 0 {
					delete(model, u.NLRI)
				} else {
					model[u.NLRI] = heard{u.Neighbor, at, order}
				}
				var fields rib.NextHop
				whole := parseLossless(u.Attributes.Large, 65001, &fields) && u.Attributes.SiteOfOrigin == nil
				if whole && u.NLRI.Kind == Unicast && u.NLRI.Prefix.Bits() == 0 && fields.Type == rib.Standard {
					offers[u.NLRI] = u
				} else {
					delete(offers, u.NLRI)
				}
				g.Import([]Update{u})
			},
			"withdraw": func(t *rapid.T) {
				n := drawNLRI(t)
				delete(model, n)
				delete(offers, n)
				g.Import([]Update{unsay(n)})
			},
			"forget": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
					return
				}
				gone := rapid.SampledFrom(neighbors).Draw(t, "gone")
				before := len(model)
				maps.DeleteFunc(model, func(_ NLRI, h heard) bool { return h.neighbor == gone })
				maps.DeleteFunc(offers, func(_ NLRI, u Update) bool { return u.Neighbor == gone })
				if got := g.Forget(gone); got != before-len(model) {
					t.Fatalf("forgot %d of %d", got, before-len(model))
				}
			},
			"": func(t *rapid.T) {
				if got, want := claims(b, b.Table()), expected(model, theHop); !slices.Equal(got, want) {
					t.Fatalf("in the table:\n%q\nwant\n%q", got, want)
				}
				if got, want := claims(b, b.Fabric()), expected(model, theVia); !slices.Equal(got, want) {
					t.Fatalf("in the fabric table:\n%q\nwant\n%q", got, want)
				}
				wantWaysOn(t, b, nowhere)
				for _, o := range g.originations.stats(b.current().networks[100]) {
					n := 0
					for x := range offers {
						if x.Prefix == o.Prefix {
							n++
						}
					}
					wantOffered(t, b, o.Prefix, offers)
					if o.Offers != n || o.Present != (n > 0) || o.Present != (len(targets(b, 100, o.Prefix)) > 0) {
						t.Fatalf("%+v, want %d", o, n)
					}
				}
			},
		})
		for n := range maps.Clone(model) {
			g.Import([]Update{unsay(n)})
		}
		if got := append(claims(b, b.Table()), claims(b, b.Fabric())...); len(got) != 0 {
			t.Fatalf("left behind: %q", got)
		}
		wantNothingKept(t, g)
	})
}

// wantWaysOn checks that what hypervisors send to a gateway of a VNI with a
// table goes on from there, unless the prefix is excepted, and that the fabric
// table has nothing that hypervisors cannot send to the gateway.
func wantWaysOn(t *rapid.T, b *Bridge, except map[netip.Prefix]bool) {
	for _, n := range b.current().sorted {
		if !n.forwards || !n.gateway.IsValid() {
			continue
		}
		sent := map[netip.Prefix]bool{}
		b.Table().Walk(n.vni, func(i rib.RouteInfo) bool {
			if i.NextHop.Target != n.gateway || i.NextHop.Type != rib.Standard {
				return true
			}
			sent[i.Prefix] = true
			if i.Visible && !except[i.Prefix] && vias(b, n.vni, i.Prefix.String()) == "" {
				t.Fatalf("%v of vni %d ends at the gateway", i.Prefix, n.vni)
			}
			return true
		})
		b.Fabric().Walk(n.vni, func(i rib.RouteInfo) bool {
			if !sent[i.Prefix] {
				t.Fatalf("%v of vni %d is left in the fabric table", i.Prefix, n.vni)
			}
			return true
		})
	}
}

// wantOffered checks what the fabric table has of a prefix that VNI 100
// originates, which are the offers that are not stale if there are any.
func wantOffered(t *rapid.T, b *Bridge, p netip.Prefix, offers map[NLRI]Update) {
	var fresh, stale []string
	for n, u := range offers {
		a := u.Attributes
		if n.Prefix != p || !reachable(&u) {
			continue
		}
		if slices.Contains(a.Communities, llgrStale) {
			stale = append(stale, a.NextHop.String())
		} else {
			fresh = append(fresh, a.NextHop.String())
		}
	}
	want := fresh
	if len(want) == 0 {
		want = stale
	}
	slices.Sort(want)
	if got, want := vias(b, 100, p.String()), strings.Join(slices.Compact(want), ", "); got != want {
		t.Fatalf("%v goes to %q, want %q", p, got, want)
	}
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
