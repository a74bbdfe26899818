package metalbond

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// Rights are compiled; this evaluates an entry as the reference explains it.
func mayAnnounce(c *config.MetalBondClient, from netip.Addr, r rib.Route) bool {
	inside := func(p, q netip.Prefix) bool {
		return q.IsValid() && p.Addr().BitLen() == q.Addr().BitLen() && p.Bits() >= q.Bits() && netip.PrefixFrom(p.Addr(), q.Bits()).Masked() == q
	}
	vni := func(n rib.VNI) bool {
		return slices.ContainsFunc(c.Announce, func(s config.VNIRange) bool { return s.First <= uint32(n) && uint32(n) <= s.Last })
	}
	if !vni(r.VNI) || r.NextHop.TargetVNI != 0 && !vni(r.NextHop.TargetVNI) {
		return false
	}
	if c.Prefixes != nil && !slices.ContainsFunc(c.Prefixes, func(q netip.Prefix) bool { return inside(r.Prefix, q) }) {
		return false
	}
	if c.NextHops != nil && !slices.ContainsFunc(c.NextHops, func(s config.NextHopScope) bool {
		q := s.Prefix
		if s.Own > 0 {
			if !from.Is6() {
				return false
			}
			q = netip.PrefixFrom(from, int(s.Own)).Masked()
		}
		return inside(netip.PrefixFrom(r.NextHop.Target, 128), q)
	}) {
		return false
	}
	return c.Types == nil || slices.Contains(c.Types, config.HopType(r.NextHop.Type))
}

// near draws values that meet often.
var (
	near6 = rapid.Custom(func(t *rapid.T) netip.Addr {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[5], a[7], a[15] = rapid.Uint8Max(2).Draw(t, "48"), rapid.Uint8Max(2).Draw(t, "64"), rapid.Uint8Max(2).Draw(t, "host")
		return netip.AddrFrom16(a)
	})
	near4 = rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, rapid.Uint8Max(2).Draw(t, "16"), 0, rapid.Uint8Max(2).Draw(t, "host")})
	})
	prefix6 = rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(near6.Draw(t, "address"), rapid.SampledFrom([]int{0, 32, 47, 48, 63, 64, 127, 128}).Draw(t, "bits")).Masked()
	})
	prefix46 = rapid.OneOf(prefix6, rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(near4.Draw(t, "address"), rapid.SampledFrom([]int{0, 8, 15, 16, 31, 32}).Draw(t, "bits")).Masked()
	}))
	someVNI = rapid.Map(rapid.Uint32Max(5), func(n uint32) rib.VNI { return rib.VNI(n) })
)

func anyEntry(t *rapid.T) *config.MetalBondClient {
	maybe := func(what string) bool { return rapid.Bool().Draw(t, what) }
	set := func() config.VNISet {
		switch rapid.IntRange(0, 2).Draw(t, "set") {
		case 0:
			return config.AllVNIs()
		case 1:
			return nil
		}
		first := rapid.Uint32Max(3).Draw(t, "first")
		return config.VNISet{{First: first, Last: first + rapid.Uint32Max(1).Draw(t, "more")}}
	}
	c := &config.MetalBondClient{Subscribe: set(), Announce: set()}
	if maybe("prefixes") {
		c.Prefixes = rapid.SliceOfN(prefix46, 1, 5).Draw(t, "prefixes")
	}
	if maybe("nexthops") {
		for range rapid.IntRange(1, 4).Draw(t, "scopes") {
			s := config.NextHopScope{Prefix: prefix6.Draw(t, "prefix")}
			if maybe("own") {
				s = config.NextHopScope{Own: rapid.SampledFrom([]uint8{1, 48, 64, 128}).Draw(t, "own")}
			}
			c.NextHops = append(c.NextHops, s)
		}
	}
	if maybe("types") {
		c.Types = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) config.HopType {
			return config.HopType(rapid.Uint8Max(2).Draw(t, "type"))
		}), 1, 3, rapid.ID[config.HopType]).Draw(t, "types")
	}
	return c
}

func anyRoute(t *rapid.T) rib.Route {
	r := rib.Route{VNI: someVNI.Draw(t, "vni"), Prefix: prefix46.Draw(t, "prefix")}
	r.NextHop = rib.NextHop{Target: near6.Draw(t, "target"), TargetVNI: someVNI.Draw(t, "target vni"), Type: rib.NextHopType(rapid.Uint8Max(2).Draw(t, "type"))}
	return r
}

func TestRightsAreWhatTheEntrySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, from := anyEntry(t), rapid.OneOf(near4, near6).Draw(t, "client")
		r := newRights(c, from)
		for range 20 {
			x := anyRoute(t)
			if got, want := r.refuses(x.VNI, x.Prefix, x.NextHop) == nil, mayAnnounce(c, from, x); got != want {
				t.Fatalf("%+v from %v may announce %+v: %v, want %v", c, from, x, got, want)
			}
		}
		if all := newRights(nil, from); all.refuses(1, prefix(1), hop1) != nil || !all.reads(1) {
			t.Fatal("who has no entry may do anything")
		}
	})
}

// What a client says, withdraws and may not say, over reloads, comes to the
// table as if it had said what it says now under the present rights.
func TestTableHoldsWhatTheClientMaySay(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		from := netip.MustParseAddrPort("[2001:db8::1]:1000")
		server := NewServer(ServerOptions{Bridge: w.bridge, Log: w.log})
		h := newHypervisor(server)
		x := newSession(&session{conn: pipe{}, address: from, party: h, paces: new(paces), log: w.log, count: new(counters)})
		h.established(x)
		defer h.close()
		entry := &config.MetalBondClient{Subscribe: config.AllVNIs(), Announce: config.AllVNIs()}
		said := map[rib.Route]bool{}
		routes := rapid.SliceOfN(rapid.Custom(anyRoute), 8, 8).Draw(t, "routes")
		check := func() {
			want, got := map[string]bool{}, map[string]bool{}
			for r := range said {
				if mayAnnounce(entry, from.Addr(), r) {
					if r.NextHop.TargetVNI == r.VNI {
						r.NextHop.TargetVNI = 0
					}
					want[fmt.Sprintf("%v %v %v", r.VNI, r.Prefix, r.NextHop)] = true
				}
			}
			for _, vni := range w.table.VNIs() {
				w.table.Walk(vni, func(r rib.RouteInfo) bool {
					got[fmt.Sprintf("%v %v %v", vni, r.Prefix, r.NextHop)] = true
					return true
				})
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("said %v\nunder %+v\ngot  %v\nwant %v", said, entry, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				r := rapid.SampledFrom(routes).Draw(t, "route")
				said[r] = true
				h.updates([]bridge.Edit{{VNI: r.VNI, Prefix: r.Prefix, NextHop: r.NextHop}})
				check()
			},
			"withdraw": func(t *rapid.T) {
				r := rapid.SampledFrom(routes).Draw(t, "route")
				for other := range said { // the same to the table
					if r.VNI == other.VNI && r.Prefix == other.Prefix && r.NextHop.Target == other.NextHop.Target && r.NextHop.Type == other.NextHop.Type {
						delete(said, other)
						h.updates([]bridge.Edit{{Remove: true, VNI: other.VNI, Prefix: other.Prefix, NextHop: other.NextHop}})
					}
				}
				check()
			},
			"reload": func(t *rapid.T) {
				entry = anyEntry(t)
				entry.Source = netip.MustParsePrefix("::/0")
				server.sessions = []*session{x}
				server.Reconfigure(ServerOptions{Clients: []config.MetalBondClient{*entry}})
				check()
			},
		})
	})
}
