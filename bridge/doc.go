// Package bridge joins the speakers of a protocol to the route table: what
// MetalBond says (Channel) and what BGP says (BGP), the policy between them,
// the loop rules, and what was counted on the way. It speaks no protocol.
package bridge
