package metalbond

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/wire"
)

// readers subscribe and count the bytes that they are told.
func readers(b *testing.B, s *Server, n int) (wait func(bytes int)) {
	conns := make([]net.Conn, n)
	for i := range conns {
		p := dial(b, s).greet()
		p.subscribe(23)
		p.sync()
		p.conn.SetDeadline(time.Time{})
		conns[i] = p.conn
	}
	return func(bytes int) {
		var all sync.WaitGroup
		for _, conn := range conns {
			all.Go(func() {
				if _, err := io.CopyN(io.Discard, conn, int64(bytes)); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// BenchmarkFanOut announces 10,000 routes from a connection and withdraws them,
// and counts what subscribers hear.
func BenchmarkFanOut(b *testing.B) {
	const routes = 10000
	var add, remove []byte
	for i := range routes {
		add = Encode(add, false, 23, prefix(i), hop1)
		remove = Encode(remove, true, 23, prefix(i), hop1)
	}
	for _, mode := range []config.PaceMode{config.PaceAuto, config.PaceOff} {
		for _, n := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%v/subscribers=%d", config.Pace{Mode: mode}, n), func(b *testing.B) {
				s := newWorld(b).serve(func(o *ServerOptions) { o.Pace.Mode = mode })
				wait := readers(b, s, n)
				p := dial(b, s).greet()
				p.conn.SetDeadline(time.Time{})
				b.ResetTimer()
				for b.Loop() {
					p.write(add)
					wait(len(add))
					p.write(remove)
					wait(len(remove))
				}
				b.ReportMetric(float64(2*routes*n*b.N)/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}

// BenchmarkDump tells 100,000 routes to one subscriber.
func BenchmarkDump(b *testing.B) {
	const routes = 100000
	length := len(Encode(nil, false, 23, prefix(0), hop1))
	for _, mode := range []config.PaceMode{config.PaceAuto, config.PaceOff} {
		b.Run(fmt.Sprint(config.Pace{Mode: mode}), func(b *testing.B) {
			w := newWorld(b)
			w.static(23, routes, hop1)
			s := w.serve(func(o *ServerOptions) { o.Pace.Mode = mode })
			for b.Loop() {
				p := dial(b, s).greet()
				p.subscribe(23)
				if _, err := io.CopyN(io.Discard, p.conn, int64(routes*length)); err != nil {
					b.Fatal(err)
				}
				p.conn.Close()
			}
			b.ReportMetric(float64(routes*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
	}
}

// BenchmarkLatency is one update at a time through the server.
func BenchmarkLatency(b *testing.B) {
	s := newWorld(b).serve(nil)
	reader, p := dial(b, s).greet(), dial(b, s).greet()
	reader.subscribe(23)
	reader.sync()
	for _, q := range []*peer{reader, p} {
		q.conn.SetDeadline(time.Time{})
	}
	i := 0
	for b.Loop() {
		p.write(Encode(nil, i%2 == 1, 23, prefix(i/2%1000), hop1))
		if m, err := reader.in.Next(); err != nil || m.Type != wire.TypeUpdate {
			b.Fatal(m.Type, err)
		}
		i++
	}
}

// BenchmarkIdleSessions reports what 2,000 sessions that say nothing cost, heap
// and stacks, the other ends included.
func BenchmarkIdleSessions(b *testing.B) {
	const n = 2000
	w := newWorld(b)
	w.static(23, 10, hop1)
	s := NewServer(ServerOptions{Bridge: w.bridge, Log: w.log})
	for b.Loop() {
		before := memory()
		var pipes []net.Conn
		for range n {
			here, there := net.Pipe()
			s.start(b.Context(), pipe{here}, loopback)
			p := newPeer(b, there).greet()
			p.subscribe(23)
			for range 10 {
				p.update()
			}
			pipes = append(pipes, there)
		}
		b.ReportMetric(float64(memory()-before)/n, "B/session")
		for _, there := range pipes {
			there.Close()
		}
		s.waiting.Wait()
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
