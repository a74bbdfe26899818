package kernel

import (
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// fakeKernel is a kernel's routing in memory: what it refuses and removes by
// itself is what Linux does.
type fakeKernel struct {
	objects map[uint32]rtnl.NextHop
	routes  map[fakeRoute]rtnl.Route
	down    map[int]bool // interfaces
	queue   []func() error
	refuse  func() error // asked for each request; nil: none
	broken  error        // of the socket: nothing is sent, and nothing read
	sent    int          // requests about routes
	moved   int          // requests about next hop objects
}

type fakeRoute struct {
	table  uint32
	prefix netip.Prefix
	metric uint32
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{objects: map[uint32]rtnl.NextHop{}, routes: map[fakeRoute]rtnl.Route{}, down: map[int]bool{}}
}

func errno(e syscall.Errno) error { return &rtnl.Error{Errno: e} }

func (k *fakeKernel) add(request func() error) int {
	k.queue = append(k.queue, request)
	return len(k.queue) - 1
}

func (k *fakeKernel) flush() (list []rtnl.Refusal, err error) {
	if k.broken != nil {
		k.queue = nil
		return nil, k.broken
	}
	for i, request := range k.queue {
		if k.refuse != nil {
			err = k.refuse()
		}
		if err == nil {
			err = request()
		}
		if err != nil {
			list = append(list, rtnl.Refusal{Request: i, Err: err})
		}
		err = nil
	}
	k.queue = nil
	return list, nil
}

func at(r *rtnl.Route) fakeRoute { return fakeRoute{r.Table, r.Prefix, r.Metric} }

func (k *fakeKernel) AddRoute(r *rtnl.Route) int     { return k.set(*r, false) }
func (k *fakeKernel) ReplaceRoute(r *rtnl.Route) int { return k.set(*r, true) }

func (k *fakeKernel) set(r rtnl.Route, replace bool) int {
	r.Hops = slices.Clone(r.Hops)
	k.sent++
	return k.add(func() error {
		if _, ok := k.routes[at(&r)]; ok && !replace {
			return errno(unix.EEXIST)
		}
		if _, ok := k.objects[r.NextHopID]; r.NextHopID != 0 && !ok {
			return errno(unix.EINVAL)
		}
		for _, h := range r.Hops {
			if k.down[h.Device] {
				return errno(unix.ENETDOWN)
			}
		}
		k.routes[at(&r)] = r
		return nil
	})
}

func (k *fakeKernel) DeleteRoute(r *rtnl.Route) int {
	want := *r
	k.sent++
	return k.add(func() error {
		if have, ok := k.routes[at(&want)]; !ok || have.Protocol != want.Protocol {
			return errno(unix.ESRCH)
		}
		delete(k.routes, at(&want))
		return nil
	})
}

func (k *fakeKernel) ReplaceNextHop(n *rtnl.NextHop) int {
	x := *n
	x.Group = slices.Clone(n.Group)
	k.moved++
	return k.add(func() error {
		for _, m := range x.Group {
			if _, ok := k.objects[m.ID]; !ok {
				return errno(unix.EINVAL)
			}
		}
		if have, ok := k.objects[x.ID]; ok && (len(have.Group) > 0) != (len(x.Group) > 0) {
			return errno(unix.EINVAL)
		}
		if len(x.Group) == 0 && (k.down[x.Hop.Device] || x.Hop.Device == 0) {
			return errno(unix.ENETDOWN)
		}
		k.objects[x.ID] = x
		return nil
	})
}

func (k *fakeKernel) DeleteNextHop(id uint32) int {
	k.moved++
	return k.add(func() error {
		if _, ok := k.objects[id]; !ok {
			return errno(unix.ENOENT)
		}
		k.lose(id)
		return nil
	})
}

// lose removes an object, and with it what Linux removes without a word.
func (k *fakeKernel) lose(id uint32) {
	delete(k.objects, id)
	maps.DeleteFunc(k.routes, func(_ fakeRoute, r rtnl.Route) bool { return r.NextHopID == id })
	for group, n := range k.objects {
		i := slices.IndexFunc(n.Group, func(m rtnl.Member) bool { return m.ID == id })
		if i < 0 {
			continue
		}
		n.Group = slices.Delete(slices.Clone(n.Group), i, i+1)
		if k.objects[group] = n; len(n.Group) == 0 {
			k.lose(group)
		}
	}
}

// setLink takes a link down, with all that uses it, or up.
func (k *fakeKernel) setLink(device int, up bool) {
	if k.down[device] = !up; up {
		return
	}
	for id, n := range k.objects {
		if n.Hop.Device == device {
			k.lose(id)
		}
	}
	maps.DeleteFunc(k.routes, func(_ fakeRoute, r rtnl.Route) bool {
		return slices.ContainsFunc(r.Hops, func(h rtnl.Hop) bool { return h.Device == device })
	})
}

func (k *fakeKernel) Routes(f rtnl.RouteFilter, _ func(), visit func(*rtnl.Route) error) error {
	for _, r := range k.routes {
		if r.Table == f.Table && (f.Protocol == 0 || r.Protocol == f.Protocol) {
			if err := visit(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *fakeKernel) NextHops(_ func(), visit func(*rtnl.NextHop) error) error {
	if k.broken != nil {
		return k.broken
	}
	for _, n := range k.objects {
		if err := visit(&n); err != nil {
			return err
		}
	}
	return nil
}

// The interfaces of fakeWorld.
const (
	fakeOverlay = 2
	fakeUplink  = 3
	fakeVXLAN   = 10 // and the VNI
)

// fakeWorld is the devices and the underlay that fib sees.
type fakeWorld struct {
	kernel      *fakeKernel
	vteps       map[hop]int
	unreachable map[netip.Addr]bool
	watched     map[netip.Addr]int
	changed     []netip.Addr
}

func newFakeWorld(k *fakeKernel) *fakeWorld {
	return &fakeWorld{kernel: k, vteps: map[hop]int{}, unreachable: map[netip.Addr]bool{}, watched: map[netip.Addr]int{}}
}

func (w *fakeWorld) up(device int) int {
	if w.kernel.down[device] {
		return 0
	}
	return device
}

func (w *fakeWorld) overlay() int           { return w.up(fakeOverlay) }
func (w *fakeWorld) vxlan(vni rib.VNI) int  { return w.up(fakeVXLAN + int(vni)) }
func (w *fakeWorld) addVTEP(h hop) error    { w.vteps[h]++; return nil }
func (w *fakeWorld) removeVTEP(h hop) error { w.vteps[h]--; return nil }
func (w *fakeWorld) watch(a netip.Addr)     { w.watched[a]++ }
func (w *fakeWorld) unwatch(a netip.Addr)   { w.watched[a]-- }

func (w *fakeWorld) touch(uint32, netip.Prefix) {}

func (w *fakeWorld) state(a netip.Addr) rtnl.Resolution {
	if w.unreachable[a] {
		return rtnl.Resolution{}
	}
	return rtnl.Resolution{Reachable: true, Device: fakeUplink, Gateway: netip.MustParseAddr("fe80::1")}
}

func (w *fakeWorld) resolve() ([]netip.Addr, error) {
	changed := w.changed
	w.changed = nil
	return changed, nil
}

// setReachable says whether the underlay leads to an address.
func (w *fakeWorld) setReachable(a netip.Addr, yes bool) {
	if w.unreachable[a] == yes {
		w.unreachable[a] = !yes
		w.changed = append(w.changed, a)
	}
}
