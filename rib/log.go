package rib

import (
	"slices"
	"sort"
)

// The log holds every entry of a VNI in order of its last change. An entry
// that changes takes a new slot at the end and leaves its old one empty, so
// the log read from the start is the whole table, and read on from a version
// is what has changed since.
//
// A reader reads in passes. A pass begins where the last one ended, at a
// version seen, and ends at the version that the VNI had when it began, its
// target: every entry that changed in between is told once, from what lived at
// seen to what lives at target. A pass may take many reads. An entry that
// changes again meanwhile would leave its slot before the reader has come to
// it; so that it is still found, its slot becomes a ghost, which stands for
// the entry from the version of the old change until that of the new one. A
// pass heeds the ghosts whose time its target falls into, so each entry has
// just one slot in each pass. A ghost that no target falls into is removed.
//
// When a third of the slots is empty they are closed up, which costs each
// change a constant time on average.
type changeLog struct {
	slots   []uint32 // an entry, ghostly and the number of a ghost, or 0
	filled  int
	era     uint32 // counts the closings: a reader's place is of one era
	ghosts  slab[ghost]
	haunted []uint32 // the ghosts
	swept   int      // how many the last sweep left
}

type ghost struct {
	from, until uint64 // versions
	entry       uint32
	slot        uint32
}

const (
	ghostly    = 1 << 31
	spareSlots = 64 // empty ones that are not worth closing
	spared     = 64 // ghosts or tombstones that are not worth a sweep
)

// append puts an entry at the end and returns its slot. The array grows to
// where the log is closed up at the latest, and not again before.
func (l *changeLog) append(n uint32) uint32 {
	if len(l.slots) == cap(l.slots) {
		l.slots = slices.Grow(l.slots, max(l.filled+l.filled/2+spareSlots+2-len(l.slots), 1))
	}
	l.slots = append(l.slots, n)
	l.filled++
	return uint32(len(l.slots) - 1)
}

func (l *changeLog) clear(slot uint32) {
	l.slots[slot] = 0
	l.filled--
}

// haunt makes the slot of an entry a ghost.
func (l *changeLog) haunt(e *entry, n uint32, until uint64) {
	g := l.ghosts.add()
	*l.ghosts.at(g) = ghost{from: e.changed, until: until, entry: n, slot: e.slot}
	l.slots[e.slot] = ghostly | g
	l.haunted = append(l.haunted, g)
	e.ghosts++
}

// loose reports whether the log is to be closed up.
func (l *changeLog) loose() bool { return len(l.slots)-l.filled > l.filled/2+spareSlots }

// tighten closes the log up, in place: a table that changes all over again and
// again makes no garbage of it.
func (v *vni) tighten() {
	l := &v.log
	slots := l.slots[:0]
	for _, n := range l.slots {
		switch at := uint32(len(slots)); {
		case n == 0:
			continue
		case n&ghostly != 0:
			l.ghosts.at(n &^ ghostly).slot = at
		default:
			v.entries.at(n).slot = at
		}
		slots = append(slots, n)
	}
	l.slots = trimmed(slots)
	l.era++
}

// changed returns the version of the change that a slot stands for.
func (v *vni) changed(n uint32) uint64 {
	if n&ghostly != 0 {
		return v.log.ghosts.at(n &^ ghostly).from
	}
	return v.entries.at(n).changed
}

// after returns the first slot of a change after a version.
func (v *vni) after(version uint64) int {
	slots := v.log.slots
	return sort.Search(len(slots), func(i int) bool {
		for ; i < len(slots); i++ {
			if slots[i] != 0 {
				return v.changed(slots[i]) > version
			}
		}
		return true
	})
}

// at returns the entry that a slot stands for in a pass with a target, 0 if
// none; end is true if the pass ends before the slot.
func (v *vni) at(n uint32, target uint64) (entry uint32, end bool) {
	if n == 0 {
		return 0, false
	}
	if n&ghostly == 0 {
		if v.entries.at(n).changed > target {
			return 0, true
		}
		return n, false
	}
	g := v.log.ghosts.at(n &^ ghostly)
	if g.from > target {
		return 0, true
	}
	if g.until <= target {
		return 0, false
	}
	return g.entry, false
}
