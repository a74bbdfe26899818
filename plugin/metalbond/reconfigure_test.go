package metalbond

import (
	"slices"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

func TestServersComeAndGoWhileOthersStay(t *testing.T) {
	first, second, w := newWorld(t), newWorld(t), newWorld(t)
	first.static(23, 10, hop1)
	second.static(23, 7, hop2)
	one, two := first.serve(nil).Addr().String(), second.serve(nil).Addr().String()
	c, _ := w.follow(func(o *ClientOptions) { o.Subscribe = []rib.VNI{23} }, one)
	w.has(23, 10)
	r := w.bridge.Table().NewReader(23, rib.ReaderOptions{})
	defer r.Close()
	for changes, more := make([]rib.Change, 100), true; more; {
		_, more = r.ReadChanges(changes)
	}
	since := c.Sessions()[0].Since

	c.Reconfigure(ClientOptions{Servers: []string{two, one}, Keepalive: 2 * time.Second})
	w.has(23, 17)
	if list := c.Sessions(); list[0].Peer != two || list[1].Peer != one || !list[1].Since.Equal(since) || list[1].State != Established {
		t.Errorf("%+v", list)
	}
	if list := c.Sessions(); list[0].Keepalive != 2*time.Second || list[1].Keepalive != DefaultKeepalive {
		t.Errorf("the new session has an interval of %v, the one that was there of %v", list[0].Keepalive, list[1].Keepalive)
	}
	c.Reconfigure(ClientOptions{Servers: []string{one}})
	w.has(23, 10)
	if list := c.Sessions(); len(list) != 1 || !list[0].Since.Equal(since) {
		t.Errorf("%+v", list)
	}
	changes := make([]rib.Change, 100)
	n, more := r.ReadChanges(changes)
	for _, x := range changes[:n] {
		stays := func(p rib.Path) bool { return p.NextHop == hop1 }
		if slices.ContainsFunc(x.Old, stays) != slices.ContainsFunc(x.New, stays) {
			t.Errorf("what the server says that stayed has changed: %+v", x)
		}
	}
	if more {
		t.Error("there is more to read")
	}
	c.Reconfigure(ClientOptions{})
	w.has(23, 0)
}

func TestPaceIsThatOfSessionsToCome(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	before := dial(t, s).greet()
	before.sync()
	s.Reconfigure(ServerOptions{Pace: config.Pace{Mode: config.PaceOff}, Keepalive: 7 * time.Second})
	eventually(t, "a session", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].State == Established })
	if got := s.settings.offer; got != 7 {
		t.Errorf("offers %d s, want 7", got)
	}
	if got := s.Sessions()[0].Keepalive; got == 7*time.Second {
		t.Errorf("the session that was there has %v", got)
	}
}
