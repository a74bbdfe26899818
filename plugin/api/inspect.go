package api

// What the management API says of routes and why, in the types of the process;
// convert.go makes messages of them.

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"mbbgp/rib"
)

// Explanation is what there is of a prefix in a VNI, on both sides, and what
// the policy between them says of each.
type Explanation struct {
	VNI        rib.VNI
	Configured bool   // otherwise the VNI is MetalBond's only
	Prefer     string // whose next hops count if both sides tell of the prefix
	NotAsked   bool   // nobody reads the VNI, and neighbors send only what they are asked for
	Prefix     netip.Prefix
	Originated *Originated    // if the VNI originates it toward hypervisors
	Aggregate  *Aggregate     // if it is an aggregate of the VNI
	NextHops   []ExplainedHop // in the table, MetalBond's side
	Paths      []ExplainedBGP // in BGP
	Kernel     *KernelRoute   // if the VNI has a table there
}

// Originated is a prefix that a VNI originates toward hypervisors.
type Originated struct {
	Present bool // hypervisors have it
	Offers  int  // BGP routes that offer it; 0 while it is present: it is in its hold-down
}

// Aggregate is an aggregate of a VNI.
type Aggregate struct {
	Exported     bool
	Contributors int // exportable prefixes inside it
}

// ExplainedHop is a next hop in the table.
type ExplainedHop struct {
	Target    netip.Addr
	TargetVNI rib.VNI // 0: the VNI itself
	Type      string
	NATFrom   uint16
	NATTo     uint16
	Visible   bool // no next hop of its type is preferred
	Claims    []Claim
	Export    Verdict
}

// Claim is who announces a next hop.
type Claim struct {
	Source     string
	Name       string
	Preference int
}

// ExplainedBGP is a BGP path of the prefix.
type ExplainedBGP struct {
	Kind             string
	NLRI             string
	Prefix           netip.Prefix
	Neighbor         netip.Addr // absent: it is our own
	Best             bool
	Stale            bool
	Since            time.Time
	NextHop          netip.Addr
	Label            uint32
	SID              netip.Addr
	RouteTargets     []string
	SiteOfOrigin     []string
	Communities      []string
	LargeCommunities []string
	DPath            []string
	LocalPreference  *uint32
	MED              *uint32
	Import           []Verdict // of the VNI, or of the path as a whole; none of our own
}

// Verdict is what a policy says.
type Verdict struct {
	Accepted bool
	NextHop  string // that it gets on the other side, if it is accepted; "self" is our address of each session
	Via      string // where the kernel sends packets on that come to this gateway
	Reason   string // why it is not
	Detail   string // for people
}

// PolicyRule is a rule of a VNI with what it did since the start.
type PolicyRule struct {
	VNI       rib.VNI
	Direction string // import or export
	Name      string
	When      string // for people, as are the next two
	Set       string
	Then      string
	Matched   uint64
	Refused   uint64
}

// ParseVNI reads a VNI. The error says what s is and what is allowed.
func ParseVNI(s string) (rib.VNI, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a VNI (0 to 4294967295)", s)
	}
	return rib.VNI(n), nil
}

// ParsePrefix reads a prefix, or an address as that host's prefix. The error
// says what s is and what is allowed.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Errorf("%q is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32", s)
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits behind its length, want %v", s, p.Masked())
	}
	return p, nil
}
