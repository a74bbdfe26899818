package metalbond

import (
	"net/netip"
	"sync"
	"time"

	"mbbgp/config"
)

// Whole messages and a bound on what is unread serve every peer that we know of
// at full speed. pace: auto is the net below, for a reader that breaks none the
// less: metalbond closes its session in the middle of a burst, comes back from
// the same address within seconds, is told the same again and breaks again. So
// the second time in a row makes a peer slow, and each further one slower. Once
// is no evidence: a program that is stopped in a burst looks no different. Neither
// are sessions that are lost at the same time: the one that breaks has to have
// begun after the last one that broke.
//
// A rate is forgotten when nothing has broken for a while: whatever it was that
// the peer could not stand, if it is still so two sessions tell.
const (
	learnedRate  = 400_000 // bytes per second after the second break
	lowestRate   = 50_000  // bytes per second; where halving ends
	breakPeriod  = 2 * time.Minute
	rateMemory   = time.Hour
	burstLength  = 32 << 10
	paceMemory   = 4096                  // peer addresses
	paceQuantum  = 10 * time.Millisecond // worth of one write
	minimalWrite = 1 << 10               // bytes in one write, however slow the pace
)

// paces remembers the peers that gave up in a burst and the rate of each that
// had to be slowed down.
type paces struct {
	mu    sync.Mutex
	peers map[netip.Addr]learned // guarded by mu, at most paceMemory
}

type learned struct {
	rate int       // bytes per second; 0: it broke but once
	at   time.Time // of the last break
}

// of returns the rate toward a peer in bytes per second, 0 for no limit.
func (p *paces) of(peer netip.Addr, pace config.Pace, now time.Time) int {
	switch pace.Mode {
	case config.PaceOff:
		return 0
	case config.PaceRate:
		return pace.Rate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.peers[peer]
	if now.Sub(l.at) >= rateMemory {
		return 0
	}
	return l.rate
}

// broke notes that a session that began at a time could not stand a burst. It
// returns the peer's rate from now on, 0 for no change. Of too many peers the one
// that broke first is forgotten.
func (p *paces) broke(peer netip.Addr, began, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, known := p.peers[peer]
	switch {
	case known && began.Before(l.at):
		return 0
	case l.rate > 0 && now.Sub(l.at) < rateMemory:
		l.rate = max(l.rate/2, lowestRate)
	case known && now.Sub(l.at) < breakPeriod:
		l.rate = learnedRate
	default:
		l.rate = 0
	}
	l.at = now
	if p.peers == nil {
		p.peers = make(map[netip.Addr]learned)
	}
	if !known && len(p.peers) >= paceMemory {
		p.forgetOldest()
	}
	p.peers[peer] = l
	return l.rate
}

func (p *paces) forgetOldest() {
	var oldest netip.Addr
	var at time.Time
	for peer, l := range p.peers {
		if !oldest.IsValid() || l.at.Before(at) {
			oldest, at = peer, l.at
		}
	}
	delete(p.peers, oldest)
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
