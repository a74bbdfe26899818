package rib

import (
	"math/rand/v2"
	"testing"
)

// held is what a VNI has in memory, in items.
type held struct{ entries, records, claims, slots, ghosts, graves, hops, index, notes int }

func holdings(t *Table, vni VNI) (h held) {
	v := t.get(vni)
	if v == nil {
		return h
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return held{v.entries.length, v.records.length, v.claims.length, v.log.filled, v.log.ghosts.length,
		len(v.graves), len(v.hops.numbers), v.index.length, v.noted}
}

func TestMemoryReturnsAfterChurn(t *testing.T) {
	const kept, most = 1000, 60_000
	table, o := fill(New(Options{Encode: frame}), kept, prefix4)
	r := watch(table, 1, ReaderOptions{}, true, 400)
	defer r.Close()
	r.catchUp()
	before, want := heap().HeapAlloc, holdings(table, 1)
	for i := kept; i < most; i++ {
		table.Add(o, Route{1, prefix4(i), target(i), Native})
		table.Add(o, Route{1, prefix6(i), target(i), Native})
		if i%1000 == 0 {
			r.read()
		}
	}
	for i := kept; i < most; i++ {
		table.Remove(o, 1, prefix4(i), target(i))
		table.Remove(o, 1, prefix6(i), target(i))
		if i%1000 == 0 {
			r.read()
		}
	}
	r.catchUp()
	r.told, r.added = nil, nil // these maps do not shrink
	if got := holdings(table, 1); got != want {
		t.Errorf("the table holds %+v, before the churn %+v", got, want)
	}
	v := table.get(1)
	if n := cap(v.log.slots); n > 4*kept {
		t.Errorf("the log of %d entries has room for %d", kept, n)
	}
	if now := heap().HeapAlloc; now > before+2<<20 {
		t.Errorf("%d bytes in use, before the churn %d", now, before)
	}
}

func TestFlapsUnderAStuckReaderDoNotPileUp(t *testing.T) {
	const routes = 100
	for _, part := range []struct {
		name  string
		reads int
	}{{"that was told all", 1000}, {"in the middle of the dump", 3}, {"that never read", 0}} {
		t.Run("a reader "+part.name, func(t *testing.T) {
			table, o := fill(New(Options{Encode: frame}), routes, prefix4)
			stuck := watch(table, 1, ReaderOptions{}, true, 1)
			defer stuck.Close()
			for range part.reads {
				stuck.read()
			}
			other := table.NewReader(1, ReaderOptions{})
			defer other.Close()
			buf := make([]byte, 32<<10)
			for i := range 20_000 {
				p, nh := prefix4(i%routes), target(i%routes%64)
				table.Remove(o, 1, p, nh)
				table.Add(o, Route{1, p, nh, Native})
				if i%7 == 0 {
					readAll(other, buf)
				}
			}
			got := holdings(table, 1)
			if got.graves > 5*routes || got.ghosts > 5*routes || got.slots > 5*routes || got.entries != routes {
				t.Errorf("%+v after flaps of %d routes", got, routes)
			}
			stuck.catchUp()
			if len(stuck.told) != routes || stuck.wrong != nil {
				t.Errorf("told of %d prefixes of %d, %v", len(stuck.told), routes, stuck.wrong)
			}
		})
	}
}

func TestStuckReadersAreParkedAndToldTheDifference(t *testing.T) {
	const routes, readers, most = 300, 40, 100
	w := newWorld(Options{Encode: frame, MaxTombstones: most})
	o := w.origins[1]
	rng := rand.New(rand.NewPCG(1, 2))
	change := func() {
		r := Route{1, prefix4(rng.IntN(routes)), target(rng.IntN(3)), Native}
		if rng.IntN(2) == 0 {
			w.table.Add(o, r)
			w.model.add(o, r)
		} else {
			w.table.Remove(o, 1, r.Prefix, r.NextHop)
			w.model.remove(o, route{1, r.Prefix, r.NextHop})
		}
	}
	tombstones, notes := 0, 0
	see := func() {
		s := w.table.Stats(1)
		tombstones, notes = max(tombstones, s.Tombstones), max(notes, s.Parked)
	}
	for i := range readers { // each stops elsewhere, some in the middle of a pass
		x := watch(w.table, 1, ReaderOptions{}, i%2 == 0, 1+i%5)
		w.watchers = append(w.watchers, x)
		for range rng.IntN(200) {
			x.read()
		}
		for range 50 {
			change()
			see()
		}
	}
	for range 5000 {
		change()
		see()
	}
	if notes == 0 {
		t.Error("nobody was parked")
	}
	if limit := 2 * (memosPerTombstone*most + memosAlways); notes > limit {
		t.Errorf("parked readers had %d notes, more than %d", notes, limit)
	}
	t.Logf("at most %d tombstones and %d notes", tombstones, notes)
	// Each reader needs at most what it was told, and they share.
	if tombstones > readers*routes {
		t.Errorf("%d tombstones", tombstones)
	}
	w.finish(t)
}
