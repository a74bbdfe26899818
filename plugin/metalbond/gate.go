package metalbond

import "time"

// gate says how much may be written now, so that the peer never has too much
// unread. It is for one goroutine.
type gate interface {
	// allow returns the length of the next write, or 0 and how long to wait
	// before asking again (0: let others run; negative: until the session is
	// woken).
	allow(now time.Time) (length int, wait time.Duration, err error)
	// wrote notes a write other than KEEPALIVEs.
	wrote(now time.Time, n int)
}

// segment bounds what is one segment long to what is sensible.
func segment(length int) int {
	return min(max(length, frameRoom), maxSegment)
}

// openGate is the gate of pace: off: one segment at a time and no more rules.
type openGate struct{ conn transport }

func (g openGate) allow(time.Time) (int, time.Duration, error) {
	length, _, err := g.conn.look()
	return segment(length), 0, err
}

func (g openGate) wrote(time.Time, int) {}

// ackGate guards clients. A client answers nothing, so its kernel has to say
// how much its application has read, in two ways of which neither is enough.
//
// Acknowledgements: one segment that comes alone is acknowledged when the
// application has emptied the socket, or else after 40 ms (tcp_cleanup_rbuf,
// delayed ACK). So in a burst a segment waits for the acknowledgement of the
// one before. There must not be two under way: if nobody reads them, our own
// kernel sends the second again after a few milliseconds (tail loss probe), and
// the copy is acknowledged at once. The first 16 segments of a connection, and
// some after a pause, are acknowledged read or not (quick ACK), so a burst
// begins with short ones even where the path, a loopback or a jumbo frame, would
// take longer ones.
//
// The receive window: what is unread lessens it. But Linux widens it while data
// comes, read or not, to a width that we learn only as it happens, and tells of
// a window that has opened only when it acknowledges something. So a window
// that has become much less than it was stops the burst but for a frame now and
// then, until it opens or the gate loses its patience and takes it for the
// width of the day.
//
// A client that takes a burst at a rate that metalbond's reader cannot
// reach by far reassembles what it reads. It needs no guard.
type ackGate struct {
	conn    transport
	verdict               // of the burst
	length  int           // of a write
	behind  bool          // the last write was full: there was more to say
	writes  int           // full ones of the burst
	last    time.Time     // of the last write
	looks   int           // in a row that did not allow a segment
	pause   time.Duration // the last wait in that row
	probed  bool          // the last write was for its acknowledgement only

	widest   int           // window in bytes
	since    time.Time     // of the first look in a row that found the window narrow; zero: it was not
	patience time.Duration // with a narrow window; doubles each time that it is lost
}

const (
	shortSegment  = 2 << 10 // bytes; 16 of them are well below 64 KiB
	shortWrites   = 32      // that a burst begins with
	longSegment   = 8 << 10
	burstPause    = 150 * time.Millisecond // quick ACKs come back after 200 ms at the earliest
	quietUnread   = 4 << 10                // bytes that need no acknowledgement outside of bursts
	narrow        = 24 << 10               // bytes less than the widest window
	firstPause    = 100 * time.Microsecond
	lastPause     = 500 * time.Millisecond
	firstPatience = 250 * time.Millisecond
	lastPatience  = 8 * time.Second
)

func (g *ackGate) allow(now time.Time) (int, time.Duration, error) {
	queued, err := 0, error(nil)
	if !g.fast {
		queued, err = g.conn.queued()
	}
	if err == nil && queued > 0 && (queued > quietUnread || g.behind) {
		g.probed = false
		return 0, g.wait(), nil
	}
	length, window, err := g.conn.look()
	if err != nil || g.fast {
		return segment(length), 0, err
	}
	narrow := g.isNarrow(now, window)
	switch {
	case narrow && (queued > 0 || g.probed):
		g.probed, g.looks = false, longSpin
		return 0, g.wait(), nil
	case narrow:
		g.probed = true
		return frameRoom, 0, nil
	}
	if now.Sub(g.last) >= burstPause {
		g.writes, g.slow = 0, false
	}
	g.length = min(segment(length), longSegment)
	if g.writes < shortWrites {
		g.length = min(g.length, shortSegment)
	}
	g.looks, g.pause = 0, 0
	g.judge(now, g.writes)
	return g.length, 0, nil
}

func (g *ackGate) wrote(now time.Time, n int) {
	g.last = now
	if g.behind = n > g.length-frameRoom; g.behind {
		g.writes++
		g.bytes += n
	}
}

// verdict is whether a client reads faster than those that need the gate.
type verdict struct {
	fast, slow bool
	begun      time.Time // of the measurement
	bytes      int       // since then
}

const (
	proofAfter = 8         // full writes: much is to be said, it is worth to know
	proof      = 128 << 10 // bytes; quick ACKs are a quarter of that at most
	proofRate  = 8_000_000 // bytes per second; 4.5 us for a route, metalbond needs 10 to 36
)

// judge is called before a write of a burst that had so many, when all that was
// sent has been acknowledged.
func (v *verdict) judge(now time.Time, writes int) {
	switch {
	case v.fast || v.slow:
	case writes <= proofAfter:
		v.begun, v.bytes = now, 0
	case v.bytes >= proof:
		v.fast = int64(v.bytes)*int64(time.Second) >= proofRate*int64(now.Sub(v.begun))
		v.slow = !v.fast
	}
}

// spin returns how often to look before the first wait: a wait is a millisecond,
// a client that reads needs less, and for the verdict that counts.
func (v *verdict) spin(writes int) int {
	if v.slow || writes < proofAfter {
		return shortSpin
	}
	return longSpin
}

const (
	shortSpin = 10
	longSpin  = 150
)

// wait returns how long to wait before the next look: at first not at all, then
// about as long as it has waited already.
func (g *ackGate) wait() time.Duration {
	if g.looks++; g.looks < g.spin(g.writes) {
		return 0
	}
	g.pause = min(max(2*g.pause, firstPause), lastPause)
	return g.pause
}

// isNarrow reports whether the window says that the peer has much to read.
func (g *ackGate) isNarrow(now time.Time, window int) bool {
	g.widest = max(g.widest, window)
	if g.widest-window < narrow {
		g.since = time.Time{}
		return false
	}
	if g.since.IsZero() {
		g.since = now
		g.patience = max(g.patience, firstPatience)
	}
	if now.Sub(g.since) < g.patience {
		return true
	}
	g.widest, g.since = window, time.Time{}
	g.patience = min(2*g.patience, lastPatience)
	return false
}

// answerGate guards servers. A server answers every KEEPALIVE, and an answer
// proves that what was sent before it has been read. So a KEEPALIVE follows
// every chunk, and a chunk waits for the answer to the last but one.
type answerGate struct {
	conn     transport
	segment  int
	answered func() uint64 // KEEPALIVEs answered so far
	marks    [2]uint64     // the numbers of the last two KEEPALIVEs that closed a chunk
	chunk    int           // bytes since the last one
}

const chunkLength = 24 << 10 // bytes; twice this may be unread

func (g *answerGate) allow(time.Time) (int, time.Duration, error) {
	if g.full() || g.answered() < g.marks[0] {
		return 0, -1, nil
	}
	if g.chunk == 0 || g.segment == 0 {
		length, _, err := g.conn.look()
		if err != nil {
			return 0, 0, err
		}
		g.segment = segment(length)
	}
	return min(g.segment, chunkLength-g.chunk), 0, nil
}

func (g *answerGate) wrote(_ time.Time, n int) { g.chunk += n }

// full reports whether a KEEPALIVE is due.
func (g *answerGate) full() bool { return chunkLength-g.chunk < frameRoom }

// mark notes that KEEPALIVE number asked was sent.
func (g *answerGate) mark(asked uint64) {
	if g.chunk > 0 {
		g.marks[0], g.marks[1], g.chunk = g.marks[1], asked, 0
	}
}
