package kernel

import (
	"encoding/binary"
	"fmt"
	"slices"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
)

// ids are the numbers of next hop objects that are ours to give, and the
// objects that an earlier run left. An object of an earlier run that says what
// is wanted is used as it is, so that its routes need no change.
type ids struct {
	fib     *fib
	numbers config.NumberRange
	last    uint32              // that was given
	hops    map[uint32]uint32   // given, by hop number
	groups  map[uint32]uint32   // given, by set number
	foreign map[uint32]struct{} // used by somebody else
	spare   map[uint32]struct{} // of an earlier run, not taken yet
	byHop   map[rtnl.Hop][]uint32
	byGroup map[string][]uint32 // by groupKey
}

func newIDs(f *fib, numbers config.NumberRange) ids {
	return ids{
		fib: f, numbers: numbers, last: numbers.Last,
		hops: map[uint32]uint32{}, groups: map[uint32]uint32{}, foreign: map[uint32]struct{}{},
		spare: map[uint32]struct{}{}, byHop: map[rtnl.Hop][]uint32{}, byGroup: map[string][]uint32{},
	}
}

// has reports whether an id is in the range that is ours to give.
func (i *ids) has(id uint32) bool { return id >= i.numbers.First && id <= i.numbers.Last }

// take returns an id that nobody uses: the next one, so that what is late to
// speak of an old object does not mean a new one.
func (i *ids) take() (uint32, error) {
	for range uint64(i.numbers.Last) - uint64(i.numbers.First) + 1 {
		if i.last++; !i.has(i.last) {
			i.last = i.numbers.First
		}
		if !i.used(i.last) {
			return i.last, nil
		}
	}
	return 0, fmt.Errorf("all numbers of nexthop-ids (%v) are in use", i.numbers)
}

func (i *ids) used(id uint32) bool {
	_, hop := i.hops[id]
	_, group := i.groups[id]
	_, foreign := i.foreign[id]
	_, spare := i.spare[id]
	return hop || group || foreign || spare
}

// leave adds an object that an earlier run left.
func (i *ids) leave(n *rtnl.NextHop) {
	i.spare[n.ID] = struct{}{}
	switch {
	case n.Blackhole:
	case len(n.Group) > 0:
		k := groupKey(n.Group)
		i.byGroup[k] = append(i.byGroup[k], n.ID)
	default:
		i.byHop[n.Hop] = append(i.byHop[n.Hop], n.ID)
	}
}

// takeHop returns the id of an object that was left and says o, 0 if there is
// none.
func (i *ids) takeHop(o rtnl.Hop) uint32 { return takeSpare(i, i.byHop, o) }

// takeGroup is takeHop for a group.
func (i *ids) takeGroup(members []rtnl.Member) uint32 {
	return takeSpare(i, i.byGroup, groupKey(members))
}

func takeSpare[K comparable](i *ids, by map[K][]uint32, key K) uint32 {
	for len(by[key]) > 0 {
		id := by[key][0]
		if by[key] = by[key][1:]; len(by[key]) == 0 {
			delete(by, key)
		}
		if _, ok := i.spare[id]; ok { // and not gone since
			delete(i.spare, id)
			return id
		}
	}
	return 0
}

// retire queues the removal of an object that nobody needs. One that routes of
// an earlier run use stays with them.
func (i *ids) retire(n *rtnl.NextHop, made bool) {
	switch {
	case !made:
	case i.fib.sets.left[n.ID] != 0:
		i.leave(n)
	default:
		i.fib.kernel.DeleteNextHop(n.ID)
		i.fib.counters.NextHops++
	}
}

// sweep queues the removal of objects that were left and not taken, but for
// those that routes still use.
func (i *ids) sweep() {
	for id := range i.spare {
		if i.fib.sets.left[id] == 0 {
			i.discard(id)
		}
	}
}

// discard queues the removal of an object that was left, if it still is there.
func (i *ids) discard(id uint32) {
	if _, ok := i.spare[id]; ok {
		delete(i.spare, id)
		i.fib.kernel.DeleteNextHop(id)
		i.fib.counters.NextHops++
	}
}

// groupKey is the same for groups with the same members in whatever order.
func groupKey(members []rtnl.Member) string {
	var b []byte
	sorted := slices.SortedFunc(slices.Values(members), compareMembers)
	for _, m := range sorted {
		b = binary.NativeEndian.AppendUint32(b, m.ID)
		b = append(b, m.Weight)
	}
	return string(b)
}

func compareMembers(a, b rtnl.Member) int { return int(int64(a.ID) - int64(b.ID)) }
