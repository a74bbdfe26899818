package metalbond

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
	"mbbgp/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for an event of a test with real sockets.
const patience = 20 * time.Second

var (
	loopback  = netip.MustParseAddrPort("127.0.0.1:0")
	underlay1 = netip.MustParseAddr("2001:db8::1")
	underlay2 = netip.MustParseAddr("2001:db8::2")
	hop1      = rib.NextHop{Target: underlay1}
	hop2      = rib.NextHop{Target: underlay2}
)

// prefix returns the i-th of 2^24 host prefixes.
func prefix(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// journal collects log lines.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.lines.String(), text)
}

// world is a table with its bridge.
type world struct {
	t      testing.TB
	table  *rib.Table
	bridge *bridge.Bridge
	log    *logrus.Logger
	lines  *journal
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, table: rib.New(rib.Options{Encode: Encode}), log: logrus.New(), lines: new(journal)}
	w.log.SetOutput(w.lines)
	var err error
	if w.bridge, err = bridge.New(&config.Config{}, w.table, w.log); err != nil {
		t.Fatal(err)
	}
	return w
}

// static announces n routes of a VNI.
func (w *world) static(vni rib.VNI, n int, hop rib.NextHop) *bridge.Channel {
	w.t.Helper()
	c := w.bridge.Open(rib.Static, "test")
	for i := range n {
		if err := c.Announce(vni, prefix(i), hop); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// routes returns what the table holds of a VNI, "prefix via next hop" to the
// sources that say so.
func (w *world) routes(vni rib.VNI) map[string]string {
	all := make(map[string]string)
	w.table.Walk(vni, func(r rib.RouteInfo) bool {
		var sources []string
		for _, c := range r.Claims {
			sources = append(sources, c.Source.String())
		}
		all[fmt.Sprintf("%v via %v", r.Prefix, r.NextHop)] = strings.Join(sources, " ")
		return true
	})
	return all
}

// serve runs a server until the test ends.
func (w *world) serve(change func(*ServerOptions)) *Server {
	w.t.Helper()
	o := ServerOptions{Listen: []netip.AddrPort{loopback}, Bridge: w.bridge, Log: w.log}
	if change != nil {
		change(&o)
	}
	s := NewServer(o)
	if err := s.Listen(); err != nil {
		w.t.Fatal(err)
	}
	background(w.t, s.Run)
	return s
}

// follow runs a client of servers until the test ends or stop is called.
func (w *world) follow(change func(*ClientOptions), servers ...string) (c *Client, stop func()) {
	o := ClientOptions{
		Servers: servers, Bridge: w.bridge, Log: w.log,
		ReconnectMin: 10 * time.Millisecond, ReconnectMax: 20 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	c = NewClient(o)
	return c, background(w.t, c.Run)
}

// background runs something until the test ends or stop is called.
func background(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until a condition on something that cannot be waited for
// holds. It looks again after growing pauses.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		<-tick.C
	}
}

// has waits until a table holds n next hops of a VNI.
func (w *world) has(vni rib.VNI, n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d routes of vni %d, there are %d", n, vni, w.table.Stats(vni).NextHops), func() bool {
		return w.table.Stats(vni).NextHops == n
	})
}

// peer is the other end of a session, byte by byte.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *wire.Reader
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	return &peer{t: t, conn: conn, in: wire.NewReader(conn)}
}

// dial connects to a server.
func dial(t testing.TB, s *Server) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return newPeer(t, conn)
}

// send writes bytes given in hexadecimal.
func (p *peer) send(bytes ...string) {
	p.t.Helper()
	b, err := hex.DecodeString(strings.Join(bytes, ""))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b)
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next frame in hexadecimal, or how the connection ended.
func (p *peer) next() string {
	m, err := p.in.Next()
	if err != nil {
		return plain(err).Error()
	}
	return fmt.Sprintf("01%04x%02x%x", len(m.Payload), uint8(m.Type), m.Payload)
}

// want demands the next frame.
func (p *peer) want(frame string) {
	p.t.Helper()
	if got := p.next(); got != frame {
		p.t.Fatalf("got  %s\nwant %s", got, frame)
	}
}

// ends demands that the connection ends without another frame.
func (p *peer) ends() {
	p.t.Helper()
	if _, err := p.in.Next(); err == nil || expired(err) {
		p.t.Fatalf("the connection goes on: %v", err)
	}
}

// The frames of the captures that every session begins with.
const (
	clientHello = "010002010805"
	serverHello = "0100040108051001"
	keepalive   = "01000002"
	subscribe23 = "010002030817"
)

// greet does the client's part of the handshake.
func (p *peer) greet() *peer {
	p.t.Helper()
	p.send(clientHello)
	p.want(serverHello)
	p.send(keepalive)
	p.want(keepalive)
	return p
}

func (p *peer) subscribe(vni rib.VNI) { p.t.Helper(); p.write(wire.AppendSubscribe(nil, uint32(vni))) }

func (p *peer) announce(vni rib.VNI, pr netip.Prefix, hop rib.NextHop) {
	p.t.Helper()
	p.write(Encode(nil, false, vni, pr, hop))
}

func (p *peer) withdraw(vni rib.VNI, pr netip.Prefix, hop rib.NextHop) {
	p.t.Helper()
	p.write(Encode(nil, true, vni, pr, hop))
}

// sync waits until the server has taken all that was sent: it answers a
// KEEPALIVE. UPDATEs that come before the answer are returned.
func (p *peer) sync() (updates []string) {
	p.t.Helper()
	p.send(keepalive)
	for {
		m, err := p.in.Next()
		if err != nil {
			p.t.Fatal(plain(err))
		}
		switch m.Type {
		case wire.TypeKeepalive:
			return updates
		case wire.TypeUpdate:
			updates = append(updates, told(p.t, m.Payload))
		}
	}
}

// update returns the next UPDATE in words.
func (p *peer) update() string {
	p.t.Helper()
	for {
		m, err := p.in.Next()
		if err != nil {
			p.t.Fatal(plain(err))
		}
		if m.Type == wire.TypeUpdate {
			return told(p.t, m.Payload)
		}
	}
}

// told returns an UPDATE in words.
func told(t testing.TB, payload []byte) string {
	u, err := wire.ParseUpdate(payload)
	if err != nil {
		t.Fatal(err)
	}
	action := "add"
	if u.Remove {
		action = "remove"
	}
	var e bridge.Edit
	set(&e, &u)
	return fmt.Sprintf("%s %d %v via %v", action, e.VNI, e.Prefix, e.NextHop)
}

// pipe is a transport in memory, for tests that hold the clock.
type pipe struct{ net.Conn }

func (p pipe) ready() error         { return nil }
func (p pipe) queued() (int, error) { return 0, nil }
func (p pipe) look() (path, error)  { return path{segment: maxSegment}, nil }
func (p pipe) narrow() error        { return nil }
func (p pipe) gone() bool           { return false }
func (p pipe) send(b []byte) error {
	n, err := p.Conn.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
