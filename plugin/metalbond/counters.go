package metalbond

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// counters are what a session, or a row of sessions with one server, did.
type counters struct {
	framesIn, framesOut atomic.Uint64
	bytesIn, bytesOut   atomic.Uint64

	mu      sync.Mutex
	refused map[string]uint64 // guarded by mu; by reason
	told    time.Time         // guarded by mu; the last log line about it
}

const refusalsTold = time.Minute // at most one log line in that time

// refuse counts an UPDATE that was not taken. The first is logged, and then at
// most one a minute.
func (s *session) refuse(reason string, why error) {
	c := s.count
	now := time.Now()
	c.mu.Lock()
	if c.refused == nil {
		c.refused = make(map[string]uint64)
	}
	c.refused[reason]++
	total := c.refused[reason]
	tell := c.told.IsZero() || now.Sub(c.told) >= refusalsTold
	if tell {
		c.told = now
	}
	c.mu.Unlock()
	if tell {
		s.log.WithError(why).WithField("reason", reason).WithField("total", total).Warn("update refused")
	}
}

func (c *counters) refusals() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refused)
}

// brake bounds log lines that strangers can cause.
type brake struct {
	mu    sync.Mutex
	since time.Time // guarded by mu
	lines int       // guarded by mu; since then
	quiet int       // guarded by mu; lines not written since then
}

const (
	brakePeriod = 10 * time.Second
	brakeLines  = 20
)

// pass reports whether a line may be written, and how many were not since the
// last period began.
func (b *brake) pass() (ok bool, suppressed int) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= brakePeriod {
		suppressed = b.quiet
		b.since, b.lines, b.quiet = now, 0, 0
	}
	if b.lines >= brakeLines {
		b.quiet++
		return false, 0
	}
	b.lines++
	return true, suppressed
}
