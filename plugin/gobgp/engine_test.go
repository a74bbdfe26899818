package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// scripted is an engine that a test plays.
type scripted struct {
	script func(ctx context.Context, to sink, carry func(context.Context) error) error
	mu     sync.Mutex
	calls  []string // guarded by mu
	err    error
	paths  []Path
	during func() // called by table before the first path
}

func (e *scripted) run(ctx context.Context, to sink, carry func(context.Context) error) error {
	return e.script(ctx, to, carry)
}

func (e *scripted) note(verb string, batch []bridge.Update) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(batch) == 0 {
		e.calls = append(e.calls, "complete")
		return nil
	}
	for _, u := range batch {
		e.calls = append(e.calls, verb+" "+u.NLRI.Prefix.String())
	}
	return e.err
}

func (e *scripted) announce(batch []bridge.Update) error { return e.note("announce", batch) }
func (e *scripted) withdraw(batch []bridge.Update) error { return e.note("withdraw", batch) }

func (e *scripted) table(visit func(Path) bool) error {
	if e.during != nil {
		e.during()
	}
	for _, p := range e.paths {
		if !visit(p) {
			break
		}
	}
	return nil
}

func (e *scripted) noted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.calls...)
}

// play runs a speaker on a scripted engine.
func play(t *testing.T, e *scripted) (*host, <-chan error) {
	t.Helper()
	h := &host{book: newBook()}
	h.Speaker = newSpeakerOn(e, h.book, quiet())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	h.stop = cancel
	t.Cleanup(cancel)
	return h, done
}

func TestWhatIsNewIsSaidBeforeWhatGoes(t *testing.T) {
	e := &scripted{script: func(ctx context.Context, _ sink, carry func(context.Context) error) error { return carry(ctx) }}
	h, done := play(t, e)
	r := many(3, "192.0.2.1:1", vxlan("192.0.2.1"))
	h.tell(t, withdrawal(r[0]), r[1], withdrawal(r[1]), r[2])
	want := []string{"complete", "announce 10.0.0.2/32", "withdraw 10.0.0.0/32", "withdraw 10.0.0.1/32"}
	eventually(t, "all calls", func() bool { return len(e.noted()) == len(want) })
	if diff := cmp.Diff(want, e.noted()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	h.stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEngineThatLostEverythingIsToldAgain(t *testing.T) {
	exports := make(chan struct{}, 2)
	e := &scripted{script: func(ctx context.Context, _ sink, carry func(context.Context) error) error {
		first, lose := context.WithCancel(ctx)
		go func() {
			<-exports
			lose()
		}()
		if err := carry(first); err != nil {
			return err
		}
		return carry(ctx)
	}}
	h, done := play(t, e)
	r := many(1, "192.0.2.1:1", vxlan("192.0.2.1"))
	h.tell(t, r...)
	exports <- struct{}{}
	want := []string{"complete", "announce 10.0.0.0/32", "announce 10.0.0.0/32", "complete"}
	eventually(t, "all calls", func() bool { return len(e.noted()) == len(want) })
	if diff := cmp.Diff(want, e.noted()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	h.stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEngineThatEndsByItselfIsAnError(t *testing.T) {
	want := errors.New("no more BGP")
	_, done := play(t, &scripted{script: func(context.Context, sink, func(context.Context) error) error { return want }})
	if err := <-done; !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestFailedAnnouncementEndsTheSpeaker(t *testing.T) {
	want := errors.New("full")
	e := &scripted{err: want, script: func(ctx context.Context, _ sink, carry func(context.Context) error) error { return carry(ctx) }}
	h, done := play(t, e)
	h.tell(t, many(1, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	if err := <-done; !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if c := h.Counters(); c.Announced != 0 {
		t.Errorf("counters: %+v", c)
	}
}

func TestSlowBridgeGetsBatchesInOrder(t *testing.T) {
	const n = 2500
	neighbor := netip.MustParseAddr("192.0.2.9")
	said := make(chan struct{})
	e := &scripted{}
	e.script = func(ctx context.Context, to sink, _ func(context.Context) error) error {
		for i, u := range many(n, "192.0.2.9:1", vxlan("192.0.2.9")) {
			u.Neighbor = neighbor
			to.update(u)
			if i%2 == 1 {
				u.Withdraw, u.Attributes = true, nil
				to.update(u)
			}
		}
		to.endOfRIB(neighbor, config.FamilyEVPN)
		close(said)
		<-ctx.Done()
		return nil
	}
	b := newBook()
	b.mu.Lock() // Import waits
	s := newSpeakerOn(e, b, quiet())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-said
	b.mu.Unlock()
	eventually(t, "everything imported", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.ended[neighbor]) == 1
	})
	if b.len() != n/2 || b.announced != n || b.withdrawn != n/2 || b.maximum > maxBatch {
		t.Errorf("%d routes, %d announced, %d withdrawn, largest batch %d", b.len(), b.announced, b.withdrawn, b.maximum)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRefreshDoesNotUndoWhatHappensMeanwhile(t *testing.T) {
	neighbor := netip.MustParseAddr("192.0.2.9")
	r := many(4, "192.0.2.9:1", vxlan("192.0.2.9"))
	sinks := make(chan sink, 1)
	e := &scripted{script: func(ctx context.Context, to sink, _ func(context.Context) error) error {
		sinks <- to
		<-ctx.Done()
		return nil
	}}
	for i, u := range r {
		e.paths = append(e.paths, Path{NLRI: u.NLRI, Label: u.Label, Attributes: u.Attributes, Neighbor: neighbor, Best: i != 3})
	}
	e.paths = append(e.paths, Path{NLRI: many(5, "192.0.2.9:1", nil)[4].NLRI, Best: true}) // our own
	h, done := play(t, e)
	to := <-sinks
	e.during = func() {
		gone := withdrawal(r[1])
		gone.Neighbor = neighbor
		to.update(gone)
	}
	h.Refresh()
	eventually(t, "refreshed", func() bool { return h.len() == 2 })
	var got []string
	for i := range r {
		if _, ok := h.get(r[i].NLRI); ok {
			got = append(got, fmt.Sprint(i))
		}
	}
	if diff := cmp.Diff([]string{"0", "2"}, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	h.stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
