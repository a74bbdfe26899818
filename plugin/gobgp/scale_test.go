package gobgp

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
)

// counted waits until a host has n routes in all, and proves that none came
// twice or went without reason.
func counted(t testing.TB, h *host, n, announced, withdrawn int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d routes", n), func() bool { return h.len() == n })
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.book.announced != announced || h.book.withdrawn != withdrawn || h.repeated != 0 {
		t.Errorf("%d announced, %d withdrawn, %d repeated; want %d, %d and 0", h.book.announced, h.book.withdrawn, h.repeated, announced, withdrawn)
	}
}

func TestManyRoutesBothWays(t *testing.T) {
	parallel(t)
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	a, b := pair(t, 65001, 65002, nil)
	out, back := many(n, "192.0.2.1:1", vxlan("192.0.2.1")), many(n, "192.0.2.2:1", vxlan("192.0.2.2"))
	told := make(chan struct{})
	go func() {
		defer close(told)
		a.tell(t, out...)
	}()
	b.tell(t, back...)
	<-told
	counted(t, a, n, n, 0)
	counted(t, b, n, n, 0)
	for i := range out {
		out[i], back[i] = withdrawal(out[i]), withdrawal(back[i])
	}
	a.tell(t, out[:n/2]...)
	counted(t, b, n-n/2, n, n/2)
	b.stop() // the rest goes with the session
	eventually(t, "all withdrawn", func() bool { return a.len() == 0 })
	counted(t, a, 0, n, n)
	if c := a.Counters(); c.Announced != uint64(n) || c.Withdrawn != uint64(n/2) || c.Malformed+c.Unsupported != 0 {
		t.Errorf("counters: %+v", c)
	}
}

func TestRoutesOfBeforeTheSessionArriveOnce(t *testing.T) {
	parallel(t)
	n := 50_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65001)
	meet(ca, cb, func(_, toA *config.Neighbor) { toA.RouteReflectorClient = true })
	a := start(t, ca)
	a.tell(t, many(n, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	b := start(t, cb)
	settle(t, a, b)
	counted(t, b, n, n, 0)
}

// BenchmarkExport announces 100,000 routes to GoBGP, in this process and in a
// gobgpd, without neighbour and with one that takes them.
func BenchmarkExport(b *testing.B) {
	const n = 100_000
	b.Run("table", func(b *testing.B) {
		h, _ := alone(b)
		measure(b, n, func(routes []bridge.Update) { h.tell(b, routes...) })
	})
	b.Run("attached", func(b *testing.B) {
		h, _ := startAttached(b, configuration(b, addresses(1)[0], 65001))
		l := h.engine.(*attached).link
		measure(b, n, func(routes []bridge.Update) {
			h.tell(b, routes...)
			if err := errors.Join(l.finish(), l.open()); err != nil { // gobgpd has taken all
				b.Fatal(err)
			}
		})
	})
	b.Run("neighbor", func(b *testing.B) {
		x, y := pair(b, 65001, 65002, nil)
		measure(b, n, func(routes []bridge.Update) {
			want := y.len() + len(routes)
			if routes[0].Withdraw {
				want = y.len() - len(routes)
			}
			x.tell(b, routes...)
			eventually(b, "arrived", func() bool { return y.len() == want })
		})
	})
}

// BenchmarkImport receives 100,000 routes that a neighbour has already.
func BenchmarkImport(b *testing.B) {
	const n = 100_000
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		addrs := addresses(2)
		ca, cb := configuration(b, addrs[0], 65001), configuration(b, addrs[1], 65002)
		meet(ca, cb, nil)
		x := start(b, ca)
		x.tell(b, many(n, "192.0.2.1:1", vxlan("192.0.2.1"))...)
		y := start(b, cb)
		eventually(b, "the first route", func() bool { return y.len() > 0 })
		b.StartTimer()
		began := cpu()
		eventually(b, "all routes", func() bool { return y.len() == n })
		used += cpu() - began
		b.StopTimer()
		y.stop()
		x.stop()
		b.StartTimer()
	}
	report(b, n, used)
}

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func report(b *testing.B, n int, used time.Duration) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
	b.ReportMetric(float64(used.Microseconds())/float64(n)/float64(b.N), "cpu-us/route")
}

func measure(b *testing.B, n int, tell func([]bridge.Update)) {
	routes := many(n, "192.0.2.1:1", vxlan("192.0.2.1"))
	gone := make([]bridge.Update, n)
	for i := range routes {
		gone[i] = withdrawal(routes[i])
	}
	var used time.Duration
	for b.Loop() {
		began := cpu()
		tell(routes)
		used += cpu() - began
		b.StopTimer()
		tell(gone)
		b.StartTimer()
	}
	report(b, n, used)
}
