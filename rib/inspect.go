package rib

import "net/netip"

// RouteInfo is a live next hop with everybody who announces it.
type RouteInfo struct {
	Prefix  netip.Prefix
	NextHop NextHop
	Visible bool    // no live next hop of its type has a higher preference
	Claims  []Claim // never empty
}

// Claim is one origin's announcement of a next hop.
type Claim struct {
	Origin     Origin
	Source     Source
	Preference Preference
	Name       string // of the origin
}

// Stats are the figures of one VNI at one moment.
type Stats struct {
	Prefixes   int    // with a live next hop
	NextHops   int    // live, of all prefixes
	Claims     int    // announcements of live next hops by origins
	Tombstones int    // withdrawn next hops kept for readers
	Parked     int    // withdrawals in the private lists of parked readers
	Readers    int    // open readers
	Version    uint64 // number of changes so far
}

// VNIs returns the VNIs that hold routes or readers, ascending.
func (t *Table) VNIs() []VNI { return nil }

// Stats returns the figures of a VNI, zero if the table does not know it.
func (t *Table) Stats(vni VNI) Stats { return Stats{} }

// Lookup returns every live next hop of exactly this prefix.
func (t *Table) Lookup(vni VNI, p netip.Prefix) []RouteInfo { return nil }

// Walk visits every live next hop of a VNI until visit returns false.
func (t *Table) Walk(vni VNI, visit func(RouteInfo) bool) {}
