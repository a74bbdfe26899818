package metalbond

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// giveUp reads a little of a dump and resets the connection.
func (p *peer) giveUp() {
	p.t.Helper()
	for range 1200 {
		p.update()
	}
	p.conn.(*net.TCPConn).SetLinger(0)
	p.conn.Close()
}

func TestPeerThatResetsInABurstIsServedMoreSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 20000, hop1)
	s := w.serve(nil)
	for _, want := range []int{0, 400_000, 200_000, 100_000, 50_000, 50_000} {
		p := dial(t, s).greet()
		if got := s.Sessions()[0].Pace; got != want {
			t.Fatalf("%d bytes per second, not %d", got, want)
		}
		p.subscribe(23)
		p.giveUp()
		eventually(t, "the end of the session", func() bool { return len(s.Sessions()) == 0 })
	}
}

func TestPeerThatLeavesInQuietTimesIsNotServedMoreSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 100, hop1)
	s := w.serve(nil)
	for range 3 {
		p := dial(t, s).greet()
		p.subscribe(23)
		for range 100 {
			p.update()
		}
		p.conn.(*net.TCPConn).SetLinger(0)
		p.conn.Close()
		eventually(t, "the end of the session", func() bool { return len(s.Sessions()) == 0 })
	}
	dial(t, s).greet()
	if got := s.Sessions()[0].Pace; got != 0 {
		t.Fatalf("%d bytes per second", got)
	}
}

func TestConfiguredPaceDoesNotLearn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 20000, hop1)
	for _, row := range []struct {
		pace config.Pace
		want int
	}{{config.Pace{Mode: config.PaceOff}, 0}, {config.Pace{Mode: config.PaceRate, Rate: 5_000_000}, 5_000_000}} {
		s := w.serve(func(o *ServerOptions) { o.Pace = row.pace })
		for range 2 {
			p := dial(t, s).greet()
			if got := s.Sessions()[0].Pace; got != row.want {
				t.Fatalf("%d bytes per second, not %d", got, row.want)
			}
			p.subscribe(23)
			p.giveUp()
			eventually(t, "the end of the session", func() bool { return len(s.Sessions()) == 0 })
		}
	}
}

func TestServerThatResetsInABurstIsToldMoreSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 20000, hop1)
	address, accept := fakeServer(t)
	c, _ := w.follow(nil, address)
	accept().welcome().giveUp()
	accept().welcome()
	if got := c.Sessions()[0].Pace; got != learnedRate {
		t.Fatalf("%d bytes per second", got)
	}
}

func TestMemoryOfSlowPeersIsBounded(t *testing.T) {
	var p paces
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range paceMemory + 10 {
		p.slow(address(i))
	}
	if len(p.rates) != paceMemory {
		t.Fatalf("%d peers", len(p.rates))
	}
	if got := p.of(address(0), config.Pace{}); got != 0 {
		t.Fatalf("the first is still known: %d", got)
	}
	if got := p.of(address(paceMemory), config.Pace{}); got != learnedRate {
		t.Fatalf("the last is not known: %d", got)
	}
}

// stockReader reads as metalbond does: 65,535 bytes at a time, and a message
// that one read does not hold whole, or a full buffer, is the end. It takes
// time for every message.
func stockReader(t *testing.T, conn net.Conn, routes int, each time.Duration, answer func()) {
	t.Helper()
	buf := make([]byte, 65535)
	var busy time.Duration
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for got := 0; got < routes; {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d routes: %v", got, err)
		}
		if n == len(buf) {
			t.Fatalf("after %d routes: too much to read", got)
		}
		for p := buf[:n]; len(p) > 0; {
			if len(p) < 4 || len(p) < 4+int(p[1])<<8+int(p[2]) {
				t.Fatalf("after %d routes: a split message at the end of a read of %d bytes", got, n)
			}
			switch p[3] {
			case 2:
				answer()
			case 5:
				got++
				busy += each
			}
			p = p[4+int(p[1])<<8+int(p[2]):]
		}
		if busy >= time.Millisecond {
			clock.Reset(busy)
			<-clock.C
			busy = 0
		}
	}
}

func TestClientThatDoesNotReassembleKeepsItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 30000, hop1)
	p := dial(t, w.serve(nil)).greet()
	p.subscribe(23)
	stockReader(t, p.conn, 30000, 20*time.Microsecond, func() {})
}

func TestServerThatDoesNotReassembleKeepsItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 30000, hop1)
	address, accept := fakeServer(t)
	w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{42} }, address)
	p := accept().welcome()
	stockReader(t, p.conn, 30000, 20*time.Microsecond, func() { p.send(keepalive) })
}
