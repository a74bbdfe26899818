package metalbond

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// ClientOptions says which servers to be a client of, and how.
type ClientOptions struct {
	Servers   []string      // host:port; a name is resolved at each attempt
	Keepalive time.Duration // offered interval, whole seconds; 0: 5 s
	Hold      time.Duration // how long a lost server's word is kept; 0: not at all
	Pace      config.Pace   // of frames toward servers

	// An attempt follows the end of the last one after a random time between
	// these. 0: 5 s and 10 s.
	ReconnectMin, ReconnectMax time.Duration

	Subscribe []rib.VNI // from the start
	Bridge    *bridge.Bridge
	Log       logrus.FieldLogger
}

// Client is a client of one or more MetalBond servers: it tells each of them
// what the table holds from static routes, our own clients and BGP, and puts
// what they say of the subscribed VNIs into the table.
type Client struct {
	options ClientOptions
}

// NewClient returns a client that does nothing yet.
func NewClient(options ClientOptions) *Client {
	return &Client{options: options}
}

// Subscribe subscribes every server to vni, at once and after each reconnect.
// To subscribe twice is the same as once; nothing unsubscribes.
func (c *Client) Subscribe(vni rib.VNI) {}

// Run keeps a session to every server until ctx is done, then withdraws what
// the servers said and returns nil. A client runs once.
func (c *Client) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Sessions describes the sessions, one per server, in the order of
// ClientOptions.Servers.
func (c *Client) Sessions() []SessionInfo { return nil }
