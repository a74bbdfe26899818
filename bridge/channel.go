package bridge

import (
	"net/netip"

	"mbbgp/rib"
)

// Channel is the border between one MetalBond session (or the static routes)
// and the table. It is safe for concurrent use.
type Channel struct{ bridge *Bridge }

// Open makes the channel of a session. name is for people.
func (b *Bridge) Open(source rib.Source, name string) *Channel { return &Channel{} }

// Announce says a next hop. A duplicate is no error.
func (c *Channel) Announce(vni rib.VNI, p netip.Prefix, nh rib.NextHop) error { return nil }

// Withdraw takes a next hop back and reports whether c had announced it.
func (c *Channel) Withdraw(vni rib.VNI, p netip.Prefix, nh rib.NextHop) bool { return false }

// WithdrawVNI takes back all that c said in a VNI and returns how much it was.
func (c *Channel) WithdrawVNI(vni rib.VNI) int { return 0 }

// Origins are what the routes of c come from: ReaderOptions.Except of a
// session that must not hear its own.
func (c *Channel) Origins() []rib.Origin { return nil }

// Count is the number of next hops that c announces.
func (c *Channel) Count() int { return 0 }

// Close withdraws everything and forgets c. It returns how much it was.
func (c *Channel) Close() int { return 0 }
