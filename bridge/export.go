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
	"net/netip"
	"slices"
	"sync/atomic"

	"mbbgp/rib"
)

// maxBatch is how many updates are sent at once, at most.
const maxBatch = 1000

// maxRead is how many changes are read at once. Routes of many hypervisors come
// mixed, and those with the same attributes are put together: the more of them
// there are to do that with, the fewer messages BGP takes.
const maxRead = 16 * maxBatch

// ErrExporting is returned by Export while another Export runs.
var ErrExporting = errors.New("the export to BGP is running already")

// Export says to send what BGP is to hear, until ctx is over; then it returns
// nil. It starts from the assumption that BGP knows nothing and says
// everything, then every change. A batch has at most 1000 updates, each NLRI
// once; it belongs to send until send returns. Announcements of one VNI that
// say the same of their routes stand together and share their Attributes,
// withdrawals have none. An NLRI is announced again only if what is said of it
// changed, and withdrawn only if it was announced. The first time that there is
// nothing more to say, an empty batch says so. If send fails, Export ends with
// that error.
func (g *BGP) Export(ctx context.Context, send func([]Update) error) error {
	if !g.exporting.TryLock() {
		return ErrExporting
	}
	defer g.exporting.Unlock()
	e := exporter{bgp: g, send: send, wake: make(chan struct{}, 1), changes: make([]rib.Change, maxRead), readers: map[*rib.Reader]struct{}{}}
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
			e.sweep()
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
	readers map[*rib.Reader]struct{} // that are open
	wake    chan struct{}            // a feed became ready, or the memberships changed
	changes []rib.Change
	batch   []Update
	lapsing []*feed // that have lapsed aggregates
}

// feed is the export of one network.
type feed struct {
	bgp     *BGP
	view    *view
	network *network
	kind    NLRIKind
	reader  *rib.Reader
	ready   atomic.Bool // there is something to read
	rds     []RD        // by path, as far as used
	shapes  shapes
	lapsed  []*aggregate // BGP was told of, and it may be over
	groups  []int        // of the updates of this batch: the number of their attributes; withdrawn: none
	places  []int        // scratch of group
	grouped []Update     // scratch of group

	// Of a feed that takes the place of another one (handover.go).
	told  told                    // what BGP was told and has not been said again so far; nil: it has taken it
	prior map[netip.Prefix][]path // which path next hops had
}

// withdrawn is the group of updates that have no attributes of this feed.
const withdrawn = -1

func (e *exporter) open() {
	e.bgp.contest.reset()
	v := e.bgp.handovers.open(e.bgp.bridge, e.signal)
	e.bgp.contest.extend(v.sorted)
	for _, n := range v.sorted {
		n.out.reset(n)
		if n.exported() {
			f := e.newFeed(v, n)
			e.openReader(f, n.vni)
			e.feeds = append(e.feeds, f)
		}
	}
}

// newFeed returns the feed of a network, without a reader.
func (e *exporter) newFeed(v *view, n *network) *feed {
	f := &feed{bgp: e.bgp, view: v, network: n, kind: n.kind(), shapes: newShapes(e.bgp, n)}
	f.ready.Store(true)
	return f
}

// openReader opens the reader of a feed.
func (e *exporter) openReader(f *feed, vni rib.VNI) {
	f.reader = e.bgp.bridge.table.NewReader(vni, rib.ReaderOptions{
		Sources: sources,
		Wake: func() {
			f.ready.Store(true)
			e.signal()
		},
	})
	e.readers[f.reader] = struct{}{}
}

// closeReader closes the reader of a feed.
func (e *exporter) closeReader(f *feed) {
	f.reader.Close()
	delete(e.readers, f.reader)
}

// signal ends the wait for something to say.
func (e *exporter) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *exporter) close() {
	for r := range e.readers {
		r.Close()
	}
}

// round reads each feed that is ready once, so that no NLRI is twice in a
// batch. It reports whether there was nothing to read.
func (e *exporter) round(ctx context.Context) (idle bool, err error) {
	idle = true
	if err := e.handOver(ctx); err != nil {
		return false, err
	}
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
		e.take(f, e.changes[:n])
		if !more || f.shapes.len() > maxShapes {
			f.shapes.forget()
		}
		if len(e.batch) >= maxBatch || e.bgp.contest.on.Load() { // another VNI may say the same NLRI
			if err := e.flush(); err != nil {
				return false, err
			}
		}
	}
	return idle, e.flush()
}

// sweep takes the discards out of the fabric table that are left of an earlier
// Export.
func (e *exporter) sweep() {
	for _, f := range e.feeds {
		if f.network.forwards {
			f.lapsed = append(f.lapsed, f.network.out.aggregates.list...)
			f.lapse()
		}
	}
}

func (e *exporter) flush() error {
	if len(e.batch) > 0 {
		e.bgp.rds.indexes.flush()
	}
	for part := range slices.Chunk(e.batch, maxBatch) {
		if err := e.send(part); err != nil {
			return err
		}
	}
	clear(e.batch)
	e.batch = e.batch[:0]
	for _, f := range e.lapsing {
		f.lapse()
	}
	e.lapsing = e.lapsing[:0]
	return nil
}

// apply appends to batch what the changes mean to BGP.
func (f *feed) apply(changes []rib.Change, batch []Update) []Update {
	out := f.network.out
	out.mu.Lock()
	defer out.mu.Unlock()
	start := len(batch)
	for i := range changes {
		batch = f.change(&changes[i], batch)
	}
	if f.told == nil { // else BGP was told of prefixes to come that are aggregates
		batch = f.settle(batch)
	}
	batch = f.admit(batch)
	if out.clear() {
		logClear(f.bgp.bridge.log.WithField("vni", f.network.vni), out.LimitStats)
	}
	f.group(batch[start:])
	f.groups = f.groups[:0]
	return batch
}

// announce appends the announcement of a path or a flow.
func (f *feed) announce(batch []Update, nlri NLRI, x form) []Update {
	a, group := f.shapes.get(nlri.Prefix, x, nlri.Kind == FlowSpec)
	out := f.network.out
	won, news := f.bgp.contest.claim(f.network, nlri, a)
	if !won {
		out.refused[OtherVNI]++
	}
	u := Update{NLRI: nlri, Label: f.label(nlri), Attributes: a}
	if f.told != nil && f.same(&u) || !news {
		return batch
	}
	out.announced++
	f.groups = append(f.groups, group)
	return append(batch, u)
}

// withdraw appends the withdrawal of a path or a flow, or, if another VNI has
// the same NLRI, its announcement.
func (f *feed) withdraw(batch []Update, nlri NLRI) []Update {
	out := f.network.out
	heir, news := f.bgp.contest.leave(f.network, nlri)
	switch {
	case !news:
		return batch
	case heir != nil:
		out.announced++
	default:
		out.withdrawn++
	}
	f.groups = append(f.groups, withdrawn)
	return append(batch, Update{Withdraw: heir == nil, NLRI: nlri, Label: f.label(nlri), Attributes: heir})
}

// label is that of an NLRI of the network; flow specifications have none.
func (f *feed) label(nlri NLRI) uint32 {
	if nlri.Kind == FlowSpec {
		return 0
	}
	return f.network.label
}

// group puts announcements with the same attributes together, in the order in
// which the attributes were made, and the other updates behind them.
func (f *feed) group(batch []Update) {
	if !slices.ContainsFunc(f.groups, func(g int) bool { return g != f.groups[0] }) {
		return
	}
	last := f.shapes.len()
	f.places = append(f.places[:0], make([]int, last+2)...)
	place := func(g int) *int {
		if g == withdrawn {
			g = last
		}
		return &f.places[g]
	}
	for _, g := range f.groups {
		*place(g)++
	}
	sum := 0
	for i, n := range f.places {
		f.places[i] = sum
		sum += n
	}
	f.grouped = append(f.grouped[:0], batch...)
	for i, g := range f.groups {
		p := place(g)
		batch[*p] = f.grouped[i]
		*p++
	}
	clear(f.grouped)
}
