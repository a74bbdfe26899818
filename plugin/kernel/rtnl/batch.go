package rtnl

import "golang.org/x/sys/unix"

// Batch is a number of requests, carried out in their order. The zero value is
// an empty one. Each method that adds one returns its number, counted from 0.
type Batch struct {
	b    []byte
	ends []int // in b, of every request
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.b, b.ends = b.b[:0], b.ends[:0] }

// Len is the number of requests.
func (b *Batch) Len() int { return len(b.ends) }

const (
	flagsAdd     = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL
	flagsPrepend = unix.NLM_F_REQUEST | unix.NLM_F_CREATE
	flagsReplace = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	flagsDelete  = unix.NLM_F_REQUEST
)

// AddRoute adds a route. It is refused with EEXIST if there is one with the same
// table, prefix and metric, whose ever it is.
func (b *Batch) AddRoute(r *Route) int {
	return b.added(r.append(b.b, unix.RTM_NEWROUTE, flagsAdd))
}

// PrependRoute adds a route, before those with the same table, prefix and metric
// that are other ones. It is refused with EEXIST if it is there already; of IPv6
// whosever it is.
func (b *Batch) PrependRoute(r *Route) int {
	return b.added(r.append(b.b, unix.RTM_NEWROUTE, flagsPrepend))
}

// ReplaceRoute adds a route, or puts it in the place of the one with the same
// table, prefix and metric, whose ever it is.
func (b *Batch) ReplaceRoute(r *Route) int {
	return b.added(r.append(b.b, unix.RTM_NEWROUTE, flagsReplace))
}

// DeleteRoute removes the route with the same table, prefix, metric and
// protocol; a metric or a protocol of 0 means any. If there is none, it is
// refused with ESRCH.
func (b *Batch) DeleteRoute(r *Route) int {
	return b.added(r.append(b.b, unix.RTM_DELROUTE, flagsDelete))
}

// ReplaceNextHop adds a next hop object, or changes the one with the same id. A
// group cannot become a hop, nor a hop a group.
func (b *Batch) ReplaceNextHop(n *NextHop) int {
	return b.added(n.append(b.b, unix.RTM_NEWNEXTHOP, flagsReplace))
}

// DeleteNextHop removes a next hop object. The kernel takes it out of groups, and
// removes groups without members and routes without hops, by itself. If there is
// none, it is refused with ENOENT.
func (b *Batch) DeleteNextHop(id uint32) int {
	n := NextHop{ID: id}
	return b.added(n.append(b.b, unix.RTM_DELNEXTHOP, flagsDelete))
}

// AddLabelRoute adds an MPLS route. It is refused with EEXIST if there is one
// with the same label, whose ever it is.
func (b *Batch) AddLabelRoute(r *LabelRoute) int {
	return b.added(r.append(b.b, unix.RTM_NEWROUTE, flagsAdd))
}

// DeleteLabelRoute removes the MPLS route with the same label, whose ever it is.
// If there is none, it is refused with ESRCH.
func (b *Batch) DeleteLabelRoute(r *LabelRoute) int {
	return b.added(r.append(b.b, unix.RTM_DELROUTE, flagsDelete))
}

func (b *Batch) added(buf []byte) int {
	b.b = buf
	b.ends = append(b.ends, len(buf))
	return len(b.ends) - 1
}
