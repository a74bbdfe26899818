// Package rtnl speaks rtnetlink for what the kernel plugin does a million times
// and what the netlink library lacks: next hop objects and groups, routes that
// use them, encapsulation in both directions, many requests a system call, and
// dumps that notice that they were interrupted. It knows no VNI and no policy.
package rtnl

import "net/netip"

// EncapKind is a kind of lightweight tunnel (LWTUNNEL_ENCAP_*).
type EncapKind uint8

// The kinds that are written and read. What is read of other ones is
// EncapOther and nothing else.
const (
	EncapNone      EncapKind = iota
	EncapIP6                 // ip6: through a device in external mode
	EncapSeg6                // seg6 mode encap.red: one segment, no routing header
	EncapMPLS                // mpls: one label
	EncapSeg6Local           // seg6local: decapsulation of a segment
	EncapOther
)

// Encap is the encapsulation of a next hop. Two are the same if they are equal
// with ==.
type Encap struct {
	Kind     EncapKind
	Dst      netip.Addr // IP6: outer destination; Seg6: the segment
	Src      netip.Addr // IP6: outer source; invalid: the kernel chooses
	HopLimit uint8      // IP6: 0: the kernel chooses
	Label    uint32     // MPLS
	Action   uint8      // Seg6Local: ActionDT4, ActionDT6, ActionDT46
	Table    uint32     // Seg6Local: of the VRF (DT4, DT46), or the table (DT6)
}

// The seg6local actions (SEG6_LOCAL_ACTION_*).
const (
	ActionDT6  uint8 = 7
	ActionDT4  uint8 = 8
	ActionDT46 uint8 = 16
)

// Hop is where packets go.
type Hop struct {
	Device  int        // interface index
	Gateway netip.Addr // invalid: none
	OnLink  bool       // the gateway counts as connected
	Encap   Encap
	Weight  uint8 // of a multipath hop, in addition to 1
}

// NextHop is a next hop object: a hop, a discard, or a group of others. The kernel
// removes a hop, together with the routes that use it, when its device goes down
// or loses its carrier, and reports neither the object nor routes of IPv4: the
// LinkEvent is all there is to see.
type NextHop struct {
	ID        uint32
	Protocol  uint8
	Hop       Hop  // neither a discard nor a group; serves routes of both families, of IPv4 alone if Gateway is an IPv4 address
	Blackhole bool // packets are dropped; of IPv6 as well
	Group     []Member
}

// Member is one hop of a group.
type Member struct {
	ID     uint32
	Weight uint8 // in addition to 1
}

// Route is a route of IPv4 or IPv6.
type Route struct {
	Table     uint32
	Prefix    netip.Prefix // masked
	Type      uint8        // RTN_UNICAST (0 means it as well), RTN_BLACKHOLE, RTN_LOCAL, ...
	Protocol  uint8        // RTPROT_*
	Metric    uint32
	NextHopID uint32 // 0: Hops
	Hops      []Hop  // more than one: multipath, IPv4 only
}

// Link is what a network interface says of itself.
type Link struct {
	Index   int
	Name    string
	Kind    string // "vrf", "vxlan", "ip6tnl", ...; "" of hardware and lo
	Alias   string
	Master  int
	MTU     int
	Up      bool // administratively
	Carrier bool // IFF_LOWER_UP
}

// EventKind says what an event is about.
type EventKind uint8

// The kinds of events.
const (
	RouteEvent EventKind = iota
	NextHopEvent
	LinkEvent
	RuleEvent
	NeighborEvent
	AddressEvent
	LabelEvent
	OverrunEvent // some were lost: everything has to be looked at
)

// Event is something that changed in the kernel.
type Event struct {
	Kind    EventKind
	Removed bool
	Port    uint32     // of the netlink socket whose request it was; 0: the kernel itself
	Route   Route      // RouteEvent
	NextHop NextHop    // NextHopEvent
	Link    Link       // LinkEvent
	Label   LabelRoute // LabelEvent: of those that LabelRoute can say
	Family  uint8      // RuleEvent, NeighborEvent, AddressEvent: AF_*
	Device  int        // NeighborEvent, AddressEvent
}

// Resolution is how the kernel would send to an address.
type Resolution struct {
	Reachable bool       // by a unicast or local route
	Local     bool       // the address is one of this machine
	Default   bool       // the route is a default route
	Device    int        // interface index; of several hops one
	Gateway   netip.Addr // invalid: the address is on the link itself
	Encap     EncapKind  // that the route puts on
}
