package bridge

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"mbbgp/rib"
)

// TestRowIsWhatItsEditsAreOneByOne says the same in rows to one bridge and edit
// by edit to another, from clients and servers, into VNIs with and without room.
func TestRowIsWhatItsEditsAreOneByOne(t *testing.T) {
	sources := []rib.Source{rib.Client, rib.Client, rib.Server, rib.Server}
	prefixes := []string{"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "2001:db8:a::1/128"}
	hops := []string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:f::200", "192.0.2.1"} // our gateway, and none
	vnis := []rib.VNI{200, 300, 999}
	anyEdit := rapid.Custom(func(t *rapid.T) Edit {
		return Edit{
			Remove:  rapid.IntRange(0, 2).Draw(t, "remove") == 0,
			VNI:     rapid.SampledFrom(vnis).Draw(t, "vni"),
			Prefix:  prefix(rapid.SampledFrom(prefixes).Draw(t, "prefix")),
			NextHop: hop(rapid.SampledFrom(hops).Draw(t, "hop")),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var bridges [2]*Bridge
		var channels [2][]*Channel
		for i := range bridges {
			cfg := testConfig(t)
			cfg.VNIs[0].MaxPrefixes = 2
			bridges[i] = newBridge(t, cfg)
			for _, s := range sources {
				channels[i] = append(channels[i], bridges[i].Open(s, "x"))
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			row := rapid.SliceOfN(anyEdit, 0, 12).Draw(t, "row")
			who := rapid.IntRange(0, len(sources)-1).Draw(t, "who")
			var alone []string
			for _, x := range row {
				if x.Remove {
					channels[1][who].Withdraw(x.VNI, x.Prefix, x.NextHop)
					alone = append(alone, "")
				} else {
					alone = append(alone, string(reasonOf(channels[1][who].Announce(x.VNI, x.Prefix, x.NextHop))))
				}
			}
			channels[0][who].Apply(row)
			for i, x := range row {
				if got := x.Refused; (got == nil) != (alone[i] == "") || got != nil && string(got.Reason) != alone[i] {
					t.Fatalf("edit %d of %v is refused by %v, alone by %q", i, row, got, alone[i])
				}
			}
		}
		for i := range sources {
			if got, want := channels[0][i].Stats(), channels[1][i].Stats(); !reflect.DeepEqual(got, want) {
				t.Fatalf("channel %d: %+v, want %+v", i, got, want)
			}
		}
		for _, vni := range vnis {
			for _, p := range prefixes {
				got, want := bridges[0].Table().Lookup(vni, prefix(p)), bridges[1].Table().Lookup(vni, prefix(p))
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("vni %d has of %s %v, want %v", vni, p, got, want)
				}
			}
		}
	})
}
