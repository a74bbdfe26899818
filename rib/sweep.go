package rib

import "slices"

// A tombstone is kept while a version that a reader stands at falls into its
// life, from the change that added it until before the one that removed it; a
// ghost while a target does. So what nobody can ask for any more goes, however
// far behind some readers are. A sweep looks at all of them, with the lock
// held; it comes when they have doubled since the last one, or when every
// reader has read everything, and so costs each change a constant time.

// mostShared is how many tombstones are kept for strides alone.
const mostShared = 256

// sweep frees the tombstones that no reader's version falls into the life of,
// and the ghosts that no pass needs. Strides that keep too many are forgotten.
func (v *vni) sweep() {
	if v.sweepSome() > mostShared {
		v.pages.forget()
		v.sweepSome()
	}
	if len(v.graves) <= v.options.MaxTombstones/2 {
		v.crowded = 0
	}
	if v.log.loose() {
		v.tighten()
	}
}

// sweepSome returns how many tombstones are left for strides alone.
func (v *vni) sweepSome() (shared int) {
	var versions, targets, strides []uint64
	if v.allCurrent() {
		v.pages.forget()
	} else {
		versions, targets = v.pins(), v.targets()
		if len(versions) > 0 {
			v.pages.leave(versions[0])
		}
		strides = v.pages.targets()
	}
	v.exorcise(ordered(append(targets, strides...)))
	kept := v.graves[:0]
	for _, n := range v.graves {
		r := v.records.at(n)
		switch {
		case within(versions, r.added, r.removed):
		case within(strides, r.added, r.removed):
			shared++
		default:
			v.free(n)
			continue
		}
		kept = append(kept, n)
	}
	v.graves, v.swept = trimmed(kept), len(kept)
	return shared
}

// pins returns the versions that tombstones are kept for.
func (v *vni) pins() []uint64 {
	versions := make([]uint64, 0, len(v.readers)+8)
	for _, r := range v.readers {
		versions = append(versions, r.pin)
		if r.passing {
			versions = append(versions, r.targetPin)
		}
	}
	return ordered(versions)
}

// targets returns the targets of the passes under way.
func (v *vni) targets() (versions []uint64) {
	for _, r := range v.readers {
		if r.passing {
			versions = append(versions, r.target)
		}
	}
	return versions
}

// allCurrent reports whether every reader has read everything.
func (v *vni) allCurrent() bool { return int(v.current.Load()) == len(v.readers) }

// litter reports whether there is something to sweep.
func (v *vni) litter() bool { return len(v.graves)+len(v.log.haunted) > 0 }

func (v *vni) sweepIfCurrent() {
	if v.litter() && v.allCurrent() {
		v.sweep()
	}
}

// exorcise removes the ghosts that no target falls into the time of.
func (v *vni) exorcise(targets []uint64) {
	l := &v.log
	kept := l.haunted[:0]
	for _, n := range l.haunted {
		g := l.ghosts.at(n)
		if within(targets, g.from, g.until) {
			kept = append(kept, n)
			continue
		}
		entry := g.entry
		l.clear(g.slot)
		l.ghosts.remove(n)
		v.entries.at(entry).ghosts--
		v.forget(entry)
	}
	l.haunted, l.swept = trimmed(kept), len(kept)
}

// trimmed returns list, or a copy if its array is much too large.
func trimmed(list []uint32) []uint32 {
	if cap(list) > 4*len(list)+spared {
		return slices.Clone(list)
	}
	return list
}

func ordered(list []uint64) []uint64 {
	slices.Sort(list)
	return slices.Compact(list)
}

// within reports whether one of the versions is at or after from and before
// until.
func within(versions []uint64, from, until uint64) bool {
	i, _ := slices.BinarySearch(versions, from)
	return i < len(versions) && versions[i] < until
}
