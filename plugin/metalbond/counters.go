package metalbond

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// counters are what a session, or a row of sessions with one server, did.
type counters struct {
	framesIn, framesOut atomic.Uint64
	bytesIn, bytesOut   atomic.Uint64

	mu      sync.Mutex
	refused map[string]*refusal // guarded by mu; by reason
}

// refusal counts what was refused for one reason.
type refusal struct {
	total uint64
	told  time.Time // the last log line about it
}

const refusalsTold = time.Minute // at most one log line in that time

// refuse counts an UPDATE or a SUBSCRIBE that was not taken. The first for a
// reason is logged, and then at most one a minute.
func (s *session) refuse(reason string, why error) {
	c := s.count
	now := time.Now()
	c.mu.Lock()
	r := c.refused[reason]
	if r == nil {
		if c.refused == nil {
			c.refused = make(map[string]*refusal)
		}
		r = &refusal{}
		c.refused[reason] = r
	}
	r.total++
	total := r.total
	tell := r.told.IsZero() || now.Sub(r.told) >= refusalsTold
	if tell {
		r.told = now
	}
	c.mu.Unlock()
	if tell {
		s.log.WithError(why).WithField("reason", reason).WithField("total", total).Warn("refused")
	}
}

func (c *counters) refusals() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) == 0 {
		return nil
	}
	list := make(map[string]uint64, len(c.refused))
	for reason, r := range c.refused {
		list[reason] = r.total
	}
	return list
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

// minutes bounds the lines about one address to one a minute.
type minutes struct {
	mu   sync.Mutex
	told map[netip.Addr]time.Time // guarded by mu; at most mostTold, of the last minute
}

const mostTold = 4096

// pass reports whether a line about an address may be written.
func (m *minutes) pass(about netip.Addr) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	old := func(_ netip.Addr, at time.Time) bool { return now.Sub(at) >= refusalsTold }
	if at, known := m.told[about]; known && !old(about, at) {
		return false
	}
	if len(m.told) >= mostTold {
		maps.DeleteFunc(m.told, old)
	}
	if len(m.told) >= mostTold {
		return false
	}
	if m.told == nil {
		m.told = make(map[netip.Addr]time.Time)
	}
	m.told[about] = now
	return true
}
