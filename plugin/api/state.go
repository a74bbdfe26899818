package api

import (
	"net/netip"
	"time"

	"mbbgp/rib"
)

// State is where the server gets what it shows. It is asked at each request
// and keeps nothing, so a number is never kept twice. Functions may be nil:
// then there is nothing of that kind. They are called from several goroutines
// at once.
type State struct {
	Version string // of the program, as routes.json says it

	Table     table
	Sessions  func() []Session
	Neighbors func() []Neighbor
	Counters  func() []Counter
	Ready     func() []Condition
}

// table is what is read of the route table; *rib.Table is one.
type table interface {
	VNIs() []rib.VNI
	Stats(rib.VNI) rib.Stats
	Walk(rib.VNI, func(rib.RouteInfo) bool)
}

// Session is a MetalBond session.
type Session struct {
	Peer        string // address or name, without the port that changes at each connection
	Server      bool   // the peer is a server, we are its client
	Established bool
	Keepalive   time.Duration // negotiated; 0 before that
	Routes      int           // next hops that the peer announces
	Held        int           // next hops that a lost session said, kept until it is repeated
	Behind      uint64        // changes that the peer has not been sent
	Pace        int           // bytes a second that are sent at most; 0: no limit

	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	Refused             map[string]uint64 // routes of the peer that were refused, by reason
}

// Neighbor is a BGP neighbour.
type Neighbor struct {
	Address     netip.Addr
	ASN         uint32
	Established bool
	Sessions    uint64 // how often a session with it was established
	Routes      int    // of the neighbour that the bridge imports
	Updates     uint64 // best paths of the neighbour that the bridge was given
	Withdrawals uint64 // withdrawals of them
	Families    []NeighborFamily
}

// NeighborFamily is an address family that both ends of a session speak.
type NeighborFamily struct {
	Family   string
	EndOfRIB bool
}

// Counter is one more figure of another package: how often something happened
// or, with Gauge, how much of something there is.
type Counter struct {
	Name   string // without the prefix "mbbgp_", a counter's with "_total"
	Help   string
	Gauge  bool
	Labels []Label
	Value  float64
}

// Label is one label of a Counter. All counters of one name have the same
// label names in the same order.
type Label struct{ Name, Value string }

// Condition is one thing that has to be true before the process counts as
// ready.
type Condition struct {
	Name   string
	OK     bool
	Detail string // for people: what it is, or what is missing
}
