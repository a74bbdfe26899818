package kernel

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
	levels     = 11 // from the first to the last, doubling
)

// backoff returns how long to wait after so many attempts that failed before,
// give or take a tenth.
func backoff(attempts int) time.Duration {
	d := lastRetry
	if attempts < levels-1 {
		d = firstRetry << attempts
	}
	return d - d/10 + rand.N(d/5)
}

// refused are hops or sets whose object the kernel refused, to be tried again.
type refused struct {
	list []uint32
	due  time.Time
}

// add adds one that failed so often before.
func (r *refused) add(n uint32, attempts int, now time.Time) {
	due := now.Add(backoff(attempts))
	if len(r.list) == 0 || due.Before(r.due) {
		r.due = due
	}
	r.list = append(r.list, n)
}

// retry touches all once the first of them is due.
func (r *refused) retry(now time.Time, touch func(uint32)) {
	if len(r.list) == 0 || now.Before(r.due) {
		return
	}
	for _, n := range r.list {
		touch(n)
	}
	r.list = r.list[:0]
}

// failure is a change that is not in the kernel.
type failure struct {
	err   error
	set   uint32 // that was wanted
	level uint8  // attempts that failed before
	// A conflict and what waits are not tried again by time: the route of
	// somebody else has to go, or the set to become ready.
	conflict bool
	waits    bool
}

// retries are the prefixes whose change is tried again. Those that failed
// equally often wait equally long, so each list is in order of time.
type retries [levels][]retry

type retry struct {
	key
	due time.Time
}

// next returns when the next one is due, false if there is none.
func (r *retries) next() (due time.Time, ok bool) {
	for _, list := range r {
		if len(list) > 0 && (!ok || list[0].due.Before(due)) {
			due, ok = list[0].due, true
		}
	}
	return due, ok
}

// retry marks what is due.
func (f *fib) retry(now time.Time) {
	for level := range f.retries {
		list := f.retries[level]
		for len(list) > 0 && !now.Before(list[0].due) {
			k := list[0].key
			if x, ok := k.table.failed[k.prefix]; ok && int(x.level) == level {
				f.look(k.table, k.prefix)
			}
			list = list[1:]
		}
		if f.retries[level] = list; len(list) == 0 {
			f.retries[level] = nil
		}
	}
}

// refuse notes that a change was refused.
func (f *fib) refuse(c *change, err error, now time.Time) {
	f.count(err)
	x := failure{err: err, set: c.set}
	before, ok := c.table.failed[c.prefix]
	again := ok && !before.waits && !before.conflict
	if errors.Is(err, unix.EEXIST) {
		if x.conflict = true; !before.conflict {
			f.resync("conflict") // finds whose it is
		}
	} else {
		if again {
			x.level = min(before.level+1, levels-1)
		}
		f.retries[x.level] = append(f.retries[x.level], retry{c.key, now.Add(backoff(int(x.level)))})
	}
	switch {
	case again: // a comparison did not help
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENETDOWN):
		f.resync(linkReason)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		f.resync("next-hops") // perhaps the kernel has removed one
	}
	f.fail(c.key, x)
}

// wait notes that a change has to wait for its next hops.
func (f *fib) wait(k key, n uint32) {
	f.fail(k, failure{err: f.sets.problem(n), set: n, waits: true})
}

func (f *fib) fail(k key, x failure) {
	t := k.table
	f.sets.use(x.set)
	before, ok := t.failed[k.prefix]
	if ok {
		f.sets.drop(before.set)
		if before.conflict {
			t.conflicts--
		}
	}
	if x.conflict {
		t.conflicts++
	}
	t.failed[k.prefix] = x
	if t.lastError == "" {
		f.log.WithFields(logrus.Fields{"vni": t.vni, "prefix": k.prefix}).WithError(x.err).
			Warn("routes do not get into the kernel, and are tried again")
	}
	t.lastError = x.err.Error()
}

// clear forgets what had failed of a prefix.
func (f *fib) clear(t *table, p netip.Prefix) {
	x, ok := t.failed[p]
	if !ok {
		return
	}
	f.sets.drop(x.set)
	if x.conflict {
		t.conflicts--
	}
	delete(t.failed, p)
	if len(t.failed) == 0 {
		t.failed = map[netip.Prefix]failure{} // a Go map does not shrink
		t.lastError = ""
		f.log.WithField("vni", t.vni).Info("all routes are in the kernel")
	}
}

// wake marks the failed changes for which match is true.
func (f *fib) wake(match func(*failure) bool) {
	for _, t := range f.tables {
		for p, x := range t.failed {
			if match(&x) {
				f.look(t, p)
			}
		}
	}
}

// count counts a request that the kernel refused.
func (f *fib) count(err error) {
	name := "other"
	var e *rtnl.Error
	if errors.As(err, &e) {
		if name = unix.ErrnoName(e.Errno); name == "" {
			name = e.Errno.Error()
		}
	}
	f.counters.Failed[name]++
}

var errNotMade = errors.New("its next hops are not in the kernel yet")
