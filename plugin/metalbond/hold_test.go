package metalbond

import (
	"testing"
	"time"

	"mbbgp/rib"
)

// lost tells n routes as a server, loses the session and returns the next one.
func lost(t *testing.T, w *world, hold time.Duration, n int) (*Client, *peer) {
	t.Helper()
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Hold, o.Subscribe = hold, []rib.VNI{23} }, address)
	p := accept().welcome()
	for i := range n {
		p.announce(23, prefix(i), hop1)
	}
	w.has(23, n)
	p.conn.Close()
	q := accept()
	if got := w.table.Stats(23).NextHops; hold > 0 && got != n {
		t.Fatalf("%d routes while they are held", got)
	}
	return c, q.welcome()
}

// answer answers KEEPALIVEs until the connection ends.
func (p *peer) answer() {
	for {
		frame := p.next()
		switch frame {
		case keepalive:
			if _, err := p.conn.Write([]byte{1, 0, 0, 2}); err != nil {
				return
			}
		case errClosed.Error(), errReset.Error():
			return
		}
		if p.in.Buffered() == 0 && len(frame) > 2 && frame[:2] != "01" {
			return
		}
	}
}

func TestLostSessionKeepsItsRoutesUntilTheServerHasRepeatedThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := w.table.NewReader(23, rib.ReaderOptions{})
	defer reader.Close()
	c, p := lost(t, w, time.Minute, 10)
	for i := range 7 {
		p.announce(23, prefix(i), hop1)
	}
	changes := make([]rib.Change, 100)
	reader.ReadChanges(changes)
	go p.answer()
	w.has(23, 7)
	if i := c.Sessions()[0]; i.Held != 0 || i.Routes != 7 {
		t.Fatalf("%+v", i)
	}
	n, _ := reader.ReadChanges(changes)
	if n != 3 {
		t.Fatalf("%d prefixes changed, not just the 3 that were not repeated", n)
	}
	p.conn.Close()
}

func TestHeldRoutesGoWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) {
		o.Hold, o.Subscribe = 200*time.Millisecond, []rib.VNI{23}
		o.ReconnectMin, o.ReconnectMax = time.Hour, time.Hour
	}, address)
	p := accept().welcome()
	p.announce(23, prefix(1), hop1)
	w.has(23, 1)
	p.conn.Close()
	eventually(t, "held", func() bool { return c.Sessions()[0].Held == 1 })
	begin := time.Now()
	w.has(23, 0)
	if took := time.Since(begin); took > patience/2 {
		t.Fatalf("held for %v", took)
	}
}

func TestHeldRoutesOfAServerThatIsNeverQuietGoWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, p := lost(t, w, 3*time.Second, 10)
	go p.answer()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for i := 100; c.Sessions()[0].Held > 0; i++ {
		p.announce(23, prefix(i%2+100), hop1)
		<-tick.C
		if time.Since(begin) > patience {
			t.Fatal("held for ever")
		}
	}
	w.has(23, 2)
	p.conn.Close()
}

func TestWithdrawalCountsAgainstWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	_, p := lost(t, w, time.Minute, 3)
	p.withdraw(23, prefix(1), hop1)
	w.has(23, 2)
}

func TestWithoutHoldLostSessionsWithdrawAtOnce(t *testing.T) {
	w := newWorld(t)
	_, _ = lost(t, w, 0, 10)
	w.has(23, 0)
}

func TestFirstTableIsCompleteWhenTheServerFallsSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, accept := fakeServer(t)
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, address)
	p := accept().welcome()
	p.announce(23, prefix(1), hop1)
	w.has(23, 1)
	if i := c.Sessions()[0]; i.State != Established || i.Told {
		t.Fatalf("before the server has answered anything: %+v", i)
	}
	go p.answer()
	eventually(t, "told", func() bool { return c.Sessions()[0].Told })
	p.conn.Close()
	accept().welcome()
	eventually(t, "established again", func() bool { return c.Sessions()[0].State == Established })
	if !c.Sessions()[0].Told {
		t.Error("after another session the first table is forgotten")
	}
}
