package bridge

import (
	"context"
	"net/netip"
)

// BGP is the border between the BGP speaker and the table.
type BGP struct {
	// Refresh asks the speaker to import all its best paths once more: a limit
	// that had refused routes has room again. It is set before the first
	// Import, called without locks, and must not block.
	Refresh func()
}

// Import takes what the speaker heard.
func (g *BGP) Import(batch []Update) {}

// Forget withdraws all that a neighbour said.
func (g *BGP) Forget(neighbor netip.Addr) int { return 0 }

// EndOfRIB notes that a neighbour has said all it has of a family.
func (g *BGP) EndOfRIB(neighbor netip.Addr, family Family) {}

// Export says to send, from the start, all that BGP is to hear, until ctx is over.
func (g *BGP) Export(ctx context.Context, send func([]Update) error) error { return nil }

// RouteTargets are the route targets that some VNI imports, sorted.
func (g *BGP) RouteTargets() []RouteTarget { return nil }
