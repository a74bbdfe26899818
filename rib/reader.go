package rib

import (
	"slices"
	"sync/atomic"
)

// ReaderOptions say what a reader is shown.
type ReaderOptions struct {
	// Wake is called when there is something to read, once after each read
	// that reported no more. It must not block.
	Wake func()

	// Except hides next hops whose only origin is one of these, at most two:
	// what a session said is not echoed to it. 0 is ignored.
	Except []Origin

	// One shows, of the visible Standard next hops of a prefix, only the one
	// that came last.
	One bool

	// Sources shows only next hops of these sources; 0 shows all.
	Sources SourceSet
}

// SourceSet is a set of sources.
type SourceSet uint8

// Sources returns the set of the given sources.
func Sources(list ...Source) SourceSet {
	var s SourceSet
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

// Has reports whether s holds x.
func (s SourceSet) Has(x Source) bool { return s&(1<<x) != 0 }

// Reader is a cursor into one VNI. Its reads must not overlap; all else may be
// called at any time.
type Reader struct {
	view
	table *Table

	// These are the reading goroutine's while it holds v.mu shared, and
	// anybody's who holds v.mu.
	seen      uint64 // what lived then was told
	passing   bool   // in the middle of a pass
	target    uint64 // of the pass
	reached   uint64 // version of the last slot that is done with
	slot      int    // where to read on in the log, in this era, unless lost
	era       uint32
	lost      bool
	budget    int // slots to look at before others may have the lock
	partial   int // frames of the next prefix that were told
	counted   bool
	countedAt uint64 // in v.current, at this version

	// The tombstones of these versions are kept for it: seen and target, or
	// the version at which it was parked.
	pin, targetPin uint64
	owed           memos // of what lived at seen
	later          memos // of what lived at target
	spent          memos // to be dropped

	// Of a reader of frames whose pass is shared.
	stride *stride // nil: the pass is not shared, or not any more
	page   *page   // the last one that is done with; nil: none
	stop   uint64  // version until which it reads without pages
	rest   rest    // of a page, to be told before anything else

	// What Behind tells, which must not keep writers out: it is asked of every
	// session and VNI at once.
	done   atomic.Uint64 // seen
	untold atomic.Uint32 // frames of rest

	asleep bool // guarded by v.bell.mu
	closed bool // guarded by v.bell.mu
}

// NewReader opens a reader that stands before everything: its first reads are
// the dump of the VNI.
func (t *Table) NewReader(number VNI, o ReaderOptions) *Reader {
	v := t.lock(number)
	defer v.mu.Unlock()
	r := &Reader{table: t, view: view{v: v, options: o}}
	copy(r.except[:], o.Except)
	v.readers = append(v.readers, r)
	return r
}

// Close ends the reader. Wake may be running, or be called once more, while
// Close runs; not after. The last one that closes waits for the goroutine that
// wakes readers, if there is one.
func (r *Reader) Close() {
	v := r.v
	if !v.bell.leave(r) {
		return
	}
	v.mu.Lock()
	v.readers = slices.DeleteFunc(v.readers, func(x *Reader) bool { return x == r })
	if r.passing {
		v.passing.Add(-1)
	}
	if r.counted && r.countedAt == v.version {
		v.current.Add(-1)
	}
	for _, m := range []*memos{&r.owed, &r.later, &r.spent} {
		v.drop(m)
	}
	last := len(v.readers) == 0
	if last {
		v.pages.forget()
	}
	v.sweepIfCurrent()
	r.table.unlock(v)
	if last {
		v.bell.wait()
	}
}

// Behind returns how many changes of the VNI the reader has not seen, or how
// many frames it has not been told, as of its last read.
func (r *Reader) Behind() uint64 {
	r.v.mu.RLock()
	defer r.v.mu.RUnlock()
	return r.v.version - r.done.Load() + uint64(r.untold.Load())
}

// publish notes for Behind how far the reader is. v.mu is held, shared.
func (r *Reader) publish() {
	r.done.Store(r.seen)
	r.untold.Store(uint32(len(r.rest.ends) - r.rest.told))
}

// lookedAt bounds the slots that one read looks at, and so how long it keeps
// writers out: some tenths of a millisecond.
const lookedAt = 4096

// read shows each difference of the pass until show refuses one, which is then
// shown again by the next read. After one pass it begins the next.
func (r *Reader) read(show func() bool) (more bool) {
	more, tidy := r.readShared(show)
	if tidy {
		r.tidy()
	}
	return more
}

// readShared is read with the lock shared. tidy is true if there is something
// to do with the lock held: the reader is the last to have seen the present
// version, or has memos to be dropped.
func (r *Reader) readShared(show func() bool) (more, tidy bool) {
	v := r.v
	v.mu.RLock()
	defer v.mu.RUnlock()
	defer r.publish()
	r.budget = lookedAt
	for r.passing || r.seen != v.version {
		resumed := r.passing
		if !r.pass(show) || resumed && r.seen != v.version { // the next pass could tell of a prefix again
			return true, len(r.spent.list) > 0
		}
	}
	return false, r.rested()
}

// rested notes that the reader has read everything and is to be woken. It
// returns true if there is something to do with the lock held.
func (r *Reader) rested() (tidy bool) {
	v := r.v
	if !r.counted || r.countedAt != v.version {
		r.counted, r.countedAt = true, v.version
		if int(v.current.Add(1)) == len(v.readers) {
			v.pages.forget()
			tidy = v.litter()
		}
	}
	v.bell.sleep(r)
	return tidy
}

func (r *Reader) tidy() {
	v := r.v
	v.mu.Lock()
	v.drop(&r.spent)
	v.sweepIfCurrent()
	r.table.unlock(v)
}

// begin begins a pass, which may be one that others are in.
func (r *Reader) begin(share bool) {
	v := r.v
	r.passing = true
	v.passing.Add(1)
	r.stride, r.page, r.stop = nil, nil, 0
	if share && len(v.readers) > 1 && len(r.owed.list) == 0 {
		r.stride, r.target = v.pages.stride(r.seen)
	} else {
		r.target = v.version
		v.target.Store(v.version)
	}
	r.targetPin = r.target
}

func (r *Reader) end() {
	r.passing, r.stride, r.page, r.stop = false, nil, nil, 0
	r.seen, r.pin, r.reached = r.target, r.targetPin, r.target
	r.spent, r.owed, r.later = r.owed, r.later, memos{}
	r.v.passing.Add(-1)
}

// pass goes on with the pass, or begins one. It returns false if show refused
// a difference, or others are to have the lock.
func (r *Reader) pass(show func() bool) bool {
	v := r.v
	if !r.passing {
		r.begin(false)
	}
	if !r.repay(show) {
		return false
	}
	if r.lost || r.era != v.log.era {
		r.slot, r.era, r.lost = v.after(r.reached), v.log.era, false
	}
	for slots := v.log.slots; r.slot < len(slots); r.slot++ {
		if r.stop != 0 && r.reached >= r.stop {
			return true
		}
		n, end := v.at(slots[r.slot], r.target)
		if end {
			break
		}
		if r.budget--; r.budget < 0 {
			return false
		}
		if n == 0 {
			continue
		}
		if e := v.entries.at(n); !r.owed.has(e.key) {
			r.compare(e, r.seen, r.target)
			r.later.recall(e.key, &r.diff.now, &r.diff.old)
			if !show() {
				return false
			}
		}
		r.reached, r.partial = v.changed(slots[r.slot]), 0
	}
	r.end()
	return len(r.spent.list) == 0 // drop them first
}

// share goes on with the pass by a page. It returns false if the reader has to
// go on without.
func (r *Reader) share() bool {
	v := r.v
	if r.stride == nil || r.reached < r.stop {
		return false
	}
	r.stop = 0
	p, frames := v.pages.after(r.stride, kind{r.options.One, r.options.Sources}, r.page)
	switch {
	case p == nil || p.last && !p.serves(r, frames):
		r.stride = nil
		return false
	case !p.serves(r, frames):
		r.page, r.stop = p, p.until
		return false
	}
	r.page, r.rest = p, rest{frames: frames, ends: p.ends}
	r.reached, r.lost = p.until, true
	if p.last {
		r.end()
	}
	return true
}

// frameRoom is the length of the longest frame in bytes.
const frameRoom = 80

// ReadFrames fills buf with whole frames and returns their length and number.
// Of one prefix, withdrawals come before announcements. When more is false the
// reader has caught up and Wake will be called. It may return no frames and
// true: what it looked at is not for this reader. buf must have room for a frame
// (80 bytes); a prefix whose frames do not all fit is continued by the next
// read.
func (r *Reader) ReadFrames(buf []byte) (n, frames int, more bool) {
	out := output{buf: buf[:0:len(buf)]}
	more, tidy := r.readFrames(&out)
	if tidy {
		r.tidy()
	}
	return len(out.buf), out.frames, more
}

// output is what is filled with frames.
type output struct {
	buf    []byte
	frames int
}

func (o *output) room() []byte { return o.buf[len(o.buf):cap(o.buf)] }

// readFrames is readShared for frames.
func (r *Reader) readFrames(out *output) (more, tidy bool) {
	v := r.v
	v.mu.RLock()
	defer v.mu.RUnlock()
	defer r.publish()
	r.budget = lookedAt
	show := func() bool { return r.show(out) }
	for {
		if !r.rest.empty() {
			n, frames := r.rest.take(out.room(), len(out.buf) == 0)
			out.buf, out.frames = out.buf[:len(out.buf)+n], out.frames+frames
			if !r.rest.empty() {
				return true, false
			}
		}
		if !r.passing {
			if r.seen == v.version {
				return false, r.rested()
			}
			r.begin(true)
		}
		if r.stride != nil && len(out.buf) > cap(out.buf)/2 { // the next page would be cut
			return true, false
		}
		if r.share() {
			if r.rest.empty() && r.passing { // it looked at much and found nothing
				return true, false
			}
			continue
		}
		if !r.pass(show) {
			return true, len(r.spent.list) > 0
		}
	}
}

// show adds the frames of a difference.
func (r *Reader) show(out *output) bool {
	d := &r.diff
	d.split()
	if len(d.gone)+len(d.come) == 0 {
		return true
	}
	start, frames, p := len(out.buf), out.frames, d.prefix()
	for k := r.partial; k < len(d.gone)+len(d.come); k++ {
		if len(out.room()) < frameRoom {
			if start > 0 {
				out.buf, out.frames = out.buf[:start], frames // all of a prefix in one read, if it fits
			} else {
				r.partial = k
			}
			return false
		}
		out.buf = r.encode(out.buf, p, k)
		out.frames++
	}
	return true
}

// ReadChanges fills buf with the next changes, at most one a prefix. Like
// ReadFrames it may return none and true.
func (r *Reader) ReadChanges(buf []Change) (n int, more bool) {
	more = r.read(func() bool {
		d := &r.diff
		d.split()
		if d.nothing() {
			return true
		}
		if n == len(buf) {
			return false
		}
		c := &buf[n]
		c.Prefix = d.prefix()
		c.Old = r.v.paths(c.Old[:0], d.old)
		c.New = r.v.paths(c.New[:0], d.now)
		n++
		return true
	})
	return n, more
}

// paths appends sights as the world knows them.
func (v *vni) paths(dst []Path, list []sight) []Path {
	for _, s := range list {
		dst = append(dst, Path{v.hops.at(s.hop).NextHop, s.source, s.preference})
	}
	return dst
}
