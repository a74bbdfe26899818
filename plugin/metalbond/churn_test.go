package metalbond

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/bridge"
	"mbbgp/rib"
)

// churn announces and withdraws at random and returns what stands at the end.
func churn(t *testing.T, c *bridge.Channel, hop rib.NextHop, rounds int, random *rand.Rand) map[string]string {
	stands := make(map[string]string)
	for range rounds {
		p := prefix(random.IntN(500))
		name := p.String() + " via " + hop.String()
		if random.IntN(2) == 0 {
			if err := c.Announce(23, p, hop); err != nil {
				t.Error(err)
			}
			stands[name] = "server"
		} else {
			c.Withdraw(23, p, hop)
			delete(stands, name)
		}
	}
	return stands
}

func TestRandomChurnConverges(t *testing.T) {
	t.Parallel()
	hub, a, b := newWorld(t), newWorld(t), newWorld(t)
	s := hub.serve(nil)
	follow := func(w *world) *bridge.Channel {
		w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, s.Addr().String())
		return w.bridge.Open(rib.Static, "test")
	}
	fromA, fromB := follow(a), follow(b)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	wantA := make(chan map[string]string, 1)
	go func() { wantA <- churn(t, fromA, hop1, 20000, rand.New(rand.NewPCG(seed, 1))) }()
	wantB := churn(t, fromB, hop2, 20000, rand.New(rand.NewPCG(seed, 2)))
	isTold := func(what string, w *world, want map[string]string) {
		t.Helper()
		eventually(t, what, func() bool {
			got := w.routes(23)
			maps.DeleteFunc(got, func(_, source string) bool { return source != "server" })
			return maps.Equal(got, want)
		})
	}
	isTold("what a says is what b hears", b, <-wantA)
	isTold("what b says is what a hears", a, wantB)
}

// ledger is what a subscriber was told.
type ledger map[string]bool

// hear notes what p is told until just these routes stand.
func (l ledger) hear(p *peer, from, to int, hop rib.NextHop) {
	p.t.Helper()
	stands := func() bool {
		if len(l) != to-from {
			return false
		}
		for i := from; i < to; i++ {
			if !l[prefix(i).String()+" via "+hop.String()] {
				return false
			}
		}
		return true
	}
	for !stands() {
		action, route, _ := strings.Cut(p.update(), " 23 ")
		if known := l[route]; known == (action == "add") {
			p.t.Fatalf("%s %s: known before: %v", action, route, known)
		}
		if action == "add" {
			l[route] = true
		} else {
			delete(l, route)
		}
	}
}

func TestSlowReaderIsToldWhatIsTrueWhenItReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(nil)
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10) })
		return errors.Join(control, err)
	}}
	conn, err := small.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	slow, quick := newPeer(t, conn).greet(), dial(t, s).greet()
	slow.subscribe(23)
	quick.subscribe(23)
	const n = 20000
	speaker := w.static(23, n, hop1)
	heard := make(ledger)
	heard.hear(quick, 0, n, hop1)
	for i := range n - 3 {
		speaker.Withdraw(23, prefix(i), hop1)
		if err := speaker.Announce(23, prefix(i), hop2); err != nil {
			t.Fatal(err)
		}
		speaker.Withdraw(23, prefix(i), hop2)
	}
	heard.hear(quick, n-3, n, hop1)
	sessions := s.Sessions()
	if sessions[0].Behind == 0 || sessions[1].Behind != 0 {
		t.Errorf("behind by %d and %d", sessions[0].Behind, sessions[1].Behind)
	}
	slow.conn.SetDeadline(time.Now().Add(patience))
	make(ledger).hear(slow, n-3, n, hop1)
	if told := slow.sync(); len(told) > 0 {
		t.Fatalf("%d more updates", len(told))
	}
}
