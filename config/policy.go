package config

import (
	"fmt"
	"net/netip"
	"strings"
)

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

// wellKnown are the communities that the file names.
var wellKnown = []struct {
	name  string
	value Community
}{
	{"graceful-shutdown", 0xffff0000},   // RFC 8326
	{"accept-own", 0xffff0001},          // RFC 7611
	{"llgr-stale", 0xffff0006},          // RFC 9494
	{"no-llgr", 0xffff0007},             // RFC 9494
	{"blackhole", 0xffff029a},           // RFC 7999
	{"no-export", 0xffffff01},           // RFC 1997
	{"no-advertise", 0xffffff02},        // RFC 1997
	{"no-export-subconfed", 0xffffff03}, // RFC 1997
	{"no-peer", 0xffffff04},             // RFC 3765
}

// ParseCommunity reads "65000:100" or the name of a well-known community, such
// as "no-export". The error says what s is and what is allowed.
func ParseCommunity(s string) (Community, error) {
	for _, w := range wellKnown {
		if w.name == s {
			return w.value, nil
		}
	}
	v, err := parseNumbers(s, 16, 16)
	if err != nil {
		names := make([]string, len(wellKnown))
		for i, w := range wellKnown {
			names[i] = w.name
		}
		return 0, notParsed(s, "a community such as 65000:100, nor one of "+strings.Join(names, ", "), err)
	}
	return Community(v[0]<<16 | v[1]), nil
}

// String returns the text that ParseCommunity reads: the name if there is one.
func (c Community) String() string {
	for _, w := range wellKnown {
		if w.value == c {
			return w.name
		}
	}
	return fmt.Sprintf("%d:%d", uint32(c)>>16, uint32(c)&0xffff)
}

// LargeCommunity is a BGP large community (RFC 8092): global administrator and
// two local parts.
type LargeCommunity [3]uint32

// ParseLargeCommunity reads "65000:1:2". The error says what s is and what is
// allowed.
func ParseLargeCommunity(s string) (LargeCommunity, error) {
	v, err := parseNumbers(s, 32, 32, 32)
	if err != nil {
		return LargeCommunity{}, notParsed(s, "a large community, such as 65000:1:2", err)
	}
	return LargeCommunity(v), nil
}

// String returns the text that ParseLargeCommunity reads.
func (c LargeCommunity) String() string { return fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2]) }
