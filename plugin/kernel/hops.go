package kernel

// A hop in use has a number, and one next hop object in the kernel, which
// serves routes of both families. What the object says follows from the hop,
// from the devices that are there and from what the underlay says of its
// target; when any of these changes the object is replaced where it is, so that
// no route and no group needs to know.

import (
	"errors"
	"fmt"
	"time"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// hopState is a hop in use.
type hopState struct {
	hop
	uses      int                 // sets, and others that hold it
	sets      map[uint32]struct{} // the sets that have it
	id        uint32              // of its next hop object; 0: none yet
	made      bool                // the kernel has it, as kernel says
	kernel    rtnl.Hop
	reachable bool // the underlay leads to its target, by a way that can be used
	vtep      bool // its VTEP was added to the device
	stale     bool // it is in hops.stale
	problem   error
	attempts  int // that were refused, one after the other
}

// hops are all hops in use. It is for the loop.
type hops struct {
	fib     *fib
	numbers map[hop]uint32
	list    []hopState // by number; 0 is nobody's
	free    []uint32
	stale   []uint32 // whose object may have to be another one
	idle    []uint32 // that perhaps nobody uses any more
	refused refused
}

func newHops(f *fib) hops {
	return hops{fib: f, numbers: map[hop]uint32{}, list: make([]hopState, 1)}
}

// intern returns the number of a hop, which is forgotten by the next reclaim
// unless it is used.
func (h *hops) intern(x hop) uint32 {
	if n := h.numbers[x]; n != 0 {
		return n
	}
	var n uint32
	if last := len(h.free) - 1; last >= 0 {
		n = h.free[last]
		h.free = h.free[:last]
	} else {
		n = uint32(len(h.list))
		h.list = append(h.list, hopState{})
	}
	h.list[n] = hopState{hop: x, sets: map[uint32]struct{}{}}
	h.numbers[x] = n
	h.idle = append(h.idle, n)
	if x.kind != discardHop {
		h.fib.underlay.watch(x.target)
	}
	h.touch(n)
	return n
}

func (h *hops) use(n uint32) { h.list[n].uses++ }

func (h *hops) drop(n uint32) {
	if h.list[n].uses--; h.list[n].uses == 0 {
		h.idle = append(h.idle, n)
	}
}

// touch notes that the object of a hop, or what uses it, may have to change.
func (h *hops) touch(n uint32) {
	if x := &h.list[n]; !x.stale {
		x.stale = true
		h.stale = append(h.stale, n)
	}
}

// lose notes that the kernel has no object of a hop any more, and so no group
// that is as it was and no route by it.
func (h *hops) lose(n uint32) {
	x := &h.list[n]
	x.made = false
	for s := range x.sets {
		h.fib.sets.list[s].ready, h.fib.sets.list[s].members = false, nil
	}
	h.touch(n)
}

// touchAll is touch for the hops for which match is true.
func (h *hops) touchAll(match func(*hopState) bool) {
	for _, n := range h.numbers {
		if match(&h.list[n]) {
			h.touch(n)
		}
	}
}

var (
	errUnreachable = errors.New("the underlay has no route to it")
	errLocal       = errors.New("it is an address of this machine")
	errGateway4    = errors.New("the underlay leads to it by an IPv4 gateway, which no IPv6 route can have")
)

// object returns what the next hop object of a hop is to say.
func (h *hops) object(x *hopState, r rtnl.Resolution) (rtnl.Hop, error) {
	f := h.fib
	switch x.kind {
	case overlayHop:
		device := f.devices.overlay()
		if device == 0 {
			return rtnl.Hop{}, fmt.Errorf("device %s is not there", f.cfg.Device)
		}
		if f.cfg.Tunnel == config.TunnelSeg6 {
			return rtnl.Hop{Device: device, Encap: rtnl.Encap{Kind: rtnl.EncapSeg6, Dst: x.target}}, nil
		}
		return rtnl.Hop{Device: device, Encap: rtnl.Encap{
			Kind: rtnl.EncapIP6, Dst: x.target, Src: f.cfg.Source, HopLimit: f.cfg.HopLimit,
		}}, nil
	case vtepHop:
		device := f.devices.vxlan(x.vni)
		if device == 0 {
			return rtnl.Hop{}, fmt.Errorf("the VXLAN device of vni %d is not there", x.vni)
		}
		return rtnl.Hop{Device: device, Gateway: vtepGateway(x.hop)}, nil
	}
	switch {
	case !r.Reachable:
		return rtnl.Hop{}, errUnreachable
	case r.Local:
		return rtnl.Hop{}, errLocal
	}
	gateway := r.Gateway
	if !gateway.IsValid() {
		gateway = x.target
	}
	if x.ip6 && gateway.Is4() {
		return rtnl.Hop{}, errGateway4
	}
	o := rtnl.Hop{Device: r.Device, Gateway: gateway.WithZone("")}
	if x.kind == labelHop {
		o.Encap = rtnl.Encap{Kind: rtnl.EncapMPLS, Label: x.label}
	}
	return o, nil
}

// settle brings the objects of stale hops into the kernel, and touches the sets
// that have them.
func (h *hops) settle(now time.Time) {
	h.refused.retry(now, h.touch)
	if len(h.stale) == 0 {
		return
	}
	f := h.fib
	var sent []uint32
	var said []rtnl.Hop
	for _, n := range h.stale {
		x := &h.list[n]
		x.stale = false
		for s := range x.sets {
			f.sets.touch(s)
		}
		if x.kind == discardHop || x.kind == freeHop {
			continue
		}
		r := f.underlay.state(x.target)
		o, err := h.object(x, r)
		x.reachable = r.Reachable && err == nil
		if x.problem = err; err != nil || x.made && x.kernel == o {
			continue
		}
		if x.kind == vtepHop && !x.vtep {
			if err := f.devices.addVTEP(x.hop); err != nil {
				h.fail(n, err, now)
				continue
			}
			x.vtep = true
		}
		if !f.objects {
			x.kernel, x.made = o, true
			continue
		}
		if x.id == 0 {
			if x.id = f.ids.takeHop(o); x.id != 0 {
				x.kernel, x.made = o, true
				f.ids.hops[x.id] = n
				continue
			}
			if x.id, err = f.ids.take(); err != nil {
				h.fail(n, err, now)
				continue
			}
			f.ids.hops[x.id] = n
		}
		f.kernel.ReplaceNextHop(&rtnl.NextHop{ID: x.id, Protocol: f.cfg.Protocol, Hop: o})
		sent, said = append(sent, n), append(said, o)
	}
	h.stale = h.stale[:0]
	refusals := f.send()
	for i, n := range sent {
		x := &h.list[n]
		if err := refusals[i]; err != nil {
			h.fail(n, err, now)
			continue
		}
		x.kernel, x.made, x.attempts = said[i], true, 0
		f.counters.NextHops++
	}
}

// fail notes that the object of a hop could not be made, or not be changed.
func (h *hops) fail(n uint32, err error, now time.Time) {
	x := &h.list[n]
	x.problem = err
	h.fib.count(err)
	h.refused.add(n, x.attempts, now)
	x.attempts++
}

// reclaim removes the objects of hops that nobody uses any more.
func (h *hops) reclaim() {
	f := h.fib
	for _, n := range h.idle {
		x := &h.list[n]
		if x.uses > 0 || x.kind == freeHop {
			continue
		}
		if x.kind != discardHop {
			f.underlay.unwatch(x.target)
		}
		if x.id != 0 {
			delete(f.ids.hops, x.id)
			f.ids.retire(&rtnl.NextHop{ID: x.id, Hop: x.kernel}, x.made)
		}
		if x.vtep {
			f.gone = append(f.gone, x.hop)
		}
		delete(h.numbers, x.hop)
		*x = hopState{hop: hop{kind: freeHop}}
		h.free = append(h.free, n)
	}
	h.idle = h.idle[:0]
}

// freeHop is the kind of a number that nobody has.
const freeHop hopKind = 255

// hold makes the next hop object of a hop, for routes that are not in the
// tables, and returns its id. It is 0 if there is none, because the hop cannot
// be made now or the kernel has no such objects. Each hold needs a release.
func (f *fib) hold(x hop) uint32 {
	n := f.hops.intern(x)
	f.hops.use(n)
	f.settle(f.now)
	if s := &f.hops.list[n]; s.made {
		return s.id
	}
	return 0
}

// release takes back a hold.
func (f *fib) release(x hop) {
	if n := f.hops.numbers[x]; n != 0 {
		f.hops.drop(n)
	}
}

// offered returns the hop of what the fabric offers for packets of a VNI. What it
// says tells how they go there: a VNI may have routes of another encapsulation
// than its own ones. ip6 says that the packets are of IPv6.
func (f *fib) offered(vni rib.VNI, nh *rib.NextHop, ip6 bool) hop {
	ip6 = ip6 && nh.Target.Is4()
	switch {
	case !nh.Target.IsValid():
		return hop{kind: discardHop}
	case nh.MAC != [6]byte{}:
		return hop{kind: vtepHop, target: nh.Target, vni: vni, mac: nh.MAC, label: nh.Label}
	case nh.Label != 0:
		return hop{kind: labelHop, target: nh.Target, label: nh.Label, ip6: ip6}
	case f.encapsulation[vni] == config.EncapNone:
		return hop{kind: plainHop, target: nh.Target, ip6: ip6}
	}
	return hop{kind: overlayHop, target: nh.Target}
}
