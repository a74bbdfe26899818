package metalbond

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/rib"
)

const dialLimit = 5 * time.Second // for one address

// upstream is one server that we are a client of, over all its sessions. It is
// their party.
type upstream struct {
	client *Client
	name   string // host:port as configured
	stop   func() // ends run; guarded by the client's mu; nil before run
	log    logrus.FieldLogger
	count  counters
	turn   int   // which of the name's addresses is tried first; run's
	quiet  quiet // run's

	mu      sync.Mutex
	session *session        // guarded by mu; nil: no connection
	channel *bridge.Channel // guarded by mu; nil: not established
	held    []held          // guarded by mu; what earlier sessions said
	told    bool            // guarded by mu; a table was told to its end, in some session
	state   State           // guarded by mu; while there is no session
	since   time.Time       // guarded by mu
	last    error           // guarded by mu; why the last attempt ended
}

// run keeps a session to the server until ctx is done.
func (u *upstream) run(ctx context.Context) {
	defer func() {
		u.park(0)
		u.sweep("stopped")
	}()
	var clock alarm
	defer clock.stop()
	for {
		u.enter(Connecting)
		established, err := u.attempt(ctx, &clock)
		if ctx.Err() != nil {
			return
		}
		u.ended(established, err)
		o := u.client.options
		again := time.Now().Add(o.ReconnectMin + rand.N(max(o.ReconnectMax-o.ReconnectMin, 1)))
		for wait := time.Until(again); wait > 0; wait = time.Until(again) {
			select {
			case <-ctx.Done():
				return
			case <-clock.in(sooner(wait, u.tend(nil))):
			}
		}
	}
}

// attempt connects and holds the session until it ends.
func (u *upstream) attempt(ctx context.Context, clock *alarm) (established bool, err error) {
	conn, err := u.dial(ctx)
	if err != nil {
		return false, err
	}
	settings := u.client.current()
	transport, err := settings.transport(conn, u.name)
	if err != nil {
		conn.Close()
		return false, err
	}
	return u.hold(ctx, transport, addressOf(conn.RemoteAddr()), clock)
}

// hold runs a session over a connection.
func (u *upstream) hold(ctx context.Context, conn transport, address netip.AddrPort, clock *alarm) (established bool, err error) {
	settings := u.client.current()
	s := newSession(&session{
		conn:      conn,
		peer:      u.name,
		address:   address,
		toServer:  true,
		party:     u,
		offer:     settings.offer,
		handshake: u.client.options.Handshake,
		pace:      settings.pace,
		paces:     &u.client.paces,
		log:       u.log,
		count:     &u.count,
	})
	u.mu.Lock()
	u.session = s
	u.mu.Unlock()

	running := make(chan struct{})
	go func() {
		defer close(running)
		err = s.run(ctx)
	}()
	for over := false; !over; {
		select {
		case <-running:
			over = true
		case <-clock.in(u.tend(s)):
		}
	}
	state, _ := s.current()
	if established = state == Established; !established {
		u.turn++
	}
	return established, err
}

// dial resolves the name and tries its addresses in turn.
func (u *upstream) dial(ctx context.Context) (*net.TCPConn, error) {
	host, port, err := net.SplitHostPort(u.name)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	addresses, err := resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	dialer := net.Dialer{Timeout: dialLimit, KeepAlive: -1}
	var problems []string
	for i := range addresses {
		at := addresses[(u.turn+i)%len(addresses)]
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(at.String(), port))
		if err == nil {
			u.turn = (u.turn + i) % len(addresses)
			return conn.(*net.TCPConn), nil
		}
		problems = append(problems, err.Error())
	}
	return nil, errors.New("cannot connect: " + strings.Join(problems, "; "))
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if at, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{at}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	return addresses, err
}

func (u *upstream) enter(state State) {
	u.mu.Lock()
	u.state, u.since = state, time.Now()
	u.mu.Unlock()
}

// ended notes the end of an attempt. The same problem again is not news.
func (u *upstream) ended(established bool, err error) {
	u.mu.Lock()
	news := established || u.last == nil || u.last.Error() != err.Error()
	u.session, u.last = nil, err
	u.state, u.since = Down, time.Now()
	u.mu.Unlock()
	kept := u.park(u.client.current().hold)
	entry := u.log.WithError(err)
	switch {
	case established:
		entry.WithField("held", kept).Warn("session ended")
	case news:
		entry.Warn("no session, trying again")
	default:
		entry.Debug("no session, trying again")
	}
}

// live returns the session if it is established.
func (u *upstream) live() *session {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.channel == nil {
		return nil
	}
	return u.session
}

func (u *upstream) info() SessionInfo {
	u.mu.Lock()
	s, channel, held := u.session, u.channel, u.held
	i := SessionInfo{Server: true, Peer: u.name, State: u.state, Since: u.since, Told: u.told}
	if u.last != nil {
		i.LastError = u.last.Error()
	}
	u.count.describe(&i)
	u.mu.Unlock()

	for _, h := range held {
		i.Held += h.channel.Count()
	}
	if s == nil {
		return i
	}
	j := s.info()
	j.LastError, j.Held, j.Told, j.Subscriptions = i.LastError, i.Held, i.Told, nil
	if channel != nil {
		j.Routes = channel.Count()
		j.Subscriptions = u.client.subscriptions()
		for _, vni := range j.Subscriptions {
			j.Said = append(j.Said, channel.CountVNI(vni))
		}
	}
	return j
}

func (u *upstream) established(s *session) {
	channel := u.client.options.Bridge.Open(rib.Server, u.name)
	u.client.begin(s, func() {
		u.mu.Lock()
		u.channel = channel
		u.mu.Unlock()
	})
}

func (u *upstream) updates(row []bridge.Edit) {
	u.channel.Apply(row)
	u.forget(row)
}

func (u *upstream) subscribe(*session, uint32) error {
	return errors.New("SUBSCRIBE from a server")
}

func (u *upstream) unsubscribe(*session, uint32) error {
	return errors.New("UNSUBSCRIBE from a server")
}
