package metalbond

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
	"mbbgp/wire"
)

// meet starts a session with a client over a pipe, in the time of a bubble.
func meet(t *testing.T, w *world, change func(*ServerOptions)) (*peer, *Server) {
	t.Helper()
	o := ServerOptions{Bridge: w.bridge, Log: w.log}
	if change != nil {
		change(&o)
	}
	s := NewServer(o)
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.start(ctx, pipe{here}, netip.MustParseAddrPort("192.0.2.7:1234")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); there.Close(); s.waiting.Wait() })
	return newPeer(t, there).greet(), s
}

const timeout5 = 12500 * time.Millisecond // of an interval of 5 s

func TestSilentPeerIsGoneAfterTwoAndAHalfIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := meet(t, newWorld(t), nil)
		begin := time.Now()
		p.ends()
		if took := time.Since(begin); took < timeout5 || took > timeout5+lastLook {
			t.Fatalf("gone after %v", took)
		}
	})
}

func TestFrozenPeerIsGoneInTimeWhateverIsSentToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, s := meet(t, w, nil)
		p.subscribe(23)
		static := w.bridge.Open(rib.Static, "test")
		// The frozen peer's kernel goes on reading for it.
		go io.Copy(io.Discard, p.conn)
		begin := time.Now()
		for i := 0; len(s.Sessions()) > 0; i++ {
			if err := static.Announce(23, prefix(i), hop1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // the bubble's
		}
		if took := time.Since(begin); took < timeout5 || took > timeout5+200*time.Millisecond {
			t.Fatalf("gone after %v", took)
		}
	})
}

func TestPeerThatNeitherReadsNorSpeaksIsGoneInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.static(23, 10000, hop1)
		p, s := meet(t, w, nil)
		p.subscribe(23)
		begin := time.Now()
		s.waiting.Wait()
		if took := time.Since(begin); took < timeout5 || took > timeout5+lastLook {
			t.Fatalf("gone after %v", took)
		}
	})
}

func TestAnyBytesKeepASessionAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := meet(t, w, nil)
		for i := range 4 {
			time.Sleep(12 * time.Second)
			p.announce(23, prefix(i), hop1)
		}
		p.sync()
	})
}

func TestPeerThatOnlyFloodsIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, s := meet(t, w, nil)
		begin := time.Now()
		for i := 0; len(s.Sessions()) > 0; i++ {
			if _, err := p.conn.Write(Encode(nil, false, 23, prefix(i%9), hop1)); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(begin); took < floodIntervals*5*time.Second || took > (floodIntervals+3)*5*time.Second {
			t.Fatalf("gone after %v", took)
		}
		s.waiting.Wait()
		if n := w.lines.count("the peer only floods"); n != 1 {
			t.Fatalf("%d lines", n)
		}
	})
}

func TestServerAnswersKeepalivesOneForOneAndSendsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := meet(t, newWorld(t), nil)
		for range 100 {
			time.Sleep(5 * time.Second)
			p.send(keepalive)
			p.want(keepalive)
		}
		synctest.Wait()
		if i := s.Sessions()[0]; i.FramesOut != 102 {
			t.Fatalf("%d frames", i.FramesOut)
		}
	})
}

func TestKeepaliveFloodOfAPeerThatDoesNotReadCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := meet(t, newWorld(t), nil)
		flood := []byte(strings.Repeat("\x01\x00\x00\x02", 1000))
		for range 100 {
			p.write(flood)
		}
		synctest.Wait()
		s.mu.Lock()
		x := s.sessions[0]
		s.mu.Unlock()
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.owed > mostOwed {
			t.Fatalf("%d answers owed", x.owed)
		}
	})
}

func TestClientSendsAKeepaliveEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := NewClient(ClientOptions{Servers: []string{"server"}, Bridge: w.bridge, Log: w.log, Keepalive: 2 * time.Second})
		here, there := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.upstreams[0].hold(ctx, pipe{here}, loopback, new(alarm))
			ended <- err
		}()
		p := newPeer(t, there)
		p.want("010002010802")
		p.send("0100040108021001")
		p.want(keepalive)
		p.send(keepalive)
		for !c.upstreams[0].info().Told { // at first it asks whether the table is told
			p.want(keepalive)
			p.send(keepalive)
			synctest.Wait()
		}
		p.want(keepalive)
		p.send(keepalive)
		for range 20 {
			begin := time.Now()
			p.want(keepalive)
			if took := time.Since(begin); took != 2*time.Second {
				t.Fatalf("after %v", took)
			}
			p.send(keepalive)
		}
		// A server that no longer answers is gone 2.5 intervals after its last byte.
		begin := time.Now()
		go io.Copy(io.Discard, there)
		err := <-ended
		if took := time.Since(begin); took < 5*time.Second || took > 5*time.Second+lastLook {
			t.Fatalf("gone after %v", took)
		}
		if err == nil || err.Error() != "silent for 5s, 2.5 keepalive intervals" {
			t.Fatal(err)
		}
		cancel()
		there.Close()
	})
}

func TestPaceIsARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.static(23, 10000, hop1) // 36 bytes each
		p, _ := meet(t, w, func(o *ServerOptions) { o.Pace = config.Pace{Mode: config.PaceRate, Rate: 100_000} })
		p.subscribe(23)
		begin := time.Now()
		for range 10000 {
			p.update()
		}
		if took := time.Since(begin); took < 3500*time.Millisecond || took > 3700*time.Millisecond {
			t.Fatalf("360,000 bytes at 100,000 a second took %v", took)
		}
	})
}

func TestKeepaliveAnswersDoNotWaitForAPacedDump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.static(23, 10000, hop1)
		p, _ := meet(t, w, func(o *ServerOptions) { o.Pace = config.Pace{Mode: config.PaceRate, Rate: 10_000} })
		p.subscribe(23)
		p.update()
		for range 5 {
			begin := time.Now()
			p.send(keepalive)
			for {
				m, err := p.in.Next()
				if err != nil {
					t.Fatal(err)
				}
				if m.Type == wire.TypeKeepalive {
					break
				}
			}
			if took := time.Since(begin); took > time.Millisecond {
				t.Fatalf("answered after %v", took)
			}
			p.update()
		}
	})
}
