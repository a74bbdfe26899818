package kernel

import (
	"cmp"
	"slices"
)

// end returns the port behind the range.
func (r portRange) end() int {
	if r.to == 0 {
		return 1 << 16
	}
	return int(r.to)
}

// divide makes of what several hypervisors say of one address ranges that do
// not overlap, in order, the fewest that say it. A port that several claim is
// the one's with the lowest target: all gateways come to the same answer. What
// earlier says counts where claims say nothing. Empty ranges are left out.
// conflict says that claims disagree about a port.
func divide(claims, earlier []portRange) (parts []portRange, conflict bool) {
	claims = slices.Clone(claims)
	slices.SortFunc(claims, func(a, b portRange) int {
		return cmp.Or(a.target.Compare(b.target), cmp.Compare(a.from, b.from))
	})
	for _, c := range claims {
		var clash bool
		parts, clash = fill(parts, c)
		conflict = conflict || clash
	}
	for _, c := range earlier {
		parts, _ = fill(parts, c)
	}
	return join(parts), conflict
}

// fill adds to ranges in order what they leave free of another one, and says
// whether somebody else has the rest.
func fill(parts []portRange, c portRange) (_ []portRange, clash bool) {
	at, end := int(c.from), c.end()
	i, _ := slices.BinarySearchFunc(parts, at, func(p portRange, at int) int {
		if p.end() <= at {
			return -1
		}
		return 1
	})
	for ; at < end; i++ {
		if i < len(parts) && int(parts[i].from) <= at {
			clash = clash || parts[i].target != c.target
			at = parts[i].end()
			continue
		}
		next := end
		if i < len(parts) {
			next = min(end, int(parts[i].from))
		}
		parts = slices.Insert(parts, i, portRange{from: uint16(at), to: uint16(next), target: c.target})
		at = next
	}
	return parts, clash
}

// join makes one range of neighbours with the same target.
func join(parts []portRange) []portRange {
	var joined []portRange
	for _, p := range parts {
		if last := len(joined) - 1; last >= 0 && joined[last].end() == int(p.from) && joined[last].target == p.target {
			joined[last].to = p.to
			continue
		}
		joined = append(joined, p)
	}
	return joined
}
