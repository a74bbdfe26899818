package kernel

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
)

var hopKindNames = map[hopKind]string{
	overlayHop: "overlay", vtepHop: "vtep", labelHop: "label", plainHop: "plain", discardHop: "discard",
}

// pending returns how many prefixes are not in the kernel as they should be and
// are tried again. Those where somebody else's route is in the way do not count.
func (f *fib) pending() (n int) {
	for _, t := range f.tables {
		n += len(t.failed) - t.conflicts
	}
	return n
}

// info returns the state of routes and next hops.
func (f *fib) info(names map[int]string) Info {
	info := Info{Swept: f.swept, Objects: f.objects, Counters: f.counters}
	info.Counters.Failed = maps.Clone(f.counters.Failed)
	info.Counters.Resyncs = maps.Clone(f.counters.Resyncs)
	for _, t := range f.tables {
		info.Tables = append(info.Tables, TableInfo{
			VNI: t.vni, Table: t.number, VRF: t.vrf,
			Routes: t.installed.len(), Unclaimed: t.unclaimed,
			Pending: len(t.failed) - t.conflicts, Conflicts: t.conflicts, LastError: t.lastError,
		})
	}
	for _, n := range f.hops.numbers {
		info.NextHops = append(info.NextHops, f.hopInfo(n, names))
	}
	slices.SortFunc(info.NextHops, func(a, b NextHopInfo) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Target.Compare(b.Target), cmp.Compare(a.VNI, b.VNI),
			cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.Label, b.Label))
	})
	return info
}

// hopInfo returns the state of a hop.
func (f *fib) hopInfo(n uint32, names map[int]string) NextHopInfo {
	x := &f.hops.list[n]
	info := NextHopInfo{Kind: hopKindNames[x.kind], Target: x.target, VNI: x.vni, Label: x.label, ID: x.id}
	if x.kind == vtepHop {
		info.MAC = net.HardwareAddr(x.mac[:]).String()
	}
	for s := range x.sets {
		info.Routes += f.sets.list[s].uses
	}
	if x.kind == discardHop {
		info.Reachable = true
		return info
	}
	r := f.underlay.state(x.target)
	info.Reachable, info.Gateway = r.Reachable && x.problem != errGateway4, r.Gateway
	if info.Reachable {
		info.Device = names[r.Device]
	}
	return info
}

// deviceNames returns the names of all interfaces of the network namespace.
func deviceNames() map[int]string {
	names := map[int]string{}
	list, _ := net.Interfaces() // without them there are no names
	for _, i := range list {
		names[i.Index] = i.Name
	}
	return names
}

// routeInfo returns what there is of a prefix.
func (f *fib) routeInfo(t *table, p netip.Prefix, names map[int]string) RouteInfo {
	info := RouteInfo{Table: t.number}
	hops := f.desired(t.vni, p)
	for _, h := range hops {
		if n := f.hops.numbers[h]; n != 0 {
			info.NextHops = append(info.NextHops, f.hopInfo(n, names))
			continue
		}
		info.NextHops = append(info.NextHops, NextHopInfo{Kind: hopKindNames[h.kind], Target: h.target, VNI: h.vni, Label: h.label})
	}
	has := t.installed.get(p) &^ unclaimed
	info.Installed = has != noSet
	switch x, failed := t.failed[p]; {
	case failed && x.conflict:
		info.Problem = errConflict.Error()
	case failed:
		info.Problem = x.err.Error()
	case len(hops) == 0:
		info.Problem = errNowhere.Error()
	case !info.Installed:
		info.Problem = errNotMade.Error()
	}
	return info
}

var (
	errConflict = errors.New("a route of somebody else has the same prefix and metric: theirs stays")
	errNowhere  = errors.New("no next hop of it is for this table")
)
