package metalbond

import (
	"sync/atomic"

	"mbbgp/bridge"
	"mbbgp/rib"
)

// A client says everything once. So a route that was refused is remembered, and
// taken when that is possible: when a reload gives the client the right, or when
// there is room again. What is remembered is bounded, of a session and of all
// together; what is beyond that waits until the client says it again.
const (
	mostRemembered    = 4096    // of a session
	mostRememberedAll = 1 << 18 // of all sessions
)

// refusals are the routes of a session that were refused and not withdrawn.
type refusals struct {
	all       *atomic.Int64 // of all sessions
	routes    map[rib.Route]bridge.Reason
	forgotten bool // there are more that are not known any more
}

// note takes in what became of an edit.
func (r *refusals) note(x *bridge.Edit) {
	if x.Refused == nil && len(r.routes) == 0 {
		return
	}
	route := rib.Route{VNI: x.VNI, Prefix: x.Prefix, NextHop: x.NextHop}
	if x.Refused == nil || !mayPass(x.Refused.Reason) {
		r.drop(route)
		return
	}
	r.add(route, x.Refused.Reason)
}

// mayPass reports whether what is refused for a reason may be taken later.
func mayPass(reason bridge.Reason) bool {
	switch reason {
	case reasonAnnounce, reasonPrefix, reasonNextHop, reasonType:
		return true
	}
	return forRoom(reason)
}

// forRoom reports whether a reason is a limit that was reached.
func forRoom(reason bridge.Reason) bool {
	return reason == bridge.MaxRoutes || reason == bridge.VNILimit || reason == bridge.MemoryLimit
}

func (r *refusals) add(route rib.Route, reason bridge.Reason) {
	if _, known := r.routes[route]; !known {
		if len(r.routes) >= mostRemembered || r.all.Load() >= mostRememberedAll {
			r.forgotten = true
			return
		}
		r.all.Add(1)
	}
	if r.routes == nil {
		r.routes = make(map[rib.Route]bridge.Reason)
	}
	r.routes[route] = reason
}

func (r *refusals) drop(route rib.Route) {
	if _, known := r.routes[route]; known {
		delete(r.routes, route)
		r.all.Add(-1)
	}
}

// clear forgets everything, at the end of a session.
func (r *refusals) clear() {
	r.all.Add(-int64(len(r.routes)))
	r.routes = nil
}

// some returns at most n routes for which want holds.
func (r *refusals) some(n int, want func(rib.Route, bridge.Reason) bool) (list []bridge.Edit) {
	for route, reason := range r.routes {
		if len(list) == n {
			break
		}
		if want(route, reason) {
			list = append(list, bridge.Edit{VNI: route.VNI, Prefix: route.Prefix, NextHop: route.NextHop})
		}
	}
	return list
}
