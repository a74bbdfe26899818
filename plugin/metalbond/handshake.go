package metalbond

import (
	"fmt"
	"time"

	"mbbgp/wire"
)

// The handshake, each state a method that returns the next:
//
//	client                      server
//	HELLO           ->
//	                <-          HELLO
//	KEEPALIVE       ->
//	                <-          KEEPALIVE
//	established                 established
//
// Each step waits for the peer's, and nothing is sent behind a step: rustbond's
// client throws away what shares a segment with HELLO or the first KEEPALIVE.
// What a client has to say therefore goes after the server's KEEPALIVE, and
// what a server has to say after the client's SUBSCRIBE.
type step func() (step, error)

// meet is the first step: who the peer is, and what it gets.
func (s *session) meet() (step, error) {
	var err error
	if s.names, err = s.secure(); err != nil {
		return nil, err
	}
	if s.admit != nil {
		if err := s.admit(s); err != nil {
			return nil, err
		}
	}
	rate := s.paces.of(s.address.Addr(), s.pace, time.Now())
	s.mu.Lock()
	s.rate = rate
	s.mu.Unlock()
	s.meter.rate = rate
	return s.greet, nil
}

// greet is the first step of the protocol.
func (s *session) greet() (step, error) {
	if s.toServer {
		if err := s.tell(wire.AppendHello(nil, wire.Hello{Keepalive: s.offer})); err != nil {
			return nil, err
		}
	}
	return s.awaitHello, nil
}

func (s *session) awaitHello() (step, error) {
	m, err := s.expect(wire.TypeHello)
	if err != nil {
		return nil, err
	}
	hello, err := wire.ParseHello(m.Payload)
	if err != nil {
		return nil, err
	}
	interval := min(hello.Keepalive, s.offer)
	s.mu.Lock()
	s.keepalive = time.Duration(interval) * time.Second
	s.mu.Unlock()

	reply := wire.AppendHello(nil, wire.Hello{Keepalive: interval, IsServer: true})
	if s.toServer {
		reply = wire.AppendKeepalive(nil)
	}
	if err := s.tell(reply); err != nil {
		return nil, err
	}
	s.enter(KeepaliveWait)
	return s.awaitKeepalive, nil
}

func (s *session) awaitKeepalive() (step, error) {
	if _, err := s.expect(wire.TypeKeepalive); err != nil {
		return nil, err
	}
	if !s.toServer {
		if err := s.tell(wire.AppendKeepalive(nil)); err != nil {
			return nil, err
		}
	}
	return s.established, nil
}

// established is the last step: it lasts until the session ends.
func (s *session) established() (step, error) {
	if err := s.conn.SetWriteDeadline(time.Time{}); err != nil {
		return nil, err
	}
	s.ear.guard(s.interval())
	s.enter(Established)
	s.log.WithField("keepalive", s.interval()).Info("session established")
	s.party.established(s)

	said := make(chan struct{})
	go func() {
		defer close(said)
		if err := s.say(); err != nil {
			s.fail(plain(err))
		}
	}()
	s.fail(s.hear())
	close(s.done)
	<-said
	return nil, nil
}

// tell sends a message of the handshake.
func (s *session) tell(frame []byte) error {
	return plain(s.send(frame, 1))
}

// expect waits for the next message of the handshake.
func (s *session) expect(want wire.Type) (wire.Message, error) {
	m, err := s.in.Next()
	switch {
	case err == nil && m.Type != want:
		return m, fmt.Errorf("%v came where %v was expected", m.Type, want)
	case err == nil:
		s.count.framesIn.Add(1)
		return m, nil
	case expired(err):
		return m, fmt.Errorf("no %v within %v", want, s.handshake)
	}
	return m, fmt.Errorf("waiting for %v: %w", want, plain(err))
}
