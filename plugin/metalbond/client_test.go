package metalbond

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/rib"
	"mbbgp/wire"
)

func TestClientRoutesReachSubscribersOfTheServer(t *testing.T) {
	hub, a, b := newWorld(t), newWorld(t), newWorld(t)
	s := hub.serve(nil)
	subscribe := func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }
	a.follow(subscribe, s.Addr().String())
	b.follow(subscribe, s.Addr().String())
	a.has(23, 0)
	static := a.static(23, 100, hop1)
	b.has(23, 100)
	for route, sources := range b.routes(23) {
		if sources != "server" {
			t.Fatal(route, sources)
		}
	}
	static.Close()
	b.has(23, 0)
}

func TestRoutesOfServersAreNotToldToServers(t *testing.T) {
	first, second, w := newWorld(t), newWorld(t), newWorld(t)
	first.static(23, 10, hop1)
	one, two := first.serve(nil), second.serve(nil)
	w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, one.Addr().String(), two.Addr().String())
	w.has(23, 10)
	w.static(23, 1, hop2)
	second.has(23, 1)
	first.has(23, 11)
}

func TestRouteGoesWhenTheLastServerThatSaysItIsLost(t *testing.T) {
	first, second, w := newWorld(t), newWorld(t), newWorld(t)
	first.static(23, 10, hop1)
	second.static(23, 7, hop1)
	one := first.serve(nil)
	two := NewServer(ServerOptions{Listen: []netip.AddrPort{loopback}, Bridge: second.bridge, Log: second.log})
	if err := two.Listen(); err != nil {
		t.Fatal(err)
	}
	stop := background(t, two.Run)
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, one.Addr().String(), two.Addr().String())
	eventually(t, "both tables", func() bool {
		i := c.Sessions()
		return i[0].Routes == 10 && i[1].Routes == 7
	})
	w.has(23, 10)
	stop()
	eventually(t, "one server lost", func() bool { return c.Sessions()[1].State != Established })
	w.has(23, 10)
	for route, sources := range w.routes(23) {
		if sources != "server" {
			t.Fatal(route, sources)
		}
	}
	if i := c.Sessions(); i[0].State != Established || i[1].LastError == "" {
		t.Fatalf("%+v", i)
	}
}

func TestClientComesBack(t *testing.T) {
	w := newWorld(t)
	w.static(23, 1, hop1)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, address)
	for range 3 {
		p := accept().welcome()
		p.want(subscribe23)
		if got, want := p.update(), "add 23 10.0.0.0/32 via 2001:db8::1"; got != want {
			t.Fatal(got)
		}
		p.announce(23, prefix(5), hop2)
		w.has(23, 2)
		p.conn.Close()
		w.has(23, 1)
	}
	if i := c.Sessions()[0]; i.LastError != "closed by the peer" && i.LastError != "reset by the peer" {
		t.Fatal(i.LastError)
	}
}

func TestReconnectWaitsBetweenTheTwoTimes(t *testing.T) {
	c := NewClient(ClientOptions{Log: newWorld(t).log})
	if o := c.options; o.ReconnectMin != 5*time.Second || o.ReconnectMax != 10*time.Second {
		t.Fatalf("%v to %v", o.ReconnectMin, o.ReconnectMax)
	}
}

func TestClientNeverSubscribesTwiceAndBeforeItAnnounces(t *testing.T) {
	w := newWorld(t)
	w.static(23, 50, hop1)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23, 42, 23} }, address)
	p := accept().welcome()
	c.Subscribe(42)
	c.Subscribe(7)
	c.Subscribe(7)
	asked := make(map[uint32]int)
	for updates := 0; updates < 50 || len(asked) < 3; {
		m, err := p.in.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case wire.TypeSubscribe:
			vni, _ := wire.ParseSubscription(m.Payload)
			asked[vni]++
			if vni != 7 && updates > 0 {
				t.Errorf("SUBSCRIBE to %d after %d UPDATEs", vni, updates)
			}
		case wire.TypeUpdate:
			updates++
		}
	}
	if !maps.Equal(asked, map[uint32]int{23: 1, 42: 1, 7: 1}) {
		t.Fatal(asked)
	}
	if vnis := c.Sessions()[0].Subscriptions; !slices.Equal(vnis, []rib.VNI{7, 23, 42}) {
		t.Fatal(vnis)
	}
}

func TestVNIThatComesIntoUseIsTold(t *testing.T) {
	upper, w := newWorld(t), newWorld(t)
	top := upper.serve(nil)
	c, _ := w.follow(nil, top.Addr().String())
	eventually(t, "established", func() bool { return c.Sessions()[0].State == Established })
	s := w.serve(func(o *ServerOptions) { o.OnAnnounce = c.Export })
	p := dial(t, s).greet()
	p.announce(77, prefix(1), hop1)
	upper.has(77, 1)
	p.conn.Close()
	upper.has(77, 0)
}

func TestServersWordOnOurOwnRouteIsDropped(t *testing.T) {
	w := newWorld(t)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, address)
	p := accept().welcome()
	p.announce(23, prefix(0), hop1)
	w.has(23, 1)
	own := w.static(23, 1, hop1)
	eventually(t, "the server's word gone", func() bool { return c.Sessions()[0].Routes == 0 })
	if got, want := p.update(), "add 23 10.0.0.0/32 via 2001:db8::1"; got != want {
		t.Fatal(got)
	}
	p.announce(23, prefix(0), hop1)
	eventually(t, "HELLO, KEEPALIVE and two UPDATEs heard", func() bool { return c.Sessions()[0].FramesIn == 4 })
	own.Close()
	if got, want := p.update(), "remove 23 10.0.0.0/32 via 2001:db8::1"; got != want {
		t.Fatal(got)
	}
	w.has(23, 0)
}

func TestNextHopChangeIsARemoveThenAnAdd(t *testing.T) {
	w := newWorld(t)
	first := w.static(23, 1, hop1)
	address, accept := fakeServer(t)
	w.follow(nil, address)
	p := accept().welcome()
	got := []string{p.update()}
	// Both changes are in the table before the session can read of either.
	w.table.Replace(first.Origins()[0], 23, prefix(0), []rib.NextHop{hop2}, rib.Native)
	got = append(got, p.update(), p.update())
	want := []string{"add 23 10.0.0.0/32 via 2001:db8::1", "remove 23 10.0.0.0/32 via 2001:db8::1", "add 23 10.0.0.0/32 via 2001:db8::2"}
	if !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

func TestConnectionErrorsNamePeerAndProblem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	w := newWorld(t)
	c, stop := w.follow(nil, closed, "nobody.invalid:4711", "no-port")
	eventually(t, "three problems", func() bool {
		i := c.Sessions()
		return strings.Contains(i[0].LastError, fmt.Sprintf("cannot connect: dial tcp %s: connect: connection refused", closed)) &&
			strings.Contains(i[1].LastError, "cannot connect: lookup nobody.invalid") &&
			strings.Contains(i[2].LastError, "cannot connect: address no-port: missing port in address")
	})
	stop()
	if n := w.lines.count("connection refused"); n != 1 {
		t.Fatalf("%d lines about one problem", n)
	}
}

func TestEachAddressOfAServerIsTried(t *testing.T) {
	hub, w := newWorld(t), newWorld(t)
	s := hub.serve(nil)
	_, port, _ := net.SplitHostPort(s.Addr().String())
	c, _ := w.follow(nil, net.JoinHostPort("localhost", port))
	eventually(t, "established", func() bool { return c.Sessions()[0].State == Established })
}
