package kernel

import (
	"context"
	"time"

	"mbbgp/plugin/kernel/rtnl"
)

// loop takes turns until ctx ends.
func (k *Kernel) loop(ctx context.Context, events <-chan *rtnl.Event, heard <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		more, due := k.turn(time.Now(), events)
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
		case <-k.pings:
		case <-k.wake:
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
func (k *Kernel) turn(now time.Time, events <-chan *rtnl.Event) (more bool, due time.Time) {
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
		k.compare(now)
	}
	if len(f.dirty) < batchSize {
		more = k.feeds.read(f)
	}
	f.flush(now)
	k.turnOver()
	k.steerNow(now)
	f.forgetTables()
	if !k.first && k.feeds.complete() && len(f.dirty) == 0 {
		k.first = true
		close(k.ready)
	}
	if k.first && !f.swept && !now.Before(k.settled) {
		k.sweep(now)
		more = true
	}
	more = more || len(f.dirty) > 0 || !k.feeds.caughtUp()
	k.sync(now, more)
	return more, k.due()
}

// sweep takes out of the kernel what an earlier run left and nobody needs.
func (k *Kernel) sweep(now time.Time) {
	k.fib.sweep()
	if k.cfg.Kernel.RoutesOnly { // the rest is somebody else's
		return
	}
	k.steering.sweep()
	k.steer = now
	if err := k.devices.sweep(); err != nil {
		k.log.WithError(err).Warn("could not remove all that an earlier run left")
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
	sooner(k.mendDue())
	sooner(k.steer, !k.steer.IsZero())
	sooner(k.settled, k.first && !k.fib.swept)
	return due
}

// sync notes whether all is in the kernel.
func (k *Kernel) sync(now time.Time, more bool) {
	synced := k.first && !k.turning && !more && !k.reconcile && len(k.fib.dirty) == 0 && !k.tracker.pending() && k.feeds.caughtUp() && k.fib.pending() == 0 && k.steer.IsZero()
	if synced && !k.synced {
		k.since = now
	}
	k.synced = synced
}

// mendDevices puts the devices right if something happened to them, or has not
// worked.
func (k *Kernel) mendDevices(now time.Time) {
	if due, ok := k.mendDue(); !ok || now.Before(due) {
		return
	}
	k.reconcile = false
	overlay := k.devices.overlay()
	restored, err := k.devices.reconcile()
	if k.resteer && k.devices.overlay() != overlay {
		k.steer = now // it has waited for this
	}
	k.rest = now.Add(mendShare * time.Since(now))
	k.fib.counters.Restored += uint64(restored)
	if k.mend = (time.Time{}); err != nil { // what it is, was logged
		k.mend = now.Add(backoff(k.mended))
		k.mended++
	} else {
		k.mended = 0
	}
	k.fib.hops.touchAll(func(x *hopState) bool { return x.kind == overlayHop || x.kind == vtepHop })
}

// mendShare is the part of the time, 1 in so many, that events of devices may
// take: with hundreds of VNIs a look at all of them takes 200 ms.
const mendShare = 10

// mendDue returns when the devices are looked at, false if they need not be.
func (k *Kernel) mendDue() (due time.Time, ok bool) {
	if k.reconcile {
		return k.rest, true
	}
	return k.mend, !k.mend.IsZero()
}

// compare compares everything with the kernel.
func (k *Kernel) compare(now time.Time) {
	k.tracker.recheck()
	if k.fib.patrol == nil && k.fib.patrols() {
		k.fib.patrolAll(now, k.scanner)
	} else {
		k.fib.compare(now)
	}
	k.steeringTried(now, k.compareSteering())
}

// compareSteering puts steering right, or notes that it could not.
func (k *Kernel) compareSteering() error {
	restored, err := k.steering.reconcile()
	k.fib.counters.Restored += uint64(restored)
	k.resteer = err != nil
	return err
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
	err := k.steering.apply()
	if err == nil && k.resteer {
		err = k.compareSteering()
	}
	k.steeringTried(now, err)
}

// steeringTried notes whether steering is in the kernel now.
func (k *Kernel) steeringTried(now time.Time, err error) {
	if k.steer = (time.Time{}); err == nil {
		k.steered = 0
		return
	}
	k.fib.count(err)
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
