package gobgp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"
	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
)

// A gobgpd v3 that runs already. Sessions, policies and neighbours are its own;
// we add paths to its table and listen to its best paths. Its packet decoder
// stays in its process.
//
// Either side may go away and come back. What gobgpd said stays for a while
// (hearing), and what we said stays in its table: whoever comes back to it,
// this process or the next one, says everything once more, and after that
// takes away what is left of before and not said any more. So nothing is gone
// in between that stays.

const (
	minPause = time.Second // between two attempts to reach gobgpd
	maxPause = 30 * time.Second
)

var errNotAttached = errors.New("not attached to gobgpd")

// attached is the engine that speaks through a gobgpd.
type attached struct {
	address string          // as gRPC wants it
	asn     uint32          // that gobgpd must have
	hold    time.Duration   // how long what was said stays over a loss
	wanted  []config.Family // that the VNIs need
	log     logrus.FieldLogger
	encode  *encoder  // used by announce and withdraw only
	unsaid  leftOut   // likewise
	out     *outgoing // used by announce and withdraw; isOwn by all
	left    leftovers // of the last link, nil before the first; used by run only

	mu   sync.RWMutex
	link *link // guarded by mu; nil while not attached
}

func newAttached(cfg *config.Config, log logrus.FieldLogger) *attached {
	return &attached{
		address: cfg.BGP.Attach,
		asn:     cfg.ASN,
		hold:    cfg.BGP.AttachHold,
		wanted:  wantedFamilies(cfg),
		log:     log.WithField("gobgpd", cfg.BGP.Attach),
		encode:  newEncoder(cfg.ASN),
		unsaid:  leftOut{log: log},
		out:     newOutgoing(cfg.ASN, cfg.RouterID),
	}
}

// wantedFamilies returns the families of the VNIs' routes.
func wantedFamilies(cfg *config.Config) []config.Family {
	used := make([]bool, len(families))
	for i := range cfg.VNIs {
		for _, f := range cfg.VNIs[i].Family.Families() {
			used[f] = true
		}
		if cfg.VNIs[i].Export.FlowSpec != config.FlowSpecOff {
			used[config.FamilyFlowSpec4], used[config.FamilyFlowSpec6] = true, true
		}
	}
	var list []config.Family
	for f, yes := range used {
		if yes {
			list = append(list, config.Family(f))
		}
	}
	return list
}

func (a *attached) run(ctx context.Context, to sink, carry func(context.Context) error) error {
	h := newHearing(to, a.hold, a.wanted, a.out.isOwn)
	defer h.close()
	var due time.Time
	var said string // the last reason why we are not attached
	pause := minPause
	for {
		l, err := dial(ctx, a.address, a.asn)
		if err == nil {
			begun := time.Now()
			if due.IsZero() {
				due = begun.Add(a.hold)
			}
			a.log.WithField("router-id", l.routerID).Info("attached to gobgpd")
			if err = a.serve(ctx, l, h, due, carry); !errors.Is(err, errLost) {
				return err
			}
			if time.Since(begun) > maxPause {
				pause = minPause
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err.Error() != said || errors.Is(err, errLost) {
			said = err.Error()
			a.log.WithError(err).Warn("not attached to gobgpd, trying again")
		}
		rest := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			rest.Stop()
			return nil
		case <-rest.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// serve listens and announces over a link until ctx is over or the link is
// lost, which is an error that wraps errLost. What an earlier process of ours
// left in gobgpd stays until due at least.
func (a *attached) serve(ctx context.Context, l *link, h *hearing, due time.Time, carry func(context.Context) error) error {
	linked, lose := context.WithCancelCause(ctx)
	var tasks sync.WaitGroup
	gone := make(chan struct{})
	guard := make(chan struct{})
	go func() {
		defer close(guard)
		l.guard(linked, gone)
	}()
	defer func() {
		lose(nil)
		l.close()
		close(gone)
		tasks.Wait()
		<-guard
		h.lost()
	}()
	tasks.Go(func() { lose(l.probe(linked, h)) })
	err := l.watch(linked, h)
	if err == nil {
		tasks.Go(func() { lose(l.hear(linked, h)) })
		err = a.prepare(linked, l, h)
	}
	if err == nil {
		tasks.Go(func() { l.sweep(linked, due) })
		a.attach(l)
		err = carry(linked)
		a.attach(nil)
		a.left = l.takeLeft()
	}
	if ctx.Err() == nil {
		if why := context.Cause(linked); why != nil {
			err = why
		}
		if err == nil || errors.Is(err, errLost) {
			return err
		}
	}
	lose(nil)
	h.close() // what neighbours said is not withdrawn because we stop
	if err := l.leave(a.out.isOwn); err != nil {
		a.log.WithError(err).Warn("routes of ours may be left in gobgpd")
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// prepare hears what gobgpd has, and makes ready to announce.
func (a *attached) prepare(ctx context.Context, l *link, h *hearing) error {
	missing, err := l.read(ctx, h, a.left, a.out.isOwn)
	if err != nil {
		return err
	}
	for _, f := range missing {
		a.log.WithField("family", f).Warn("gobgpd has this family not enabled, its routes go nowhere")
	}
	return l.open()
}

func (a *attached) attach(l *link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.link = l
}

func (a *attached) announce(batch []bridge.Update) error {
	if len(batch) == 0 {
		a.link.settle()
		return nil
	}
	return a.say(batch)
}

func (a *attached) withdraw(batch []bridge.Update) error { return a.say(batch) }

// say sends a batch. What cannot be converted is logged and left out, as the
// other engine does.
func (a *attached) say(batch []bridge.Update) error {
	paths := make([]*apipb.Path, 0, len(batch))
	now := time.Now().Unix()
	for i := range batch {
		p, err := a.encode.path(&batch[i], now)
		if err != nil {
			a.unsaid.note(batch[i].NLRI, err)
			continue
		}
		out, err := a.out.path(p)
		if err != nil {
			a.unsaid.note(batch[i].NLRI, err)
			continue
		}
		paths = append(paths, out)
	}
	return a.link.send(paths)
}

func (a *attached) table(visit func(Path) bool) error {
	a.mu.RLock()
	l := a.link
	a.mu.RUnlock()
	if l == nil {
		return errNotAttached
	}
	in, d, more := newIncoming(l.routerID), newDecoder(), true
	for _, f := range a.wanted {
		err := l.list(context.Background(), f, func(p *apipb.Path) bool {
			path, err := in.path(p)
			if err != nil {
				return true
			}
			if a.out.isOwn(p) {
				path.PeerAddress = netip.Addr{}
			}
			u, why, ok := d.update(path)
			if !ok || why != skipNothing {
				return true
			}
			more = visit(Path{
				NLRI:       u.NLRI,
				Label:      u.Label,
				Attributes: u.Attributes,
				Neighbor:   u.Neighbor,
				Best:       path.Best,
				Stale:      path.Stale,
				Since:      unixTime(path.Age),
			})
			return more
		})
		if err != nil && !errors.Is(err, errNoFamily) {
			return fmt.Errorf("table of %v: %w", f, err)
		}
		if !more {
			break
		}
	}
	return nil
}
