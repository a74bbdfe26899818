package metalbond

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// ServerOptions says how a server serves.
type ServerOptions struct {
	Listen    []netip.AddrPort // where to accept; port 0 picks a free one
	Keepalive time.Duration    // offered interval, whole seconds; 0: DefaultKeepalive

	// Pace of frames toward clients, and exceptions from it by client address.
	Pace       config.Pace
	ClientPace []config.MetalBondClient

	// OneNextHop reports whether subscribers of a VNI see only the single best
	// standard next hop of a prefix. nil: every next hop of every VNI.
	OneNextHop func(rib.VNI) bool
	// OnSubscribe is called when the first session starts to read a VNI (on),
	// before its dump, and when the last one has ended. The calls come one at a
	// time. It must not block. May be nil.
	OnSubscribe func(vni rib.VNI, on bool)
	// OnAnnounce is called before a session announces its first route of a
	// VNI. It must not block. May be nil.
	OnAnnounce func(rib.VNI)

	MaxConnections   int           // at one time; 0: 16,384
	MaxSubscriptions int           // of one session; 0: 65,536
	Handshake        time.Duration // until a connection must be established; 0: 10 s

	Bridge *bridge.Bridge
	Log    logrus.FieldLogger
}

// The defaults of ServerOptions.
const (
	maxConnections   = 16384
	maxSubscriptions = 65536
)

// Server serves MetalBond clients.
type Server struct {
	options ServerOptions // but for what settings has
	paces   paces
	brake   brake // of lines about connections that never became sessions

	subscribed subscribed

	mu        sync.Mutex
	settings  serverSettings // guarded by mu
	listeners []net.Listener // guarded by mu
	sessions  []*session     // guarded by mu, in the order in which they were accepted
	waiting   sync.WaitGroup
}

// NewServer returns a server that does nothing yet.
func NewServer(options ServerOptions) *Server {
	if options.MaxConnections == 0 {
		options.MaxConnections = maxConnections
	}
	if options.MaxSubscriptions == 0 {
		options.MaxSubscriptions = maxSubscriptions
	}
	return &Server{
		options:    options,
		settings:   newServerSettings(&options),
		subscribed: subscribed{tell: options.OnSubscribe, sessions: make(map[rib.VNI]int)},
	}
}

// serverSettings are what may change while a server runs.
type serverSettings struct {
	offer uint32           // seconds
	paces config.MetalBond // Pace and Clients
}

func newServerSettings(o *ServerOptions) serverSettings {
	return serverSettings{seconds(o.Keepalive), config.MetalBond{Pace: o.Pace, Clients: o.ClientPace}}
}

// Reconfigure makes Keepalive, Pace and ClientPace, and nothing else, those of
// options, for sessions that begin from now on.
func (s *Server) Reconfigure(options ServerOptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = newServerSettings(&options)
}

// seconds returns a keepalive interval as HELLO carries it.
func seconds(interval time.Duration) uint32 {
	if interval == 0 {
		interval = DefaultKeepalive
	}
	return uint32(max(interval/time.Second, 1))
}

// Listen binds all listen addresses. Clients may connect from then on; they
// are answered once Run runs. Run calls it if nobody has.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) > 0 {
		return nil
	}
	// Sessions have their own keepalives; TCP's would only wake idle ones.
	lc := net.ListenConfig{KeepAlive: -1}
	for _, at := range s.options.Listen {
		l, err := lc.Listen(context.Background(), "tcp", at.String())
		if err != nil {
			for _, l := range s.listeners {
				l.Close()
			}
			s.listeners = nil
			return fmt.Errorf("metalbond server: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// Addr returns the first bound address, nil before Listen.
func (s *Server) Addr() net.Addr {
	if all := s.Addrs(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Addrs returns all bound addresses in the order of ServerOptions.Listen.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		list[i] = l.Addr()
	}
	return list
}

// Run serves until ctx is done, then closes listeners and sessions, withdraws
// what the clients announced and returns nil. It returns an error if it cannot
// listen. A server runs once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	s.mu.Lock()
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, l := range listeners {
		s.options.Log.WithField("address", l.Addr().String()).Info("serving MetalBond")
		s.waiting.Go(func() { s.accept(ctx, l) })
	}
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	s.waiting.Wait()
	return nil
}

// The pauses after an accept that failed, for want of file descriptors most
// likely.
const (
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
)

// accept takes connections until the listener is closed.
func (s *Server) accept(ctx context.Context, l net.Listener) {
	pause := firstAcceptPause
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = firstAcceptPause
			s.admit(ctx, conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if ok, suppressed := s.brake.pass(); ok {
			s.options.Log.WithError(err).WithField("suppressed", suppressed).Error("cannot accept a connection, trying again")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastAcceptPause)
	}
}

// admit starts the session of a connection.
func (s *Server) admit(ctx context.Context, conn net.Conn) {
	transport, err := newTCPTransport(conn.(*net.TCPConn))
	if err != nil {
		conn.Close()
		return
	}
	if !s.start(ctx, transport, addressOf(conn.RemoteAddr())) {
		conn.Close()
		if ok, suppressed := s.brake.pass(); ok {
			s.options.Log.WithField("peer", conn.RemoteAddr().String()).WithField("suppressed", suppressed).
				Warnf("connection refused: there are %d already", s.options.MaxConnections)
		}
	}
}

// start runs a session with a client, unless there are too many.
func (s *Server) start(ctx context.Context, conn transport, from netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= s.options.MaxConnections {
		return false
	}
	peer := from.String()
	x := newSession(&session{
		conn:      conn,
		peer:      peer,
		address:   from,
		party:     &hypervisor{server: s},
		offer:     s.settings.offer,
		handshake: s.options.Handshake,
		pace:      s.settings.paces.Pace,
		paces:     &s.paces,
		log:       s.options.Log.WithField("peer", peer),
		count:     new(counters),
	})
	s.sessions = append(s.sessions, x)
	s.waiting.Go(func() { s.serve(ctx, x) })
	return true
}

// serve holds a session until it ends and withdraws what it said.
func (s *Server) serve(ctx context.Context, x *session) {
	err := x.run(ctx)
	routes := x.party.(*hypervisor).close()
	s.mu.Lock()
	s.sessions = slices.DeleteFunc(s.sessions, func(y *session) bool { return y == x })
	s.mu.Unlock()

	was, _ := x.current()
	entry := x.log.WithField("state", was)
	switch {
	case was == Established && err == nil:
		entry.Info("session stopped")
	case was == Established:
		entry.WithError(err).WithField("withdrawn", routes).Info("session ended")
	case err != nil:
		if ok, suppressed := s.brake.pass(); ok {
			entry.WithError(err).WithField("suppressed", suppressed).Info("no session")
		}
	}
}

// Sessions describes the connections of the moment, in the order in which they
// were accepted.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	sessions := slices.Clone(s.sessions)
	s.mu.Unlock()
	list := make([]SessionInfo, len(sessions))
	for i, x := range sessions {
		list[i] = x.info()
		list[i].Routes = x.party.(*hypervisor).routes()
	}
	return list
}
