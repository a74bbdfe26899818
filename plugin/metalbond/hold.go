package metalbond

import (
	"slices"
	"time"

	"mbbgp/bridge"
)

// Hold. What a server said stays when its session is lost: the channel of that
// session is kept, and the next session opens one of its own. What the server
// repeats is then said by both and nobody hears of it; closing the old channel
// withdraws exactly what was not repeated.
//
// MetalBond has no end-of-table marker. A server has told its table if it
// says nothing new for a while and has answered a KEEPALIVE in that time, twice
// over: metalbond tells a table from the goroutine that answers, so it answers
// only when the table is told. A server that was restarted has to hear its table
// first: its other clients have the time to come back that we may take, and half
// of it again to speak. A server that never falls silent has until the hold time
// is over.

// held is what an earlier session said.
type held struct {
	channel *bridge.Channel
	until   time.Time
}

const (
	quietTime   = time.Second // without UPDATEs, of one round
	quietRounds = 2
)

// quiet counts the rounds in which a session said nothing new.
type quiet struct {
	session *session
	updates uint64 // heard before the round
	probe   uint64 // number of the round's KEEPALIVE
	rounds  int    // done
}

// done is called every quietTime and reports whether the server of an
// established session, which may still be filling its table for a while, has
// fallen silent.
func (q *quiet) done(s *session, filling time.Duration) bool {
	updates := s.updates.Load()
	answered := s.answered.Load()
	_, since := s.current()
	switch {
	case q.session != s || q.updates != updates || s.out.asking() || time.Since(since) < filling:
		q.rounds = 0
	case answered < q.probe:
		return false
	default:
		q.rounds++
	}
	if q.rounds == quietRounds {
		return true
	}
	q.session, q.updates, q.probe = s, updates, s.probe()
	return false
}

// forget drops what earlier sessions said of what the server withdraws.
func (u *upstream) forget(row []bridge.Edit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range u.held {
		for i := range row {
			if x := &row[i]; x.Remove {
				h.channel.Withdraw(x.VNI, x.Prefix, x.NextHop)
			}
		}
	}
}

// park keeps what the session that ended said for a while and returns how much
// that is. With no time it is withdrawn.
func (u *upstream) park(hold time.Duration) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	channel := u.channel
	u.channel = nil
	if channel == nil {
		return 0
	}
	routes := channel.Count()
	if hold == 0 || routes == 0 {
		channel.Close()
		return 0
	}
	u.held = append(u.held, held{channel: channel, until: time.Now().Add(hold)})
	return routes
}

// tend withdraws what was kept long enough, and returns when to call again;
// negative: not in this session, or pause between sessions. s is the session of
// the moment or nil.
func (u *upstream) tend(s *session) time.Duration {
	now := time.Now()
	u.mu.Lock()
	live := s != nil && u.channel != nil
	first := s != nil && !u.told
	n := 0
	for n < len(u.held) && !now.Before(u.held[n].until) {
		n++
	}
	over := u.held[:n]
	u.held = slices.Clone(u.held[n:])
	left := len(u.held)
	wait := quietTime
	if left > 0 {
		wait = u.held[0].until.Sub(now)
	}
	u.mu.Unlock()

	u.withdraw(over, "the hold time is over")
	filling := u.client.options.ReconnectMax * 3 / 2
	if left == 0 {
		filling = 0
	}
	switch {
	case left == 0 && !first:
		return -1
	case live && u.quiet.done(s, filling):
		u.mu.Lock()
		u.told = true
		u.mu.Unlock()
		u.sweep("it has repeated its table")
		return -1
	case s != nil:
		return min(wait, quietTime)
	}
	return wait
}

// sweep withdraws all that earlier sessions said.
func (u *upstream) sweep(why string) {
	u.mu.Lock()
	over := u.held
	u.held = nil
	u.mu.Unlock()
	u.withdraw(over, why)
}

func (u *upstream) withdraw(over []held, why string) {
	if len(over) == 0 {
		return
	}
	routes := 0
	for _, h := range over {
		routes += h.channel.Close()
	}
	u.log.WithField("withdrawn", routes).WithField("why", why).Info("held routes that the server did not repeat")
}
