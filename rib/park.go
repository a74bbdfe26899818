package rib

import (
	"cmp"
	"math"
	"slices"
)

// A reader that does not read keeps the tombstones of what it was told and is
// gone, and readers that stopped at different versions keep different ones.
// Beyond MaxTombstones those that are furthest behind are parked: each notes
// for itself what it saw, or is to see, of the prefixes whose tombstones it
// keeps, in a few bytes each, and from then on keeps only those of what lives
// at the present version. Nothing else about it changes. What lives now lived
// at its version already or came since, so with the notes it can still tell
// both exactly; it is told the difference, and nobody has to be disconnected.
//
// A tombstone is shared by all who need it, a note is not, and thousands of
// readers that stopped at once would fill the memory with notes of the same
// few tombstones. So there may be only so many notes; when there are, the
// tombstones stay. They are then at most what lived at each version that a
// reader stopped at.
//
// Parking goes through the tombstones and ghosts of the VNI with the lock held,
// some tens of nanoseconds each, at most a few times per doubling of them.

// memos are a reader's notes of what lived at a version, by prefix.
type memos struct {
	list   []memo // in order
	sights []sight
	told   int // how many of the list the pass under way is done with
}

type memo struct {
	key
	done         bool   // the pass under way has told it
	first, count uint32 // in sights
}

const (
	memosPerTombstone = 8    // a memo is much smaller
	memosAlways       = 1024 // of one VNI, even if MaxTombstones is less
)

func (m *memos) find(k key) (int, bool) {
	return slices.BinarySearchFunc(m.list, k, func(x memo, k key) int { return x.key.compare(k) })
}

func (m *memos) has(k key) bool {
	if len(m.list) == 0 {
		return false
	}
	_, found := m.find(k)
	return found
}

func (m *memos) of(i int) []sight {
	x := m.list[i]
	return m.sights[x.first : x.first+x.count]
}

// recall replaces what could be seen of a prefix in side by what was noted,
// and forgets which next hops side has in common with the other.
func (m *memos) recall(k key, side, other *[]sight) {
	if len(m.list) == 0 {
		return
	}
	if i, found := m.find(k); found {
		*side = append((*side)[:0], m.of(i)...)
		part(*other)
	}
}

func part(list []sight) {
	for i := range list {
		list[i].kept = false
	}
}

// note adds to the memos; they are not in order until sort.
func (v *vni) note(m *memos, k key, list []sight) {
	m.list = append(m.list, memo{k, false, uint32(len(m.sights)), uint32(len(list))})
	m.sights = append(m.sights, list...)
	part(m.sights[len(m.sights)-len(list):])
	for _, s := range list {
		v.hops.at(s.hop).uses++
	}
	v.noted += 1 + len(list)
}

func (m *memos) sort() {
	slices.SortFunc(m.list, func(a, b memo) int { return a.key.compare(b.key) })
}

func (m *memos) keys() map[key]bool {
	keys := make(map[key]bool, len(m.list))
	for i := range m.list {
		keys[m.list[i].key] = true
	}
	return keys
}

// repay shows first of all, in a pass, what there are memos of: an entry may be
// gone from the log. It returns false if show refused one.
func (r *Reader) repay(show func() bool) bool {
	v, d := r.v, &r.diff
	for ; r.owed.told < len(r.owed.list); r.owed.told++ {
		x := &r.owed.list[r.owed.told]
		if x.done {
			continue
		}
		if r.budget--; r.budget < 0 {
			return false
		}
		d.key, d.old, d.now = x.key, d.old[:0], d.now[:0]
		if n := v.entryOf(x.key); n != 0 {
			r.compare(v.entries.at(n), r.seen, r.target)
		}
		r.owed.recall(x.key, &d.old, &d.now)
		r.later.recall(x.key, &d.now, &d.old)
		if !show() {
			return false
		}
		x.done, r.partial = true, 0
	}
	return true
}

// drop forgets all memos.
func (v *vni) drop(m *memos) {
	for i := range m.list {
		for _, s := range m.of(i) {
			v.hops.drop(s.hop)
		}
		v.noted -= 1 + int(m.list[i].count)
	}
	*m = memos{}
}

// park parks readers until there is room for as many tombstones again, so that
// it is not to be done for each of them.
func (v *vni) park() {
	v.pages.forget()
	v.sweep()
	for len(v.graves) > v.options.MaxTombstones/2 {
		behind := v.laggards()
		if len(behind) == 0 {
			v.crowded = 2 * len(v.graves)
			return
		}
		for _, r := range behind {
			r.park()
		}
		v.sweep()
	}
}

// laggards returns the readers to park next, half of those that keep
// tombstones, as long as there may be more memos.
func (v *vni) laggards() (behind []*Reader) {
	weight := v.weights()
	var keep []*Reader
	for _, r := range v.readers {
		if weight(r) > 0 {
			keep = append(keep, r)
		}
	}
	slices.SortStableFunc(keep, func(a, b *Reader) int { return cmp.Compare(a.pin, b.pin) })
	room := memosPerTombstone*v.options.MaxTombstones + memosAlways - v.noted
	for _, r := range keep {
		if room -= 2 * weight(r); room >= 0 && len(behind) < (len(keep)+1)/2 {
			behind = append(behind, r)
		} else {
			break
		}
	}
	return behind
}

// weights returns how many tombstones a reader keeps.
func (v *vni) weights() func(*Reader) int {
	versions := v.pins()
	count := make([]int, len(versions)+1)
	for _, n := range v.graves {
		x := v.records.at(n)
		from, _ := slices.BinarySearch(versions, x.added)
		until, _ := slices.BinarySearch(versions, x.removed)
		count[from]++
		count[until]--
	}
	for i := 1; i < len(count); i++ {
		count[i] += count[i-1]
	}
	at := func(version uint64) int {
		i, _ := slices.BinarySearch(versions, version)
		return count[i]
	}
	return func(r *Reader) int {
		if r.passing && r.targetPin != r.pin {
			return at(r.pin) + at(r.targetPin)
		}
		return at(r.pin)
	}
}

// park makes the reader keep no tombstones of the past. v.mu is held.
func (r *Reader) park() {
	v := r.v
	v.drop(&r.spent)
	owed, later := r.owed, r.later
	half := r.half()
	r.owed, r.later = memos{}, memos{}
	for i, x := range owed.list {
		switch {
		case x.done:
			v.note(&r.owed, x.key, nil)
			r.owed.list[i].done = true
		case half && x.key == r.diff.key:
			v.note(&r.owed, x.key, r.diff.old)
			half = false
		default:
			v.note(&r.owed, x.key, owed.of(i))
		}
	}
	if half {
		v.note(&r.owed, r.diff.key, r.diff.old)
	}
	for i, x := range later.list {
		v.note(&r.later, x.key, later.of(i))
	}
	r.noteTombstones()
	v.drop(&owed)
	v.drop(&later)
	r.partial = 0
	r.pin, r.targetPin = v.version, v.version
}

// noteTombstones notes what was seen of the prefixes whose tombstones the
// reader keeps, unless that is in a memo already or has been told, and what is
// to be seen of them at the end of the pass under way.
func (r *Reader) noteTombstones() {
	v := r.v
	old, now, told := r.owed.keys(), r.later.keys(), r.told()
	for _, n := range v.graves {
		x := v.records.at(n)
		e := v.entries.at(x.entry)
		if x.at(r.pin) && !old[e.key] && !told(x.entry) {
			old[e.key] = true
			r.compare(e, r.seen, r.seen)
			v.note(&r.owed, e.key, r.diff.old)
		}
		if r.passing && x.at(r.targetPin) && !now[e.key] {
			now[e.key] = true
			r.compare(e, r.target, r.target)
			v.note(&r.later, e.key, r.diff.now)
		}
	}
	r.owed.sort()
	r.later.sort()
}

// told returns whether the pass under way has told an entry, or will not. An
// entry that changed after the target has a ghost where it was.
func (r *Reader) told() func(entry uint32) bool {
	v := r.v
	if !r.passing {
		return func(uint32) bool { return false }
	}
	was := map[uint32]uint64{}
	for _, n := range v.log.haunted {
		if g := v.log.ghosts.at(n); g.from <= r.target && r.target < g.until {
			was[g.entry] = g.from
		}
	}
	return func(n uint32) bool {
		if at := v.entries.at(n).changed; at <= r.target {
			return at <= r.reached
		}
		at, known := was[n]
		return known && at <= r.reached
	}
}

// half sets diff.old to what is known to a reader that was told the first
// frames of a difference. It returns false if it was not.
func (r *Reader) half() bool {
	if r.partial == 0 {
		return false
	}
	d, k := &r.diff, r.partial
	r.peek()
	d.split()
	gone := d.gone[:min(k, len(d.gone))]
	d.old = slices.DeleteFunc(d.old, func(s sight) bool { return slices.Contains(gone, s.hop) })
	for _, hop := range d.come[:max(0, k-len(d.gone))] {
		i := slices.IndexFunc(d.now, func(s sight) bool { return s.hop == hop })
		d.old = append(d.old, d.now[i])
	}
	return true
}

// peek sets diff to the difference that the next read begins with.
func (r *Reader) peek() {
	r.budget = math.MaxInt
	for r.pass(func() bool { return false }) {
	}
}
