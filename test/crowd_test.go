package test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"mbbgp/plugin/metalbond"
	"mbbgp/test/lab"
)

// What harms by number, not by its bytes. All of it is bounded in time and
// count, and two healthy sessions use the server meanwhile.

// alone waits until the server has no sessions but the healthy ones.
func (s *scene) alone(t *testing.T) {
	t.Helper()
	lab.Eventually(t, patience, "the sessions of hostile clients end", func() error {
		if n := len(s.server.Sessions()); n != 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

func TestThousandHalfOpenConnectionsAreClosedInTime(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{Handshake: 5 * time.Second})
	starts := [][]byte{nil, {1}, hello(1)[:5], hello(1)}
	start := time.Now()
	crowd := make([]*peer, 1000)
	for i := range crowd {
		crowd[i] = s.dial(t)
		crowd[i].send(t, starts[i%len(starts)])
	}
	s.exchange(t, false)
	newcomer := s.dial(t).establish(t, hello(1))
	newcomer.close()
	t.Logf("1000 connections, a fresh route and a new session after %v", time.Since(start))
	for _, p := range crowd {
		p.waitEnd(t)
		p.close()
	}
	s.alone(t)
	s.exchange(t, false)
}

func TestAFullServerRefusesNewcomersAndServesWhomItHas(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{MaxConnections: 10})
	for range 8 {
		defer s.dial(t).close()
	}
	extra := s.dial(t)
	extra.waitEnd(t)
	extra.close()
	s.log.wait(t, extra.name, "refused")
	s.exchange(t, false)
}

func TestStormOfConnectsHurtsNobody(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{})
	before := goroutines()
	start := time.Now()
	for i := range 3000 {
		p := s.dial(t)
		switch i % 3 {
		case 1:
			p.send(t, hello(1))
		case 2:
			p.send(t, slices.Concat(hello(1), keepalive(), update(vni, destination, nextHop)))
			p.conn.SetLinger(0) // ends with a reset
		}
		p.close()
		if i%500 == 0 {
			s.exchange(t, true)
		}
	}
	t.Logf("3000 connects in %v", time.Since(start))
	s.alone(t)
	s.exchange(t, true)
	if after := goroutines(); after > before+10 {
		t.Errorf("%d goroutines, before the storm %d", after, before)
	}
}

func goroutines() int {
	runtime.GC()
	return runtime.NumGoroutine()
}

func TestHundredThousandSubscriptionsEndAtTheLimitAndLeaveNothing(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{})
	p := s.dial(t).establish(t, hello(1))
	var storm []byte
	for vni := range uint32(100000) {
		storm = append(storm, about(typeSubscribe, 1<<20+vni)...)
	}
	p.pieces(t, storm, 0)
	p.waitEnd(t)
	s.log.wait(t, p.name, "a session may have 65536 subscriptions")
	p.close()
	s.alone(t)
	s.exchange(t, false)
	if vnis := s.table.VNIs(); len(vnis) != 1 {
		t.Errorf("the table still holds %d VNIs", len(vnis))
	}
}

func TestHundredThousandSubscriptionsAreServedWhereTheyAreAllowed(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{MaxSubscriptions: 100000})
	p := s.dial(t).establish(t, hello(1))
	defer p.close()
	var storm []byte
	for vni := range uint32(99999) {
		storm = append(storm, about(typeSubscribe, 1<<20+vni)...)
	}
	p.pieces(t, append(storm, about(typeSubscribe, HostileVNI)...), 0)
	if !p.answered(t) {
		t.Fatal("the session ended")
	}
	if n := len(s.info(t, p).Subscriptions); n != 100000 {
		t.Errorf("%d subscriptions", n)
	}
	s.exchange(t, false)
}

func TestKeepaliveFloodIsAnsweredOrDroppedAndDelaysNobody(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{})
	reading, deaf := s.dial(t).establish(t, hello(1)), s.dial(t).establish(t, hello(1))
	defer reading.close()
	defer deaf.close()
	flood := make([]byte, 0, 1<<20)
	for len(flood) < cap(flood) {
		flood = append(flood, keepalive()...)
	}
	var slow net.Error
	reading.live(time.Hour, func(byte, []byte) {})
	for range 4 { // a million of them
		reading.send(t, flood)
		deaf.conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := deaf.conn.Write(flood); err != nil && !errors.As(err, &slow) {
			t.Fatal(err)
		}
		s.exchange(t, false)
	}
	select {
	case <-reading.ended:
		t.Errorf("who floods and reads lost its session: %v", reading.failure)
	default:
	}
}

func TestHalfClosedConnectionsEndAndTheirRoutesAreWithdrawn(t *testing.T) {
	s := newScene(t, metalbond.ServerOptions{})
	p := s.dial(t).establish(t, hello(1))
	defer p.close()
	p.send(t, update(vni, destination, nextHop))
	s.expect(t, update(vni, destination, nextHop), true)
	p.conn.CloseWrite()
	s.expect(t, update("08 01", vni, destination, nextHop), true)
	p.waitEnd(t)
	s.log.wait(t, p.name, "closed by the peer")
	s.exchange(t, false)
}

func TestSubscriberThatDoesNotReadDelaysNobodyAndGetsEverythingLater(t *testing.T) {
	const batches, batch = 300, 100
	s := newScene(t, metalbond.ServerOptions{})
	deaf := s.dial(t).establish(t, hello(60))
	defer deaf.close()
	deaf.send(t, about(typeSubscribe, HostileVNI))
	var last []byte
	for i := range batches {
		var burst []byte
		for j := range batch {
			last = announce(false, [4]byte{100, 64 + byte(i>>8), byte(i), byte(j)}, healthy)
			burst = append(burst, last...)
		}
		s.announcer.send(t, burst)
	}
	s.expect(t, last, true)
	s.exchange(t, true)
	if s.info(t, deaf).Behind == 0 {
		t.Error("the deaf subscriber took everything; nothing was tested")
	}
	deaf.conn.SetReadDeadline(time.Now().Add(patience))
	routes := map[string]bool{}
	for len(routes) < batches*batch {
		kind, payload, err := deaf.next()
		if err != nil {
			t.Fatalf("after %d routes: %v", len(routes), err)
		}
		if kind == typeUpdate {
			routes[string(payload)] = true
		}
	}
}
