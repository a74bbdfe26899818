package lab

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Route is a path of a prefix that a router has from a neighbour.
type Route struct {
	RD          string // "" if the table is not of VPNs
	NextHop     string
	Label       uint32 // MPLS label of a VPN route
	SID         string // SRv6 SID as it was sent; FRR shows it only
	ASPath      string // AS numbers with blanks between
	MED         uint32
	Communities []string // of all kinds: "65000:1", "65000:1:2", "RT:65000:200", "SoO:65001:1"
}

// Has reports whether the route carries a community.
func (r Route) Has(community string) bool { return slices.Contains(r.Communities, community) }

// Router is a routing daemon whose tables a test can read.
type Router interface {
	// Told returns the paths of a prefix that neighbours sent.
	Told(prefix string) ([]Route, error)
}

// WaitTold waits until a router has this many paths of a prefix from its
// neighbours and returns them.
func WaitTold(t testing.TB, within time.Duration, r Router, prefix string, want int) []Route {
	t.Helper()
	var routes []Route
	Eventually(t, within, prefix, func() (err error) {
		routes, err = r.Told(prefix)
		if err == nil && len(routes) != want {
			err = fmt.Errorf("%d paths, want %d: %+v", len(routes), want, routes)
		}
		return err
	})
	return routes
}
