package metalbond

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
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

	Pace    config.Pace              // of frames toward clients
	Clients []config.MetalBondClient // exceptions from it, and what clients may do; the closest entry counts

	// RefuseUnlisted ends connections of clients that no entry of Clients is for.
	RefuseUnlisted bool

	// TLS is how clients are served at TLS.Listen, or at Listen if that is empty.
	// nil: without TLS.
	TLS *config.MetalBondTLS

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

	MaxConnections   int           // at one time; 0: config.DefaultMaxSessions
	MaxPerSource     int           // of these, from one address; 0: as many as in all
	MaxSubscriptions int           // of one session; 0: 65,536
	Handshake        time.Duration // until a connection must be established; 0: 10 s

	Bridge *bridge.Bridge
	Log    logrus.FieldLogger
}

// maxSubscriptions is the default of ServerOptions.
const maxSubscriptions = 65536

// Server serves MetalBond clients.
type Server struct {
	options ServerOptions // but for what settings has
	paces   paces
	brake   brake // of lines about connections that never became sessions

	unlisted minutes // of lines about clients that no entry is for

	subscribed subscribed
	remembered atomic.Int64 // refused routes, of all sessions

	mu        sync.Mutex
	settings  serverSettings     // guarded by mu
	listeners []net.Listener     // guarded by mu; those without TLS first
	sessions  []*session         // guarded by mu, in the order in which they were accepted
	opening   openings           // guarded by mu
	sources   map[netip.Addr]int // guarded by mu; connections by address
	turned    map[string]uint64  // guarded by mu; connections that were turned away, by reason
	waiting   sync.WaitGroup
}

// NewServer returns a server that does nothing yet.
func NewServer(options ServerOptions) *Server {
	if options.MaxSubscriptions == 0 {
		options.MaxSubscriptions = maxSubscriptions
	}
	return &Server{
		options:    options,
		settings:   newServerSettings(&options),
		subscribed: subscribed{tell: options.OnSubscribe, sessions: make(map[rib.VNI]int)},
		sources:    make(map[netip.Addr]int),
		turned:     make(map[string]uint64),
	}
}

// serverSettings are what may change while a server runs.
type serverSettings struct {
	offer        uint32 // seconds
	maxSessions  int
	maxPerSource int

	refuseUnlisted bool
	clients        config.MetalBond // Pace and Clients
	credentials    *credentials     // nil: no TLS
}

func newServerSettings(o *ServerOptions) serverSettings {
	s := serverSettings{
		offer: seconds(o.Keepalive), maxSessions: o.MaxConnections, maxPerSource: o.MaxPerSource,
		refuseUnlisted: o.RefuseUnlisted, clients: config.MetalBond{Pace: o.Pace, Clients: o.Clients},
	}
	if o.TLS != nil {
		s.credentials = clientCredentials(o.TLS)
		s.credentials.log = o.Log
	}
	if s.maxSessions == 0 {
		s.maxSessions = config.DefaultMaxSessions
	}
	if s.maxPerSource == 0 {
		s.maxPerSource = s.maxSessions
	}
	return s
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
	plain, secure := s.places()
	if len(secure) > 0 {
		_, _, _ = s.settings.credentials.load() // tells the log if files do not do; they may by the time that somebody connects
	}
	for _, at := range slices.Concat(plain, secure) {
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

// places are where clients are served without and with TLS.
func (s *Server) places() (plain, secure []netip.AddrPort) {
	m := config.MetalBond{Listen: s.options.Listen, TLS: s.options.TLS}
	return m.Listeners()
}

// Addr returns the first bound address, nil before Listen.
func (s *Server) Addr() net.Addr {
	if all := s.Addrs(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Addrs returns all bound addresses in the order of ServerOptions.Listen and
// TLS.Listen.
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
	plain, _ := s.places()
	for i, l := range listeners {
		secure := i >= len(plain)
		s.options.Log.WithFields(logrus.Fields{"address": l.Addr().String(), "tls": secure}).Info("serving MetalBond")
		s.waiting.Go(func() { s.accept(ctx, l, secure) })
	}
	s.waiting.Go(func() { s.retry(ctx) })
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	s.waiting.Wait()
	return nil
}

// serve holds a session until it ends and withdraws what it said.
func (s *Server) serve(ctx context.Context, x *session) {
	err := x.run(ctx)
	routes := x.party.(*hypervisor).close()
	s.mu.Lock()
	s.remove(x)
	s.mu.Unlock()

	was, _ := x.current()
	entry := x.log.WithField("state", was)
	switch {
	case was == Established && err == nil:
		entry.Info("session stopped")
	case was == Established:
		entry.WithError(err).WithField("withdrawn", routes).Info("session ended")
	case errors.Is(err, errUnlisted):
		if s.unlisted.pass(x.address.Addr()) {
			entry.WithError(err).Warn("connection refused")
		}
	case err != nil:
		if !errors.Is(err, errCrowd) { // which is counted already
			s.turnAway(turnedHandshake)
		}
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
