package metalbond

import (
	"net/netip"
	"sync"
	"time"

	"mbbgp/config"
)

// Aligned segments and a bound on what is unread serve every peer that we know
// of at full speed. pace: auto is the net below: a peer that resets its session
// in the middle of a burst is served slowly from then on.
const (
	learnedRate  = 400_000 // bytes per second after the first reset
	lowestRate   = 50_000  // bytes per second; where halving ends
	burstLength  = 32 << 10
	paceMemory   = 4096                  // peer addresses
	paceQuantum  = 10 * time.Millisecond // worth of one write
	minimalWrite = 1 << 10               // bytes in one write, however slow the pace
)

// paces remembers the rate of each peer that had to be slowed down.
type paces struct {
	mu    sync.Mutex
	rates map[netip.Addr]learned // guarded by mu, at most paceMemory
}

type learned struct {
	rate int // bytes per second
	at   time.Time
}

// of returns the rate toward a peer in bytes per second, 0 for no limit.
func (p *paces) of(peer netip.Addr, pace config.Pace) int {
	switch pace.Mode {
	case config.PaceOff:
		return 0
	case config.PaceRate:
		return pace.Rate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rates[peer].rate
}

// slow notes that a peer could not stand a burst and returns its rate from now
// on. Of too many peers the one that was slowed first is forgotten.
func (p *paces) slow(peer netip.Addr) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, known := p.rates[peer]
	switch {
	case known:
		l.rate = max(l.rate/2, lowestRate)
	default:
		l.rate = learnedRate
		if p.rates == nil {
			p.rates = make(map[netip.Addr]learned)
		}
		if len(p.rates) >= paceMemory {
			p.forgetOldest()
		}
	}
	l.at = time.Now()
	p.rates[peer] = l
	return l.rate
}

func (p *paces) forgetOldest() {
	var oldest netip.Addr
	var at time.Time
	for peer, l := range p.rates {
		if !oldest.IsValid() || l.at.Before(at) {
			oldest, at = peer, l.at
		}
	}
	delete(p.rates, oldest)
}

// meter limits writes to a rate and knows whether a burst is under way. It is
// for one goroutine.
type meter struct {
	rate  int       // bytes per second; 0: no limit
	after time.Time // the next write may start

	second        int64 // of the clock, that current counts
	current, last int   // bytes written in this second and the one before
}

// wait returns how long to wait before the next write.
func (m *meter) wait(now time.Time) time.Duration {
	if m.rate == 0 {
		return 0
	}
	return max(m.after.Sub(now), 0)
}

// limit returns how long the next write may be.
func (m *meter) limit(length int) int {
	if m.rate == 0 {
		return length
	}
	return min(length, max(m.rate*int(paceQuantum/time.Millisecond)/1000, minimalWrite))
}

// wrote notes a write of n bytes.
func (m *meter) wrote(now time.Time, n int) {
	m.turn(now)
	m.current += n
	if m.rate > 0 {
		if m.after.Before(now) {
			m.after = now
		}
		m.after = m.after.Add(time.Duration(n) * time.Second / time.Duration(m.rate))
	}
}

// burst reports whether much was written of late.
func (m *meter) burst(now time.Time) bool {
	m.turn(now)
	return m.current+m.last >= burstLength
}

func (m *meter) turn(now time.Time) {
	switch second := now.Unix(); second - m.second {
	case 0:
		return
	case 1:
		m.last, m.current, m.second = m.current, 0, second
	default:
		m.last, m.current, m.second = 0, 0, second
	}
}
