package bench

import "hash/maphash"

// digest is a set of routes: how many, and the sum of their hashes. The order in
// which they came does not count, and one that went leaves nothing, so two
// clients know the same if their digests are equal: a route that was lost, or
// told twice, or told with another next hop, makes a difference.
//
// A route is its UPDATE without the action: all known servers encode the same
// UPDATE in the same bytes.
type digest struct {
	live int // announced and not withdrawn since
	sum  uint64
}

// seed is of this run: digests are never compared with those of another.
var seed = maphash.MakeSeed()

// removing begins the payload of an UPDATE that withdraws: field 1, varint, 1.
const removing = "\x08\x01"

// take adds what an UPDATE announces, or takes away what it withdraws. It
// reports which.
func (d *digest) take(payload []byte) (removed bool) {
	if len(payload) >= len(removing) && string(payload[:len(removing)]) == removing {
		d.live--
		d.sum -= maphash.Bytes(seed, payload[len(removing):])
		return true
	}
	d.live++
	d.sum += maphash.Bytes(seed, payload)
	return false
}

// plus returns the routes of both, which have none in common.
func (d digest) plus(e digest) digest { return digest{d.live + e.live, d.sum + e.sum} }

// minus returns the routes of d without those of e, which are among them.
func (d digest) minus(e digest) digest { return digest{d.live - e.live, d.sum - e.sum} }
