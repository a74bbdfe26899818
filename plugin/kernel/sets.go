package kernel

// The next hops of a prefix are a set. A set of several has a group in the
// kernel, whose members are those of its hops that the underlay leads to; a set
// of one uses that hop's own object. So a hop that is lost costs one message for
// every set that has it, however many routes use them, and every set keeps its
// id as long as it lives.

import (
	"encoding/binary"
	"slices"
	"time"

	"mbbgp/plugin/kernel/rtnl"
)

// The sets that always are.
const (
	noSet    = 0 // no route
	wrongSet = 1 // a route of ours that is not what anybody wants
)

// unclaimed is set in the number of the set of a route that an earlier run left
// and that the tables have not said yet.
const unclaimed = 1 << 31

// maxHops bounds the hops of a set, so that every dump has room for a group.
const maxHops = 256

// set is the next hops of prefixes.
type set struct {
	hops     []uint32 // sorted; nil of one that an earlier run left
	uses     int      // routes in the kernel, and failed changes
	id       uint32   // that routes name; 0: they have the hops in them, or drop packets
	ready    bool     // routes can use it
	grouped  bool     // id is of a group of its own
	members  []rtnl.Member
	inlined  []rtnl.Hop // without next hop objects: the hops in use
	drops    bool       // it discards packets
	stale    bool       // it is in sets.stale
	attempts int        // to make the group that were refused, one after the other
	live     bool
}

// sets are all sets in use. It is for the loop.
type sets struct {
	fib     *fib
	numbers map[string]uint32 // by setKey
	list    []set
	free    []uint32
	left    map[uint32]uint32 // sets of an earlier run, by id
	stale   []uint32
	idle    []uint32
	refused refused
	readied bool // one can be used that could not
	key     []byte
}

func newSets(f *fib) sets {
	return sets{fib: f, numbers: map[string]uint32{}, left: map[uint32]uint32{}, list: []set{{}, {live: true, uses: 1}}}
}

func (s *sets) add(x set) uint32 {
	x.live = true
	n := uint32(len(s.list))
	if last := len(s.free) - 1; last >= 0 {
		n = s.free[last]
		s.free = s.free[:last]
		s.list[n] = x
	} else {
		s.list = append(s.list, x)
	}
	s.idle = append(s.idle, n)
	return n
}

// intern returns the number of the set of some hops, noSet if there is none. It
// is forgotten by the next reclaim unless it is used. list is sorted by it.
func (s *sets) intern(list []uint32) uint32 {
	if len(list) == 0 {
		return noSet
	}
	list = s.keyed(list)
	if n := s.numbers[string(s.key)]; n != 0 {
		return n
	}
	drops := len(list) == 1 && s.fib.hops.list[list[0]].kind == discardHop
	n := s.add(set{hops: slices.Clone(list), drops: drops, ready: drops})
	s.numbers[string(s.key)] = n
	for _, h := range list {
		s.fib.hops.use(h)
		s.fib.hops.list[h].sets[n] = struct{}{}
	}
	s.touch(n)
	return n
}

// find returns the number of the set of some hops, noSet if there is no such set.
// list is sorted by it.
func (s *sets) find(list []uint32) uint32 {
	s.keyed(list)
	return s.numbers[string(s.key)]
}

// keyed makes key that of some hops, and returns those that count, sorted.
func (s *sets) keyed(list []uint32) []uint32 {
	slices.Sort(list)
	list = slices.Compact(list)
	list = list[:min(len(list), maxHops)]
	s.key = s.key[:0]
	for _, h := range list {
		s.key = binary.NativeEndian.AppendUint32(s.key, h)
	}
	return list
}

// leftover returns the set of routes of an earlier run that name an id.
func (s *sets) leftover(id uint32) uint32 {
	n := s.left[id]
	if n == 0 {
		n = s.add(set{id: id})
		s.left[id] = n
	}
	return n
}

func (s *sets) use(n uint32) {
	if n != noSet {
		s.list[n].uses++
	}
}

func (s *sets) drop(n uint32) {
	if n == noSet {
		return
	}
	if s.list[n].uses--; s.list[n].uses == 0 {
		s.idle = append(s.idle, n)
	}
}

func (s *sets) touch(n uint32) {
	if x := &s.list[n]; !x.stale {
		x.stale = true
		s.stale = append(s.stale, n)
	}
}

// same reports whether a route of the set was is in the kernel what one of the
// set n is.
func (s *sets) same(was, n uint32) bool {
	return was == n || s.list[was].id != 0 && s.list[was].id == s.list[n].id
}

// active appends the hops of a set that are to be used: those that the underlay
// leads to, or all if there is none.
func (s *sets) active(dst []*hopState, x *set) []*hopState {
	for _, reachable := range []bool{true, false} {
		for _, n := range x.hops {
			if h := &s.fib.hops.list[n]; h.made && (h.reachable || !reachable) {
				dst = append(dst, h)
			}
		}
		if len(dst) > 0 {
			break
		}
	}
	return dst
}

// settle brings the groups of stale sets into the kernel.
func (s *sets) settle(now time.Time) {
	s.refused.retry(now, s.touch)
	if len(s.stale) == 0 {
		return
	}
	f := s.fib
	var sent []uint32
	var said [][]rtnl.Member
	var active []*hopState
	for _, n := range s.stale {
		x := &s.list[n]
		x.stale = false
		if !x.live || x.hops == nil || x.drops {
			continue
		}
		active = s.active(active[:0], x)
		switch {
		case len(active) == 0:
			x.ready = false
		case !f.objects:
			s.inline(n, x, active)
		case len(x.hops) == 1:
			x.id = active[0].id
			s.ready(x)
		default:
			members := make([]rtnl.Member, 0, len(active))
			for _, h := range active {
				members = append(members, rtnl.Member{ID: h.id})
			}
			slices.SortFunc(members, compareMembers)
			if queued, err := s.group(n, x, members); err != nil {
				s.fail(n, err, now)
			} else if queued {
				sent, said = append(sent, n), append(said, members)
			}
		}
	}
	s.stale = s.stale[:0]
	refusals := f.send()
	for i, n := range sent {
		x := &s.list[n]
		if err := refusals[i]; err != nil {
			if s.fail(n, err, now); x.attempts == 1 {
				f.resync("next-hops") // perhaps a member is gone
			}
			continue
		}
		x.members, x.attempts = said[i], 0
		s.ready(x)
		f.counters.NextHops++
	}
}

// fail notes that the group of a set could not be made, or not be changed.
func (s *sets) fail(n uint32, err error, now time.Time) {
	x := &s.list[n]
	s.fib.count(err)
	s.refused.add(n, x.attempts, now)
	x.attempts++
}

func (s *sets) ready(x *set) {
	if !x.ready {
		x.ready, s.readied = true, true
	}
}

// group makes members the group of a set. It reports whether a request for it
// was queued.
func (s *sets) group(n uint32, x *set, members []rtnl.Member) (queued bool, err error) {
	ids := &s.fib.ids
	if x.ready && slices.Equal(x.members, members) {
		return false, nil
	}
	if x.id == 0 {
		if x.id = ids.takeGroup(members); x.id != 0 {
			x.grouped, x.members = true, members
			ids.groups[x.id] = n
			s.ready(x)
			return false, nil
		}
		id, err := ids.take()
		if err != nil {
			return false, err
		}
		x.id, x.grouped = id, true
		ids.groups[id] = n
	}
	s.fib.kernel.ReplaceNextHop(&rtnl.NextHop{ID: x.id, Protocol: s.fib.cfg.Protocol, Group: members})
	return true, nil
}

// inline makes the hops in use those of a set without next hop objects. Each of
// its routes is another one then.
func (s *sets) inline(n uint32, x *set, active []*hopState) {
	var list []rtnl.Hop
	for _, h := range active {
		list = append(list, h.kernel)
	}
	if x.ready && slices.Equal(x.inlined, list) {
		return
	}
	rewrite := x.ready
	x.inlined = list
	s.ready(x)
	if rewrite {
		s.fib.rewrite(n)
	}
}

// reclaim removes the groups of sets that nobody uses any more.
func (s *sets) reclaim() {
	f := s.fib
	for _, n := range s.idle {
		x := &s.list[n]
		if !x.live || x.uses > 0 {
			continue
		}
		s.key = s.key[:0]
		for _, h := range x.hops {
			s.key = binary.NativeEndian.AppendUint32(s.key, h)
			delete(f.hops.list[h].sets, n)
			f.hops.drop(h)
		}
		if x.hops == nil {
			delete(s.left, x.id)
			if f.swept {
				f.ids.discard(x.id)
			}
		} else {
			delete(s.numbers, string(s.key))
		}
		if x.grouped {
			delete(f.ids.groups, x.id)
			f.ids.retire(&rtnl.NextHop{ID: x.id, Group: x.members}, true)
		}
		*x = set{}
		s.free = append(s.free, n)
	}
	s.idle = s.idle[:0]
}

// problem says why a set cannot be used.
func (s *sets) problem(n uint32) error {
	for _, h := range s.list[n].hops {
		if err := s.fib.hops.list[h].problem; err != nil {
			return err
		}
	}
	return errNotMade
}
