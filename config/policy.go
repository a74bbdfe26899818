package config

import "net/netip"

// Rule is one step of a policy. A policy is a list of rules: each that matches
// makes its changes, and the first that matches and says accept or refuse ends
// it. What reaches the end is accepted.
type Rule struct {
	Name string // name: for people and counters, unique in its list; default rule-N, counted from 1
	When Match  // when: what it matches; default everything
	Set  Set    // set: what it changes
	Then Then   // then: default continue if there is a set, required otherwise
}

// Match is a condition. All parts that are there must hold; of a part that is a
// list, one element is enough.
type Match struct {
	Prefixes         []PrefixRule     // prefixes: prefix with ge and le, or a prefix alone; Allow is not looked at
	Types            []HopType        // types
	NextHops         []netip.Prefix   // nexthops: of the MetalBond next hop of an export, of the SID or else BGP next hop of an import
	Communities      []Community      // communities: a route with any of them
	LargeCommunities []LargeCommunity // large-communities: a route with any of them
}

// Set is what a rule changes.
type Set struct {
	Communities      []Community      // communities: added; exports only
	LargeCommunities []LargeCommunity // large-communities: added; exports only
	LocalPref        *uint32          // local-preference; nil: as it is
	MED              *uint32          // med; nil: as it is
}

// Then says how a policy goes on behind a rule that matches.
type Then uint8

// The ways.
const (
	ThenContinue Then = iota // with the next rule
	ThenAccept
	ThenRefuse
)

var thenNames = []string{"continue", "accept", "refuse"}

// String returns the name that the file uses.
func (t Then) String() string { return name(thenNames, t) }

// Community is a BGP community (RFC 1997).
type Community uint32

// LargeCommunity is a BGP large community (RFC 8092): global administrator and
// two local parts.
type LargeCommunity [3]uint32

// DomainID names a domain in D-PATH (RFC 10039): a 4-octet global and a 2-octet
// local administrator. The zero one is none.
type DomainID [6]byte
