package rib

// A prefix is an entry; each of its next hops is a record; each origin that
// announces a next hop has a claim on its record.
//
// A record never changes what it says: the next hop, the best preference and
// source of its claims, and the origin if there is only one. When any of that
// changes, the record ends with the version of the change and another begins
// with it. So what a reader saw at its cursor are the records that lived then,
// exactly, without anybody having stored what each reader was told. An ended
// record, a tombstone, is kept as long as a cursor stands inside its life.

type entry struct {
	key
	oldest  uint32 // of its records; they hang together in the order of their next hops
	newest  uint32
	live    uint32 // records
	ghosts  uint32 // in the log
	slot    uint32 // in the log
	changed uint64 // version of the last change
}

type record struct {
	added      uint64
	removed    uint64 // 0 while it lives
	entry      uint32
	next       uint32 // record of the entry
	hop        uint32 // interned next hop
	claims     uint32 // the first; none in a tombstone
	sole       Origin // the only origin, 0 if there are several
	preference Preference
	source     Source
	kind       NextHopType // of the next hop
}

// at reports whether the record lived at a version.
func (r *record) at(version uint64) bool {
	return r.added <= version && (r.removed == 0 || r.removed > version)
}

// claim is 20 bytes. The claims of a record hang together, and the last leads
// back to the record; so do those of an origin, in both directions.
type claim struct {
	origin     Origin
	next       uint32 // claim of the same record, or lastClaim and the record
	older      uint32 // claim of the same origin
	newer      uint32
	preference Preference
	source     Source
}

const lastClaim = 1 << 31

// follows returns the next claim of the same record, 0 if there is none.
func (c *claim) follows() uint32 {
	if c.next&lastClaim != 0 {
		return 0
	}
	return c.next
}

// recordOf returns the record of a claim.
func (v *vni) recordOf(n uint32) uint32 {
	for n&lastClaim == 0 {
		n = v.claims.at(n).next
	}
	return n &^ lastClaim
}

// summary is what the claims on a record come to.
type summary struct {
	sole       Origin
	preference Preference
	source     Source
}

func (v *vni) summarize(first uint32) summary {
	c := v.claims.at(first)
	s := summary{c.origin, c.preference, c.source}
	for n := c.follows(); n != 0; n = c.follows() {
		c = v.claims.at(n)
		s.sole = 0
		if c.preference > s.preference || c.preference == s.preference && c.source < s.source {
			s.preference, s.source = c.preference, c.source
		}
	}
	return s
}

func (r *record) summary() summary { return summary{r.sole, r.preference, r.source} }
