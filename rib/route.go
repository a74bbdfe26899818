package rib

import (
	"fmt"
	"net"
	"net/netip"
)

// VNI is a virtual network identifier, 0 to 2^32-1 as MetalBond carries it.
// BGP EVPN has room for 24 bits only (RFC 8365 section 5.1.3); who exports
// checks.
type VNI uint32

// NextHopType says what a hypervisor does with a next hop.
type NextHopType uint8

// The next hop types of MetalBond v1.
const (
	Standard           NextHopType = 0 // forward packets of the prefix there
	NAT                NextHopType = 1 // owner of one port range of a NAT address
	LoadBalancerTarget NextHopType = 2 // one backend of a load balancer
)

// String returns the name that the configuration and the command line use.
func (t NextHopType) String() string {
	switch t {
	case Standard:
		return "standard"
	case NAT:
		return "nat"
	case LoadBalancerTarget:
		return "loadbalancer-target"
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// NextHop is one next hop of a prefix. Two next hops are the same if they are
// equal with ==. The fields stand so that there is no gap between them: they
// are compared and hashed as one.
type NextHop struct {
	Target    netip.Addr  // underlay address that packets are sent to, IPv6
	TargetVNI VNI         // 0 means the VNI of the route
	Label     uint32      // of a BGP fabric, 0 in MetalBond: VNI of VXLAN on the wire, or MPLS label
	NATFrom   uint16      // NAT only: first port
	NATTo     uint16      // NAT only: end of the port range
	MAC       [6]byte     // of a BGP fabric, zero in MetalBond: inner destination address of VXLAN, the Router's MAC of Target
	Type      NextHopType // what the next hop is for
}

// String returns the next hop as the command line writes it: the target, and
// "#nat#FROM#TO" or "#lb" behind it if it is not standard, and what else there
// is in brackets.
func (n NextHop) String() string {
	s := n.Target.String()
	switch n.Type {
	case Standard:
	case NAT:
		s += fmt.Sprintf("#nat#%d#%d", n.NATFrom, n.NATTo)
	case LoadBalancerTarget:
		s += "#lb"
	default:
		s += "#" + n.Type.String()
	}
	if n.TargetVNI != 0 {
		s += fmt.Sprintf(" (vni %d)", n.TargetVNI)
	}
	if n.MAC != ([6]byte{}) {
		s += fmt.Sprintf(" (mac %v)", net.HardwareAddr(n.MAC[:]))
	}
	if n.Label != 0 {
		s += fmt.Sprintf(" (label %d)", n.Label)
	}
	return s
}

// Source is the kind of peer that a route came from. A route is never sent
// back to the kind of peer that the reader of its change serves; which that
// is, the reader decides.
type Source uint8

// The sources. On equal preference the lower source stands for a next hop
// that several origins announce.
const (
	Static Source = iota // configuration or command line
	Client               // a MetalBond client of ours: a hypervisor
	Server               // a MetalBond server that we are a client of
	BGP                  // redistributed from BGP
	Leaked               // from another VNI of ours
)

// String returns the name that logs, metrics and the command line use.
func (s Source) String() string {
	switch s {
	case Static:
		return "static"
	case Client:
		return "client"
	case Server:
		return "server"
	case BGP:
		return "bgp"
	case Leaked:
		return "leaked"
	}
	return fmt.Sprintf("source-%d", uint8(s))
}

// Preference orders what several origins say of one prefix: per next hop type
// only the live next hops of the highest preference are visible to readers,
// the others stand by. BIRD uses the word in the same sense.
type Preference uint8

// The preferences in use. "Native beats redistributed" is these numbers. What
// was redistributed here counts more than what another gateway did and a
// MetalBond peer says: otherwise two gateways could each hide their own route
// behind the other's.
const (
	Relayed       Preference = 50  // through a gateway, said by a MetalBond peer; or another VNI's, leaked
	Deferred      Preference = 51  // Native, of a VNI that prefers what is learnt from another protocol
	Redistributed Preference = 100 // learnt from another protocol; worse and better paths are 52 to 199
	Native        Preference = 200 // announced in MetalBond by who owns it
)

// Origin identifies one speaker of routes: a session, a BGP neighbour's RD, the
// static routes. 0 is no origin.
type Origin uint32

// OriginInfo describes an origin.
type OriginInfo struct {
	Source Source
	Name   string // for people: a peer's address, "static", ...
}

// Route is what an origin announces.
type Route struct {
	VNI        VNI
	Prefix     netip.Prefix // masked, not IPv4-mapped
	NextHop    NextHop
	Preference Preference
}

// Path is a live next hop of a prefix as a reader sees it.
type Path struct {
	NextHop    NextHop
	Source     Source // of the best origin that announces it
	Preference Preference
}

// Change is what happened to one prefix between two reads of a reader. Old is
// what the reader saw last, New what is there now; both are in the order in
// which the next hops came, both belong to the reader and are overwritten by
// its next read. They always differ.
type Change struct {
	Prefix   netip.Prefix
	Old, New []Path
}
