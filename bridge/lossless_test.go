package bridge

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/rib"
)

func TestLosslessCommunitiesSayAllOfANextHop(t *testing.T) {
	const asn = 65001
	other := [3]uint32{65002, 1, 2}
	for name, c := range map[string]struct {
		hop  rib.NextHop
		want [][3]uint32
	}{
		"standard":               {rib.NextHop{}, [][3]uint32{{asn, 1, 0}}},
		"load balancer":          {rib.NextHop{Type: rib.LoadBalancerTarget, TargetVNI: 1<<32 - 1}, [][3]uint32{{asn, 1, 2}, {asn, 3, 1<<32 - 1}}},
		"NAT":                    {rib.NextHop{Type: rib.NAT, NATFrom: 1024, NATTo: 65535}, [][3]uint32{{asn, 1, 1}, {asn, 2, 1024<<16 | 65535}}},
		"NAT without told range": {rib.NextHop{Type: rib.NAT}, [][3]uint32{{asn, 1, 1}, {asn, 2, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := appendLossless([][3]uint32{other}, asn, c.hop)
			if want := slices.Concat([][3]uint32{other}, c.want); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			slices.Reverse(got)
			hop := rib.NextHop{Type: rib.NAT, NATFrom: 7, TargetVNI: 7}
			if !parseLossless(got, asn, &hop) || hop != c.hop {
				t.Errorf("read as %v, want %v", hop, c.hop)
			}
		})
	}
}

func TestContradictingLosslessCommunitiesAreRefused(t *testing.T) {
	const asn = 65001
	for name, large := range map[string][][3]uint32{
		"two types":                  {{asn, 1, 0}, {asn, 1, 2}},
		"a type that there is not":   {{asn, 1, 3}},
		"ports without a type":       {{asn, 2, 1<<16 | 2}},
		"ports of a standard one":    {{asn, 1, 0}, {asn, 2, 1<<16 | 2}},
		"NAT without ports":          {{asn, 1, 1}},
		"a range that ends too soon": {{asn, 1, 1}, {asn, 2, 2<<16 | 1}},
		"a VNI without a type":       {{asn, 3, 100}},
		"VNI 0":                      {{asn, 1, 0}, {asn, 3, 0}},
		"two VNIs":                   {{asn, 1, 0}, {asn, 3, 100}, {asn, 3, 101}},
	} {
		hop := rib.NextHop{Target: addr("2001:db8::1")}
		if before := hop; parseLossless(large, asn, &hop) || hop != before {
			t.Errorf("%s: read as %v", name, hop)
		}
	}
	for name, large := range map[string][][3]uint32{
		"none":                 nil,
		"of another AS":        {{65002, 1, 1}},
		"the operator's own":   {{asn, 0, 9}, {asn, 4, 9}, {asn, 1 << 31, 9}},
		"the same, said twice": {{asn, 1, 0}, {asn, 1, 0}},
	} {
		hop := rib.NextHop{Target: addr("2001:db8::1")}
		if before := hop; !parseLossless(large, asn, &hop) || hop != before {
			t.Errorf("%s: read as %v", name, hop)
		}
	}
}

func TestNothingThatIsParsedIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const asn = 1
		field := rapid.Custom(func(t *rapid.T) [3]uint32 {
			return [3]uint32{rapid.Uint32Range(1, 2).Draw(t, "asn"), rapid.Uint32Range(0, 4).Draw(t, "field"),
				rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32()).Draw(t, "value")}
		})
		large := rapid.SliceOfN(field, 0, 5).Draw(t, "large communities")
		var hop, again rib.NextHop
		if !parseLossless(large, asn, &hop) {
			return
		}
		said := appendLossless(nil, asn, hop)
		if !parseLossless(said, asn, &again) || again != hop {
			t.Fatalf("%v is read as %v, said as %v and read as %v", large, hop, said, again)
		}
		for _, c := range large {
			if c[0] == asn && c[1] >= 1 && c[1] <= 3 && !slices.Contains(said, c) {
				t.Fatalf("%v is read as %v and said as %v", large, hop, said)
			}
		}
	})
}
