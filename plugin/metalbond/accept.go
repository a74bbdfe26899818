package metalbond

// Strangers may connect as they like, so every connection costs little until it
// is a session, and there is a bound for each way of having many: in total, from
// one address, and of those that have not completed the handshake. The oldest of
// the latter makes room for the next one: a client that means it is done within
// milliseconds, however many others only hold their connection.

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// The pauses after an accept that failed, for want of file descriptors most
// likely.
const (
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
)

// leastOpening is how many connections may be in their handshake, at least: a
// server of few sessions needs no more than its total.
const leastOpening = 64

// The reasons for which connections are turned away, as metrics name them.
const (
	turnedTotal     = "max-sessions"
	turnedSource    = "max-sessions-per-source"
	turnedOpening   = "half-open"
	turnedUnlisted  = "unlisted"
	turnedHandshake = "handshake" // it said something wrong, or nothing in time
)

// accept takes connections until the listener is closed. That it cannot is told
// when it begins, once a minute, and when it is over.
func (s *Server) accept(ctx context.Context, l net.Listener, secure bool) {
	pause := firstAcceptPause
	var since, told time.Time
	for {
		conn, err := l.Accept()
		if err == nil {
			if !since.IsZero() {
				s.options.Log.WithField("after", time.Since(since).Round(time.Millisecond)).Info("accepting connections again")
				since, told, pause = time.Time{}, time.Time{}, firstAcceptPause
			}
			s.receive(ctx, conn.(*net.TCPConn), secure)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		if now.Sub(told) >= refusalsTold {
			told = now
			entry := s.options.Log.WithError(plain(err))
			if errors.Is(err, syscall.EMFILE) {
				entry = entry.WithField("hint", "raise the limit of open files (LimitNOFILE, ulimit -n), or lower metalbond.max-sessions")
			}
			entry.Error("cannot accept connections, trying again; sessions go on")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastAcceptPause)
	}
}

// receive starts the session of a connection.
func (s *Server) receive(ctx context.Context, conn *net.TCPConn, secure bool) {
	transport, err := s.transport(conn, secure)
	if err != nil {
		conn.Close()
		return
	}
	if err := s.start(ctx, transport, addressOf(conn.RemoteAddr())); err != nil {
		conn.Close()
		if ok, suppressed := s.brake.pass(); ok {
			s.options.Log.WithField("peer", conn.RemoteAddr().String()).WithField("suppressed", suppressed).
				WithError(err).Warn("connection refused")
		}
	}
}

// transport prepares a connection; the handshake of TLS is the session's.
func (s *Server) transport(conn *net.TCPConn, secure bool) (transport, error) {
	if secure {
		return newTLSTransport(conn, tls.Server, newClientAuth(s.current().credentials))
	}
	return newTCPTransport(conn)
}

// start runs a session with a client, unless there are too many.
func (s *Server) start(ctx context.Context, conn transport, from netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch source := from.Addr(); {
	case len(s.sessions) >= s.settings.maxSessions:
		s.turned[turnedTotal]++
		return fmt.Errorf("there are %d already (max-sessions)", len(s.sessions))
	case s.sources[source] >= s.settings.maxPerSource:
		s.turned[turnedSource]++
		return fmt.Errorf("there are %d from %v already (max-sessions-per-source)", s.sources[source], source)
	}
	if s.opening.Len() >= max(s.settings.maxSessions/4, leastOpening) {
		s.turned[turnedOpening]++
		oldest := s.opening.Front().Value.(*session)
		s.opening.done(oldest)
		s.waiting.Go(func() { oldest.fail(errCrowd) })
	}
	peer := from.String()
	x := newSession(&session{
		conn:      conn,
		peer:      peer,
		address:   from,
		party:     newHypervisor(s),
		offer:     s.settings.offer,
		handshake: s.options.Handshake,
		admit:     s.admit,
		paces:     &s.paces,
		log:       s.options.Log.WithFields(logrus.Fields{"peer": peer}),
		count:     new(counters),
	})
	s.sessions = append(s.sessions, x)
	s.sources[from.Addr()]++
	s.opening.add(x)
	s.waiting.Go(func() { s.serve(ctx, x) })
	return nil
}

var errCrowd = errors.New("too many connections are in their handshake, and this was the oldest")

// errUnlisted turns a client away that no entry of clients is for.
var errUnlisted = errors.New("no entry of metalbond.clients is for this client")

// remove forgets a session. mu is held.
func (s *Server) remove(x *session) {
	s.sessions = slices.DeleteFunc(s.sessions, func(y *session) bool { return y == x })
	s.opening.done(x)
	source := x.address.Addr()
	if s.sources[source]--; s.sources[source] == 0 {
		delete(s.sources, source)
	}
}

// admit gives a client its rights, or turns it away.
func (s *Server) admit(x *session) error {
	settings := s.current()
	entry := settings.clients.ClientFor(x.address.Addr(), x.names)
	if entry == nil && settings.refuseUnlisted {
		s.turnAway(turnedUnlisted)
		return errUnlisted
	}
	x.pace = settings.clients.Pace
	if entry != nil {
		x.pace = entry.Pace
	}
	h := x.party.(*hypervisor)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rights = newRights(entry, x.address.Addr())
	if h.rights.entry.UpdateRate > 0 {
		return x.conn.narrow()
	}
	return nil
}

// current returns the settings of the moment.
func (s *Server) current() serverSettings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// settled notes that a connection has become a session.
func (s *Server) settled(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening.done(x)
}

func (s *Server) turnAway(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turned[reason]++
}

// Refused returns how many connections were turned away, by reason.
func (s *Server) Refused() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.turned)
}

// openings are the sessions in their handshake, the oldest first.
type openings struct {
	list.List
	at map[*session]*list.Element
}

func (o *openings) add(x *session) {
	if o.at == nil {
		o.at = make(map[*session]*list.Element)
	}
	o.at[x] = o.PushBack(x)
}

func (o *openings) done(x *session) {
	if e := o.at[x]; e != nil {
		o.Remove(e)
		delete(o.at, x)
	}
}
