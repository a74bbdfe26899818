package metalbond

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
	"mbbgp/wire"
)

func TestOwnRouteIsNotEchoed(t *testing.T) {
	s := newWorld(t).serve(nil)
	p := dial(t, s).greet()
	p.announce(23, prefix(1), hop1)
	p.subscribe(23)
	p.announce(23, prefix(2), hop1)
	if told := p.sync(); told != nil {
		t.Fatal(told)
	}
	other := dial(t, s).greet()
	other.announce(23, prefix(3), hop2)
	if got, want := p.update(), "add 23 10.0.0.3/32 via 2001:db8::2"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func TestRouteOfTwoAnnouncersIsToldOnceAndWithdrawnWithTheLast(t *testing.T) {
	s := newWorld(t).serve(nil)
	reader, a, b := dial(t, s).greet(), dial(t, s).greet(), dial(t, s).greet()
	reader.subscribe(23)
	a.announce(23, prefix(1), hop1)
	if got, want := reader.update(), "add 23 10.0.0.1/32 via 2001:db8::1"; got != want {
		t.Fatal(got)
	}
	b.announce(23, prefix(1), hop1)
	b.sync()
	a.withdraw(23, prefix(1), hop1)
	a.sync()
	if told := reader.sync(); told != nil {
		t.Fatal(told)
	}
	b.withdraw(23, prefix(1), hop1)
	if got, want := reader.update(), "remove 23 10.0.0.1/32 via 2001:db8::1"; got != want {
		t.Fatal(got)
	}
}

func TestWithdrawalOfSomebodyElsesRouteCountsForNothing(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	a, b := dial(t, s).greet(), dial(t, s).greet()
	a.announce(23, prefix(1), hop1)
	a.sync()
	b.withdraw(23, prefix(1), hop1)
	b.withdraw(23, prefix(2), hop1)
	b.sync()
	w.has(23, 1)
}

func TestDisconnectWithdraws(t *testing.T) {
	s := newWorld(t).serve(nil)
	reader, a := dial(t, s).greet(), dial(t, s).greet()
	reader.subscribe(23)
	for i := range 3 {
		a.announce(23, prefix(i), hop1)
		reader.update()
	}
	a.conn.Close()
	var gone []string
	for range 3 {
		gone = append(gone, reader.update())
	}
	slices.Sort(gone)
	for i, got := range gone {
		if want := fmt.Sprintf("remove 23 %v via 2001:db8::1", prefix(i)); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestHalfClosedConnectionIsOver(t *testing.T) {
	w := newWorld(t)
	p := dial(t, w.serve(nil)).greet()
	p.announce(23, prefix(1), hop1)
	p.sync()
	p.conn.(*net.TCPConn).CloseWrite()
	p.ends()
	w.has(23, 0)
}

func TestSecondSubscribeSaysNothingNew(t *testing.T) {
	w := newWorld(t)
	w.static(23, 2, hop1)
	p := dial(t, w.serve(nil)).greet()
	p.subscribe(23)
	p.update()
	p.update()
	p.subscribe(23)
	p.subscribe(23)
	if told := p.sync(); told != nil {
		t.Fatal(told)
	}
}

func TestUnsubscribeStopsUpdatesAndWithdrawsNothing(t *testing.T) {
	w := newWorld(t)
	static := w.static(23, 1, hop1)
	p := dial(t, w.serve(nil)).greet()
	p.announce(23, prefix(7), hop2)
	p.subscribe(23)
	p.update()
	p.write(wire.AppendUnsubscribe(nil, 23))
	p.sync()
	if err := static.Announce(23, prefix(1), hop1); err != nil {
		t.Fatal(err)
	}
	if told := p.sync(); told != nil {
		t.Fatal(told)
	}
	w.has(23, 3)
	p.subscribe(23)
	told := []string{p.update(), p.update()}
	slices.Sort(told)
	if want := []string{"add 23 10.0.0.0/32 via 2001:db8::1", "add 23 10.0.0.1/32 via 2001:db8::1"}; !slices.Equal(told, want) {
		t.Fatal(told)
	}
}

func TestFirstSubscriptionAndEndOfTheLastAreToldOnce(t *testing.T) {
	type call struct {
		vni rib.VNI
		on  bool
	}
	calls := make(chan call, 16)
	s := newWorld(t).serve(func(o *ServerOptions) {
		o.OnSubscribe = func(vni rib.VNI, on bool) { calls <- call{vni, on} }
	})
	want := func(when string, want ...call) {
		t.Helper()
		for _, w := range want {
			if got := <-calls; got != w {
				t.Fatalf("%s: %+v, want %+v", when, got, w)
			}
		}
		if len(calls) > 0 {
			t.Fatalf("%s: %+v, too", when, <-calls)
		}
	}
	a, b := dial(t, s).greet(), dial(t, s).greet()
	a.subscribe(23)
	a.sync()
	want("a subscribes", call{23, true})
	b.subscribe(23)
	b.subscribe(24)
	b.subscribe(24)
	b.sync()
	want("b subscribes", call{24, true})
	a.write(wire.AppendUnsubscribe(nil, 23))
	a.write(wire.AppendUnsubscribe(nil, 23))
	a.write(wire.AppendUnsubscribe(nil, 24))
	a.sync()
	want("a unsubscribes")
	b.write(wire.AppendUnsubscribe(nil, 23))
	b.sync()
	want("b unsubscribes", call{23, false})
	a.subscribe(23)
	a.sync()
	want("a subscribes again", call{23, true})
	b.conn.Close()
	want("b is gone", call{24, false})
	a.conn.Close()
	want("a is gone", call{23, false})
}

func TestRowOfSubscriptionsAndTheirEndsLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.static(23, 10, hop1)
	s := w.serve(nil)
	p := dial(t, s).greet()
	for range 1000 {
		p.subscribe(23)
		p.write(wire.AppendUnsubscribe(nil, 23))
	}
	p.sync()
	if n := w.table.Stats(23).Readers; n != 0 {
		t.Fatalf("%d readers", n)
	}
	if vnis := s.Sessions()[0].Subscriptions; len(vnis) != 0 {
		t.Fatal(vnis)
	}
}

func TestImpossibleUpdateIsRefusedAndCountedAndTheSessionGoesOn(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	p := dial(t, s).greet()
	mapped := rib.NextHop{Target: netip.MustParseAddr("::ffff:192.0.2.1")}
	for range 5 {
		p.announce(23, prefix(1), mapped)
	}
	p.announce(23, prefix(1), hop1)
	p.sync()
	w.has(23, 1)
	refused := s.Sessions()[0].Refused
	if len(refused) != 1 || refused[wire.ReasonNextHopMapped] != 5 {
		t.Fatal(refused)
	}
	if n := w.lines.count("msg=refused"); n != 1 {
		t.Fatalf("%d lines", n)
	}
}

func TestMalformedMessageEndsItsSessionOnly(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	good, bad := dial(t, s).greet(), dial(t, s).greet()
	bad.announce(23, prefix(1), hop1)
	bad.sync()
	w.has(23, 1)
	bad.send("0100020508ff")
	bad.ends()
	w.has(23, 0)
	good.sync()
	eventually(t, "a clear error", func() bool { return w.lines.count("malformed UPDATE: action at byte") == 1 })
}

func TestStreamMayBeSplitAnywhere(t *testing.T) {
	w := newWorld(t)
	p := dial(t, w.serve(nil)).greet()
	frames := Encode(Encode(nil, false, 23, prefix(1), hop1), false, 23, prefix(2), hop1)
	for _, b := range frames {
		p.write([]byte{b})
	}
	w.has(23, 2)
}

func TestOneNextHopFollowsTheMove(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.OneNextHop = func(vni rib.VNI) bool { return vni == 23 } })
	reader, a, b := dial(t, s).greet(), dial(t, s).greet(), dial(t, s).greet()
	reader.subscribe(23)
	a.announce(23, prefix(1), hop1)
	want := []string{"add 23 10.0.0.1/32 via 2001:db8::1", "remove 23 10.0.0.1/32 via 2001:db8::1", "add 23 10.0.0.1/32 via 2001:db8::2"}
	got := []string{reader.update()}
	b.announce(23, prefix(1), hop2)
	got = append(got, reader.update(), reader.update())
	a.withdraw(23, prefix(1), hop1)
	a.sync()
	if told := reader.sync(); told != nil || !slices.Equal(got, want) {
		t.Fatal(got, told)
	}
}

func TestSubscribersAreToldOfAllNextHops(t *testing.T) {
	s := newWorld(t).serve(nil)
	reader, a, b := dial(t, s).greet(), dial(t, s).greet(), dial(t, s).greet()
	a.announce(23, prefix(1), hop1)
	a.sync()
	b.announce(23, prefix(1), hop2)
	b.sync()
	reader.subscribe(23)
	got := []string{reader.update(), reader.update()}
	slices.Sort(got)
	if want := []string{"add 23 10.0.0.1/32 via 2001:db8::1", "add 23 10.0.0.1/32 via 2001:db8::2"}; !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

func TestTooManySubscriptionsEndTheSession(t *testing.T) {
	w := newWorld(t)
	p := dial(t, w.serve(func(o *ServerOptions) { o.MaxSubscriptions = 3 })).greet()
	for vni := range rib.VNI(3) {
		p.subscribe(vni)
		p.subscribe(vni)
	}
	p.sync()
	p.subscribe(3)
	p.ends()
	eventually(t, "a clear error", func() bool { return w.lines.count("SUBSCRIBE to vni 3: a session may have 3 subscriptions") == 1 })
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.MaxConnections = 2 })
	a, _ := dial(t, s).greet(), dial(t, s).greet()
	dial(t, s).ends()
	a.conn.Close()
	eventually(t, "room for one", func() bool { return len(s.Sessions()) == 1 })
	dial(t, s).greet()
}

func TestServerListensOnSeveralAddresses(t *testing.T) {
	s := newWorld(t).serve(func(o *ServerOptions) {
		o.Listen = []netip.AddrPort{loopback, netip.MustParseAddrPort("127.0.0.2:0")}
	})
	for _, at := range s.Addrs() {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		newPeer(t, conn).greet()
	}
}

func TestListenErrorNamesTheAddress(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	other := NewServer(ServerOptions{Listen: []netip.AddrPort{loopback, netip.MustParseAddrPort(s.Addr().String())}, Bridge: w.bridge, Log: w.log})
	err := other.Run(t.Context())
	if want := fmt.Sprintf("metalbond server: listen tcp %s: bind: address already in use", s.Addr()); err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
}

func TestSessionInfoSaysWhatGoesOn(t *testing.T) {
	w := newWorld(t)
	w.static(23, 3, hop1)
	s := w.serve(func(o *ServerOptions) {
		o.Clients = []config.MetalBondClient{{
			Source: netip.MustParsePrefix("127.0.0.0/8"), Pace: config.Pace{Mode: config.PaceRate, Rate: 1_000_000},
			Subscribe: config.AllVNIs(), Announce: config.AllVNIs(),
		}}
	})
	p := dial(t, s).greet()
	p.subscribe(42)
	p.subscribe(23)
	p.announce(23, prefix(9), hop2)
	for range 3 {
		p.update()
	}
	p.sync()
	eventually(t, "nothing to tell", func() bool { return s.Sessions()[0].Behind == 0 })
	i := s.Sessions()[0]
	local := p.conn.LocalAddr().String()
	if i.Peer != local || i.Address.String() != local || i.Server || i.State != Established || time.Since(i.Since) > patience {
		t.Errorf("%+v", i)
	}
	if i.Keepalive != DefaultKeepalive || !slices.Equal(i.Subscriptions, []rib.VNI{23, 42}) || i.Routes != 1 || i.Behind != 0 || i.Pace != 1_000_000 {
		t.Errorf("%+v", i)
	}
	// HELLO, 2 KEEPALIVEs, 2 SUBSCRIBEs, UPDATE; HELLO, 2 KEEPALIVEs, 3 UPDATEs.
	if i.FramesIn != 6 || i.BytesIn != 6+2*4+2*6+36 || i.FramesOut != 6 || i.BytesOut != 8+2*4+3*36 || i.Refused != nil {
		t.Errorf("%+v", i)
	}
}

// exhausted is a listener that is out of file descriptors for a while.
type exhausted struct {
	net.Listener
	failures int
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestServerOutOfFileDescriptorsSaysSoOnceAndGoesOn(t *testing.T) {
	w := newWorld(t)
	s := NewServer(ServerOptions{Listen: []netip.AddrPort{loopback}, Bridge: w.bridge, Log: w.log})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.listeners[0] = &exhausted{s.listeners[0], 3}
	background(t, s.Run)
	dial(t, s).greet()
	for text, want := range map[string]int{"too many open files": 1, "LimitNOFILE": 1, "accepting connections again": 1} {
		if n := w.lines.count(text); n != want {
			t.Errorf("%d lines with %q, want %d", n, text, want)
		}
	}
}
