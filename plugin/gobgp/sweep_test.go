package gobgp

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"mbbgp/bridge"
)

// entries counts what GoBGP's tables hold, paths or not.
func entries(t testing.TB, e *embedded) int {
	t.Helper()
	if e.sweep == nil {
		t.Fatal("GoBGP's tables have another shape than sweep.go expects")
	}
	n := 0
	for _, shards := range e.sweep.tables {
		for _, sh := range shards {
			sh.mu.RLock()
			for it := sh.entries.MapRange(); it.Next(); {
				n += it.Value().Len()
			}
			sh.mu.RUnlock()
		}
	}
	return n
}

func alone(t testing.TB) (*host, *embedded) {
	t.Helper()
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP.Listen = nil
	h := start(t, cfg)
	return h, h.engine.(*embedded)
}

func TestMemoryOfWithdrawnPathsIsFreed(t *testing.T) {
	parallel(t)
	h, e := alone(t)
	a := vxlan("192.0.2.1")
	for round := range 3 {
		routes := many(2000, fmt.Sprintf("192.0.2.1:%d", round+1), a)
		h.tell(t, routes...)
		h.tell(t, routes[:10]...)
		for i := range routes[:1990] {
			routes[i] = withdrawal(routes[i])
		}
		h.tell(t, routes[:1990]...)
		if n := entries(t, e); n != 10*(round+1) {
			t.Errorf("round %d: %d entries, want %d", round, n, 10*(round+1))
		}
	}
	if c := h.Counters(); c.Retained != 0 {
		t.Errorf("%d paths retained", c.Retained)
	}
}

func TestEntryWithANeighborsPathIsKept(t *testing.T) {
	parallel(t)
	a, b := pair(t, 65001, 65002, nil)
	r := prefixRoute("192.0.2.1:1", "198.51.100.7/32", 200, vxlan("192.0.2.1"))
	a.tell(t, r)
	eventually(t, "route arrived", func() bool { return b.len() == 1 })
	b.tell(t, r) // b's own path of the same NLRI, and best
	b.tell(t, withdrawal(r))
	if n := entries(t, b.engine.(*embedded)); n != 1 {
		t.Errorf("%d entries, want that of the neighbour", n)
	}
	eventually(t, "the neighbour's route is back", func() bool { return b.len() == 1 })
	a.tell(t, withdrawal(r))
	eventually(t, "route gone", func() bool { return b.len() == 0 })
}

func TestTableOfAnotherShapeIsNotTouched(t *testing.T) {
	if _, err := newSweeper(nil); err == nil {
		t.Error("a sweeper of nothing")
	}
}

// BenchmarkRetainedMemory measures what a withdrawn path leaves behind.
func BenchmarkRetainedMemory(b *testing.B) {
	const n = 100_000
	for _, sweep := range []bool{false, true} {
		b.Run(fmt.Sprintf("sweep=%v", sweep), func(b *testing.B) {
			for b.Loop() {
				h, e := alone(b)
				if !sweep {
					e.sweep = nil
				}
				before := heap()
				churn(b, h, n)
				b.ReportMetric(float64(heap()-before)/n, "B/path")
				runtime.KeepAlive(reflect.ValueOf(e))
				h.stop()
			}
		})
	}
}

func churn(t testing.TB, h *host, n int) {
	a := vxlan("192.0.2.1")
	routes := make([]bridge.Update, maxBatch)
	for i := 0; i < n; i += maxBatch {
		for j := range routes {
			routes[j] = prefixRoute("192.0.2.1:1", fmt.Sprintf("10.%d.%d.%d/32", (i+j)>>16, (i+j)>>8&255, (i+j)&255), 200, a)
		}
		h.tell(t, routes...)
		for j := range routes {
			routes[j] = withdrawal(routes[j])
		}
		h.tell(t, routes...)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
