package config

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestClosestEntryIsThatOfAClient(t *testing.T) {
	m := MetalBond{}
	for _, p := range []string{"2001:db8::/32", "2001:db8:1::/48", "192.0.2.0/24", "fe80::/10"} {
		m.Clients = append(m.Clients, MetalBondClient{Source: netip.MustParsePrefix(p)})
	}
	for _, name := range []string{"*.example.net", "hv1.example.net"} {
		m.Clients = append(m.Clients, MetalBondClient{Certificate: name})
	}
	m.Clients = append(m.Clients, MetalBondClient{Certificate: "*.example.net", Source: netip.MustParsePrefix("2001:db8:1::/48")})
	for _, row := range []struct {
		from  string
		names []string
		want  int // index; -1: none
	}{
		{"2001:db8:1::1", nil, 1},
		{"2001:db8:2::1", nil, 0},
		{"2001:db9::1", nil, -1},
		{"::ffff:192.0.2.1", nil, 2},
		{"fe80::1%eth0", nil, 3},
		{"2001:db9::1", []string{"hv2.example.net"}, 4},
		{"2001:db8:1::1", []string{"hv2.example.net"}, 6},
		{"2001:db8:1::1", []string{"other", "HV1.Example.net"}, 5},
		{"2001:db8:1::1", []string{"a.hv2.example.net", ".example.net", "example.net", "xexample.net"}, 1},
	} {
		got := -1
		for i := range m.Clients {
			if m.ClientFor(netip.MustParseAddr(row.from), row.names) == &m.Clients[i] {
				got = i
			}
		}
		if got != row.want {
			t.Errorf("%s with %q: entry %d, want %d", row.from, row.names, got, row.want)
		}
	}
}

func TestSetHoldsWhatItsRangesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.OneOf(rapid.Uint32Max(20), rapid.Uint32Min(math.MaxUint32-5))
		var ranges []VNIRange
		for range rapid.IntRange(0, 5).Draw(t, "ranges") {
			a, b := edge.Draw(t, "a"), edge.Draw(t, "b")
			ranges = append(ranges, VNIRange{min(a, b), max(a, b)})
		}
		set := union(slices.Clone(ranges))
		for range 20 {
			vni := edge.Draw(t, "vni")
			want := slices.ContainsFunc(ranges, func(r VNIRange) bool { return r.First <= vni && vni <= r.Last })
			if set.Contains(vni) != want {
				t.Fatalf("%v of %v holds %d: %v", set, ranges, vni, !want)
			}
		}
		for i := range set {
			if i > 0 && uint64(set[i].First) <= uint64(set[i-1].Last)+1 {
				t.Fatalf("%v of %v touch", set, ranges)
			}
		}
	})
}

func TestOwnScopeIsThatOfTheClientsAddress(t *testing.T) {
	scope := NextHopScope{Own: 64}
	for client, want := range map[string]string{
		"2001:db8:1:2::3":  "2001:db8:1:2::/64",
		"fe80::1%eth0":     "fe80::/64",
		"192.0.2.1":        "invalid Prefix",
		"::ffff:192.0.2.1": "invalid Prefix",
	} {
		if got := scope.In(netip.MustParseAddr(client)); got.String() != want {
			t.Errorf("%v of %s is %v, want %s", scope, client, got, want)
		}
	}
	if p := netip.MustParsePrefix("2001:db8::/32"); (NextHopScope{Prefix: p}).In(netip.MustParseAddr("192.0.2.1")) != p {
		t.Error("a prefix is no matter of the client")
	}
}
