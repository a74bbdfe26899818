package metalbond

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// ServerOptions says how a server serves.
type ServerOptions struct {
	Listen    []netip.AddrPort // where to accept; port 0 picks a free one
	Keepalive time.Duration    // offered interval, whole seconds; 0: 5 s

	// Pace of frames toward clients, and exceptions from it by client address.
	Pace       config.Pace
	ClientPace []config.MetalBondClient

	// OneNextHop reports whether subscribers of a VNI see only the single best
	// standard next hop of a prefix. nil: every next hop of every VNI.
	OneNextHop func(rib.VNI) bool
	// OnSubscribe is called when a session starts to read a VNI, before its
	// dump. It must not block. May be nil.
	OnSubscribe func(rib.VNI)

	Bridge *bridge.Bridge
	Log    logrus.FieldLogger
}

// Server serves MetalBond clients.
type Server struct {
	options ServerOptions
}

// NewServer returns a server that does nothing yet.
func NewServer(options ServerOptions) *Server {
	return &Server{options: options}
}

// Listen binds all listen addresses. Clients may connect from then on; they
// are answered once Run runs. Run calls it if nobody has.
func (s *Server) Listen() error { return nil }

// Addr returns the first bound address, nil before Listen.
func (s *Server) Addr() net.Addr { return nil }

// Addrs returns all bound addresses in the order of ServerOptions.Listen.
func (s *Server) Addrs() []net.Addr { return nil }

// Run serves until ctx is done, then closes listeners and sessions, withdraws
// what the clients announced and returns nil. It returns an error if it cannot
// listen. A server runs once.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Sessions describes the connections of the moment, in the order in which they
// were accepted.
func (s *Server) Sessions() []SessionInfo { return nil }
