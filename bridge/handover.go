package bridge

// When another configuration is applied, what BGP was told follows from the old
// view, and what it is to hear from the new one. So the exporter goes through
// each network concerned once more: of every prefix it works out both from the
// same next hops, says what is different, and says nothing where that is
// nothing. Which next hops BGP was told of is known exactly: a second reader is
// opened at a moment when the first one has read everything.
//
// Other networks only get the new view, when everything they had to say by the
// old one is said.

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"mbbgp/rib"
)

// handovers are what Export has still to take over of configurations that were
// applied.
type handovers struct {
	mu      sync.Mutex
	pending []handover // guarded by mu; in order
	wake    func()     // guarded by mu; tells the exporter; nil before the first
}

// handover is a step from one view to the next.
type handover struct {
	view     *view
	gateways map[rib.VNI]bool // where next hops are gateways' in one view only
}

// add leaves a step to the exporter.
func (h *handovers) add(was, now *view, gateways map[rib.VNI]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = append(h.pending, handover{now, gateways})
	if h.wake != nil {
		h.wake()
	}
}

// open begins an export with the present view.
func (h *handovers) open(b *Bridge, wake func()) *view {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending, h.wake = nil, wake
	return b.current()
}

// take returns the next step, false if there is none.
func (h *handovers) take() (next handover, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pending) == 0 {
		return handover{}, false
	}
	next, h.pending = h.pending[0], h.pending[1:]
	return next, true
}

// handOver takes over what was applied since the last time.
func (e *exporter) handOver(ctx context.Context) error {
	for {
		h, ok := e.bgp.handovers.take()
		if !ok {
			return nil
		}
		feeds, networks := map[rib.VNI]*feed{}, slices.Clone(h.view.sorted)
		for _, f := range e.feeds {
			feeds[f.network.vni] = f
			networks = append(networks, f.network)
		}
		contested := e.bgp.contest.extend(networks)
		e.feeds = nil
		for _, n := range h.view.sorted {
			f := feeds[n.vni]
			delete(feeds, n.vni)
			if f == nil && !n.exported() {
				continue
			}
			f, err := e.turn(ctx, f, n, h, contested)
			if err != nil {
				return err
			}
			if f != nil {
				e.feeds = append(e.feeds, f)
			}
		}
		for _, f := range feeds {
			if _, err := e.turn(ctx, f, nil, h, false); err != nil {
				return err
			}
		}
	}
}

// turn makes a feed one of n in the view of h. Either may be nil: there was
// none, or there is none any more.
func (e *exporter) turn(ctx context.Context, f *feed, n *network, h handover, contested bool) (*feed, error) {
	if f == nil {
		n.out.reset(n)
		f = e.newFeed(h.view, n)
		e.openReader(f, n.vni)
		return f, nil
	}
	again := contested && n.contests()
	if n != nil && n.exported() && !again && !h.gateways[n.vni] && sameExport(f.network, n) {
		if err := e.catchUp(ctx, f); err != nil {
			return f, err
		}
		f.view, f.network, f.shapes = h.view, n, newShapes(e.bgp, n)
		return f, nil
	}
	return e.replace(ctx, f, n, h.view)
}

// sameExport reports whether two networks of one VNI say the same to BGP.
func sameExport(a, b *network) bool {
	x, y := a.config, b.config
	x.Import = y.Import
	x.Name, x.Originate, x.NextHops, x.MaxPrefixes, x.Prefer = y.Name, y.Originate, y.NextHops, y.MaxPrefixes, y.Prefer
	x.VRF, x.Isolated, x.Decapsulation, x.DecapDevice = y.VRF, y.Isolated, y.Decapsulation, y.DecapDevice
	x.VXLANDevice, x.NATFrom, x.SourceValidation, x.Table = y.VXLANDevice, y.NATFrom, y.SourceValidation, y.Table
	return a == b || a.label == b.label && a.forwards == b.forwards && reflect.DeepEqual(x, y)
}

// catchUp says all that there is to say of a feed at the moment.
func (e *exporter) catchUp(ctx context.Context, f *feed) error {
	for more := true; more && ctx.Err() == nil; {
		f.ready.Store(false)
		var n int
		n, more = f.reader.ReadChanges(e.changes)
		e.take(f, e.changes[:n])
		if err := e.flush(); err != nil {
			return err
		}
	}
	return nil
}

// replace lets a feed of n, nil for none, take the place of f. It says what is
// different.
func (e *exporter) replace(ctx context.Context, f *feed, n *network, v *view) (*feed, error) {
	next := &feed{bgp: e.bgp}
	if n != nil && n.exported() {
		next = e.newFeed(v, n)
	}
	changes, more, err := e.reread(ctx, f, next)
	if err != nil || ctx.Err() != nil {
		return f, err
	}
	f.retire(n)
	if next.network != nil && next.kind == f.kind && !n.self {
		next.prior = f.network.out.paths
	}
	next.told = told{}
	f.tellAggregates(next.told)
	for {
		f.tellOf(next.told, changes)
		if next.network != nil {
			e.take(next, changes)
		}
		if err := e.flush(); err != nil || ctx.Err() != nil {
			return f, err
		}
		if !more || next.reader.Dumped() {
			break
		}
		var count int
		count, more = next.reader.ReadChanges(e.changes)
		changes = e.changes[:count]
	}
	left := next.told
	if next.network != nil {
		e.settle(next)
	}
	e.batch = f.takeBack(left, e.batch)
	if err := e.flush(); err != nil {
		return f, err
	}
	e.dropDiscards(f, next)
	e.closeReader(f)
	if next.network == nil {
		e.closeReader(next)
		return nil, nil
	}
	return next, nil
}

// settle ends what a feed does instead of another one: it says what aggregates
// come to.
func (e *exporter) settle(f *feed) {
	out := f.network.out
	out.mu.Lock()
	defer out.mu.Unlock()
	start := len(e.batch)
	e.batch = f.settle(e.batch)
	f.group(e.batch[start:])
	f.groups = f.groups[:0]
	f.told, f.prior = nil, nil
	e.lapses(f)
}

// take adds what changes mean to a feed to the batch.
func (e *exporter) take(f *feed, changes []rib.Change) {
	e.batch = f.apply(changes, e.batch)
	e.lapses(f)
}

// lapses notes a feed that has lapsed aggregates.
func (e *exporter) lapses(f *feed) {
	if len(f.lapsed) > 0 {
		e.lapsing = append(e.lapsing, f)
	}
}

// reread opens the reader of next, which is shown first what f has told. It
// returns what the first read showed.
func (e *exporter) reread(ctx context.Context, f, next *feed) (first []rib.Change, more bool, err error) {
	for {
		if err := e.catchUp(ctx, f); err != nil || ctx.Err() != nil {
			return nil, false, err
		}
		e.openReader(next, f.network.vni)
		var n int
		n, more = next.reader.ReadChanges(e.changes[:1])
		if f.reader.Behind() == 0 { // so both have begun to read at the same version
			return e.changes[:n], more, nil
		}
		e.closeReader(next)
	}
}

// dropDiscards takes the discards of aggregates out of the fabric table that
// next does not tell of.
func (e *exporter) dropDiscards(f, next *feed) {
	if !f.network.forwards {
		return
	}
	for _, a := range f.network.out.aggregates.list {
		told := false
		if next.network != nil && next.network.forwards {
			out := next.network.out
			out.mu.Lock()
			now := out.aggregates.byPrefix[a.prefix]
			told = now != nil && out.tells(now)
			out.mu.Unlock()
		}
		if !told {
			e.bgp.bridge.fabric.Remove(e.bgp.discards, f.network.vni, a.prefix, rib.NextHop{})
		}
	}
}

// retire leaves the state of a feed's network to its heir n, which begins anew,
// and keeps what BGP was told. n may be nil.
func (f *feed) retire(n *network) {
	s := f.network.out
	s.mu.Lock()
	kept := &exportState{limit: s.limit, refused: map[Reason]uint64{}, aggregates: s.aggregates, paths: s.paths, waiting: s.waiting}
	s.mu.Unlock()
	old := *f.network
	old.out = kept
	f.network = &old
	if n != nil {
		n.out.reset(n)
	}
}

// told is what BGP was told of.
type told map[NLRI]Update

// tellOf adds what BGP was told of the prefixes of changes.
func (f *feed) tellOf(t told, changes []rib.Change) {
	s := f.network.out
	s.mu.Lock()
	defer s.mu.Unlock()
	var w wanted
	for i := range changes {
		p := changes[i].Prefix
		if _, waits := s.waiting[p]; waits || s.aggregates.byPrefix[p] != nil {
			continue
		}
		if f.want(&w, p, changes[i].New, nil); s.aggregates.suppress(p) {
			w.forms = w.forms[:0]
		}
		f.tell(t, p, &w)
	}
}

// tellAggregates adds what BGP was told of aggregates.
func (f *feed) tellAggregates(t told) {
	s := f.network.out
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.aggregates.list {
		if _, waits := s.waiting[a.prefix]; !waits {
			f.tell(t, a.prefix, &a.told)
		}
	}
}

// tell adds what BGP was told of a prefix.
func (f *feed) tell(t told, p netip.Prefix, w *wanted) {
	note := func(nlri NLRI, x form) {
		a, _ := f.shapes.get(p, x, nlri.Kind == FlowSpec)
		t[nlri] = Update{NLRI: nlri, Label: f.label(nlri), Attributes: a}
	}
	paths := f.network.out.paths[p]
	if paths == nil && len(w.forms) > 0 {
		paths = []path{{form: w.forms[0]}}
	}
	for _, x := range paths {
		note(f.nlri(p, int(x.index)), x.form)
	}
	for _, x := range w.flows {
		for _, protocol := range protocols {
			note(x.nlri(p, protocol), x.form)
		}
	}
}

// takeBack appends the withdrawals of what is left of told.
func (f *feed) takeBack(t told, batch []Update) []Update {
	f.network.out.mu.Lock()
	defer f.network.out.mu.Unlock()
	for nlri := range t {
		batch = f.withdraw(batch, nlri)
	}
	f.groups = f.groups[:0]
	return batch
}

// same reports whether BGP was told an update already, while f takes the place
// of another feed, and notes that this stays.
func (f *feed) same(u *Update) bool {
	was, ok := f.told[u.NLRI]
	delete(f.told, u.NLRI)
	return ok && was.Label == u.Label && reflect.DeepEqual(was.Attributes, u.Attributes)
}
