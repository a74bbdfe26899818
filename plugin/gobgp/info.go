package gobgp

import (
	"net/netip"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
)

// State is the state of a BGP session (RFC 4271 section 8.2.2).
type State uint8

// The states of a session.
const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

// String returns the name that RFC 4271 gives the state, in lower case.
func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Connect:
		return "connect"
	case Active:
		return "active"
	case OpenSent:
		return "opensent"
	case OpenConfirm:
		return "openconfirm"
	case Established:
		return "established"
	}
	return "unknown"
}

// FamilyInfo is an address family that both ends of a session speak.
type FamilyInfo struct {
	Family          config.Family
	EndOfRIB        bool          // the neighbour has sent its End-of-RIB (RFC 4724 section 2)
	AddPathReceive  bool          // it may send several paths of one NLRI (RFC 7911)
	AddPathSend     bool          // it may be sent several
	ExtendedNextHop bool          // it takes IPv6 next hops of IPv4 routes (RFC 8950)
	GracefulRestart bool          // it wants its routes kept over a restart (RFC 4724)
	LongLived       time.Duration // how much longer it wants them kept (RFC 9494); 0: not at all
}

// StaleInfo is a family whose routes are kept though the neighbour that sent
// them has gone away, or is back and has not said yet which are still good.
type StaleInfo struct {
	Family    config.Family
	LongLived bool      // its restart time is over, and they have LLGR_STALE (RFC 9494)
	Until     time.Time // they go then if it is not back; zero: it is, and they go at its End-of-RIB
}

// NeighborInfo is what there is to know of one BGP neighbour. How many paths
// GoBGP has of it is not part of that: GoBGP would walk its tables to count
// them and answer no neighbour meanwhile.
type NeighborInfo struct {
	Address     netip.Addr
	ASN         uint32     // the neighbour's AS
	LocalASN    uint32     // the AS that we have towards it
	RouterID    netip.Addr // its BGP identifier; invalid while not established
	Description string
	Dynamic     bool // accepted from a prefix; forgotten when its session ends
	State       State
	Since       time.Time     // when the session was established; zero while it is not
	Families    []FamilyInfo  // negotiated; nil while not established
	Restart     time.Duration // how long it wants its routes kept over a restart; 0 while not established
	Stale       []StaleInfo   // nil if nothing is
	Ups         uint64        // how often the session was established
	LastError   string        // why the session went down or failed last; empty if it never did
	Updates     uint64        // best paths of it handed to the bridge
	Withdrawals uint64        // withdrawals of them handed to the bridge
}

// Counters count what the speaker did since its start.
type Counters struct {
	Announced   uint64 // paths handed to GoBGP, replacements too
	Withdrawn   uint64 // withdrawals handed to GoBGP
	Imported    uint64 // neighbours' best paths handed to the bridge
	Removed     uint64 // withdrawals of them handed to the bridge
	Own         uint64 // best paths not handed on: we originated them
	Unsupported uint64 // best paths not handed on: a route type or family without use
	Malformed   uint64 // paths that cannot be read, handed on as withdrawn where they have a key
	Retained    uint64 // withdrawn paths for which GoBGP still keeps memory, about 1 KB each
}

// Path is one path of the EVPN table, as show commands list it.
type Path struct {
	NLRI       bridge.NLRI
	Label      uint32 // as in bridge.Update
	Attributes *bridge.Attributes
	Neighbor   netip.Addr // who sent it; invalid if it is our own
	Best       bool
	Stale      bool // kept over a graceful restart of the neighbour
	Since      time.Time
}
