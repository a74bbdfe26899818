package metalbond

import "time"

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
