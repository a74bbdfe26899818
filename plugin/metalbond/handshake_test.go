package metalbond

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mbbgp/rib"
)

func TestServerSpeaksTheBytesOfTheCaptures(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	p := dial(t, s).greet()
	p.send(subscribe23)
	other := dial(t, s).greet()
	for _, frame := range []string{
		"0100200510171a0812040a001700181822120a1020010db8000000000000000000000001",
		"0100280510171a081204c00002071820221a0a1020010db8000000000000000000000001180120800828ff0f",
		"0100220510171a081204c6336409182022140a1020010db80000000000000000000000011802",
		"0100300510171a160801121020010db8002300000000000000000000184022140a1020010db8000000000000000000000001102a",
		"01001e0510171a0612040000000022120a1020010db8000000000000000000000001",
		"01002205080110171a0812040a001700181822120a1020010db8000000000000000000000001",
		"01002a05080110171a081204c00002071820221a0a1020010db8000000000000000000000001180120800828ff0f",
		"01002405080110171a081204c6336409182022140a1020010db80000000000000000000000011802",
		"01003205080110171a160801121020010db8002300000000000000000000184022140a1020010db8000000000000000000000001102a",
		"01002005080110171a0612040000000022120a1020010db8000000000000000000000001",
	} {
		other.send(frame)
		p.want(frame)
	}
}

// fakeServer accepts the connections of a client.
func fakeServer(t testing.TB) (address string, accept func() *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() *peer {
		t.Helper()
		l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		return newPeer(t, conn)
	}
}

// welcome does the server's part of the handshake.
func (p *peer) welcome() *peer {
	p.t.Helper()
	p.want(clientHello)
	p.send(serverHello)
	p.want(keepalive)
	p.send(keepalive)
	return p
}

func TestClientSpeaksTheBytesOfTheCaptures(t *testing.T) {
	w := newWorld(t)
	static := w.bridge.Open(rib.Static, "test")
	address, accept := fakeServer(t)
	w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, address)
	p := accept().welcome()
	p.want(subscribe23)
	net23 := netip.MustParsePrefix("10.0.23.0/24")
	if err := static.Announce(23, net23, hop1); err != nil {
		t.Fatal(err)
	}
	p.want("0100200510171a0812040a001700181822120a1020010db8000000000000000000000001")
	static.Withdraw(23, net23, hop1)
	p.want("01002205080110171a0812040a001700181822120a1020010db8000000000000000000000001")
}

func TestClientSaysNothingBeforeTheServerHasAnswered(t *testing.T) {
	w := newWorld(t)
	w.static(23, 1, hop1)
	address, accept := fakeServer(t)
	w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, address)
	p := accept()
	quiet := func(after string) {
		t.Helper()
		p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if m, err := p.in.Next(); err == nil {
			t.Fatalf("%v behind %s", m.Type, after)
		}
		p.conn.SetReadDeadline(time.Now().Add(patience))
	}
	p.want(clientHello)
	quiet("HELLO")
	p.send(serverHello)
	p.want(keepalive)
	quiet("KEEPALIVE")
	p.send(keepalive)
	p.want(subscribe23)
}

func TestBothEndsUseTheLowerInterval(t *testing.T) {
	for _, row := range []struct{ server, client, want time.Duration }{
		{5 * time.Second, 2 * time.Second, 2 * time.Second},
		{3 * time.Second, 60 * time.Second, 3 * time.Second},
		{0, 0, DefaultKeepalive},
	} {
		w := newWorld(t)
		s := w.serve(func(o *ServerOptions) { o.Keepalive = row.server })
		c, stop := newWorld(t).follow(func(o *ClientOptions) { o.Keepalive = row.client }, s.Addr().String())
		eventually(t, "established", func() bool {
			here, there := s.Sessions(), c.Sessions()
			return len(here) == 1 && here[0].State == Established && there[0].State == Established
		})
		if here, there := s.Sessions()[0].Keepalive, c.Sessions()[0].Keepalive; here != row.want || there != row.want {
			t.Errorf("%v and %v: server %v, client %v", row.server, row.client, here, there)
		}
		stop()
	}
}

func TestLargestKeepaliveOfAClientIsNoProblem(t *testing.T) {
	s := newWorld(t).serve(nil)
	p := dial(t, s)
	p.send("01000601", "08ffffffff0f")
	p.want(serverHello)
}

func TestHandshakeErrorsNamePeerAndProblem(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	for _, row := range []struct {
		name  string
		bytes []string
		want  string
	}{
		{"no keepalive interval", []string{"01000001"}, "malformed HELLO: keepaliveInterval at byte 0"},
		{"keepalive interval 0", []string{"010002010800"}, "malformed HELLO: keepaliveInterval at byte 1 is 0"},
		{"version 2", []string{"020002010805"}, "malformed header: version at stream byte 0 is 2, allowed is 1"},
		{"an unknown type", []string{"01000009"}, "malformed header: type at stream byte 3 is 9, allowed is 1 to 5"},
		{"a length that no message has", []string{"01ffff01"}, "malformed header: length at stream byte 1 is 65535, allowed is 0 to 1188 bytes"},
		{"KEEPALIVE first", []string{keepalive}, "KEEPALIVE came where HELLO was expected"},
		{"SUBSCRIBE before KEEPALIVE", []string{clientHello, subscribe23}, "SUBSCRIBE came where KEEPALIVE was expected"},
		{"HELLO twice", []string{clientHello, clientHello}, "HELLO came where KEEPALIVE was expected"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := dial(t, s)
			p.send(row.bytes...)
			if len(row.bytes) > 1 {
				p.want(serverHello)
			}
			p.ends()
			eventually(t, "log line with "+row.want, func() bool {
				return w.lines.count(row.want) == 1 && w.lines.count(p.conn.LocalAddr().String()) > 0
			})
		})
	}
}

func TestHelloInAnEstablishedSessionEndsIt(t *testing.T) {
	w := newWorld(t)
	p := dial(t, w.serve(nil)).greet()
	p.send(clientHello)
	p.ends()
	eventually(t, "a clear error", func() bool { return w.lines.count("HELLO in an established session") == 1 })
}

func TestServerThatSubscribesIsRefused(t *testing.T) {
	w := newWorld(t)
	address, accept := fakeServer(t)
	c, _ := w.follow(nil, address)
	p := accept().welcome()
	p.send(subscribe23)
	p.ends()
	eventually(t, "a clear error", func() bool { return strings.Contains(c.Sessions()[0].LastError, "SUBSCRIBE from a server") })
}

func TestConnectionThatNeverGreetsIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []string{"", "01", "0100", clientHello} {
			w := newWorld(t)
			here, there := net.Pipe()
			s := NewServer(ServerOptions{Bridge: w.bridge, Log: w.log})
			ctx, cancel := context.WithCancel(t.Context())
			begin := time.Now()
			s.start(ctx, pipe{here}, loopback)
			p := newPeer(t, there)
			p.send(first)
			if first == clientHello {
				p.want(serverHello)
			}
			p.ends()
			if took := time.Since(begin); took != handshakeLimit {
				t.Errorf("after %q closed after %v, not %v", first, took, handshakeLimit)
			}
			s.waiting.Wait()
			cancel()
		}
	})
}

func TestClientTriesAgainWhenTheServerDoesNotGreet(t *testing.T) {
	w := newWorld(t)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Handshake = 30 * time.Millisecond }, address)
	p := accept()
	p.want(clientHello)
	p.ends()
	eventually(t, "the reason", func() bool { return c.Sessions()[0].LastError == "no HELLO within 30ms" })
	accept().welcome()
	eventually(t, "established", func() bool { return c.Sessions()[0].State == Established })
}
