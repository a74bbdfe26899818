package metalbond

import (
	"fmt"
	"time"

	"mbbgp/wire"
)

// A peer that is heard of lives. Any bytes count: a peer's KEEPALIVE may stand
// behind a long row of UPDATEs. But not for ever: who sends without end and not
// one KEEPALIVE among it only floods. What is sent to a peer never counts, so a
// frozen one is gone in time whatever is said to it.
//
// The deadline is set only when the last one has passed, not with each read.
const (
	silenceIntervals = 2.5
	floodIntervals   = 10
	lastLook         = 20 * time.Millisecond // for bytes that came while we were busy
)

// ear is the stream that a session's messages are cut from.
type ear struct {
	session  *session
	silence  time.Duration // longest allowed; 0: the connection's own deadline holds
	interval time.Duration
	heard    time.Time // bytes
	pulse    time.Time // a KEEPALIVE
	looking  bool      // the last look before the end
	turn     bool      // to hear; only once the session is established
}

// guard begins to watch over the peer's silence.
func (e *ear) guard(interval time.Duration) {
	now := time.Now()
	e.interval, e.heard, e.pulse = interval, now, now
	e.silence = time.Duration(silenceIntervals * float64(interval))
	e.wait(now.Add(e.silence))
}

// excuse begins anew to watch over the silence of a peer that was not listened to.
func (e *ear) excuse() {
	e.heard, e.looking = time.Now(), false
	e.wait(e.heard.Add(e.silence))
}

func (e *ear) wait(until time.Time) { _ = e.session.conn.SetReadDeadline(until) }

// Read reads from the connection. It returns an error if the peer was silent
// for too long.
func (e *ear) Read(p []byte) (int, error) {
	for {
		e.pause()
		n, err := e.session.conn.Read(p)
		if n > 0 {
			e.session.count.bytesIn.Add(uint64(n))
			if e.silence > 0 {
				if n >= longRead {
					e.begin()
				}
				e.heard = time.Now()
				if e.looking {
					e.looking = false
					e.wait(e.heard.Add(e.silence))
				}
			}
			return n, err
		}
		if e.silence == 0 || !expired(err) {
			return n, err
		}
		if err := e.expired(time.Now()); err != nil {
			return 0, err
		}
	}
}

// expired sets the next deadline, or says that there will be none.
func (e *ear) expired(now time.Time) error {
	if now.Sub(e.pulse) >= floodIntervals*e.interval {
		return fmt.Errorf("the peer only floods: no KEEPALIVE for %d intervals of %v", floodIntervals, e.interval)
	}
	end := e.heard.Add(e.silence)
	switch {
	case now.Before(end):
		e.wait(end)
	case !e.looking:
		e.looking = true
		e.wait(now.Add(lastLook))
	default:
		return fmt.Errorf("silent for %v, 2.5 keepalive intervals", e.silence)
	}
	return nil
}

// hear takes what the peer says until the session ends, and returns why. It
// waits for more only when all that came is in the table.
func (s *session) hear() error {
	defer s.ear.pause()
	defer s.handOver()
	for {
		if !s.in.Ready() {
			s.handOver()
		}
		m, err := s.in.Next()
		if err != nil {
			return plain(err)
		}
		s.count.framesIn.Add(1)
		if m.Type == wire.TypeUpdate {
			err = s.takeUpdate(m.Payload)
		} else {
			s.handOver()
			err = s.take(m)
		}
		if err != nil {
			return err
		}
	}
}

// take takes what is no UPDATE.
func (s *session) take(m wire.Message) error {
	switch m.Type {
	case wire.TypeKeepalive:
		s.pulse()
		return nil
	case wire.TypeSubscribe:
		vni, err := wire.ParseSubscription(m.Payload)
		if err != nil {
			return err
		}
		return s.party.subscribe(s, vni)
	case wire.TypeUnsubscribe:
		vni, err := wire.ParseSubscription(m.Payload)
		if err != nil {
			return err
		}
		return s.party.unsubscribe(s, vni)
	}
	return fmt.Errorf("%v in an established session", m.Type)
}

// mostOwed bounds the answers owed to a client that sends KEEPALIVEs and does
// not read: what it cannot see it does not miss.
const mostOwed = 1024

// pulse takes a KEEPALIVE: a client's is answered, a server's is the answer.
func (s *session) pulse() {
	s.ear.pulse = time.Now()
	if s.toServer {
		s.answered.Add(1)
	} else {
		s.mu.Lock()
		s.owed = min(s.owed+1, mostOwed)
		s.mu.Unlock()
	}
	s.signal()
}
