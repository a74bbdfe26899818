package metalbond

import "time"

// ackGate guards clients. It adds up what was written, and before that becomes
// too much it proves that the client has read it. A client answers nothing that
// we could ask, so its kernel has to say so.
//
// The proof is a probe: one frame that goes when all before it has been
// acknowledged, with nothing behind it but perhaps a second one. Linux
// acknowledges it when the application has emptied the socket (tcp_cleanup_rbuf),
// or else 40 ms later (delayed ACK). So an acknowledgement that comes promptly
// proves that everything was read, but for the cases in which Linux acknowledges
// at once what nobody has read (quick ACK):
//
//   - 16 times at the beginning of a connection and after a pause longer than the
//     client's retransmission timeout, which is 200 ms at the least. So probes are
//     sent without such pauses, and only the 21st and those behind it count.
//   - 16 times after a segment that came twice. Then our kernel has counted a
//     retransmission.
//   - Once for a segment that makes it widen the receive window. Those are
//     longer than a probe: 128 bytes at the least (tcp_event_data_recv).
//
// A prompt acknowledgement that comes late to us because this machine is busy is
// none the less prompt: the kernel knows when it came. One that really comes late
// proves nothing, whatever the reason, and is followed by another probe. A client
// that has just sent something delays one even of what it has read, unless two
// frames came (pingpong mode). So while there is no hurry yet, in the second half
// of a chunk, a stream of single frames is a stream of probes and waits for
// nothing.
//
// What needs no proof is what was written long ago: metalbond's client resets a
// session in which it has not read an answer to its KEEPALIVEs for two and a half
// intervals, and as it reads it empties the socket.
//
// A client that takes several chunks at a rate that metalbond's reader cannot
// reach by far reassembles what it reads. It needs no guard.
//
// So 48 KiB of a burst cost two waits and one TCP_INFO. With 50 subscribers the
// whole server needs 0.09 s of CPU time for a million updates; where every segment
// waited for the acknowledgement of the one before, it was 0.27.
type ackGate struct {
	conn   transport
	memory time.Duration // what is older has been read

	path  path      // as of the last look
	last  time.Time // the last write was begun, but KEEPALIVEs
	begun time.Time // the last probe was begun

	chunk         int       // bytes that may be unread before there is a probe
	recent, older int       // bytes written since the last proof, in this period of memory and the one before
	turned        time.Time // when this period began

	alone   bool      // nothing is under way before the next write
	probing int       // writes of the probe that is under way; 0: there is none
	probes  int       // since the client may have begun to send quick ACKs
	late    bool      // one was late since the last proof
	next    time.Time // no probe before that

	patience int           // looks that this burst may take beyond the least
	looks    int           // in a row, in vain
	pause    time.Duration // the last sleep in that row

	speed
}

const (
	mostChunk   = 48 << 10               // bytes; what a read must never see is 64 KiB
	leastChunk  = 8 << 10                // bytes, of a client that needs more than 40 ms for more
	chunkGrowth = 4 << 10                // bytes for each chunk that was read in time
	leastWrite  = 1 << 10                // bytes; what is left of a chunk and shorter than that is not used
	mostUnread  = 63 << 10               // bytes, probes included
	probeLength = frameRoom              // bytes; below 128
	quickACKs   = 20                     // 16 and some
	quickPause  = 180 * time.Millisecond // between writes; from 200 ms on there are quick ACKs again
	probePause  = 100 * time.Millisecond // from a probe that was acknowledged late to the next
	promptACK   = 25 * time.Millisecond  // beyond the round trip; delayed ACKs come after 40 ms, less a tick of 10 ms
	intervals   = 3                      // of KEEPALIVEs, that a client may read nothing

	leastLooks = 8   // before a sleep
	mostLooks  = 150 // 0.1 ms
	burstLooks = 1000
	firstPause = 100 * time.Microsecond
	lastPause  = 20 * time.Millisecond
)

func newAckGate(conn transport, interval time.Duration) *ackGate {
	return &ackGate{conn: conn, memory: intervals * interval, chunk: mostChunk}
}

func (g *ackGate) allow() (int, time.Duration, error) {
	if g.fast {
		return maxSegment, 0, g.conn.ready()
	}
	now := time.Now()
	unread, acked := g.unread(now), false
	if unread > g.chunk/2 {
		var err error
		if acked, err = g.acked(); err == nil && acked && g.probing > 0 {
			unread, err = g.judge(now, unread)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	g.alone = acked
	switch left := g.chunk - unread; {
	case left >= leastWrite:
		return g.write(now, left)
	case !acked:
		return 0, g.wait(), nil
	case now.Before(g.next):
		return 0, g.next.Sub(now), nil
	case unread+probeLength > mostUnread:
		return 0, probePause, nil
	}
	return probeLength, 0, g.conn.ready()
}

// write returns the length of a write that may be so long.
func (g *ackGate) write(now time.Time, most int) (int, time.Duration, error) {
	if now.Sub(g.last) >= quickPause {
		if err := g.look(); err != nil {
			return 0, 0, err
		}
	}
	return min(segment(g.path.segment), most), 0, g.conn.ready()
}

func (g *ackGate) wrote(begun time.Time, n int) {
	switch short := n <= probeLength; {
	case short && g.alone:
		g.begun, g.probing = begun, 1
	case short && g.probing == 1:
		g.probing = 2
	default:
		g.probing = 0
	}
	if time.Since(g.last) >= quickPause {
		g.probes, g.patience = 0, burstLooks
	}
	g.last = begun
	g.recent += n
}

func (g *ackGate) beat(_ uint64, n int) { g.recent += n }

func (g *ackGate) reassembles() bool { return g.fast }

// unread returns how many bytes the client may not have read yet.
func (g *ackGate) unread(now time.Time) int {
	switch since := now.Sub(g.turned); {
	case since >= 2*g.memory:
		g.older, g.recent, g.turned = 0, 0, now
	case since >= g.memory:
		g.older, g.recent, g.turned = g.recent, 0, now
	}
	return g.older + g.recent
}

// acked reports whether all that was written has been acknowledged.
func (g *ackGate) acked() (bool, error) {
	queued, err := g.conn.queued()
	if err != nil || queued > 0 {
		return false, err
	}
	g.looks, g.pause = 0, 0
	return true, nil
}

// wait returns how long to wait before the next look: at first not at all, since
// a client that reads needs less than the shortest sleep, then about as long as
// it has waited already.
func (g *ackGate) wait() time.Duration {
	g.looks++
	if g.looks < leastLooks || g.looks < mostLooks && g.patience > 0 {
		g.patience--
		return 0
	}
	g.pause = min(max(2*g.pause, firstPause), lastPause)
	return g.pause
}

// judge says what the acknowledgement of the last probe proves, that was seen
// now, and returns how many bytes may be unread still.
func (g *ackGate) judge(now time.Time, unread int) (int, error) {
	g.probing = 0
	resent := g.path.resent
	if err := g.look(); err != nil {
		return unread, err
	}
	came, limit := now, g.path.roundTrip+promptACK
	if now.Sub(g.begun) >= limit {
		came = now.Add(-g.path.sinceACK)
	}
	g.probes++
	if g.path.resent != resent {
		g.probes = 0
	}
	switch {
	case came.Sub(g.begun) >= limit:
		if g.chunk-unread < leastWrite {
			g.delayed()
		}
	case g.probes > quickACKs:
		g.read(now)
		return 0, nil
	}
	return unread, nil
}

// delayed notes that the burst waits for a client that needs long for a chunk, or
// stopped reading.
func (g *ackGate) delayed() {
	if g.late {
		g.next = g.begun.Add(probePause)
		return
	}
	g.late = true
	g.chunk = max(g.chunk/2, leastChunk)
}

// read notes that all that was written has been read.
func (g *ackGate) read(now time.Time) {
	g.measure(now, g.older+g.recent)
	g.older, g.recent, g.turned = 0, 0, now
	if !g.late {
		g.chunk = min(g.chunk+chunkGrowth, mostChunk)
	}
	g.late = false
}

func (g *ackGate) look() (err error) {
	g.path, err = g.conn.look()
	return err
}

// speed is what proofs say of a client's reader. A reader that does not
// reassemble handles what it has read before it reads again. So when a chunk has
// been read, the chunk before has been handled, and that has taken less than the
// time since that one was begun. What else this machine and the client do makes
// the time longer, so a rate that is too high for such a reader is proof enough,
// and one that is low means nothing.
type speed struct {
	fast   bool
	quick  int       // chunks handled at the rate
	latest time.Time // the last chunk was begun; zero: not known
	former time.Time // the chunk before was
	length int       // bytes of the chunk before
}

const (
	quickRate   = 12_000_000 // bytes per second; 3 us for a route, metalbond needs 10 to 36
	quickChunks = 4
)

// measure notes that a chunk of so many bytes has been read.
func (s *speed) measure(now time.Time, bytes int) {
	if took := now.Sub(s.former); !s.former.IsZero() && int64(s.length)*int64(time.Second) >= quickRate*int64(took) {
		s.quick++
		s.fast = s.quick >= quickChunks
	}
	s.former, s.latest, s.length = s.latest, now, bytes
}
