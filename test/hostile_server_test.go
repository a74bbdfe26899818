package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
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
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

// patience is how long anything may take that should happen at once.
const patience = 20 * time.Second

// lines are what a server has logged. It is a hook of logrus.
type lines struct {
	mu   sync.Mutex
	all  []line        // guarded by mu
	more chan struct{} // guarded by mu; closed with the next line
}

type line struct{ peer, text string }

func (l *lines) Levels() []logrus.Level { return logrus.AllLevels }

func (l *lines) Fire(e *logrus.Entry) error {
	peer, _ := e.Data["peer"].(string)
	text := e.Message
	for _, key := range []string{logrus.ErrorKey, "reason"} {
		if v, ok := e.Data[key]; ok {
			text += fmt.Sprint(": ", v)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line{peer, text})
	close(l.more)
	l.more = make(chan struct{})
	return nil
}

// wait waits until a line about the peer has the text.
func (l *lines) wait(t *testing.T, peer, text string) {
	t.Helper()
	limit := time.After(patience)
	for seen := 0; ; {
		l.mu.Lock()
		all, more := l.all, l.more
		l.mu.Unlock()
		for ; seen < len(all); seen++ {
			if all[seen].peer == peer && strings.Contains(all[seen].text, text) {
				return
			}
		}
		select {
		case <-more:
		case <-limit:
			t.Errorf("no line about %s says %q but %q", peer, text, l.of(peer))
			return
		}
	}
}

// of returns what was said about a peer.
func (l *lines) of(peer string) (texts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if line.peer == peer {
			texts = append(texts, line.text)
		}
	}
	return texts
}

// scene is a server and two healthy sessions: one announces, one is subscribed.
type scene struct {
	server     *metalbond.Server
	address    string // of the server
	table      *rib.Table
	log        *lines
	announcer  *peer
	subscriber *peer
	heard      chan []byte // UPDATEs that the subscriber was told
	fresh      uint32      // counts the routes of exchange
}

// newScene starts a server on loopback and ends it with the test, which fails
// if a goroutine remains.
func newScene(t *testing.T, options metalbond.ServerOptions) *scene {
	t.Helper()
	s := &scene{
		table: rib.New(rib.Options{Encode: metalbond.Encode}),
		log:   &lines{more: make(chan struct{})},
		heard: make(chan []byte, 1024),
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.AddHook(s.log)
	b, err := bridge.New(&config.Config{}, s.table, log)
	if err != nil {
		t.Fatal(err)
	}
	options.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	options.Bridge, options.Log = b, log
	s.server = metalbond.NewServer(options)
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.server.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		if s.announcer != nil && s.subscriber != nil {
			s.announcer.close()
			s.subscriber.close()
		}
		goleak.VerifyNone(t)
	})

	s.address = s.server.Addr().String()
	s.populate(t)
	return s
}

// populate adds the healthy sessions.
func (s *scene) populate(t *testing.T) {
	t.Helper()
	s.announcer = s.dial(t).establish(t, hello(10))
	s.announcer.live(10*time.Second, func(byte, []byte) {})
	s.subscriber = s.dial(t).establish(t, hello(10))
	s.subscriber.send(t, about(typeSubscribe, HostileVNI))
	s.subscriber.live(10*time.Second, func(kind byte, payload []byte) {
		if kind == typeUpdate {
			select {
			case s.heard <- framed(kind, payload):
			case <-s.subscriber.stop:
			}
		}
	})
	s.exchange(t, false)
}

// healthy is where the routes of healthy sessions point to.
const healthy = "20010db8600d00000000000000000001"

// exchange announces a fresh route, waits until the subscriber has it, and the
// same for its withdrawal. Announcements of others are an error unless the test
// says that there are some.
func (s *scene) exchange(t *testing.T, others bool) {
	t.Helper()
	s.fresh++
	for _, remove := range []bool{false, true} {
		u := announce(remove, [4]byte{10, byte(s.fresh >> 16), byte(s.fresh >> 8), byte(s.fresh)}, healthy)
		s.announcer.send(t, u)
		s.expect(t, u, others)
	}
}

// expect waits until the subscriber is told exactly this.
func (s *scene) expect(t *testing.T, want []byte, others bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case got := <-s.heard:
			if bytes.Equal(got, want) {
				return
			}
			if remove := bytes.HasPrefix(got[headerLen:], []byte{0x08, 1}); !remove && !others {
				t.Errorf("the subscriber was told %x", got)
			}
		case <-s.announcer.ended:
			t.Fatalf("the announcer lost its session: %v", s.announcer.failure)
		case <-s.subscriber.ended:
			t.Fatalf("the subscriber lost its session: %v", s.subscriber.failure)
		case <-limit:
			t.Fatalf("%x did not arrive within %v", want, patience)
		}
	}
}

// info describes the session of a peer.
func (s *scene) info(t *testing.T, p *peer) metalbond.SessionInfo {
	t.Helper()
	for _, i := range s.server.Sessions() {
		if i.Peer == p.name {
			return i
		}
	}
	t.Fatalf("the server knows no session of %s", p.name)
	return metalbond.SessionInfo{}
}

// peer is a connection to the server, without any help of ours.
type peer struct {
	name string // the address that the server sees
	conn *net.TCPConn
	in   *bufio.Reader

	failure error         // after ended
	ended   chan struct{} // of a live one: closed when the connection ends
	stop    chan struct{}
	working sync.WaitGroup
}

func (s *scene) dial(t *testing.T) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.address, patience)
	if err != nil {
		t.Fatal(err)
	}
	return &peer{name: conn.LocalAddr().String(), conn: conn.(*net.TCPConn), in: bufio.NewReader(conn), ended: make(chan struct{}), stop: make(chan struct{})}
}

// establish goes through the handshake.
func (p *peer) establish(t *testing.T, greeting []byte) *peer {
	t.Helper()
	p.send(t, greeting)
	p.expect(t, typeHello)
	p.send(t, keepalive())
	p.expect(t, typeKeepalive)
	return p
}

// next returns the next frame.
func (p *peer) next() (kind byte, payload []byte, err error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(p.in, header[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint16(header[1:]))
	_, err = io.ReadFull(p.in, payload)
	return header[3], payload, err
}

func (p *peer) send(t *testing.T, b []byte) {
	t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(b); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// expect waits for a message of a type, past UPDATEs.
func (p *peer) expect(t *testing.T, want byte) {
	t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		kind, _, err := p.next()
		if err != nil {
			t.Fatalf("%s: waiting for type %d: %v", p.name, want, err)
		}
		if kind == want {
			return
		}
		if kind != typeUpdate {
			t.Fatalf("%s: type %d instead of %d", p.name, kind, want)
		}
	}
}

// answered sends a KEEPALIVE and waits for its answer: what was sent before has
// been heard. It returns false if the server ends the connection instead.
func (p *peer) answered(t *testing.T) bool {
	t.Helper()
	p.conn.SetDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(keepalive()); err != nil {
		return !p.over(t, err)
	}
	for {
		kind, _, err := p.next()
		if err != nil {
			return !p.over(t, err)
		}
		if kind == typeKeepalive {
			return true
		}
	}
}

// waitEnd waits until the server ends the connection.
func (p *peer) waitEnd(t *testing.T) {
	t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := p.next(); err != nil {
			p.over(t, err)
			return
		}
	}
}

// over reports that the connection is over, unless it is only slow.
func (p *peer) over(t *testing.T, err error) bool {
	t.Helper()
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		t.Fatalf("%s: the server neither answers nor ends the connection", p.name)
	}
	return true
}

// live keeps the session alive and hands on what it hears, until close.
func (p *peer) live(interval time.Duration, hear func(kind byte, payload []byte)) {
	p.conn.SetDeadline(time.Time{})
	p.working.Go(func() {
		defer close(p.ended)
		for {
			kind, payload, err := p.next()
			if err != nil {
				p.failure = err
				return
			}
			hear(kind, payload)
		}
	})
	p.working.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.conn.Write(keepalive())
			case <-p.stop:
				return
			case <-p.ended:
				return
			}
		}
	})
}

func (p *peer) close() {
	close(p.stop)
	p.conn.Close()
	p.working.Wait()
}
