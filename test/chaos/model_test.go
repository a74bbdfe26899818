package chaos

import (
	"fmt"
	"slices"
)

// The model says what must be in every table. It knows who is alive and who can
// reach whom, and nothing of how long anything takes:
//
//   - a server has what the clients that reach it announce;
//   - a hypervisor has what the servers that it reaches have, but for its own;
//   - a bridge brings to its servers what the fabric that it reaches announces,
//     but for what hypervisors announce, and that to the fabric;
//   - its kernel has both.

// condition is how a part of the network is.
type condition uint8

const (
	alive  condition = iota
	dead             // killed, no process
	frozen           // stopped: connections stay open, nobody answers
	apart            // off the network, and does not know
)

func (c condition) String() string { return [...]string{"alive", "dead", "frozen", "apart"}[c] }

// link is a pair of parts, by name, in order.
type link [2]string

func between(a, b *part) link {
	return link{min(a.name, b.name), max(a.name, b.name)}
}

// reach reports whether two parts have what it takes to hold a session.
func (w *world) reach(a, b *part) bool {
	return a.condition == alive && b.condition == alive && !w.cuts[between(a, b)]
}

// meet reports whether what one hypervisor announces gets to another.
func (w *world) meet(a, b *hypervisor) bool {
	return slices.ContainsFunc(w.servers, func(s *server) bool { return w.reach(&a.part, &s.part) && w.reach(&b.part, &s.part) })
}

// joins reports whether a bridge has a session with a server.
func (w *world) joins(b *bridge, s *server) bool {
	return slices.Contains(b.servers, s) && w.reach(&b.part, &s.part)
}

// tells reports whether what a hypervisor announces gets to a bridge, and what
// that announces to it.
func (w *world) tells(h *hypervisor, b *bridge) bool {
	return slices.ContainsFunc(w.servers, func(s *server) bool { return w.reach(&h.part, &s.part) && w.joins(b, s) })
}

// native are the hypervisors that announce a prefix, by prefix, as a bridge
// knows it.
func (w *world) native(b *bridge) map[string][]*hypervisor {
	known := make(map[string][]*hypervisor)
	for _, h := range w.hypervisors {
		if !w.tells(h, b) {
			continue
		}
		for prefix := range h.announced {
			known[prefix] = append(known[prefix], h)
		}
	}
	return known
}

// imported are the fabric's prefixes that a bridge brings to MetalBond.
func (w *world) imported(b *bridge) []string {
	if !w.reach(&b.part, &w.fabric.part) {
		return nil
	}
	native := w.native(b)
	var list []string
	for prefix := range w.fabric.announced {
		if native[prefix] == nil && prefix != b.denied {
			list = append(list, prefix)
		}
	}
	return list
}

// wantHypervisor is the table of a hypervisor without its own routes.
func (w *world) wantHypervisor(h *hypervisor) (list []string) {
	for _, other := range w.hypervisors {
		if other == h || !w.meet(h, other) {
			continue
		}
		for prefix := range other.announced {
			list = append(list, other.route(prefix))
		}
	}
	for _, b := range w.bridges {
		if !w.tells(h, b) {
			continue
		}
		for _, prefix := range w.imported(b) {
			list = append(list, fmt.Sprintf("%d#%s#%s", vni, prefix, b.gateway))
		}
	}
	if c, stock := h.client.(*stockClient); stock {
		list = slices.DeleteFunc(list, c.untold)
	}
	return list
}

// wantFabric is what the fabric hears from bridges: BRIDGE PREFIX.
func (w *world) wantFabric() (list []string) {
	for _, b := range w.bridges {
		if !w.reach(&b.part, &w.fabric.part) {
			continue
		}
		for prefix := range w.native(b) {
			if prefix != b.denied {
				list = append(list, b.address4+" "+prefix)
			}
		}
	}
	return list
}

// wantKernel is what is in the table of a bridge's kernel: PREFIX, with the next
// hops of those that hypervisors announce. optional are prefixes that the bridge
// may have through the other one.
func (w *world) wantKernel(b *bridge) (list []string, optional map[string]bool) {
	optional = make(map[string]bool)
	for prefix, from := range w.native(b) {
		var targets []string
		for _, h := range from {
			targets = append(targets, h.target)
		}
		slices.Sort(targets)
		list = append(list, fmt.Sprint(prefix, " ", targets))
	}
	for _, prefix := range w.imported(b) {
		list = append(list, prefix+" []")
	}
	for prefix := range w.fabric.announced {
		optional[prefix] = true
	}
	return list, optional
}
