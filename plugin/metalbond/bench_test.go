package metalbond

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/rib"
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

// repeating is the end of a connection that says the same for ever.
type repeating struct {
	pipe
	bytes []byte
	at    int
	left  int // bytes until it ends
}

func (r *repeating) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.left)], r.bytes[r.at:])
	r.at = (r.at + n) % len(r.bytes)
	r.left -= n
	return n, nil
}

func (r *repeating) Close() error { return nil }

// BenchmarkHear takes announcements and withdrawals, from a read to the table,
// per UPDATE: of a small table again and again, and of a growing one.
func BenchmarkHear(b *testing.B) {
	const hops = 1000
	say := func(remove bool, from, to int) (frames []byte) {
		for i := from; i < to; i++ {
			nh := rib.NextHop{Target: netip.AddrFrom16([16]byte{0xfd, 14: byte(i % hops >> 8), 15: byte(i % hops)})}
			frames = Encode(frames, remove, 23, prefix(i), nh)
		}
		return frames
	}
	run := func(b *testing.B, vni23 []byte, length int) {
		w := newWorld(b)
		h := newHypervisor(NewServer(ServerOptions{Bridge: w.bridge, Log: w.log}))
		s := newSession(&session{conn: &repeating{bytes: vni23, left: length}, party: h, paces: new(paces), log: w.log, count: new(counters)})
		h.established(s)
		b.ReportAllocs()
		begin := cpu()
		b.ResetTimer()
		s.hear()
		b.StopTimer()
		b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
		h.close()
	}
	b.Run("flap", func(b *testing.B) {
		const routes = 10_000
		add, remove := say(false, 0, routes), say(true, 0, routes)
		run(b, append(add, remove...), (len(add)+len(remove))/2/routes*b.N)
	})
	b.Run("again", func(b *testing.B) {
		const routes = 10_000
		add := say(false, 0, routes)
		run(b, add, len(add)/routes*b.N)
	})
	b.Run("random", func(b *testing.B) {
		var add []byte
		for _, i := range rand.Perm(b.N) {
			add = append(add, say(false, i, i+1)...)
		}
		run(b, add, len(add))
	})
	b.Run("new", func(b *testing.B) {
		add := say(false, 0, b.N)
		run(b, add, len(add))
	})
}

// cpu returns the processor time of the process in nanoseconds.
func cpu() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
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
