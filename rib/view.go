package rib

import (
	"cmp"
	"net/netip"
	"slices"
)

// view is what readers of one kind are shown.
type view struct {
	v       *vni
	options ReaderOptions
	except  [2]Origin
	diff    difference

	noting bool     // what Except would change
	soles  []Origin // noted
}

// sight is a next hop as a reader sees it, in 8 bytes and without pointers.
type sight struct {
	hop        uint32
	preference Preference
	source     Source
	kept       bool // it is the same record before and after the change
}

// difference is what a reader is told of a prefix in one pass: from what it
// saw to what it is to see, each in the order in which the next hops came.
type difference struct {
	key
	old, now   []sight
	gone, come []uint32 // next hops to withdraw and to announce
	sorted     []uint32 // scratch, like a and b
	a, b       []sight
}

// compare sets diff.old to what the reader saw of an entry at one version and now
// to what it is to see at another. Most entries have one record.
func (w *view) compare(e *entry, seen, target uint64) {
	d := &w.diff
	d.key, d.old, d.now = e.key, d.old[:0], d.now[:0]
	if e.oldest != e.newest {
		w.compareAll(e, seen, target)
		return
	}
	if e.oldest == 0 {
		return
	}
	if x := w.v.records.at(e.oldest); !w.hides(x) {
		old, now := x.at(seen), x.at(target)
		if w.noting && old != now {
			w.note(x.sole)
		}
		d.add(x, old, now)
	}
}

func (d *difference) add(x *record, old, now bool) {
	s := sight{x.hop, x.preference, x.source, old && now}
	if old {
		d.old = append(d.old, s)
	}
	if now {
		d.now = append(d.now, s)
	}
}

// compareAll is compare for an entry of several records. All live next hops
// count for the highest preference of a type, those that the reader is not
// shown, too.
func (w *view) compareAll(e *entry, seen, target uint64) {
	v := w.v
	var before, after moment
	for n := e.oldest; n != 0; {
		x := v.records.at(n)
		before.weigh(x, seen)
		after.weigh(x, target)
		n = x.next
	}
	if w.options.One {
		for n := e.oldest; n != 0; {
			x := v.records.at(n)
			if x.kind == Standard && !w.hides(x) {
				if before.has(x, seen) {
					before.one = n
				}
				if after.has(x, target) {
					after.one = n
				}
			}
			n = x.next
		}
	}
	for n := e.oldest; n != 0; {
		x := v.records.at(n)
		if old, now := before.has(x, seen), after.has(x, target); (old || now) && !w.hides(x) {
			if w.noting && (old != now || w.options.One) {
				w.note(x.sole)
			}
			if w.options.One && x.kind == Standard {
				old, now = before.one == n, after.one == n
			}
			w.diff.add(x, old, now)
		}
		n = x.next
	}
}

// moment is what has to be known of all records of an entry at a version to
// say which of them are visible.
type moment struct {
	best [4]Preference // by type
	one  uint32        // the youngest visible Standard one
}

func (m *moment) weigh(x *record, version uint64) {
	if x.at(version) {
		m.best[x.kind&3] = max(m.best[x.kind&3], x.preference)
	}
}

func (m *moment) has(x *record, version uint64) bool {
	return x.preference == m.best[x.kind&3] && x.at(version)
}

// hides reports whether the reader is not to see a record.
func (w *view) hides(x *record) bool {
	if w.options.Sources != 0 && !w.options.Sources.Has(x.source) {
		return true
	}
	return x.sole != 0 && (x.sole == w.except[0] || x.sole == w.except[1])
}

// note notes an origin whose hiding would change what is shown.
func (w *view) note(sole Origin) {
	if n := len(w.soles); sole != 0 && (n == 0 || w.soles[n-1] != sole) {
		w.soles = append(w.soles, sole)
	}
}

// encode appends a frame of diff, as split: the withdrawals come first.
func (w *view) encode(dst []byte, p netip.Prefix, n int) []byte {
	d := &w.diff
	remove, hop := n < len(d.gone), uint32(0)
	if remove {
		hop = d.gone[n]
	} else {
		hop = d.come[n-len(d.gone)]
	}
	return w.v.options.Encode(dst, remove, w.v.number, p, w.v.hops.at(hop).NextHop)
}

// split sets gone and come.
func (d *difference) split() {
	d.gone = d.without(d.gone[:0], d.old, d.now)
	d.come = d.without(d.come[:0], d.now, d.old)
}

const fewSights = 16 // to be searched one by one

// without appends the next hops of list that are not in other. A kept one is
// in both, so only the few that differ are searched; if those are many, in
// order, so that a prefix of thousands of next hops takes no square of it.
func (d *difference) without(dst []uint32, list, other []sight) []uint32 {
	d.sorted = d.sorted[:0]
	for _, s := range other {
		if !s.kept {
			d.sorted = append(d.sorted, s.hop)
		}
	}
	if len(d.sorted) > fewSights {
		slices.Sort(d.sorted)
	}
	for _, s := range list {
		if !s.kept && !d.finds(s.hop) {
			dst = append(dst, s.hop)
		}
	}
	return dst
}

func (d *difference) finds(hop uint32) (found bool) {
	if len(d.sorted) > fewSights {
		_, found = slices.BinarySearch(d.sorted, hop)
		return found
	}
	return slices.Contains(d.sorted, hop)
}

// nothing reports, after split, whether old and now are the same, but for
// their order.
func (d *difference) nothing() bool {
	if len(d.gone)+len(d.come) > 0 {
		return false
	}
	d.a, d.b = unkept(d.a[:0], d.old), unkept(d.b[:0], d.now)
	return slices.Equal(d.a, d.b)
}

// unkept appends what is not kept of a list, in order of next hops.
func unkept(dst, list []sight) []sight {
	for _, s := range list {
		if !s.kept {
			dst = append(dst, s)
		}
	}
	slices.SortFunc(dst, func(a, b sight) int { return cmp.Compare(a.hop, b.hop) })
	return dst
}
