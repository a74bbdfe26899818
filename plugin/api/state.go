package api

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mbbgp/rib"
)

// State is where the server gets what it shows. It is asked at each request
// and keeps nothing, so a number is never kept twice. Functions may be nil:
// then there is nothing of that kind. They are called from several goroutines
// at once.
type State struct {
	Version string    // of the program, as routes.json says it
	Started time.Time // of the process

	Table     table
	VNIs      func() []VNI
	Sessions  func() []Session
	Neighbors func() []Neighbor
	Counters  func() []Counter
	Ready     func() []Condition
	Policy    func() []PolicyRule
	Kernel    func() Kernel
	Explain   func(rib.VNI, netip.Prefix) (Explanation, error) // fails while BGP cannot be asked

	// Paths visits all paths of BGP, or with a VNI other than 0 those of it, until
	// visit returns false; it fails while BGP cannot be asked.
	Paths func(vni rib.VNI, visit func(*ExplainedBGP) bool) error

	Collectors []prometheus.Collector // metrics of libraries, beside ours

	Static   *Static  // nil: no routes can be announced
	Operator Operator // nil: nothing of it can be asked for

	Migration *Migration // nil: no VNI can be moved from one control plane to the other
}

// table is what is read of the route table; *rib.Table is one.
type table interface {
	VNIs() []rib.VNI
	Stats(rib.VNI) rib.Stats
	Lookup(rib.VNI, netip.Prefix) []rib.RouteInfo
	Walk(rib.VNI, func(rib.RouteInfo) bool)
	NewReader(rib.VNI, rib.ReaderOptions) *rib.Reader
}

// VNI is a configured VNI.
type VNI struct {
	VNI           rib.VNI
	Name          string
	Family        string // in BGP
	Encapsulation string // of the fabric
	Gateway       netip.Addr
	Table         uint32 // in the kernel; 0: none
	Imported      int    // routes from BGP
	Exported      int    // routes to BGP
	Prefer        string // whose next hops count where both sides tell of a prefix
}

// Session is a MetalBond session.
type Session struct {
	Peer        string // address or name, without the port that changes at each connection
	Name        string // the same with the port
	Server      bool   // the peer is a server, we are its client
	State       string
	Since       time.Time // of the state
	LastError   string    // why the last connection to a server ended
	VNIs        []rib.VNI // that the peer reads, or that we do of a server
	Established bool
	Keepalive   time.Duration // negotiated; 0 before that
	Routes      int           // next hops that the peer announces
	Said        []int         // of these, by VNIs; a server's while it is established
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
	LocalASN    uint32     // that we have towards it
	RouterID    netip.Addr // absent while not established
	Description string
	Dynamic     bool // accepted from a prefix
	State       string
	Since       time.Time // when it was established; absent while it is not
	Sessions    uint64    // how often a session with it was established
	LastError   string
	Routes      int              // of the neighbour that the bridge imports
	MaxRoutes   int              // that it may import; 0: no limit
	Refused     uint64           // since that limit was last clear
	Updates     uint64           // best paths of the neighbour that the bridge was given
	Withdrawals uint64           // withdrawals of them
	Restart     int              // how long it wants its routes kept over a restart
	Families    []NeighborFamily // that both ends speak
	Stale       []StaleFamily
}

// Established reports whether there is a session.
func (n *Neighbor) Established() bool { return !n.Since.IsZero() }

// NeighborFamily is an address family that both ends of a session speak.
type NeighborFamily struct {
	Family          string
	EndOfRIB        bool // the neighbour has said all it has
	AddPathReceive  bool // it may send several paths of one prefix
	AddPathSend     bool // it may be sent several
	ExtendedNextHop bool // it takes IPv6 next hops of IPv4 routes
	GracefulRestart bool // it wants its routes kept over a restart
	LongLived       int  // and how much longer
}

// StaleFamily is a family whose routes are kept though the neighbour is gone,
// or has not said them again.
type StaleFamily struct {
	Family    string
	LongLived bool      // and less preferred (RFC 9494)
	Until     time.Time // absent: its End-of-RIB
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
