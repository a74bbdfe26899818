package rib

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// TestIndexFindsWhatWasAdded grows and shrinks an index of both families beside
// a map.
func TestIndexFindsWhatWasAdded(t *testing.T) {
	var entries slab[entry]
	var x index
	want := map[key]uint32{}
	rng := rand.New(rand.NewPCG(1, 2))
	anyKey := func() key {
		if i := rng.IntN(20_000); rng.IntN(2) == 0 {
			return newKey(prefix6(i))
		} else {
			return newKey(prefix4(i))
		}
	}
	check := func() {
		t.Helper()
		for k, n := range want {
			if got := x.get(&entries, k); got != n {
				t.Fatalf("%v is %d, want %d", k.prefix(), got, n)
			}
		}
		for range 1000 {
			if k := anyKey(); x.get(&entries, k) != want[k] {
				t.Fatalf("%v is %d, want %d", k.prefix(), x.get(&entries, k), want[k])
			}
		}
		if x.length != len(want) || len(x.slots) > max(firstSlots, 8*len(want)) {
			t.Fatalf("%d keys in %d slots, want %d", x.length, len(x.slots), len(want))
		}
	}
	for range 30_000 {
		k := anyKey()
		if want[k] != 0 {
			continue
		}
		n := entries.add()
		entries.at(n).key = k
		x.add(k, n)
		want[k] = n
	}
	check()
	for left := len(want); len(want) > 0; left /= 3 {
		for k, n := range maps.Clone(want) {
			if len(want) == left {
				break
			}
			x.remove(k, n)
			entries.remove(n)
			delete(want, k)
		}
		check()
	}
}
