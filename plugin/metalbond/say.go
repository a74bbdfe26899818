package metalbond

import (
	"runtime"
	"sync"
	"time"

	"mbbgp/config"
	"mbbgp/wire"
)

// Saying is one loop: KEEPALIVEs that are due first, then one segment of what
// there is to tell, if pace and gate allow, else wait. So a KEEPALIVE waits for
// one segment at most, and what is told is read from the table in the moment
// when it can be sent: a peer that does not read is told what is true when it
// reads again, and until then costs a goroutine that sleeps.

const (
	frameRoom       = 80                 // bytes that the table wants to have room for
	subscribeLength = wire.HeaderLen + 6 // bytes of the longest SUBSCRIBE
)

// segments are the buffers of one write. A session has one only while it writes.
var segments = sync.Pool{New: func() any { return new([maxSegment]byte) }}

// say tells what there is to tell until the session ends.
func (s *session) say() error {
	s.gate = s.newGate()
	clock := newAlarm()
	defer clock.stop()
	next := time.Now().Add(s.interval()) // KEEPALIVE of a client
	for {
		wait, err := s.utter(&next)
		if err != nil {
			return err
		}
		if wait == 0 {
			select {
			case <-s.done:
				return nil
			default:
				continue
			}
		}
		select {
		case <-s.done:
			return nil
		case <-s.wake:
		case <-clock.in(wait):
		}
	}
}

func (s *session) newGate() gate {
	switch {
	case s.pace.Mode == config.PaceOff:
		return openGate{s.conn}
	case s.toServer:
		return &answerGate{conn: s.conn, answered: s.answered.Load}
	}
	return &ackGate{conn: s.conn}
}

// utter says one thing. It returns 0 if it did, or else how long there will be
// nothing to do unless the session is woken; negative: for ever.
func (s *session) utter(next *time.Time) (time.Duration, error) {
	now := time.Now()
	if n := s.due(now, next); n > 0 {
		return 0, s.sayKeepalives(n)
	}
	wait := time.Duration(-1)
	if s.toServer {
		wait = next.Sub(now)
	}
	if !s.out.waiting() {
		return wait, nil
	}
	s.mu.Lock()
	pause, limit := s.meter.wait(now), s.meter.limit(maxSegment)
	s.mu.Unlock()
	if pause > 0 {
		return sooner(wait, pause), nil
	}
	length, pause, err := s.gate.allow(now)
	if err != nil || length == 0 {
		if pause == 0 {
			runtime.Gosched()
		}
		return sooner(wait, pause), err
	}
	if err := s.conn.ready(); err != nil {
		return 0, err
	}
	if s.isOwing() {
		return 0, nil // they came while we waited, and go first
	}
	return 0, s.saySegment(min(length, limit))
}

// sooner returns the shorter wait; negative is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// due returns how many KEEPALIVEs are to be sent now.
func (s *session) due(now time.Time, next *time.Time) int {
	s.mu.Lock()
	n := s.owed
	s.owed = 0
	s.mu.Unlock()
	if !s.toServer {
		return n
	}
	if g, ok := s.gate.(*answerGate); ok && g.full() {
		n = max(n, 1)
	}
	if !now.Before(*next) {
		n = max(n, 1)
		*next = now.Add(s.interval())
	}
	return n
}

func (s *session) isOwing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed > 0
}

// probe asks for a KEEPALIVE at once. Its number is returned: once so many are
// answered, the peer has read what was sent before it.
func (s *session) probe() uint64 {
	s.mu.Lock()
	s.owed = 1
	number := s.asked + 1
	s.mu.Unlock()
	s.signal()
	return number
}

func (s *session) sayKeepalives(n int) error {
	if err := s.conn.ready(); err != nil {
		return err
	}
	frames := make([]byte, 0, n*wire.HeaderLen)
	for range n {
		frames = wire.AppendKeepalive(frames)
	}
	s.mu.Lock()
	s.asked += uint64(n)
	asked := s.asked
	s.mu.Unlock()
	if g, ok := s.gate.(*answerGate); ok {
		g.mark(asked)
	}
	return s.send(frames, n)
}

// saySegment sends one write of at most length bytes.
func (s *session) saySegment(length int) error {
	buf := segments.Get().(*[maxSegment]byte)
	defer segments.Put(buf)
	limit := max(length, frameRoom)
	n, count := s.out.fill(buf[:limit])
	if n == 0 {
		return nil
	}
	frames := buf[:n]
	now := time.Now()
	s.gate.wrote(now, n)
	s.mu.Lock()
	s.meter.wrote(now, n)
	s.mu.Unlock()
	return s.send(frames, count)
}

func (s *session) send(frames []byte, n int) error {
	s.count.framesOut.Add(uint64(n))
	s.count.bytesOut.Add(uint64(len(frames)))
	return s.conn.send(frames)
}

// alarm is a timer that is made when it is first needed: a server's idle
// session has none.
type alarm struct{ timer *time.Timer }

func newAlarm() *alarm { return &alarm{} }

// in returns a channel that tells when d is over; never, if d is negative.
func (a *alarm) in(d time.Duration) <-chan time.Time {
	switch {
	case d < 0:
		a.stop()
		return nil
	case a.timer == nil:
		a.timer = time.NewTimer(d)
	default:
		a.timer.Reset(d)
	}
	return a.timer.C
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
