package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"mbbgp/config"
)

// hostPrefix returns the i-th host prefix of a family.
func hostPrefix(is6 bool, i int) netip.Prefix {
	if !is6 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i))
		return netip.PrefixFrom(netip.AddrFrom4(a), 32)
	}
	a := [16]byte{0x20, 1, 0xd, 0xb8}
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}

// fill announces n host prefixes of 64 hypervisors.
func (h *host) fill(is6 bool, n, first int) {
	for i := range n {
		h.announceAt(hostPrefix(is6, i), fmt.Sprintf("fd00:1::%x", first+i%64))
	}
}

// whole waits until Kernel has n routes and nothing to do.
func (h *host) whole(n int) {
	h.t.Helper()
	h.until(fmt.Sprintf("%d routes", n), func(i Info) bool { return i.Synced && i.Tables[0].Routes == n })
}

// BenchmarkInstall measures routes a second: into an empty table, from one next
// hop to another, and taken up by a run that finds them.
func BenchmarkInstall(b *testing.B) {
	for _, is6 := range []bool{false, true} {
		for _, n := range []int{10_000, 100_000} {
			name := fmt.Sprintf("v4=%d", n)
			if is6 {
				name = fmt.Sprintf("v6=%d", n)
			}
			b.Run(name+"/install", func(b *testing.B) {
				measure(b, is6, n, func(h *host) { h.stop() }, func(h *host) {
					h.ready()
					h.whole(n)
				})
			})
			b.Run(name+"/move", func(b *testing.B) {
				measure(b, is6, n, func(h *host) {
					h.ready()
					h.whole(n)
				}, func(h *host) {
					h.fill(is6, n, 1000)
					h.until("moved", func(i Info) bool { return i.Synced && i.Counters.Installed == uint64(2*n) })
				})
			})
			b.Run(name+"/restart", func(b *testing.B) {
				measure(b, is6, n, func(h *host) {
					h.ready()
					h.whole(n)
					h.stop()
				}, func(h *host) {
					h.ready()
					h.whole(n)
				})
			})
		}
	}
}

// measure runs what is measured once in every iteration, each in a network
// namespace of its own that prepare has prepared.
func measure(b *testing.B, is6 bool, n int, prepare, run func(h *host)) {
	b.StopTimer()
	for range b.N {
		h := newHost(b, nil)
		h.fill(is6, n, 1)
		prepare(h)
		b.StartTimer()
		run(h)
		b.StopTimer()
		h.stop()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "routes/s")
}

func TestRouteInMemoryIsSmall(t *testing.T) {
	const n = 200_000
	for _, row := range []struct {
		is6  bool
		most uint64 // bytes
	}{{false, 40}, {true, 60}} {
		r := newRoutes()
		before := heap()
		for i := range n {
			r.set(hostPrefix(row.is6, i), 7)
		}
		each := (heap() - before) / n
		t.Logf("IPv6 %v: %d bytes a route", row.is6, each)
		if each > row.most {
			t.Errorf("IPv6 %v: a route takes %d bytes, want at most %d", row.is6, each, row.most)
		}
		runtime.KeepAlive(r)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHundredThousandRoutesArePatrolled(t *testing.T) {
	h := newHost(t, func(c *config.Config) { c.Kernel.Scan = time.Second })
	n := 50_000 // of each family
	if os.Getenv("MBBGP_LAB_GUEST") != "" {
		n = 11_000 // it is slow, and this is enough for patrols
	}
	h.fill(false, n, 1)
	h.fill(true, n, 1)
	h.ready()
	h.whole(2 * n)
	h.fill(false, n, 100)
	h.fill(true, n, 100)
	h.until("moved", func(i Info) bool { return i.Synced && i.Counters.Installed == uint64(4*n) && i.Tables[0].Routes == 2*n })
	h.kernel.mu.Lock() // it believes that there is one more
	f := h.kernel.fib
	f.put(f.tables[0], netip.MustParsePrefix("10.200.0.1/32"), f.tables[0].installed.get(hostPrefix(false, 0)))
	h.kernel.mu.Unlock()
	h.until("a patrol has missed the route that is not there", func(i Info) bool { return i.Counters.Restored == 1 && i.Synced })
	scans := h.kernel.Info().Counters.Resyncs["scan"]
	h.until("a patrol has found all well", func(i Info) bool { return i.Counters.Resyncs["scan"] > scans })
	if i := h.kernel.Info(); i.Counters.Restored != 1 || len(i.Counters.Failed) > 0 {
		t.Errorf("one route was not there, but %+v", i.Counters)
	}
	for _, p := range []netip.Prefix{hostPrefix(false, 7), hostPrefix(true, 7)} {
		if r, _ := h.kernel.Route(100, p); !r.Installed || r.Problem != "" {
			t.Errorf("%v: %+v", p, r)
		}
	}
	h.tables.MetalBond.Flush(h.origin)
	h.whole(0)
	if have := h.routes(1100); len(have) > 0 {
		t.Errorf("%d routes are left", len(have))
	}
}
