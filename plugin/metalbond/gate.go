package metalbond

import "time"

// gate says how much may be written now, so that the peer never has too much
// unread. It is for one goroutine.
type gate interface {
	// allow waits until the kernel would take a write and returns how long it
	// may be; or 0 and how long to wait before asking again (0: let others run;
	// negative: until the session is woken).
	allow() (length int, wait time.Duration, err error)
	// wrote notes a write of n bytes that was begun at a time and is over now.
	wrote(begun time.Time, n int)
	// beat notes that KEEPALIVEs, n bytes, were written, the last of them the
	// number-th of the session.
	beat(number uint64, n int)
	// reassembles reports whether the peer has proved that it needs no gate.
	reassembles() bool
}

// segment bounds what is one segment long to what is sensible.
func segment(length int) int {
	return min(max(length, frameRoom), maxSegment)
}

// openGate is the gate of pace: off: one segment at a time and no more rules.
type openGate struct{ conn transport }

func (g openGate) allow() (int, time.Duration, error) {
	if err := g.conn.ready(); err != nil {
		return 0, 0, err
	}
	p, err := g.conn.look()
	return segment(p.segment), 0, err
}

func (openGate) wrote(time.Time, int) {}
func (openGate) beat(uint64, int)     {}
func (openGate) reassembles() bool    { return false }

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

func (g *answerGate) allow() (int, time.Duration, error) {
	if g.full() || g.answered() < g.marks[0] {
		return 0, -1, nil
	}
	if g.chunk == 0 || g.segment == 0 {
		p, err := g.conn.look()
		if err != nil {
			return 0, 0, err
		}
		g.segment = segment(p.segment)
	}
	return min(g.segment, chunkLength-g.chunk), 0, g.conn.ready()
}

func (g *answerGate) wrote(_ time.Time, n int) { g.chunk += n }

// full reports whether a KEEPALIVE is due.
func (g *answerGate) full() bool { return chunkLength-g.chunk < frameRoom }

func (g *answerGate) beat(number uint64, _ int) {
	if g.chunk > 0 {
		g.marks[0], g.marks[1], g.chunk = g.marks[1], number, 0
	}
}

func (*answerGate) reassembles() bool { return false }
