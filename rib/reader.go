package rib

import (
	"net/netip"
	"slices"
)

// ReaderOptions say what a reader is shown.
type ReaderOptions struct {
	// Wake is called when there is something to read, once after each read
	// that reported no more. It must not block.
	Wake func()

	// Except hides next hops that nobody but these origins, at most two,
	// announces: what a session said is not echoed to it. 0 is ignored.
	Except []Origin

	// One shows, of the visible Standard next hops of a prefix, only the one
	// of the highest preference that came last.
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

// Reader is a cursor into one VNI.
type Reader struct {
	table   *Table
	v       *vni
	options ReaderOptions
	except  [2]Origin

	// These are the reading goroutine's while it holds v.mu shared.
	seen      uint64 // everything up to here was told
	passing   bool   // in the middle of a pass
	target    uint64 // of the pass
	reached   uint64 // version of the last slot that is done with
	slot      int    // where to read on in the log, in this era
	era       uint32
	budget    int    // slots to look at before others may have the lock
	partial   int    // frames of that slot that were told
	debts     []debt // of a parked reader
	counted   bool   // in v.current, at version countedAt
	countedAt uint64

	asleep bool // guarded by v.bell.mu
	closed bool // guarded by v.bell.mu

	old, now []Path // scratch
}

// NewReader opens a reader that stands before everything: its first reads are
// the dump of the VNI.
func (t *Table) NewReader(number VNI, o ReaderOptions) *Reader {
	v := t.lock(number)
	defer v.mu.Unlock()
	r := &Reader{table: t, v: v, options: o}
	copy(r.except[:], o.Except)
	v.readers = append(v.readers, r)
	return r
}

// Close ends the reader. Wake may be running, or be called once more, while
// Close runs; not after.
func (r *Reader) Close() {
	b := &r.v.bell
	b.mu.Lock()
	if r.closed {
		b.mu.Unlock()
		return
	}
	r.closed = true
	b.asleep = slices.DeleteFunc(b.asleep, func(x *Reader) bool { return x == r })
	b.mu.Unlock()

	v := r.v
	v.mu.Lock()
	defer r.table.unlock(v)
	v.readers = slices.DeleteFunc(v.readers, func(x *Reader) bool { return x == r })
	if r.passing {
		v.passing.Add(-1)
	}
	if r.counted && r.countedAt == v.version {
		v.current.Add(-1)
	}
	v.sweepIfCurrent()
}

func (v *vni) sweepIfCurrent() {
	if len(v.graves)+len(v.log.haunted) > 0 && int(v.current.Load()) == len(v.readers) {
		v.sweep()
	}
}

// Behind returns how many changes of the VNI the reader has not seen.
func (r *Reader) Behind() uint64 {
	r.v.mu.Lock() // not shared: the reader may be reading
	defer r.v.mu.Unlock()
	return r.v.version - r.seen + uint64(len(r.debts))
}

// lookedAt bounds the slots that one read looks at, and so how long it keeps
// writers out.
const lookedAt = 4096

// read shows each prefix of the pass, in old and now, until show refuses one,
// which is then shown again by the next read. After one pass it begins the
// next.
func (r *Reader) read(show func(p netip.Prefix) bool) (more bool) {
	v := r.v
	v.mu.RLock()
	r.budget = lookedAt
	if !r.repay(show) {
		v.mu.RUnlock()
		return true
	}
	for r.passing || r.seen != v.version {
		if !r.pass(show) {
			v.mu.RUnlock()
			return true
		}
	}
	sweep := false
	if !r.counted || r.countedAt != v.version {
		r.counted, r.countedAt = true, v.version
		sweep = int(v.current.Add(1)) == len(v.readers) && len(v.graves)+len(v.log.haunted) > 0
	}
	v.bell.sleep(r)
	v.mu.RUnlock()
	if sweep {
		v.mu.Lock()
		v.sweepIfCurrent()
		r.table.unlock(v)
	}
	return false
}

// pass goes on with the pass, or begins one. It returns false if show refused
// a prefix.
func (r *Reader) pass(show func(p netip.Prefix) bool) bool {
	v := r.v
	r.place()
	for slots := v.log.slots; r.slot < len(slots); r.slot++ {
		n, end := v.at(slots[r.slot], r.target)
		if end {
			break
		}
		if r.budget--; r.budget < 0 || n != 0 && !show(r.compare(n)) {
			return false
		}
		if n == 0 {
			continue
		}
		r.reached, r.partial = v.changed(slots[r.slot]), 0
	}
	r.passing, r.seen = false, r.target
	v.passing.Add(-1)
	return true
}

// place finds the next slot of the pass, beginning one if none is under way.
func (r *Reader) place() {
	v := r.v
	if !r.passing {
		r.passing, r.target, r.reached = true, v.version, r.seen
		v.passing.Add(1)
		v.target.Store(v.version)
	} else if r.era == v.log.era {
		return
	}
	r.slot, r.era = v.after(r.reached), v.log.era
}

// ReadFrames fills buf with whole frames. Of one prefix, withdrawals come
// before announcements. When more is false the reader has caught up and Wake
// will be called. buf must have room for a frame (80 bytes); a prefix whose
// frames do not all fit is continued by the next read.
func (r *Reader) ReadFrames(buf []byte) (n int, more bool) {
	encode, number := r.table.options.Encode, r.v.number
	out := buf[:0]
	more = r.read(func(p netip.Prefix) bool {
		start, k := len(out), 0
		tell := func(remove bool, list, other []Path) bool {
			for i := range list {
				if holds(other, list[i].NextHop) {
					continue
				}
				if k++; k <= r.partial {
					continue // told by the read before
				}
				if cap(out)-len(out) < frameRoom {
					return false
				}
				out = encode(out, remove, number, p, list[i].NextHop)
			}
			return true
		}
		if tell(true, r.old, r.now) && tell(false, r.now, r.old) {
			return true
		}
		if start > 0 {
			out = out[:start] // all of a prefix in one read, if it fits
		} else {
			r.partial = k - 1
		}
		return false
	})
	return len(out), more
}

const frameRoom = 80 // bytes of the longest frame

func holds(list []Path, nh NextHop) bool {
	for i := range list {
		if list[i].NextHop == nh {
			return true
		}
	}
	return false
}

// ReadChanges fills buf with the next changes, one a prefix.
func (r *Reader) ReadChanges(buf []Change) (n int, more bool) {
	more = r.read(func(p netip.Prefix) bool {
		if samePaths(r.old, r.now) {
			return true
		}
		if n == len(buf) {
			return false
		}
		c := &buf[n]
		c.Prefix = p
		c.Old = append(c.Old[:0], r.old...)
		c.New = append(c.New[:0], r.now...)
		n++
		return true
	})
	return n, more
}

func samePaths(a, b []Path) bool {
	if len(a) != len(b) {
		return false
	}
	for _, p := range a {
		if !slices.Contains(b, p) {
			return false
		}
	}
	return true
}

// compare sets old to what the reader was told of an entry and now to what it
// is to be told.
func (r *Reader) compare(n uint32) netip.Prefix {
	e := r.v.entries.at(n)
	r.old = r.view(r.old[:0], e, r.seen)
	r.now = r.view(r.now[:0], e, r.target)
	return e.prefix()
}

// view appends what the reader is shown of an entry at a version.
func (r *Reader) view(dst []Path, e *entry, version uint64) []Path {
	v := r.v
	var best [4]Preference
	for n := e.oldest; n != 0; {
		x := v.records.at(n)
		if x.at(version) {
			t := v.hops.list[x.hop].Type & 3
			best[t] = max(best[t], x.preference)
		}
		n = x.next
	}
	one := -1
	for n := e.oldest; n != 0; {
		x := v.records.at(n)
		n = x.next
		if !x.at(version) {
			continue
		}
		nh := v.hops.list[x.hop].NextHop
		if x.preference < best[nh.Type&3] || r.hides(x) {
			continue
		}
		path := Path{NextHop: nh, Source: x.source, Preference: x.preference}
		if r.options.One && nh.Type == Standard {
			if one >= 0 {
				dst = slices.Delete(dst, one, one+1)
			}
			one = len(dst)
		}
		dst = append(dst, path)
	}
	return dst
}

// hides reports whether the reader is not to see a record.
func (r *Reader) hides(x *record) bool {
	if r.options.Sources != 0 && !r.options.Sources.Has(x.source) {
		return true
	}
	return x.sole != 0 && (x.sole == r.except[0] || x.sole == r.except[1])
}
