package gobgp

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"mbbgp/bridge"
	"mbbgp/config"
)

// Two streams meet here. What the bridge exports goes to the engine in the
// goroutine that reads it; what the engine hears is put into an inbox by the
// engine's own goroutine, which never waits, and taken out in batches by
// another. Nothing is kept between the two: an engine that has lost what it
// was told is told everything again.

// refreshInterval is the least time between two copies of the engine's table.
const refreshInterval = 10 * time.Second

// overdueTime is when neighbours that are not there become news.
const overdueTime = 30 * time.Second

// routes is the side of the bridge that BGP talks to.
type routes interface {
	// Import takes what neighbours announced and withdrew, in order. The
	// batch is the speaker's again when Import returns.
	Import(batch []bridge.Update)
	// EndOfRIB says that the neighbour has sent all it had of a family.
	EndOfRIB(neighbor netip.Addr, family bridge.Family)
	// Forget drops what is known of a neighbour that is not there any more, and
	// returns how many NLRIs of it were left.
	Forget(neighbor netip.Addr) int
	// Export tells send everything that BGP should announce, then an empty
	// batch, and then every change, until ctx is over or send fails.
	Export(ctx context.Context, send func([]bridge.Update) error) error
}

// Speaker is the BGP speaker of the process.
type Speaker struct {
	engine   engine
	retained func() uint64
	to       routes
	sessions *sessions
	inbox    *inbox
	again    chan struct{}         // holds a token while a refresh is asked for
	pings    chan struct{}         // taken by importAll
	alive    func(context.Context) // returns once the engine has come round
	ready    chan struct{}
	started  sync.Once

	announced, withdrawn           atomic.Uint64
	imported, removed              atomic.Uint64
	own, unsupported, malformed    atomic.Uint64
	last                           map[bridge.NLRI]int // of send
	announceBuffer, withdrawBuffer []bridge.Update     // of send
}

// New checks what can be checked of the BGP configuration without a network:
// password files are read, addresses looked at, a gobgpd file is parsed. It
// starts nothing. It sets to.Refresh.
func New(cfg *config.Config, to *bridge.BGP, log logrus.FieldLogger) (*Speaker, error) {
	s, err := newSpeaker(cfg, to, log)
	if err != nil {
		return nil, err
	}
	to.Refresh = s.Refresh
	return s, nil
}

func newSpeaker(cfg *config.Config, to routes, log logrus.FieldLogger) (*Speaker, error) {
	if cfg.BGP == nil {
		return nil, errors.New("the configuration has no bgp section")
	}
	if cfg.BGP.Attach != "" {
		return newSpeakerOn(newAttached(cfg, log), to, log), nil
	}
	setup, err := newSetup(cfg, log)
	if err != nil {
		return nil, err
	}
	e := newEmbedded(setup, log)
	s := newSpeakerOn(e, to, log)
	s.retained, s.alive = e.retained.Load, e.alive
	return s, nil
}

func newSpeakerOn(e engine, to routes, log logrus.FieldLogger) *Speaker {
	return &Speaker{
		engine:   e,
		retained: func() uint64 { return 0 },
		alive:    func(context.Context) {}, // a gobgpd that hangs is not ours to mend
		to:       to,
		sessions: newSessions(log),
		inbox:    newInbox(),
		again:    make(chan struct{}, 1),
		pings:    make(chan struct{}),
		ready:    make(chan struct{}),
		last:     make(map[bridge.NLRI]int, maxBatch),
	}
}

// Run speaks BGP until ctx is over, and returns nil then; any other end is an
// error. Before it returns, the neighbours were told that the sessions end, or
// a gobgpd that we are attached to has no paths of ours any more, so what we
// announced is gone there. What they announced stays in the bridge. A Speaker
// runs once.
func (s *Speaker) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return s.importAll(running) })
	g.Go(func() error { return s.refreshAll(running) })
	g.Go(func() error { return s.expectAll(running) })
	g.Go(func() error {
		defer context.AfterFunc(running, s.sessions.stopping)()
		return s.engine.run(running, s, s.carry)
	})
	err := g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// Ready is closed once the listeners are open and all neighbours are added, or
// the speaker is attached to a gobgpd that runs.
func (s *Speaker) Ready() <-chan struct{} { return s.ready }

// Neighbors returns the neighbours, sorted by address; none before the start.
func (s *Speaker) Neighbors() []NeighborInfo { return s.sessions.list() }

// Counters returns what the speaker counted since its start.
func (s *Speaker) Counters() Counters {
	return Counters{
		Announced:   s.announced.Load(),
		Withdrawn:   s.withdrawn.Load(),
		Imported:    s.imported.Load(),
		Removed:     s.removed.Load(),
		Own:         s.own.Load(),
		Unsupported: s.unsupported.Load(),
		Malformed:   s.malformed.Load(),
		Retained:    s.retained(),
	}
}

// Table calls visit with every path of the EVPN table, in no order, until it
// returns false. All of BGP waits while the table is copied, about a second
// for a million paths.
func (s *Speaker) Table(visit func(Path) bool) error { return s.engine.table(visit) }

// Refresh hands all best paths to the bridge once more, soon, and returns at
// once. Requests that come close together are one.
func (s *Speaker) Refresh() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// carry announces all that the bridge exports.
func (s *Speaker) carry(ctx context.Context) error {
	s.started.Do(func() { close(s.ready) })
	err := s.to.Export(ctx, s.send)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// send brings a batch of the bridge to the engine: of each NLRI the last word,
// and what is new before what goes, so that a prefix that moves from one route
// distinguisher to another is never without path.
func (s *Speaker) send(batch []bridge.Update) error {
	if len(batch) == 0 { // all was said
		return s.engine.announce(nil)
	}
	clear(s.last)
	for i := range batch {
		s.last[batch[i].NLRI] = i
	}
	announce, withdraw := s.announceBuffer[:0], s.withdrawBuffer[:0]
	for i := range batch {
		switch {
		case s.last[batch[i].NLRI] != i:
		case batch[i].Withdraw:
			withdraw = append(withdraw, batch[i])
		default:
			announce = append(announce, batch[i])
		}
	}
	s.announceBuffer, s.withdrawBuffer = announce, withdraw
	defer clear(announce) // hold no attributes
	if len(announce) > 0 {
		if err := s.engine.announce(announce); err != nil {
			return err
		}
		s.announced.Add(uint64(len(announce)))
	}
	if len(withdraw) > 0 {
		if err := s.engine.withdraw(withdraw); err != nil {
			return err
		}
		s.withdrawn.Add(uint64(len(withdraw)))
	}
	return nil
}

// importAll brings what is in the inbox to the bridge.
func (s *Speaker) importAll(ctx context.Context) error {
	var l letters
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.pings:
			continue
		case <-s.inbox.wake:
		}
		l = s.inbox.take(l)
		s.sessions.count(l.updates)
		for i := range l.updates {
			if l.updates[i].Withdraw {
				s.removed.Add(1)
			} else {
				s.imported.Add(1)
			}
		}
		l.deliver(s.to)
		clear(l.updates) // hold no attributes
		if cap(l.updates) > keepBuffer {
			l = letters{}
		}
	}
}

// refreshAll copies the table into the inbox whenever that was asked for.
func (s *Speaker) refreshAll(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.again:
		}
		s.inbox.beginRefresh()
		var best []bridge.Update
		err := s.engine.table(func(p Path) bool {
			if p.Best && p.Neighbor.IsValid() {
				best = append(best, bridge.Update{NLRI: p.NLRI, Label: p.Label, Attributes: p.Attributes, Neighbor: p.Neighbor})
			}
			return ctx.Err() == nil
		})
		if err != nil {
			best = nil // not running: what comes back will be said anyway
		}
		s.inbox.refresh(best)
		rest := time.NewTimer(refreshInterval)
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// expectAll says once which neighbours did not come up in time.
func (s *Speaker) expectAll(ctx context.Context) error {
	due := time.NewTimer(overdueTime)
	defer due.Stop()
	select {
	case <-ctx.Done():
	case <-due.C:
		s.sessions.overdue()
	}
	return nil
}

// The sink of the engine.

func (s *Speaker) update(u bridge.Update) { s.inbox.update(u) }

func (s *Speaker) skipped(why skip) {
	switch why {
	case skipOwn:
		s.own.Add(1)
	case skipUnsupported:
		s.unsupported.Add(1)
	case skipMalformed:
		s.malformed.Add(1)
	}
}

func (s *Speaker) endOfRIB(neighbor netip.Addr, family config.Family) {
	s.sessions.endOfRIB(neighbor, family)
	s.inbox.endOfRIB(neighbor, family)
}

func (s *Speaker) session(c change) {
	s.sessions.change(c)
	if c.gone {
		s.inbox.forget(c.neighbor)
	}
}

func (s *Speaker) failed(neighbor netip.Addr, reason string) { s.sessions.failed(neighbor, reason) }
