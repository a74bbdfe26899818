package metalbond

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/wire"
)

// DefaultKeepalive is the interval that both existing implementations offer.
const DefaultKeepalive = 5 * time.Second

// handshakeLimit is how long a connection may take to become a session.
const handshakeLimit = 10 * time.Second

// party is what a session does because of whom it talks to.
type party interface {
	// established is called once, before anything else is heard or said.
	established(s *session)
	// updates takes a row of UPDATEs, and notes at each whether it is refused.
	updates(row []bridge.Edit)
	// subscribe and unsubscribe take what the peer said. An error ends the
	// session.
	subscribe(s *session, vni uint32) error
	unsubscribe(s *session, vni uint32) error
}

// session is one connection, from its first byte to its last. Two goroutines
// work for it: the one that runs it hears, and once it is established another
// one says. A session with a server and one with a client are the same thing
// with the steps of the handshake mirrored.
type session struct {
	conn      transport
	peer      string         // for people
	address   netip.AddrPort // of the peer
	toServer  bool           // the peer is a server, we are its client
	names     []string       // in its certificate; set by meet, nil without TLS
	party     party
	offer     uint32               // seconds; the keepalive interval that we wish
	handshake time.Duration        // limit
	admit     func(*session) error // decides about the peer once it is known who it is, and sets pace; may be nil
	pace      config.Pace
	rate      int // bytes per second that pace amounts to; 0: not limited
	paces     *paces
	log       logrus.FieldLogger
	count     *counters

	in    *wire.Reader // the hearing goroutine's
	ear   ear          // the hearing goroutine's
	row   row          // the hearing goroutine's
	gate  gate         // the saying goroutine's
	meter meter        // the saying goroutine's
	out   feeds
	wake  chan struct{} // holds one: there is something to say
	done  chan struct{} // closed: nothing more is to be said
	over  chan struct{} // closed: the session has to end
	ended chan struct{} // closed: the session is over
	stop  sync.Once     // closes over

	answered atomic.Uint64 // KEEPALIVEs that a server answered
	updates  atomic.Uint64 // UPDATEs heard

	mu        sync.Mutex
	owed      int           // guarded by mu; KEEPALIVEs to send at once
	asked     uint64        // guarded by mu; KEEPALIVEs sent
	state     State         // guarded by mu
	since     time.Time     // guarded by mu
	keepalive time.Duration // guarded by mu; 0 before HELLO
	cause     error         // guarded by mu; what ended the session first
}

// newSession completes s, of which the fields up to count are set.
func newSession(s *session) *session {
	s.wake = make(chan struct{}, 1)
	s.done = make(chan struct{})
	s.over = make(chan struct{})
	s.ended = make(chan struct{})
	s.ear.session = s
	s.in = wire.NewReader(&s.ear)
	s.out.signal = s.signal
	if s.handshake == 0 {
		s.handshake = handshakeLimit
	}
	s.enter(HelloWait)
	return s
}

// run holds the session until it ends and returns why. It is nil if ctx was
// over first.
func (s *session) run(ctx context.Context) error {
	defer close(s.ended)
	defer s.end()
	defer context.AfterFunc(ctx, s.end)()

	err := s.conn.SetDeadline(time.Now().Add(s.handshake))
	next := step(s.meet)
	for next != nil && err == nil {
		next, err = next()
	}
	s.fail(err)
	s.out.closeAll()
	if ctx.Err() != nil {
		return nil
	}
	err = s.reason()
	s.learn(err)
	return err
}

// fail ends the session for a reason. Only the first reason counts.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.mu.Unlock()
	s.end()
}

// end makes the session end.
func (s *session) end() {
	s.stop.Do(func() {
		close(s.over)
		s.conn.Close()
	})
}

func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// learn notes a peer that reset its session in the middle of a burst, or closed
// it before it was told everything, unless its speed shows that no burst is too
// much for it. It is called when nothing is said any more.
func (s *session) learn(err error) {
	now := time.Now()
	switch {
	case s.pace.Mode != config.PaceAuto, !gone(err), !s.meter.burst(now), s.gate.reassembles():
		return
	case !s.out.waiting() && !errors.Is(err, errReset):
		return
	}
	_, since := s.current()
	rate := s.paces.broke(s.address.Addr(), since, now)
	if rate == 0 {
		return
	}
	s.log.WithField("rate", rate).Warn("peer gave up in the middle of a burst again, it is served more slowly from now on (bytes per second)")
}

// gone reports whether the peer ended the connection, in whichever way.
func gone(err error) bool {
	return errors.Is(err, errClosed) || errors.Is(err, errCut) || errors.Is(err, errReset)
}

// What a peer does to a connection, in words.
var (
	errClosed = errors.New("closed by the peer")
	errCut    = errors.New("closed by the peer in the middle of a message")
	errReset  = errors.New("reset by the peer")
)

// plain says what happened to a connection without the addresses and system
// calls that net's errors carry.
func plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return errClosed
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errReset
	}
	var op *net.OpError
	if errors.As(err, &op) {
		if op.Op == "remote error" { // an alert of TLS
			return fmt.Errorf("the peer says: %w", op.Err)
		}
		return op.Err
	}
	return err
}

func expired(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func (s *session) enter(state State) {
	s.mu.Lock()
	s.state, s.since = state, time.Now()
	s.mu.Unlock()
	s.log.WithField("state", state).Debug("session state")
}

// signal wakes the saying goroutine.
func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// current returns the state and when it was entered.
func (s *session) current() (State, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.since
}

// interval returns the negotiated keepalive interval.
func (s *session) interval() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keepalive
}
