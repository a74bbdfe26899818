package metalbond

import "time"

// A client that sends more UPDATEs than it may is read more slowly: they wait in
// the kernels of both ends, and TCP makes the client wait in turn. Nothing is
// refused or lost. But a KEEPALIVE waits behind them, too, and the client ends a
// session that does not answer for two and a half intervals. So while it is held
// back it is answered once an interval as if it had asked, and the wait does not
// count as its silence. What it has in our kernel is bounded (narrow): that is
// how much of a frozen client is still to be read before its silence begins.
const holdLook = 100 * time.Millisecond // between looks whether the peer is gone

// throttle is a token bucket of UPDATEs, one second deep.
type throttle struct {
	tokens float64
	filled time.Time // tokens is as of then; zero: it is full
}

// spend takes n tokens at a rate per second, and returns how long it takes until
// there is one again.
func (t *throttle) spend(n, rate int, now time.Time) time.Duration {
	full := float64(rate)
	if t.filled.IsZero() {
		t.tokens = full
	} else {
		t.tokens = min(t.tokens+now.Sub(t.filled).Seconds()*full, full)
	}
	t.filled = now
	if t.tokens -= float64(n); t.tokens >= 0 {
		return 0
	}
	return time.Duration(-t.tokens / full * float64(time.Second))
}

// limitRow keeps rows so short that a session with a rate, 0 for none, is never
// held back for more than a second at a time.
func (s *session) limitRow(rate int) {
	s.row.limit = rowLength
	if rate > 0 {
		s.row.limit = min(max(rate/4, 1), rowLength)
	}
}

// hold keeps the hearing goroutine from hearing for a while, or until the session
// is over.
func (s *session) hold(wait time.Duration) {
	if wait <= 0 {
		return
	}
	s.ear.pause()
	defer s.ear.begin()
	end := time.Now().Add(wait)
	clock := newAlarm()
	defer clock.stop()
	for left := wait; left > 0; left = time.Until(end) {
		select {
		case <-s.over:
			return
		case <-clock.in(min(left, holdLook)):
		}
		if s.conn.gone() {
			s.fail(errClosed)
			return
		}
		if time.Since(s.ear.pulse) >= s.interval() {
			s.pulse()
		}
	}
	s.ear.excuse()
}
