package metalbond

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	for _, want := range []int{0, 0, 400_000, 200_000, 100_000, 50_000, 50_000} {
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
	accept().welcome().giveUp()
	accept().welcome()
	if got := c.Sessions()[0].Pace; got != learnedRate {
		t.Fatalf("%d bytes per second", got)
	}
}

// breaks lets sessions of a peer break one after the other and returns the last
// rate.
func breaks(p *paces, peer netip.Addr, now time.Time, n int) (rate int) {
	for range n {
		rate = p.broke(peer, now, now)
	}
	return rate
}

func TestOnlySessionsThatBreakOneAfterTheOtherMakeAPeerSlow(t *testing.T) {
	peer, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	var p paces
	if got := breaks(&p, peer, now, 1); got != 0 {
		t.Errorf("after the first break: %d", got)
	}
	if got := p.broke(peer, now.Add(-time.Second), now.Add(time.Second)); got != 0 {
		t.Errorf("another session that was there already: %d", got)
	}
	late := now.Add(breakPeriod)
	if got := p.broke(peer, late, late); got != 0 {
		t.Errorf("a session that breaks %v later: %d", breakPeriod, got)
	}
	late = late.Add(breakPeriod - 1)
	if got := p.broke(peer, late, late); got != learnedRate {
		t.Errorf("the second in a row: %d", got)
	}
	late = late.Add(rateMemory - 1)
	if got := p.of(peer, config.Pace{}, late); got != learnedRate {
		t.Errorf("forgotten too soon: %d", got)
	}
	late = late.Add(1)
	if got := p.of(peer, config.Pace{}, late); got != 0 {
		t.Errorf("not forgotten: %d", got)
	}
	if got := p.broke(peer, late, late); got != 0 {
		t.Errorf("the first break after that: %d", got)
	}
}

func TestMemoryOfSlowPeersIsBounded(t *testing.T) {
	var p paces
	now := time.Now()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range paceMemory + 10 {
		breaks(&p, address(i), now, 2)
		now = now.Add(time.Millisecond)
	}
	if len(p.peers) != paceMemory {
		t.Fatalf("%d peers", len(p.peers))
	}
	if got := p.of(address(0), config.Pace{}, now); got != 0 {
		t.Fatalf("the first is still known: %d", got)
	}
	if got := p.of(address(paceMemory), config.Pace{}, now); got != learnedRate {
		t.Fatalf("the last is not known: %d", got)
	}
}

// stockReader reads as metalbond does: 65,535 bytes at a time, and a message
// that one read does not hold whole, or a full buffer, is the end. It takes
// time for every message, and sometimes as long as pause says.
func stockReader(t *testing.T, conn net.Conn, routes int, each time.Duration, pause func() time.Duration, answer func()) {
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
		busy += pause()
		if busy >= time.Millisecond {
			clock.Reset(busy)
			<-clock.C
			busy = 0
		}
	}
}

func never() time.Duration { return 0 }

func pauses() time.Duration {
	if rand.IntN(20) > 0 {
		return 0
	}
	return rand.N(500 * time.Millisecond)
}

// dialSegments connects to a server and wishes no longer segments.
func dialSegments(t *testing.T, s *Server, length int) *peer {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var failure error
		err := raw.Control(func(fd uintptr) {
			failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, length)
		})
		return errors.Join(err, failure)
	}}
	conn, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return newPeer(t, conn)
}

func TestClientThatDoesNotReassembleKeepsItsSession(t *testing.T) {
	for _, row := range []struct {
		name    string
		segment int // bytes
		routes  int
		each    time.Duration
		pause   func() time.Duration
	}{
		{"as fast as metalbond", 32767, 100_000, 10 * time.Microsecond, never},
		{"over Ethernet", 1448, 100_000, 10 * time.Microsecond, never},
		{"slowly", 32767, 30_000, 50 * time.Microsecond, never},
		{"with pauses", 32767, 30_000, 20 * time.Microsecond, pauses},
		{"with pauses, over Ethernet", 1448, 30_000, 20 * time.Microsecond, pauses},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.static(23, row.routes, hop1)
			p := dialSegments(t, w.serve(nil), row.segment).greet()
			p.subscribe(23)
			stockReader(t, p.conn, row.routes, row.each, row.pause, func() {})
		})
	}
}

func TestServerThatDoesNotReassembleKeepsItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.static(23, 30000, hop1)
	address, accept := fakeServer(t)
	w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{42} }, address)
	p := accept().welcome()
	stockReader(t, p.conn, 30000, 20*time.Microsecond, never, func() { p.send(keepalive) })
}
