package kernel

// The fib holds what the kernel is believed to have, and changes the kernel
// until it is what the tables say. Whatever happens to a prefix (a change in a
// table, a refusal that is tried again, somebody's meddling) only marks it: what
// is wanted is asked of the tables when its turn comes, and compared with what
// is there. So flaps collapse, and saying a thing twice is harmless.
//
// What routes name comes before the routes, and goes after them:
//
//	VTEPs, next hop objects, groups, routes, then the removal of routes,
//	groups, objects, VTEPs
//
// A route that changes is replaced, never removed and added.

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// batchSize is how many prefixes are changed at once.
const batchSize = 16 << 10

// fib is for the loop.
type fib struct {
	cfg           *config.Kernel
	log           logrus.FieldLogger
	rib           Tables
	encapsulation map[rib.VNI]config.Encapsulation
	own           map[netip.Addr]rib.VNI // gateway addresses of this gateway
	kernel        router
	devices       tunnels
	underlay      reachability
	objects       bool // next hop objects are in use

	tables   []*table
	byNumber map[uint32]*table
	hops     hops
	sets     sets
	ids      ids
	gone     []hop // VTEPs that nobody uses any more
	dirty    []key // prefixes to look at
	queued   map[key]struct{}
	many     bool // were queued since it was empty
	swept    bool
	counters Counters
	retries  retries
	resyncs  resyncs
	patrol   *patrol // nil: none is under way
	now      time.Time

	changes []change   // scratch
	paths   []rib.Path // scratch, like what follows
	offers  []rib.Path
	found   []hop
	wanted  []uint32
}

// table is a VNI's table in the kernel.
type table struct {
	vni       rib.VNI
	number    uint32
	vrf       string
	installed routes
	unclaimed int
	failed    map[netip.Prefix]failure
	conflicts int    // of failed
	lastError string // of failed
	left      bool   // no VNI has it any more
	closing   bool   // and it is being emptied
}

// key is a prefix of a table.
type key struct {
	table  *table
	prefix netip.Prefix
}

// change is a route that is brought into the kernel, or out of it.
type change struct {
	key
	was, set uint32
	remove   bool // the route, because there is nothing, or nothing yet, to put in its place
	request  int  // -1: none
}

func newFIB(cfg *config.Config, t Tables, log logrus.FieldLogger) *fib {
	f := &fib{
		cfg: cfg.Kernel, log: log, rib: t,
		byNumber: map[uint32]*table{},
		queued:   map[key]struct{}{},
		counters: Counters{Failed: map[string]uint64{}, Resyncs: map[string]uint64{}},
	}
	f.hops, f.sets, f.ids = newHops(f), newSets(f), newIDs(f, cfg.Kernel.NextHopIDs)
	f.know(cfg)
	for i := range cfg.VNIs {
		if c := &cfg.VNIs[i]; c.Table != 0 {
			f.add(newTable(c))
		}
	}
	return f
}

// know makes what is known of the VNIs that of a configuration.
func (f *fib) know(cfg *config.Config) {
	f.encapsulation, f.own = map[rib.VNI]config.Encapsulation{}, map[netip.Addr]rib.VNI{}
	for i := range cfg.VNIs {
		c := &cfg.VNIs[i]
		f.encapsulation[rib.VNI(c.VNI)] = c.Encapsulation
		if c.Gateway.IsValid() {
			f.own[c.Gateway] = rib.VNI(c.VNI)
		}
	}
}

func newTable(c *config.VNI) *table {
	return &table{vni: rib.VNI(c.VNI), number: c.Table, vrf: c.VRF, installed: newRoutes(), failed: map[netip.Prefix]failure{}}
}

func (f *fib) add(t *table) {
	f.tables = append(f.tables, t)
	f.byNumber[t.number] = t
}

// look marks a prefix to be looked at.
func (f *fib) look(t *table, p netip.Prefix) {
	k := key{t, p}
	if _, ok := f.queued[k]; !ok {
		f.queued[k] = struct{}{}
		f.dirty = append(f.dirty, k)
	}
}

// put notes which set the route of a prefix in the kernel has.
func (f *fib) put(t *table, p netip.Prefix, n uint32) {
	was := t.installed.get(p)
	if was == n {
		return
	}
	if was&unclaimed != 0 {
		t.unclaimed--
	}
	if n&unclaimed != 0 {
		t.unclaimed++
	}
	f.sets.use(n &^ unclaimed)
	f.sets.drop(was &^ unclaimed)
	t.installed.set(p, n)
	f.patrol.blur(t, p)
}

// rewrite makes all routes of a set be replaced.
func (f *fib) rewrite(n uint32) {
	for _, t := range f.tables {
		t.installed.all(func(p netip.Prefix, has uint32) {
			if has == n {
				f.put(t, p, wrongSet)
				f.look(t, p)
			}
		})
	}
}

// settle brings into the kernel what next hops need and routes do not.
func (f *fib) settle(now time.Time) {
	changed, err := f.underlay.resolve()
	if err != nil {
		f.doubt(err) // and look them up again
	}
	if len(changed) > 0 {
		news := make(map[netip.Addr]struct{}, len(changed))
		for _, a := range changed {
			news[a] = struct{}{}
		}
		f.hops.touchAll(func(x *hopState) bool {
			_, ok := news[x.target]
			return ok
		})
	}
	f.hops.settle(now)
	f.sets.settle(now)
	if f.sets.readied {
		f.sets.readied = false
		f.wake(func(x *failure) bool { return !x.conflict && f.sets.list[x.set].ready })
	}
}

// flush brings a batch of what is marked into the kernel, and what nobody needs
// any more out of it.
func (f *fib) flush(now time.Time) {
	f.now = now
	f.retry(now)
	f.settle(now)
	some := f.dirty[:min(len(f.dirty), batchSize)]
	f.changes = f.changes[:0]
	for _, k := range some {
		delete(f.queued, k)
		n := f.want(k)
		f.sets.use(n)
		f.changes = append(f.changes, change{key: k, set: n, request: -1})
	}
	f.many = f.many || len(f.dirty) > batchSize
	f.dirty = f.dirty[len(some):]
	f.settle(now)
	f.apply(now)
	for _, c := range f.changes {
		f.sets.drop(c.set)
	}
	if len(f.dirty) == 0 {
		if f.dirty = nil; f.many {
			f.queued, f.many = map[key]struct{}{}, false // a Go map does not shrink
		}
	}
	f.reclaim()
}

// want returns the set that a prefix should have.
func (f *fib) want(k key) uint32 {
	f.wanted = f.wanted[:0]
	if k.table.closing {
		return noSet
	}
	for _, h := range f.desired(k.table.vni, k.prefix) {
		f.wanted = append(f.wanted, f.hops.intern(h))
	}
	return f.sets.intern(f.wanted)
}

// apply sends the changes of routes and notes what became of them.
func (f *fib) apply(now time.Time) {
	for i := range f.changes {
		f.queue(&f.changes[i])
	}
	for i := range f.changes {
		if c := &f.changes[i]; c.remove && (f.swept || c.was&unclaimed == 0) {
			c.request = f.kernel.DeleteRoute(f.route(c.key, noSet))
		}
	}
	refusals := f.send()
	for i := range f.changes {
		c := &f.changes[i]
		if c.request < 0 {
			continue
		}
		f.underlay.touch(c.table.number, c.prefix)
		switch err := refusals[c.request]; {
		case c.remove && (err == nil || errors.Is(err, unix.ESRCH)):
			f.put(c.table, c.prefix, noSet)
			f.counters.Removed++
			if c.was&unclaimed != 0 {
				f.counters.Swept++
			}
			if c.set == noSet {
				f.clear(c.table, c.prefix)
			}
		case err == nil:
			f.put(c.table, c.prefix, c.set)
			f.counters.Installed++
			f.clear(c.table, c.prefix)
		default:
			f.refuse(c, err, now)
		}
	}
}

// queue queues the request for a route that is wanted, if one is needed.
func (f *fib) queue(c *change) {
	c.was = c.table.installed.get(c.prefix)
	was := c.was &^ unclaimed
	switch {
	case c.set == noSet:
		if c.remove = was != noSet; !c.remove {
			f.clear(c.table, c.prefix)
		}
	case !f.sets.list[c.set].ready:
		c.remove = was != noSet && was != c.set // it leads where nobody wants it to
		f.wait(c.key, c.set)
	case f.sets.same(was, c.set):
		f.put(c.table, c.prefix, c.set)
		f.clear(c.table, c.prefix)
	case was == noSet:
		c.request = f.kernel.AddRoute(f.route(c.key, c.set))
	default:
		c.request = f.kernel.ReplaceRoute(f.route(c.key, c.set))
	}
}

// route returns the route of a prefix with a set, and with noSet what names the
// route to be removed.
func (f *fib) route(k key, n uint32) *rtnl.Route {
	r := &rtnl.Route{Table: k.table.number, Prefix: k.prefix, Protocol: f.cfg.Protocol, Metric: f.cfg.MetricFor(k.prefix)}
	if n == noSet {
		return r
	}
	s := &f.sets.list[n]
	switch {
	case s.drops:
		r.Type = unix.RTN_BLACKHOLE
	case s.id != 0:
		r.NextHopID = s.id
	case k.prefix.Addr().Is6():
		r.Hops = s.inlined[:1] // the kernel has no multipath of hops without gateways
	default:
		r.Hops = s.inlined
	}
	return r
}

// send sends what was queued and returns what was refused, by number.
func (f *fib) send() map[int]error {
	list, err := f.kernel.flush()
	if err != nil {
		f.doubt(err) // and take it that all went well until then
	}
	if len(list) == 0 {
		return nil
	}
	refusals := make(map[int]error, len(list))
	for _, r := range list {
		refusals[r.Request] = r.Err
	}
	return refusals
}

// doubt asks for a comparison because the socket failed, so that it is not known
// what the kernel has.
func (f *fib) doubt(err error) {
	if f.resync("lost") {
		f.log.WithError(err).Warn("lost the kernel's answers: all routes and next hops are compared")
	}
}

// reclaim removes groups, objects and VTEPs that nobody needs any more.
func (f *fib) reclaim() {
	f.sets.reclaim()
	f.hops.reclaim()
	if f.swept {
		f.ids.sweep()
	}
	for _, err := range f.send() {
		if !errors.Is(err, unix.ENOENT) {
			f.count(err) // what is left is found by the next comparison
		}
	}
	for _, h := range f.gone {
		if err := f.devices.removeVTEP(h); err != nil {
			f.log.WithError(err).WithField("vtep", h.target).Warn("could not remove a VTEP")
		}
	}
	f.gone = f.gone[:0]
}
