package bridge

// MetalBond has no preferences: what a hypervisor hears of a prefix, it uses.
// So of several paths that BGP has of one prefix only the best may be visible,
// and equal ones stand together. The table can do that, by preferences; but it
// has 148 of them between Deferred and Native, and paths are compared by more.
// The ranks that are in use at a time are few, though: each gets a preference,
// in their order. The first one is Redistributed, a new one takes a place
// between its neighbours, and if there is none, those around it are spread anew.
// If there are more than that, ranks of one LOCAL_PREF come to share a preference.
//
// A lossless route is what a hypervisor of another site has said, in every
// field. It stands beside what those of this site say, so that all sites read
// the same set; otherwise each would see its own owners of a NAT address only.
// One that is stale or less preferred by LOCAL_PREF than by default stands by,
// and so does one whose packets would go through a gateway. But a port range of
// a NAT address has no alternative: it never stands by.

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/sirupsen/logrus"

	"mbbgp/rib"
)

// llgrStale is the community of routes that outlived their session by long
// (RFC 9494 section 4.1).
const llgrStale uint32 = 0xFFFF0006

// defaultLocalPref is that of a route without LOCAL_PREF.
const defaultLocalPref = 100

// maxRanks is how many ranks have a preference of their own.
const maxRanks = int(rib.Native-rib.Deferred) - 1

// rankStep is the distance of a new best or worst rank from the next one. Most
// ranks come at the ends.
const rankStep = 8

// rank is what paths of one prefix are compared by.
type rank struct {
	localPref uint32
	med       uint32
	domains   uint16 // in the D-PATH
	ases      uint16 // in the AS_PATH, as they count
	stale     bool   // LLGR_STALE
	alone     bool   // unicast has one path a prefix, which is Redistributed
	lossless  bool   // says all fields of a next hop, and does not stand by
}

// settle ends the making of the rank of a next hop of a type: a lossless route
// that stands by is ranked as any other.
func (r *rank) settle(t rib.NextHopType) {
	r.lossless = r.lossless && (t == rib.NAT || !r.stale && r.localPref >= defaultLocalPref)
}

// fixed returns the preference of a rank that needs none of its own.
func (r rank) fixed() (rib.Preference, bool) {
	switch {
	case r.alone:
		return rib.Redistributed, true
	case r.lossless:
		return rib.Native, true
	}
	return 0, false
}

// rankOf returns the rank of a route that no rule has changed.
func rankOf(kind NLRIKind, a *Attributes) rank {
	r := rank{stale: slices.Contains(a.Communities, llgrStale)}
	if kind == Unicast {
		r.alone = true
		return r
	}
	r.localPref, r.domains, r.ases = defaultLocalPref, uint16(min(len(a.DPath), 1<<16-1)), a.ASPathLength
	if a.LocalPref != nil {
		r.localPref = *a.LocalPref
	}
	if a.MED != nil {
		r.med = *a.MED
	}
	return r
}

// compare returns a positive number if r is better than x, a negative one if
// it is worse. D-PATH is looked at before AS_PATH (RFC 10039).
func (r rank) compare(x rank) int {
	if r.stale != x.stale {
		if r.stale {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(r.localPref, x.localPref),
		cmp.Compare(x.domains, r.domains),
		cmp.Compare(x.ases, r.ases),
		cmp.Compare(x.med, r.med),
	)
}

// append appends to b what is hashed of a rank.
func (r rank) append(b []byte) []byte {
	var flags byte
	if r.stale {
		flags |= 1
	}
	if r.alone {
		flags |= 2
	}
	if r.lossless {
		flags |= 4
	}
	b = binary.BigEndian.AppendUint32(append(b, flags), r.localPref)
	b = binary.BigEndian.AppendUint32(b, r.med)
	b = binary.BigEndian.AppendUint16(b, r.domains)
	return binary.BigEndian.AppendUint16(b, r.ases)
}

// ranks gives ranks their preferences.
type ranks struct {
	log     logrus.FieldLogger
	known   map[rank]*ranked
	order   []*ranked // the same, ascending
	merged  bool      // some neighbours had to share a preference; until there are well fewer
	merges  uint64    // ranks that came when there was no preference left
	shifted bool      // preferences have changed: shifts says which
}

// ranked is a rank in use.
type ranked struct {
	rank
	preference rib.Preference
	said       rib.Preference // as the routes in the table have it
	places     int            // that have the rank
}

// RankStats are the figures of the ranks of imported routes.
type RankStats struct {
	Used   int    // different ones at the moment
	Merged uint64 // that came when there was no preference left, since the start
}

func (r *ranks) stats() RankStats { return RankStats{len(r.order), r.merges} }

func newRanks(log logrus.FieldLogger) ranks { return ranks{log: log, known: map[rank]*ranked{}} }

// preference returns the preference of a rank in use.
func (r *ranks) preference(x rank) rib.Preference {
	if p, fixed := x.fixed(); fixed {
		return p
	}
	return r.known[x].preference
}

// hold notes that one more place has a rank. That may change the preferences
// of other ranks: see shifts.
func (r *ranks) hold(x rank) {
	if _, fixed := x.fixed(); fixed {
		return
	}
	e := r.known[x]
	if e == nil {
		e = &ranked{rank: x}
		r.insert(e)
		r.known[x] = e
	}
	e.places++
}

// insert gives a new rank a preference.
func (r *ranks) insert(e *ranked) {
	i, _ := slices.BinarySearchFunc(r.order, e.rank, func(x *ranked, y rank) int { return x.compare(y) })
	below, above := rib.Deferred, rib.Native
	if i > 0 {
		below = r.order[i-1].preference
	}
	if i < len(r.order) {
		above = r.order[i].preference
	}
	first, last := i == 0, i == len(r.order)
	r.order = slices.Insert(r.order, i, e)
	middle := below + (above-below)/2
	switch {
	case first && last:
		e.preference = rib.Redistributed
	case above-below < 2 && len(r.order) <= maxRanks:
		r.makeRoom(i)
	case above-below < 2:
		r.merge(i)
	case first:
		e.preference = max(middle, above-rankStep)
	case last:
		e.preference = min(middle, below+rankStep)
	default:
		e.preference = middle
	}
	e.said = e.preference
}

// merge gives a rank a preference when all are in use: that of a neighbour, of
// one that differs in less than LOCAL_PREF if it can be.
func (r *ranks) merge(i int) {
	e := r.order[i]
	switch {
	case i > 0 && r.order[i-1].near(e.rank):
		e.preference = r.order[i-1].preference
	case i+1 < len(r.order) && r.order[i+1].near(e.rank):
		e.preference = r.order[i+1].preference
	case r.squeeze(i):
	case i > 0:
		e.preference = r.order[i-1].preference
	default:
		e.preference = r.order[i+1].preference
	}
	r.merges++
	if !r.merged {
		r.merged = true
		r.log.WithField("max", maxRanks).Warn("BGP routes have too many ranks, neighbours count as equal")
	}
}

// near reports whether ranks differ in nothing that an operator sets to tell a
// primary path from a backup.
func (r rank) near(x rank) bool { return r.stale == x.stale && r.localPref == x.localPref }

// squeeze gives the i-th rank a preference of its own by moving those next to
// it by one, up to where two others can share one. It reports false if there is
// no such place.
func (r *ranks) squeeze(i int) bool {
	for distance := 1; distance < len(r.order); distance++ {
		if last := i + distance; last < len(r.order) && r.yields(last) {
			r.order[i].preference = r.order[i+1].preference
			for _, x := range r.order[i+1 : last+1] {
				x.preference++
			}
			r.shifted = true
			return true
		}
		if first := i - distance; first >= 0 && r.yields(first-1) {
			r.order[i].preference = r.order[i-1].preference
			for _, x := range r.order[first:i] {
				x.preference--
			}
			r.shifted = true
			return true
		}
	}
	return false
}

// yields reports whether the i-th rank, -1 for what is below all, and the next
// one can come closer by one: there is a gap between them, or they may share.
func (r *ranks) yields(i int) bool {
	below, above := rib.Deferred, rib.Native
	if i >= 0 {
		below = r.order[i].preference
	}
	if i+1 < len(r.order) {
		above = r.order[i+1].preference
	}
	between := i >= 0 && i+1 < len(r.order)
	return above-below > 1 || above > below && between && r.order[i].near(r.order[i+1].rank)
}

// drop notes that one place less has a rank.
func (r *ranks) drop(x rank) {
	if _, fixed := x.fixed(); fixed {
		return
	}
	e := r.known[x]
	if e.places--; e.places > 0 {
		return
	}
	delete(r.known, x)
	r.order = slices.DeleteFunc(r.order, func(y *ranked) bool { return y == e })
}

// part gives ranks that had to share a preference their own again, if there
// are well enough.
func (r *ranks) part() {
	if !r.merged || len(r.order)*10 >= maxRanks*9 {
		return
	}
	r.merged = false
	r.renumber()
	r.log.WithField("ranks", len(r.order)).Info("BGP routes have few enough ranks again")
}

// makeRoom gives the i-th rank a preference by giving new ones to those around
// it: as few as have a fifth to spare, as that concerns all their routes.
func (r *ranks) makeRoom(i int) {
	for reach := 1; ; reach *= 2 {
		first, end := max(0, i-reach), min(len(r.order), i+1+reach)
		if end-first == len(r.order) {
			r.renumber()
			return
		}
		below, above := rib.Deferred, rib.Native
		if first > 0 {
			below = r.order[first-1].preference
		}
		if end < len(r.order) {
			above = r.order[end].preference
		}
		if room := int(above-below) - 1; (end-first)*5 <= room*4 {
			r.spread(first, end, below, above)
			return
		}
	}
}

// renumber spreads all ranks.
func (r *ranks) renumber() { r.spread(0, len(r.order), rib.Deferred, rib.Native) }

// spread gives some of the ranks preferences between two others, evenly.
func (r *ranks) spread(first, end int, below, above rib.Preference) {
	parts := end - first + 1
	for i, e := range r.order[first:end] {
		e.preference = below + rib.Preference((i+1)*int(above-below)/parts)
	}
	r.shifted = true
}

// shifts returns the ranks whose routes have another preference in the table
// than they should, in an order in which no worse rank overtakes a better one
// meanwhile: first those that rise, from the best, then those that fall, from
// the worst. They count as done.
func (r *ranks) shifts() []*ranked {
	if !r.shifted {
		return nil
	}
	r.shifted = false
	var fall, rise []*ranked
	for _, e := range r.order {
		switch {
		case e.preference < e.said:
			fall = append(fall, e)
		case e.preference > e.said:
			rise = append(rise, e)
		}
		e.said = e.preference
	}
	slices.Reverse(rise)
	return append(rise, fall...)
}
