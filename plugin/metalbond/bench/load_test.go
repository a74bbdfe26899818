package bench

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

var small = Options{
	Routes:  Routes{Count: 500, VNI: 100, VNIs: 3, Family: Both, NextHops: 7},
	Clients: 4, Pace: PaceAuto,
	Duration: 200 * time.Millisecond, Keepalive: 5 * time.Second, Patience: 10 * time.Second,
}

// serve runs one of our servers in this process.
func serve(t *testing.T) *Server {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := &config.Config{}
	b, err := bridge.New(cfg, rib.New(rib.Options{Encode: metalbond.Encode}), log)
	if err != nil {
		t.Fatal(err)
	}
	s := metalbond.NewServer(metalbond.ServerOptions{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Bridge: b, Log: log,
	})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	return &Server{Address: s.Addr().String()}
}

// run runs something until the test ends.
func run(t *testing.T, what func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- what(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Each load is put on our server, by announcers of both paces. A load fails if
// a client does not know exactly what it should know.
func TestLoadsEndWithEverybodyKnowingEverything(t *testing.T) {
	const all = 500
	phases := map[string][]struct {
		phase      string
		updates    uint64
		deliveries uint64 // 0: any
	}{
		"fanout":  {{"announce", all, 4 * all}, {"withdraw", all, 4 * all}},
		"sync":    {{"sync", 0, 4 * all}},
		"churn":   {{"churn", 0, 0}},
		"drop":    {{"announce", all, 4 * all}, {"drop", 0, 4 * all}},
		"slow":    {{"announce", all, 4 * all}, {"withdraw", all, 4 * all}, {"announce", all, 4 * all}, {"read again", 0, 0}},
		"latency": {{"announce", all, 4 * all}},
		"memory":  {{"origin 1", all, 0}, {"origin 2", all, 0}, {"origin 3", all, 0}, {"origin 4", all, 0}},
		"idle":    {{"connect", 0, 0}, {"idle", 0, 0}},
	}
	for _, pace := range []Pace{PaceAuto, PaceOff} {
		for _, l := range Loads() {
			t.Run(l.Name+"/"+string(pace), func(t *testing.T) {
				options := small
				options.Pace = pace
				got, err := l.Run(t.Context(), serve(t), options)
				if err != nil {
					t.Fatal(err)
				}
				want := phases[l.Name]
				if len(got) != len(want) {
					t.Fatalf("%d phases, want %d: %+v", len(got), len(want), got)
				}
				for i, w := range want {
					x := got[i]
					if x.Phase != w.phase || l.Name != "churn" && x.Updates != w.updates || w.deliveries > 0 && x.Deliveries != w.deliveries || x.Wall <= 0 {
						t.Errorf("phase %d is %+v, want %+v", i, x, w)
					}
				}
				if l.Name == "churn" && (got[0].Updates < all || got[0].Deliveries < 3*all) {
					t.Errorf("churn was %+v", got[0])
				}
			})
		}
	}
}

func TestBareServerTellsEverybody(t *testing.T) {
	for _, l := range Loads() {
		if l.Name != "fanout" && l.Name != "sync" {
			continue // bare never forgets, and echoes
		}
		t.Run(l.Name, func(t *testing.T) {
			b, err := NewBare(netip.MustParseAddrPort("127.0.0.1:0"), 1000) // cuts frames
			if err != nil {
				t.Fatal(err)
			}
			run(t, b.Run)
			got, err := l.Run(t.Context(), &Server{Address: b.Address().String()}, small)
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Deliveries != 4*500 {
				t.Errorf("%d deliveries", got[0].Deliveries)
			}
		})
	}
}

// Routes that somebody else has announced are not mixed with those of a load.
func TestVNIsThatAreInUseAreAnError(t *testing.T) {
	server := serve(t)
	r := &load{Options: small, ctx: t.Context(), server: server}
	var err error
	if r.loop, err = newLoop(small.Patience, small.Keepalive); err != nil {
		t.Fatal(err)
	}
	defer r.loop.close()
	if _, err := r.stand(); err != nil {
		t.Fatal(err)
	}
	options := small
	options.Patience = time.Second
	_, err = Loads()[0].Run(t.Context(), server, options)
	if err == nil || !strings.Contains(err.Error(), "knows 500 routes and should know 0") {
		t.Errorf("error is %v", err)
	}
}

// A session that the server ends is an error that says whose it was.
func TestServerThatEndsIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b, err := NewBare(netip.MustParseAddrPort("127.0.0.1:0"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(context.Context) error { return b.Run(ctx) })
	options := small
	options.Duration = time.Minute
	options.Progress = func(what string, _ uint64) {
		if what == "idle" {
			cancel()
		}
	}
	for _, l := range Loads() {
		if l.Name != "idle" {
			continue
		}
		_, err := l.Run(t.Context(), &Server{Address: b.Address().String()}, options)
		if err == nil || !strings.Contains(err.Error(), ", after 0 updates out and 0 in: closed by the server") {
			t.Errorf("error is %v", err)
		}
	}
}

// A server that loses or repeats a route, or changes its next hop, is caught.
func TestWrongDeliveriesAreFound(t *testing.T) {
	for _, row := range []struct {
		name  string
		wrong func(i int) []int // the numbers of the routes that are told for number i
	}{
		{"one is lost", func(i int) []int {
			if i == 13 {
				return nil
			}
			return []int{i}
		}},
		{"one comes twice", func(i int) []int {
			if i == 13 {
				return []int{13, 13}
			}
			return []int{i}
		}},
		{"one comes in another's place", func(i int) []int {
			if i == 13 {
				return []int{14}
			}
			return []int{i}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var d digest
			for i := range 100 {
				for _, n := range row.wrong(i) {
					d = d.plus(small.Routes.digest(n, n+1))
				}
			}
			if d == small.Routes.digest(0, 100) {
				t.Error("nobody noticed")
			}
		})
	}
}
