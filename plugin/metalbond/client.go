package metalbond

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// ClientOptions says which servers to be a client of, and how.
type ClientOptions struct {
	Servers   []string      // host:port; a name is resolved at each attempt
	Keepalive time.Duration // offered interval, whole seconds; 0: DefaultKeepalive
	Hold      time.Duration // how long a lost server's word is kept; 0: not at all
	Pace      config.Pace   // of frames toward servers

	// TLS is how servers are talked to. nil: without TLS.
	TLS *config.MetalBondServerTLS

	// An attempt follows the end of the last one after a random time between
	// these. 0: 5 s and 10 s.
	ReconnectMin, ReconnectMax time.Duration
	Handshake                  time.Duration // until a connection must be established; 0: 10 s

	Subscribe []rib.VNI // from the start
	Bridge    *bridge.Bridge
	Log       logrus.FieldLogger
}

// The defaults of ClientOptions.
const (
	reconnectMin = 5 * time.Second
	reconnectMax = 10 * time.Second
)

// Client is a client of MetalBond servers: it tells each of them
// what the table holds from static routes, our own clients and BGP, and puts
// what they say of the subscribed VNIs into the table.
type Client struct {
	options ClientOptions // but for what settings has
	paces   paces
	waiting sync.WaitGroup

	mu         sync.Mutex
	settings   clientSettings       // guarded by mu
	upstreams  []*upstream          // guarded by mu
	launch     func(*upstream)      // guarded by mu; nil while the client does not run
	subscribed []rib.VNI            // guarded by mu; each once
	exported   map[rib.VNI]struct{} // guarded by mu
}

// clientSettings are what may change while a client runs.
type clientSettings struct {
	offer uint32 // seconds
	hold  time.Duration
	pace  config.Pace

	credentials *credentials // nil: no TLS
	serverName  string       // "": the host
}

// newClientSettings returns those of a configuration.
func newClientSettings(o *ClientOptions) clientSettings {
	s := clientSettings{offer: seconds(o.Keepalive), hold: o.Hold, pace: o.Pace}
	if o.TLS != nil {
		s.credentials, s.serverName = serverCredentials(o.TLS), o.TLS.ServerName
		s.credentials.log = o.Log
	}
	return s
}

// transport prepares a connection to a server; the handshake of TLS is the
// session's.
func (s *clientSettings) transport(conn *net.TCPConn, server string) (transport, error) {
	if s.credentials == nil {
		return newTCPTransport(conn)
	}
	name := s.serverName
	if name == "" {
		name, _, _ = net.SplitHostPort(server) // which has been dialled
	}
	auth, err := newServerAuth(s.credentials, name)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return newTLSTransport(conn, tls.Client, auth)
}

// current returns the settings of the moment.
func (c *Client) current() clientSettings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings
}

// NewClient returns a client that does nothing yet.
func NewClient(options ClientOptions) *Client {
	if options.ReconnectMin == 0 && options.ReconnectMax == 0 {
		options.ReconnectMin, options.ReconnectMax = reconnectMin, reconnectMax
	}
	c := &Client{options: options, exported: make(map[rib.VNI]struct{})}
	c.Reconfigure(options)
	for _, vni := range options.Subscribe {
		c.Subscribe(vni)
	}
	return c
}

// Reconfigure makes Servers, Keepalive, Hold, Pace and TLS, and nothing else, those
// of options. A session to a server that stays goes on as it was agreed; what a
// server has said that is not there any more is withdrawn.
func (c *Client) Reconfigure(options ClientOptions) {
	options.Log = c.options.Log
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings = newClientSettings(&options)
	was := c.upstreams
	c.upstreams = nil
	for _, name := range options.Servers {
		i := slices.IndexFunc(was, func(u *upstream) bool { return u.name == name })
		if i >= 0 {
			c.upstreams = append(c.upstreams, was[i])
			continue
		}
		u := &upstream{client: c, name: name, log: c.options.Log.WithField("peer", name), since: time.Now()}
		c.upstreams = append(c.upstreams, u)
		if c.launch != nil {
			c.launch(u)
		}
	}
	for _, u := range was {
		if u.stop != nil && !slices.Contains(c.upstreams, u) {
			u.stop()
		}
	}
}

// Subscribe subscribes every server to vni, at once and after each reconnect,
// and does what Export does. To subscribe twice is the same as once; nothing
// unsubscribes.
func (c *Client) Subscribe(vni rib.VNI) {
	c.Export(vni)
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.subscribed, vni) {
		return
	}
	c.subscribed = append(c.subscribed, vni)
	for _, u := range c.upstreams {
		if s := u.live(); s != nil {
			s.out.ask(vni)
		}
	}
}

// Export makes the client tell the servers what the table holds of vni. It is
// needed for each VNI that comes into use and is not subscribed to; those that
// the table has when a session begins are told anyway. It must not be called
// with a lock of the table held.
func (c *Client) Export(vni rib.VNI) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.exported[vni]; known {
		return
	}
	c.exported[vni] = struct{}{}
	for _, u := range c.upstreams {
		if s := u.live(); s != nil {
			c.export(s, vni)
		}
	}
}

// begin gives a new session all that it has to say, SUBSCRIBEs first.
func (c *Client) begin(s *session, live func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, vni := range c.options.Bridge.Table().VNIs() {
		c.exported[vni] = struct{}{}
	}
	live()
	s.out.ask(c.subscribed...)
	for vni := range c.exported {
		c.export(s, vni)
	}
}

// export opens the reader of what we say to a server: everything but what
// servers say.
func (c *Client) export(s *session, vni rib.VNI) {
	s.out.open(vni, math.MaxInt, func(wake func()) *rib.Reader {
		return c.options.Bridge.Table().NewReader(vni, rib.ReaderOptions{
			Wake:    wake,
			Sources: rib.Sources(rib.Static, rib.Client, rib.BGP, rib.Leaked),
		})
	})
}

func (c *Client) subscriptions() []rib.VNI {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.subscribed)
	slices.Sort(list)
	return list
}

// Run keeps a session to every server until ctx is done, then withdraws what
// the servers said and returns nil. A client runs once.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	c.launch = func(u *upstream) {
		var running context.Context
		running, u.stop = context.WithCancel(ctx)
		c.waiting.Go(func() { u.run(running) })
	}
	for _, u := range c.upstreams {
		c.launch(u)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.launch = nil
	c.mu.Unlock()
	c.waiting.Wait()
	return nil
}

// Sessions describes the sessions, one per server, in the order of
// ClientOptions.Servers.
func (c *Client) Sessions() []SessionInfo {
	c.mu.Lock()
	upstreams := c.upstreams
	c.mu.Unlock()
	list := make([]SessionInfo, len(upstreams))
	for i, u := range upstreams {
		list[i] = u.info()
	}
	return list
}
