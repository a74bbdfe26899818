package rib

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
)

// A reader that does not read keeps as many tombstones as it was told next
// hops that are gone, and readers that stopped at different times keep
// different ones. Beyond MaxTombstones those that are furthest behind are
// parked: their version becomes the present one, and of each prefix that
// differs between the two they take along, for themselves, what they were
// told: their debts. When a parked reader reads again it is first told the
// difference of those. So no reader ever costs more than what it was told, the
// shared table stays small, and nobody has to be disconnected.
type debt struct {
	prefix netip.Prefix
	told   []Path
}

// park parks readers until the tombstones are few enough, or every reader is
// at the present version.
func (v *vni) park() {
	for len(v.graves) > v.options.MaxTombstones {
		behind := slices.DeleteFunc(slices.Clone(v.readers), func(r *Reader) bool { return r.seen == v.version && !r.passing })
		if len(behind) == 0 {
			return
		}
		slices.SortFunc(behind, func(a, b *Reader) int { return cmp.Compare(a.seen, b.seen) })
		for _, r := range behind[:(len(behind)+1)/2] {
			r.park()
		}
		v.sweep()
	}
}

// park moves a reader to the present version. The lock is held.
func (r *Reader) park() {
	known := make(map[netip.Prefix]bool, len(r.debts))
	for _, d := range r.debts {
		known[d.prefix] = true
	}
	owe := func(p netip.Prefix) {
		if !known[p] && !samePaths(r.old, r.now) {
			known[p] = true
			r.debts = append(r.debts, debt{p, slices.Clone(r.old)})
		}
	}
	r.budget = math.MaxInt
	if r.passing {
		r.pass(func(p netip.Prefix) bool {
			if r.partial > 0 {
				r.old = r.halfTold()
			}
			owe(p)
			return true
		})
	}
	for r.seen != r.v.version {
		r.pass(func(p netip.Prefix) bool {
			owe(p)
			return true
		})
	}
	r.old, r.now = nil, nil
}

// halfTold returns what the reader knows of a prefix of which it was told the
// first frames of the difference between old and now.
func (r *Reader) halfTold() (told []Path) {
	k := 0
	for _, p := range r.old {
		if !holds(r.now, p.NextHop) {
			if k++; k <= r.partial {
				continue
			}
		}
		told = append(told, p)
	}
	for _, p := range r.now {
		if !holds(r.old, p.NextHop) {
			if k++; k > r.partial {
				break
			}
			told = append(told, p)
		}
	}
	return told
}

// repay shows the prefixes that differ from what a parked reader was told. It
// returns false if show refused one.
func (r *Reader) repay(show func(p netip.Prefix) bool) bool {
	for len(r.debts) > 0 {
		d := &r.debts[len(r.debts)-1]
		r.old, r.now = append(r.old[:0], d.told...), r.now[:0]
		if n := r.v.find(d.prefix); n != 0 {
			r.now = r.view(r.now, r.v.entries.at(n), r.seen)
		}
		if !show(d.prefix) {
			if r.partial > 0 {
				d.told = r.halfTold()
				r.partial = 0
			}
			return false
		}
		*d = debt{}
		r.debts = r.debts[:len(r.debts)-1]
	}
	r.debts = nil
	return true
}
