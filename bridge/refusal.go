package bridge

import "fmt"

// Reason names the rule that refused a route. Reasons are stable: they are
// metric labels and part of what explain prints.
type Reason string

// The rules, in the order in which each direction applies them.
const (
	Accepted Reason = "" // no rule refused the route

	// MetalBond into the table (Channel.Announce).
	PrefixInvalid  Reason = "prefix-invalid"   // no prefix, or an IPv4-mapped one
	NextHopInvalid Reason = "next-hop-invalid" // no IPv6 address that packets can be sent to
	OwnGateway     Reason = "own-gateway"      // a server says a route through this bridge's own gateway address: an echo
	OwnRoute       Reason = "own-route"        // a server says what this bridge says to servers; ignored, not an error
	VNILimit       Reason = "vni-max-prefixes" // the VNI is full
	MaxRoutes      Reason = "max-routes"       // the session says as much as it may
	MemoryLimit    Reason = "memory-limit"     // the process has no memory for what is new; of BGP's routes, too
	ChannelClosed  Reason = "channel-closed"   // the session is over

	// BGP into the table (BGP.Import), for the route as a whole.
	KindUnsupported Reason = "kind-unsupported"      // neither EVPN type 5 or type 2, nor VPN, nor unicast
	NoIP            Reason = "no-ip"                 // type 2 of a MAC only
	NoL3VNI         Reason = "no-l3-vni"             // type 2 without second label: bridged, not routed
	OverlayIndex    Reason = "overlay-index"         // type 5 with gateway IP or ESI: not supported
	NoLabel         Reason = "no-label"              // neither SID nor label: type 5 (RFC 9136 section 3.1) and VPN
	OwnDomain       Reason = "own-domain"            // carries this domain's Site-of-Origin
	DPath           Reason = "d-path"                // this domain is in its D-PATH
	Tunnel          Reason = "encapsulation"         // a tunnel type that the bridge does not map
	NoRouterMAC     Reason = "no-router-mac"         // VXLAN without a usable Router's MAC (RFC 9136 section 4.4.1)
	BGPNextHop      Reason = "bgp-next-hop"          // IP-in-IP without IPv6 next hop of somebody else
	Lossless        Reason = "lossless"              // its large communities contradict each other
	SRv6Behavior    Reason = "srv6-behavior"         // an endpoint behaviour that does not deliver packets of the prefix's family
	SRv6Structure   Reason = "srv6-structure"        // a SID structure that no SID has, or that the label has no room for
	SRv6SID         Reason = "srv6-sid"              // a SID that packets cannot be sent to, or one of ours
	NoTarget        Reason = "no-target"             // no VNI imports any of its route targets
	NeighborLimit   Reason = "neighbor-max-prefixes" // the neighbour is full

	// BGP into the table, for one VNI that could import it.
	Filtered  Reason = "prefix-filter" // the VNI's prefix rules; in both directions
	HopType   Reason = "next-hop-type" // not one of import.types, or of export.types; in both directions
	Policy    Reason = "policy"        // a rule of the VNI refuses it; in both directions
	NoGateway Reason = "no-gateway"    // into a VNI without gateway address, though packets have to go through one

	// The table into BGP (BGP.Export), for one next hop.
	FromBGP     Reason = "from-bgp"      // learnt from BGP
	FromVNI     Reason = "from-vni"      // another VNI's, here by import-from
	GatewayPool Reason = "gateway-pool"  // the next hop of a gateway: learnt from elsewhere
	TargetVNI   Reason = "target-vni"    // names another VNI, which only lossless exports can say
	SummaryOnly Reason = "summary-only"  // inside an aggregate that is exported in its place
	OtherVNI    Reason = "other-vni"     // unicast: another VNI exports the prefix
	SlotLimit   Reason = "max-next-hops" // more next hops of one prefix than route distinguishers
)

// Refusal is why a route was refused. The session that carried it goes on.
type Refusal struct {
	Reason Reason
	Detail string // for people: the values that decided
}

// Error returns reason and detail.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Reason)
	}
	return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
}
