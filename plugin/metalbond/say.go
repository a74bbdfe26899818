package metalbond

import (
	"runtime"
	"sync"
	"time"

	"mbbgp/config"
	"mbbgp/wire"
)

// Saying is one loop: KEEPALIVEs that are due first, then one write of what
// there is to tell, if pace and gate allow, else wait. So a KEEPALIVE waits for
// one write at most, and what is told is read from the table in the moment when
// it can be sent: a peer that does not read is told what is true when it reads
// again, and until then costs a goroutine that sleeps.
//
// A write of many frames that told everything is followed by a rest: where one
// announcer is told to many, the next ones are about to come, and a write of 2,000
// frames costs hardly more than one of 20. Few frames are never followed by one:
// they are not delayed, and neither is what comes behind them. At 50 subscribers
// the rest saves a third of the processor time.

const (
	frameRoom       = 80                 // bytes that the table wants to have room for
	subscribeLength = wire.HeaderLen + 6 // bytes of the longest SUBSCRIBE
	manyFrames      = 16
	rest            = time.Millisecond
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
		wake := s.wake
		if wait == resting {
			wait, wake = rest, nil
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
		case <-wake:
		case <-clock.in(wait):
		}
	}
}

// resting is the wait of a session that rests: not even its wake interrupts it.
const resting = time.Duration(-2)

func (s *session) newGate() gate {
	switch {
	case s.pace.Mode == config.PaceOff:
		return openGate{s.conn}
	case s.toServer:
		return &answerGate{conn: s.conn, answered: s.answered.Load}
	}
	return newAckGate(s.conn, s.interval())
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
	if pause := s.meter.wait(now); pause > 0 {
		return sooner(wait, pause), nil
	}
	length, pause, err := s.gate.allow()
	if err != nil || length == 0 {
		if pause == 0 {
			runtime.Gosched()
		}
		return sooner(wait, pause), err
	}
	if s.isOwing() {
		return 0, nil // they came while we waited, and go first
	}
	return s.sayFrames(s.meter.limit(length))
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
	s.gate.beat(asked, len(frames))
	return s.send(frames, n)
}

// sayFrames sends one write of at most length bytes, and returns whether to go
// on (0) or to rest.
func (s *session) sayFrames(length int) (time.Duration, error) {
	buf := segments.Get().(*[maxSegment]byte)
	defer segments.Put(buf)
	limit := max(length, frameRoom)
	n, count := s.out.fill(buf[:limit])
	if n == 0 {
		return 0, nil
	}
	now := time.Now()
	s.meter.wrote(now, n)
	if err := s.send(buf[:n], count); err != nil {
		return 0, err
	}
	s.gate.wrote(now, n)
	if count >= manyFrames && limit-n >= frameRoom {
		return resting, nil
	}
	return 0, nil
}

func (s *session) send(frames []byte, n int) error {
	s.count.framesOut.Add(uint64(n))
	s.count.bytesOut.Add(uint64(len(frames)))
	return s.conn.send(frames)
}
