package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// Kernel keeps Linux's routing in step with the tables.
type Kernel struct {
	cfg    *config.Config
	log    logrus.FieldLogger
	tables Tables
	ready  chan struct{}

	mu sync.Mutex // held for one turn of the loop at a time
	// guarded by mu, like what they hold; what Run makes is nil before it
	fib       *fib
	feeds     *feeds
	devices   *devices
	tracker   *tracker
	scanner   *rtnl.Conn // of patrols
	steering  *steering
	reconcile bool      // devices may have to be put right
	mend      time.Time // when devices with a problem are looked at again
	mended    int       // attempts that left a problem
	steer     time.Time // when steering that failed is tried again; zero: it did not
	steered   int       // attempts that failed
	settled   time.Time // when what an earlier run left is swept
	first     bool      // the first pass is in the kernel
	synced    bool
	since     time.Time // of synced
}

// New returns what keeps the tables of cfg in step with t. cfg must have a
// kernel section. Nothing happens before Run.
func New(cfg *config.Config, t Tables, log logrus.FieldLogger) (*Kernel, error) {
	if cfg.Kernel == nil {
		return nil, errors.New("kernel: the configuration has no such section")
	}
	if t.Label == nil {
		t.Label = func(rib.VNI) uint32 { return 0 }
	}
	return &Kernel{cfg: cfg, log: log, tables: t, ready: make(chan struct{}), fib: newFIB(cfg, t, log)}, nil
}

// Ready is closed once all that the tables said at the start is in the kernel,
// but for what it refused.
func (k *Kernel) Ready() <-chan struct{} { return k.ready }

// groups are what the loop listens to.
var groups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP,
}

// Run keeps the kernel in step until ctx ends, and returns nil then. All stays
// as it is in the kernel at the end; Cleanup is for afterwards. Run is called
// once; its sockets are in the network namespace of the thread that calls it.
func (k *Kernel) Run(ctx context.Context) error {
	conn, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer conn.Close()
	listener, err := rtnl.Listen([]uint32{conn.Port()}, groups...)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	scanner, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer scanner.Close()
	events := make(chan *rtnl.Event, 1024)
	heard := make(chan error, 1)
	go func() { heard <- hear(listener, events) }()
	defer func() {
		listener.Close()
		for range events { // until hear has closed it
		}
	}()
	defer k.stop()
	if err := k.start(conn, scanner); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	if err := k.loop(ctx, events, heard); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	return nil
}

// hear hands over what the listener hears until it is closed.
func hear(l *rtnl.Listener, events chan<- *rtnl.Event) error {
	defer close(events)
	for {
		e, err := l.Next()
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		events <- e
	}
}

// start makes what the loop works with and adopts what is in the kernel.
func (k *Kernel) start(conn, scanner *rtnl.Conn) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.fib
	k.scanner = scanner
	if k.devices, err = newDevices(k.cfg, k.tables.Label, conn, k.log); err != nil {
		return err
	}
	k.tracker = newTracker(conn, underlay{
		viaDefault: k.cfg.Kernel.ResolveViaDefault,
		ignore:     func(table uint32) bool { return table != mainTable && f.byNumber[table] != nil },
		tunnel:     k.devices.tunnel,
		encap:      encapOf(k.cfg.Kernel.Tunnel),
	})
	f.kernel, f.devices, f.underlay = &socket{Conn: conn}, k.devices, k.tracker
	f.objects = k.cfg.Kernel.NextHopObjects && conn.SupportsNextHopObjects()
	if k.steering, err = newSteering(k.cfg, conn, f, k.log); err != nil {
		return err
	}
	if err := f.adopt(); err != nil {
		return err
	}
	now := time.Now()
	k.reconcile = true
	k.steer = now // what does not wait for NAT ranges
	k.settled = now.Add(k.cfg.Kernel.Settle)
	f.resyncs.last = now
	k.feeds = newFeeds(k.cfg, f)
	return nil
}

// stop ends what start began.
func (k *Kernel) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.fib.patrol; p != nil {
		for range p.parts { // until it has closed it
		}
	}
	if k.feeds != nil {
		k.feeds.close()
	}
	if k.steering != nil {
		k.steering.close()
	}
	if k.devices != nil {
		k.devices.close()
	}
	k.synced = false
}

// loop takes turns until ctx ends.
func (k *Kernel) loop(ctx context.Context, events <-chan *rtnl.Event, heard <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		more, due, err := k.turn(time.Now(), events)
		if err != nil {
			return err
		}
		if more {
			due = time.Time{}
		}
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case err := <-heard:
			return err
		case e, ok := <-events:
			if !ok {
				return <-heard
			}
			k.handle(e)
		case part, ok := <-k.patrolled():
			k.inspect(part, !ok)
		case <-k.feeds.wake:
		case <-timer.C:
		}
	}
}

// handle takes one event.
func (k *Kernel) handle(e *rtnl.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.event(e)
}

// patrolled is where the routes come from that a patrol has read, nil if there
// is none. Only the loop begins and ends one.
func (k *Kernel) patrolled() <-chan []rtnl.Route {
	if k.fib.patrol == nil {
		return nil
	}
	return k.fib.patrol.parts
}

// inspect takes what a patrol has read.
func (k *Kernel) inspect(part []rtnl.Route, end bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fib.inspect(part); end {
		k.fib.endPatrol()
	}
}

// turn does what there is to do now. more says that there is more at once, due
// when there is something later.
func (k *Kernel) turn(now time.Time, events <-chan *rtnl.Event) (more bool, due time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range len(events) {
		if e, ok := <-events; ok {
			k.event(e)
		}
	}
	f := k.fib
	compare := !now.Before(f.nextResync())
	k.reconcile = k.reconcile || compare
	k.mendDevices(now)
	if compare {
		if err := k.compare(now); err != nil {
			return false, due, err
		}
	}
	more = k.feeds.read(f)
	if err := f.flush(now); err != nil {
		return false, due, err
	}
	k.steerNow(now)
	if !k.first && k.feeds.complete() {
		k.first = true
		close(k.ready)
	}
	if k.first && !f.swept && !now.Before(k.settled) {
		k.sweep(now)
		more = true
	}
	more = more || len(f.dirty) > 0 // steering has made next hops usable
	k.sync(now, more)
	return more, k.due(), f.broken
}

// sweep takes out of the kernel what an earlier run left and nobody needs.
func (k *Kernel) sweep(now time.Time) {
	k.fib.sweep()
	k.steering.sweep()
	k.steer = now
	if err := k.devices.sweep(); err != nil {
		k.log.WithError(err).Warn("Could not remove all that an earlier run left")
	}
}

// lookupDelay is how much later next hops are looked up that routes of ours may
// lead to.
const lookupDelay = 10 * time.Millisecond

// due returns when there is something to do if nothing happens before.
func (k *Kernel) due() time.Time {
	due := k.fib.nextResync()
	sooner := func(t time.Time, ok bool) {
		if ok && t.Before(due) {
			due = t
		}
	}
	sooner(k.fib.now.Add(lookupDelay), k.tracker.pending())
	sooner(k.fib.retries.next())
	sooner(k.fib.hops.refused.due, len(k.fib.hops.refused.list) > 0)
	sooner(k.fib.sets.refused.due, len(k.fib.sets.refused.list) > 0)
	sooner(k.mend, !k.mend.IsZero())
	sooner(k.steer, !k.steer.IsZero())
	sooner(k.settled, k.first && !k.fib.swept)
	return due
}

// sync notes whether all is in the kernel.
func (k *Kernel) sync(now time.Time, more bool) {
	synced := k.first && !more && len(k.fib.dirty) == 0 && !k.tracker.pending() && k.feeds.caughtUp() && k.fib.pending() == 0 && k.steer.IsZero()
	if synced && !k.synced {
		k.since = now
	}
	k.synced = synced
}

// mendDevices puts the devices right if something happened to them, or has not
// worked.
func (k *Kernel) mendDevices(now time.Time) {
	if !k.reconcile && (k.mend.IsZero() || now.Before(k.mend)) {
		return
	}
	k.reconcile = false
	restored, err := k.devices.reconcile()
	k.fib.counters.Restored += uint64(restored)
	if k.mend = (time.Time{}); err != nil { // what it is, was logged
		k.mend = now.Add(backoff(k.mended))
		k.mended++
	} else {
		k.mended = 0
	}
	k.fib.hops.touchAll(func(x *hopState) bool { return x.kind == overlayHop || x.kind == vtepHop })
}

// compare compares everything with the kernel.
func (k *Kernel) compare(now time.Time) error {
	k.tracker.recheck()
	if k.fib.patrol == nil && k.fib.patrols() {
		k.fib.patrolAll(now, k.scanner)
	} else if err := k.fib.compare(now); err != nil {
		return err
	}
	restored, err := k.steering.reconcile()
	k.fib.counters.Restored += uint64(restored)
	k.steeringTried(now, err)
	return nil
}

// steerNow tells steering of NAT ranges that changed.
func (k *Kernel) steerNow(now time.Time) {
	for x := range k.feeds.nat {
		k.steering.set(x.table.vni, x.prefix, k.fib.portRanges(x.table.from, x.prefix))
	}
	if len(k.feeds.nat) == 0 && (k.steer.IsZero() || now.Before(k.steer)) {
		return
	}
	clear(k.feeds.nat)
	k.steeringTried(now, k.steering.apply())
}

// steeringTried notes whether steering is in the kernel now.
func (k *Kernel) steeringTried(now time.Time, err error) {
	if k.steer = (time.Time{}); err == nil {
		k.steered = 0
		return
	}
	if k.steered == 0 {
		k.log.WithError(err).Warn("NAT steering does not get into the kernel, and is tried again")
	}
	k.steer = now.Add(backoff(k.steered))
	k.steered++
}

// event marks what an event is about.
func (k *Kernel) event(e *rtnl.Event) {
	k.tracker.event(e)
	k.reconcile = k.devices.event(e) || k.reconcile
	k.fib.event(e)
}

// Route returns what there is of a prefix in a VNI's table, false if the VNI has
// none.
func (k *Kernel) Route(vni rib.VNI, p netip.Prefix) (RouteInfo, bool) {
	names := deviceNames()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.fib.tables {
		if t.vni == vni {
			return k.fib.routeInfo(t, p, names), true
		}
	}
	return RouteInfo{}, false
}

// Info returns the state of the kernel side.
func (k *Kernel) Info() Info {
	names := deviceNames()
	k.mu.Lock()
	defer k.mu.Unlock()
	info := k.fib.info(names)
	info.Synced, info.Since = k.synced, k.since
	if k.devices != nil {
		info.Devices = k.devices.info()
	}
	if k.steering != nil {
		for i := range info.Tables {
			info.Tables[i].Steered = k.steering.counts(info.Tables[i].VNI)
		}
	}
	return info
}
