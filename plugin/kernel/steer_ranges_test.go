package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestPortRangesAreDividedAmongHypervisors(t *testing.T) {
	a, b, c := netip.MustParseAddr("fd00::a"), netip.MustParseAddr("fd00::b"), netip.MustParseAddr("fd00::c")
	for _, row := range []struct {
		name            string
		claims, earlier []portRange
		parts           []portRange
		conflict        bool
	}{
		{name: "nobody says anything"},
		{name: "side by side", claims: []portRange{{20, 30, b}, {10, 20, a}}, parts: []portRange{{10, 20, a}, {20, 30, b}}},
		{name: "one after the other of one hypervisor", claims: []portRange{{10, 20, a}, {20, 30, a}}, parts: []portRange{{10, 30, a}}},
		{name: "said twice", claims: []portRange{{10, 20, a}, {10, 20, a}}, parts: []portRange{{10, 20, a}}},
		{name: "the lowest target wins", claims: []portRange{{10, 20, b}, {10, 20, a}}, parts: []portRange{{10, 20, a}}, conflict: true},
		{name: "a hole in the middle", claims: []portRange{{0, 100, b}, {10, 20, a}},
			parts: []portRange{{0, 10, b}, {10, 20, a}, {20, 100, b}}, conflict: true},
		{name: "the last port", claims: []portRange{{65535, 0, a}}, parts: []portRange{{65535, 0, a}}},
		{name: "all ports", claims: []portRange{{0, 0, a}}, parts: []portRange{{0, 0, a}}},
		{name: "from all ports a part", claims: []portRange{{0, 0, b}, {65000, 0, a}},
			parts: []portRange{{0, 65000, b}, {65000, 0, a}}, conflict: true},
		{name: "empty ones", claims: []portRange{{10, 10, a}, {20, 10, b}, {1, 2, c}}, parts: []portRange{{1, 2, c}}},
		{name: "an earlier run fills the gaps", claims: []portRange{{10, 20, c}}, earlier: []portRange{{0, 15, a}, {20, 30, c}},
			parts: []portRange{{0, 10, a}, {10, 30, c}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			parts, conflict := divide(row.claims, row.earlier)
			if !slices.Equal(parts, row.parts) || conflict != row.conflict {
				t.Errorf("have %v, conflict %v\nwant %v, conflict %v", parts, conflict, row.parts, row.conflict)
			}
		})
	}
}

// TestDividedRangesSayOfEachPortWhatTheLowestTargetSays compares with a table
// of all ports.
func TestDividedRangesSayOfEachPortWhatTheLowestTargetSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(most int) (list []portRange) {
		for range rng.IntN(most) {
			from := rng.IntN(300)
			target := netip.MustParseAddr(fmt.Sprintf("fd00::%x", 1+rng.IntN(5)))
			list = append(list, portRange{uint16(from), uint16(from + rng.IntN(60)), target})
		}
		return list
	}
	for range 500 {
		claims, earlier := random(20), random(5)
		var owner [400]netip.Addr
		clash := false
		paint := func(list []portRange, wins func(said, had netip.Addr) bool) {
			for _, r := range list {
				for p := int(r.from); p < int(r.to); p++ {
					if !owner[p].IsValid() || wins(r.target, owner[p]) {
						owner[p] = r.target
					}
				}
			}
		}
		paint(claims, netip.Addr.Less)
		for _, r := range claims {
			for p := int(r.from); p < int(r.to); p++ {
				clash = clash || owner[p] != r.target
			}
		}
		paint(earlier, func(netip.Addr, netip.Addr) bool { return false })

		parts, conflict := divide(claims, earlier)
		var have [400]netip.Addr
		for i, r := range parts {
			if r.from >= r.to || i > 0 && (parts[i-1].to > r.from || parts[i-1].to == r.from && parts[i-1].target == r.target) {
				t.Fatalf("%v and %v: range %d of %v is empty, overlaps, or could be joined", claims, earlier, i, parts)
			}
			for p := r.from; p < r.to; p++ {
				have[p] = r.target
			}
		}
		if have != owner || conflict != clash {
			t.Fatalf("%v and %v: have %v, conflict %v, want %v", claims, earlier, parts, conflict, clash)
		}
	}
}
