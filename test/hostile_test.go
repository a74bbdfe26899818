package test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"mbbgp/plugin/metalbond"
)

// Every input is tried on a server that two healthy sessions use: after each
// they must still be connected and pass a fresh route on, the server must have
// said what was wrong with whom, and nothing impossible may have been passed on.

// run tries inputs one after the other on one server.
func run(t *testing.T, options metalbond.ServerOptions, inputs []Input) {
	s := newScene(t, options)
	for _, in := range inputs {
		t.Run(in.Name, func(t *testing.T) {
			p := s.dial(t)
			defer p.close()
			if in.Stage == Established {
				p.establish(t, hello(1))
			}
			p.pieces(t, in.Send, in.Piece)
			if in.Close {
				p.conn.CloseWrite()
			}
			switch in.Outcome {
			case Ends:
				p.waitEnd(t)
				s.log.wait(t, p.name, in.Says)
			default:
				s.survives(t, p, in)
			}
			s.exchange(t, in.Routes > 0)
		})
	}
}

// pieces sends b in pieces of n bytes; each is a segment of its own, for Go sets
// TCP_NODELAY.
func (p *peer) pieces(t *testing.T, b []byte, n int) {
	t.Helper()
	if n == 0 {
		n = len(b)
	}
	for len(b) > 0 {
		n = min(n, len(b))
		p.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := p.conn.Write(b[:n]); err != nil {
			return // the server may have ended it already
		}
		b = b[n:]
	}
}

// survives checks that the session goes on behind the input and says what it
// should.
func (s *scene) survives(t *testing.T, p *peer, in Input) {
	t.Helper()
	if in.Stage == Connected {
		p.expect(t, typeHello)
		p.expect(t, typeKeepalive)
	}
	if !p.answered(t) {
		s.log.wait(t, p.name, "session ended")
		t.Fatalf("the server ended the session: %q", s.log.of(p.name))
	}
	i := s.info(t, p)
	if i.Routes != in.Routes {
		t.Errorf("%d routes, want %d", i.Routes, in.Routes)
	}
	if in.Outcome == GoesOn {
		if len(i.Refused) > 0 {
			t.Errorf("refused: %v", i.Refused)
		}
		return
	}
	if len(i.Refused) != 1 || i.Refused[in.Says] != 1 {
		t.Errorf("refused: %v, want one for %s", i.Refused, in.Says)
	}
	s.log.wait(t, p.name, in.Says)
}

func TestWrongFramingEndsOneSessionOnly(t *testing.T) {
	run(t, metalbond.ServerOptions{}, Framing())
}

func TestWrongHandshakesEndOneConnectionOnly(t *testing.T) {
	run(t, metalbond.ServerOptions{Handshake: 2 * time.Second}, Handshakes())
}

func TestOddSubscriptionsHurtNobody(t *testing.T) {
	run(t, metalbond.ServerOptions{}, Subscriptions())
}

func TestWrongUpdatesAreRefusedOrEndOneSessionOnly(t *testing.T) {
	run(t, metalbond.ServerOptions{}, Updates())
}

// try sends frames one by one, each until it is answered or its session ends,
// and returns how many sessions ended.
func (s *scene) try(t *testing.T, frames [][]byte) (ended int) {
	t.Helper()
	// More than a payload is long: whatever length a header tells, this
	// completes it.
	flush := bytes.Repeat(keepalive(), maxPayload/headerLen+2)
	var p *peer
	for i, f := range frames {
		if p == nil {
			p = s.dial(t).establish(t, hello(1))
		}
		inStep := int(f[1])<<8|int(f[2]) == len(f)-headerLen
		if !inStep {
			f = append(f[:len(f):len(f)], flush...)
		}
		p.pieces(t, f, 0)
		survived := p.answered(t)
		if !survived {
			s.log.wait(t, p.name, "session ended")
			ended++
		}
		if !survived || !inStep {
			p.close()
			p = nil
		}
		if i%500 == 0 {
			s.exchange(t, true)
		}
	}
	if p != nil {
		p.close()
	}
	s.exchange(t, true)
	return ended
}

func TestRandomPayloadsHurtNobody(t *testing.T) {
	n := 5000
	if testing.Short() {
		n = 500
	}
	s := newScene(t, metalbond.ServerOptions{})
	ended := s.try(t, RandomPayloads(rand.New(rand.NewPCG(1, 2)), n))
	t.Logf("%d of %d sessions ended", ended, n)
	if ended < n/2 {
		t.Errorf("only %d of %d random payloads ended their session", ended, n)
	}
}

func TestSingleByteMutationsHurtNobody(t *testing.T) {
	stride := 3
	if testing.Short() {
		stride = 31
	}
	frames := Mutations(stride)
	s := newScene(t, metalbond.ServerOptions{})
	ended := s.try(t, frames)
	t.Logf("%d of %d sessions ended", ended, len(frames))
}
