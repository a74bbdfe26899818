package wire

import "fmt"

// Malformed says that bytes are not MetalBond v1. The stream cannot be trusted
// any further: the session ends.
type Malformed struct {
	Message Type   // whose payload it is; 0: the header
	Field   string // "length", "destination.prefixLength", ...
	Offset  int64  // of the offending byte: in the payload; for a header, in the stream
	Value   string // what is there
	Allowed string // what may be there
}

// Error returns one line with place, value and what is allowed.
func (e *Malformed) Error() string {
	where := "header"
	unit := "stream byte"
	if e.Message != 0 {
		where, unit = e.Message.String(), "byte"
	}
	return fmt.Sprintf("malformed %s: %s at %s %d is %s, allowed is %s", where, e.Field, unit, e.Offset, e.Value, e.Allowed)
}

// The values of Invalid.Reason. They are stable and usable as metric labels.
const (
	ReasonNoDestination      = "no-destination"
	ReasonNoNextHop          = "no-next-hop"
	ReasonPrefixAddress      = "prefix-address"
	ReasonPrefixLength       = "prefix-length"
	ReasonPrefixHostBits     = "prefix-host-bits"
	ReasonPrefixMapped       = "prefix-ipv4-mapped"
	ReasonNextHopAddress     = "next-hop-address"
	ReasonNextHopUnspecified = "next-hop-unspecified"
	ReasonNextHopMulticast   = "next-hop-multicast"
	ReasonNextHopMapped      = "next-hop-ipv4-mapped"
	ReasonNATPorts           = "nat-ports"
)

// Invalid says that an UPDATE is well-formed and says something impossible. The
// stream is in step: the UPDATE is refused and counted, the session goes on.
type Invalid struct {
	Reason  string // one of the Reason constants
	Field   string // "destination.prefix", ...
	Offset  int    // in the payload, of the value; of a field that is missing, the payload's end
	Value   string // what is there
	Allowed string // what may be there
}

// Error returns one line with place, value and what is allowed.
func (e *Invalid) Error() string {
	return fmt.Sprintf("invalid UPDATE: %s at byte %d is %s, allowed is %s", e.Field, e.Offset, e.Value, e.Allowed)
}
