package kernel

import (
	"net/netip"

	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// router is the kernel's routing as the fib changes it: requests are queued, and
// flush sends them.
type router interface {
	AddRoute(*rtnl.Route) int
	ReplaceRoute(*rtnl.Route) int
	DeleteRoute(*rtnl.Route) int
	ReplaceNextHop(*rtnl.NextHop) int
	DeleteNextHop(id uint32) int
	flush() ([]rtnl.Refusal, error)
	Routes(f rtnl.RouteFilter, restart func(), visit func(*rtnl.Route) error) error
	NextHops(restart func(), visit func(*rtnl.NextHop) error) error
}

// socket is the router of this machine.
type socket struct {
	*rtnl.Conn
	rtnl.Batch
}

// flush sends what was queued.
func (s *socket) flush() ([]rtnl.Refusal, error) {
	defer s.Reset()
	if s.Len() == 0 {
		return nil, nil
	}
	return s.Execute(&s.Batch)
}

// Routes visits routes as Conn.Routes does, but for segments, which are not the
// tables'.
func (s *socket) Routes(f rtnl.RouteFilter, restart func(), visit func(*rtnl.Route) error) error {
	return s.Conn.Routes(f, restart, func(r *rtnl.Route) error {
		if isSegment(r) {
			return nil
		}
		return visit(r)
	})
}

// tunnels are the devices that next hops leave by.
type tunnels interface {
	overlay() int
	vxlan(rib.VNI) int
	addVTEP(hop) error
	removeVTEP(hop) error
}

// reachability is what the underlay leads to.
type reachability interface {
	watch(netip.Addr)
	unwatch(netip.Addr)
	state(netip.Addr) rtnl.Resolution
	touch(table uint32, p netip.Prefix)
	resolve() (changed []netip.Addr, err error)
}
