package rib

import "net/netip"

// Options are fixed for the life of a table.
type Options struct {
	// Encode appends the frame that announces, or with remove withdraws, a
	// next hop of a prefix. Nil if no reader uses ReadFrames.
	Encode func(dst []byte, remove bool, vni VNI, p netip.Prefix, nh NextHop) []byte

	// MaxTombstones bounds, per VNI, how many withdrawn next hops are kept for
	// readers that have not read of the withdrawal yet; 0 means the default.
	MaxTombstones int
}

// Table keeps the routes of every VNI. All methods may be called at the same
// time from any goroutine.
type Table struct {
	options Options
}

// New returns an empty table.
func New(o Options) *Table { return &Table{options: o} }

// Add says that o announces r. It reports whether that is news: o had not
// announced this next hop, or with another preference.
func (t *Table) Add(o Origin, r Route) (changed bool) { return false }

// Remove takes back what o announced. It reports whether o had announced it.
func (t *Table) Remove(o Origin, vni VNI, p netip.Prefix, nh NextHop) (changed bool) { return false }

// Replace makes nhs, with the preference pref, all that o announces of p. No
// next hops withdraw the prefix. This is BGP's implicit withdraw.
func (t *Table) Replace(o Origin, vni VNI, p netip.Prefix, nhs []NextHop, pref Preference) (changed bool) {
	return false
}
