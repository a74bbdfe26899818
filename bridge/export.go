package bridge

// Export reads the exported VNIs as any other reader of the table, each with
// its own cursor, and keeps no copy of what it has said: a change comes with
// what was there when the reader last looked, so what BGP was told of a prefix
// follows from that (paths.go). It waits in send as long as the speaker wants;
// meanwhile the table changes freely, and changes that undo each other are
// never said.

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"mbbgp/rib"
)

// maxBatch is how many updates are sent at once, at most.
const maxBatch = 1000

// ErrExporting is returned by Export while another Export runs.
var ErrExporting = errors.New("the export to BGP is running already")

// Export says to send what BGP is to hear, until ctx is over; then it returns
// nil. It starts from the assumption that BGP knows nothing and says
// everything, then every change. A batch has at most 1000 updates, each NLRI
// once; it belongs to send until send returns. Announcements of one VNI and
// next hop stand together and share their Attributes, withdrawals have none.
// An NLRI is announced again only if its next hop changed, and withdrawn only
// if it was announced. The first time that there is nothing more to say, an
// empty batch says so. If send fails, Export ends with that error.
func (g *BGP) Export(ctx context.Context, send func([]Update) error) error {
	if !g.exporting.TryLock() {
		return ErrExporting
	}
	defer g.exporting.Unlock()
	e := exporter{bgp: g, send: send, wake: make(chan struct{}, 1), changes: make([]rib.Change, maxBatch)}
	defer e.close()
	g.memberships.open(e.signal)
	if g.rds != nil {
		e.open()
	}
	for complete := false; ctx.Err() == nil; {
		idle, err := e.round(ctx)
		if err != nil {
			return err
		}
		if idle && !complete {
			complete = true
			if err := e.send(nil); err != nil {
				return err
			}
		}
		if idle {
			select {
			case <-ctx.Done():
			case <-e.wake:
			}
		}
	}
	return nil
}

// exporter is one run of Export.
type exporter struct {
	bgp     *BGP
	send    func([]Update) error
	feeds   []*feed
	wake    chan struct{} // a feed became ready, or the memberships changed
	changes []rib.Change
	batch   []Update
}

// feed is the export of one network.
type feed struct {
	bgp     *BGP
	network *network
	reader  *rib.Reader
	ready   atomic.Bool // there is something to read
	rds     []RD        // by path, as far as used
	self    *Attributes // of all routes, if they go through this gateway
	byHop   map[rib.NextHop]*Attributes
}

func (e *exporter) open() {
	for _, n := range e.bgp.bridge.sorted {
		n.out.reset()
		if !n.exported() {
			continue
		}
		f := &feed{bgp: e.bgp, network: n, byHop: map[rib.NextHop]*Attributes{}}
		if n.self {
			f.self = f.attributes(rib.NextHop{Target: e.bgp.local})
		}
		f.ready.Store(true)
		f.reader = e.bgp.bridge.table.NewReader(n.vni, rib.ReaderOptions{
			Sources: sources,
			Wake: func() {
				f.ready.Store(true)
				e.signal()
			},
		})
		e.feeds = append(e.feeds, f)
	}
}

// signal ends the wait for something to say.
func (e *exporter) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *exporter) close() {
	for _, f := range e.feeds {
		f.reader.Close()
	}
}

// round reads each feed that is ready once, so that no NLRI is twice in a
// batch. It reports whether there was nothing to read.
func (e *exporter) round(ctx context.Context) (idle bool, err error) {
	idle = true
	e.batch = e.bgp.memberships.changes(e.batch)
	for _, f := range e.feeds {
		if !f.ready.Load() {
			continue
		}
		if ctx.Err() != nil {
			return false, nil
		}
		idle = false
		f.ready.Store(false)
		n, more := f.reader.ReadChanges(e.changes)
		if more {
			f.ready.Store(true)
		}
		e.batch = f.apply(e.changes[:n], e.batch)
		if len(e.batch) >= maxBatch {
			if err := e.flush(); err != nil {
				return false, err
			}
		}
	}
	return idle, e.flush()
}

func (e *exporter) flush() error {
	if len(e.batch) == 0 {
		return nil
	}
	e.bgp.rds.save()
	for part := range slices.Chunk(e.batch, maxBatch) {
		if err := e.send(part); err != nil {
			return err
		}
	}
	clear(e.batch)
	e.batch = e.batch[:0]
	return nil
}

// apply appends to batch what the changes mean to BGP.
func (f *feed) apply(changes []rib.Change, batch []Update) []Update {
	out := &f.network.out
	out.mu.Lock()
	defer out.mu.Unlock()
	start := len(batch)
	for i := range changes {
		batch = f.change(&changes[i], batch)
	}
	batch = f.admit(batch)
	if out.clear() {
		logClear(f.bgp.bridge.log.WithField("vni", f.network.vni), out.LimitStats)
	}
	if f.self == nil {
		clear(f.byHop)
		slices.SortStableFunc(batch[start:], byNextHop)
	}
	return batch
}

// byNextHop orders announcements by next hop, before withdrawals.
func byNextHop(a, b Update) int {
	if a.Withdraw || b.Withdraw {
		switch {
		case a.Withdraw == b.Withdraw:
			return 0
		case a.Withdraw:
			return 1
		}
		return -1
	}
	return a.Attributes.NextHop.Compare(b.Attributes.NextHop)
}

// announce appends the announcement of a path.
func (f *feed) announce(batch []Update, nlri NLRI, hop rib.NextHop) []Update {
	a := f.self
	if a == nil {
		if a = f.byHop[hop]; a == nil {
			a = f.attributes(hop)
			f.byHop[hop] = a
		}
	}
	f.network.out.announced++
	return append(batch, Update{NLRI: nlri, Label: uint32(f.network.vni), Attributes: a})
}

// withdraw appends the withdrawal of a path.
func (f *feed) withdraw(batch []Update, nlri NLRI) []Update {
	f.network.out.withdrawn++
	return append(batch, Update{Withdraw: true, NLRI: nlri, Label: uint32(f.network.vni)})
}

// attributes makes what all routes of the network with a next hop carry.
func (f *feed) attributes(hop rib.NextHop) *Attributes {
	a := &Attributes{
		NextHop:       hop.Target,
		RouteTargets:  f.network.exports.Targets,
		Encapsulation: TunnelIPinIP,
	}
	if f.network.self {
		a.Encapsulation, a.RouterMAC = TunnelVXLAN, f.bgp.mac
	}
	if f.bgp.domain != (ExtendedCommunity{}) {
		a.SiteOfOrigin = f.bgp.origins[:]
	}
	return a
}
