package kernel

// A new configuration takes effect in two steps, so that packets have somewhere
// to go all the time. At once: what is new beside what there is, tables and
// devices, and the next hops that follow from it. And when all that the tables
// of routes say is in the kernel: rules, devices and steering lead to the new
// kernel tables, and what is left behind is emptied and removed.
//
// A VRF device has one table as long as it lives. Where that number changes it
// is made anew, and packets of its VNI are lost meanwhile.

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"mbbgp/config"
	"mbbgp/rib"
)

// Apply makes cfg what is configured. Of the kernel section only resolve-via-default,
// mss, settle, scan, drain, cleanup, and what is for VNIs that do not say may
// differ from what it was.
func (k *Kernel) Apply(cfg *config.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.cfg
	k.cfg = cfg
	if k.feeds == nil { // Run has not begun
		k.inForce, k.fib = cfg, newFIB(cfg, k.tables, k.log)
		return
	}
	f := k.fib
	k.tracker.underlay.viaDefault = cfg.Kernel.ResolveViaDefault
	if was.Kernel.ResolveViaDefault != cfg.Kernel.ResolveViaDefault {
		k.tracker.recheck()
	}
	for k.feeds.read(f) { // what they are told is not told again
	}
	f.reconfigure(cfg)
	next := newFeeds(cfg, f, k.wake)
	next.inherit(k.feeds, k.steering)
	k.feeds.close()
	k.feeds = next
	k.devices.reconfigure(withOldTables(k.inForce, cfg), k.tables.Label)
	k.reconcile, k.turning = true, true
	k.feeds.ring()
}

// withOldTables is a configuration whose VNIs have the kernel tables, and what
// goes with them, that they had before.
func withOldTables(was, cfg *config.Config) *config.Config {
	joint := *cfg
	joint.VNIs = slices.Clone(cfg.VNIs)
	for _, old := range was.VNIs {
		i := slices.IndexFunc(joint.VNIs, func(v config.VNI) bool { return v.VNI == old.VNI })
		switch {
		case old.Table == 0:
		case i >= 0 && joint.VNIs[i].Table != old.Table:
			joint.VNIs[i] = old
		case i < 0 && !slices.ContainsFunc(cfg.VNIs, func(v config.VNI) bool { return v.Table == old.Table || v.Gateway == old.Gateway }):
			joint.VNIs = append(joint.VNIs, old)
		}
	}
	return &joint
}

// turnOver takes the second step once the first one is in the kernel.
func (k *Kernel) turnOver() {
	f := k.fib
	if !k.turning || !k.first || !k.feeds.complete() || !k.feeds.caughtUp() || len(f.dirty) > 0 {
		return
	}
	k.turning, k.inForce = false, k.cfg
	k.devices.reconfigure(k.cfg, k.tables.Label)
	k.reconcile, k.rest = true, k.fib.now
	k.mendDevices(f.now)
	k.steering.reconfigure(k.cfg)
	k.steer = f.now
	f.leave()
	if f.swept && !k.cfg.Kernel.RoutesOnly {
		if err := k.devices.sweep(); err != nil {
			k.log.WithError(err).Warn("could not remove all that VNIs had that are gone")
		}
	}
}

// reconfigure gives the VNIs the tables of a configuration. A table that no VNI
// has any more is emptied by leave.
func (f *fib) reconfigure(cfg *config.Config) {
	f.cfg = cfg.Kernel
	encapsulation, own := f.encapsulation, f.own
	f.know(cfg)
	for _, t := range f.tables {
		t.left = true
	}
	for i := range cfg.VNIs {
		c := &cfg.VNIs[i]
		if c.Table == 0 {
			continue
		}
		t := f.byNumber[c.Table]
		if t == nil {
			t = newTable(c)
			f.add(t)
			if err := f.adoptRoutes(t); err != nil {
				f.doubt(err)
			}
		}
		if t.vni != rib.VNI(c.VNI) {
			t.installed.all(func(p netip.Prefix, _ uint32) { f.look(t, p) })
		}
		t.vni, t.vrf, t.left, t.closing = rib.VNI(c.VNI), c.VRF, false, false
	}
	if f.swept {
		f.sweep()
	}
	if !maps.Equal(encapsulation, f.encapsulation) || !maps.Equal(own, f.own) {
		for _, t := range f.tables {
			t.installed.all(func(p netip.Prefix, _ uint32) { f.look(t, p) })
		}
	}
}

// leave begins to empty the tables that no VNI has any more.
func (f *fib) leave() {
	for _, t := range f.tables {
		if t.left && !t.closing {
			t.closing = true
			t.installed.all(func(p netip.Prefix, _ uint32) { f.look(t, p) })
			for p := range t.failed {
				f.look(t, p)
			}
		}
	}
}

// forgetTables forgets tables that are empty.
func (f *fib) forgetTables() {
	f.tables = slices.DeleteFunc(f.tables, func(t *table) bool {
		over := t.closing && t.installed.len() == 0 && len(t.failed) == 0 && f.patrol == nil
		if over {
			delete(f.byNumber, t.number)
		}
		return over
	})
}

// inherit takes over the NAT addresses that other feeds were to look at, and
// looks at all that are steered.
func (x *feeds) inherit(old *feeds, s *steering) {
	of := map[rib.VNI]*natTable{}
	for _, d := range x.list {
		for _, t := range d.ranges {
			of[t.vni] = t
		}
	}
	look := func(vni rib.VNI, p netip.Prefix) {
		if t := of[vni]; t != nil {
			x.nat[natKey{t, p}] = struct{}{}
		}
	}
	for n := range old.nat {
		look(n.table.vni, n.prefix)
	}
	for at := range s.said {
		look(at.vni, netip.PrefixFrom(at.addr, at.addr.BitLen()))
	}
}

// reconfigure makes the pieces those of a configuration. Those of VNIs of which
// nothing has changed that they depend on stay as they are. Nothing is made or
// removed before reconcile and sweep.
func (d *devices) reconfigure(cfg *config.Config, label func(rib.VNI) uint32) {
	was := d.groups
	vxlans := d.vxlans
	d.cfg = cfg.Kernel
	d.pieces, d.links, d.wanted, d.groups, d.vxlans = nil, nil, newWanted(), map[rib.VNI]group{}, map[rib.VNI]*vxlan{}
	if d.uplink != nil {
		d.place(was[0].pieces[0])
		d.groups[0] = was[0]
	}
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		if v.Table == 0 {
			continue
		}
		vni := rib.VNI(v.VNI)
		old, known := was[vni]
		if known && old.label == label(vni) && reflect.DeepEqual(kernelPart(&old.vni), kernelPart(v)) {
			for _, p := range old.pieces {
				d.place(p)
			}
			if x := vxlans[vni]; x != nil {
				d.vxlans[vni] = x
			}
			d.groups[vni] = old
			continue
		}
		d.addVNI(cfg, v, label(vni))
		if x, before := d.vxlans[vni], vxlans[vni]; x != nil && before != nil && x.name() == before.name() {
			x.vteps = before.vteps
		}
	}
}

// kernelPart is what the pieces of a VNI depend on.
func kernelPart(v *config.VNI) config.VNI {
	return config.VNI{
		VNI: v.VNI, Encapsulation: v.Encapsulation, Gateway: v.Gateway, Table: v.Table, VRF: v.VRF, Isolated: v.Isolated,
		Decapsulation: v.Decapsulation, DecapDevice: v.DecapDevice, VXLANDevice: v.VXLANDevice,
	}
}

// reconfigure makes what is steered, validated and clamped that of a
// configuration: the table is written anew.
func (s *steering) reconfigure(cfg *config.Config) {
	tables := func(c *config.Config) map[rib.VNI]uint32 {
		list := map[rib.VNI]uint32{}
		for i := range c.VNIs {
			if v := &c.VNIs[i]; v.Table != 0 && v.SourceValidation {
				list[rib.VNI(v.VNI)] = v.Table
			}
		}
		return list
	}
	was, now := tables(s.cfg), tables(cfg)
	s.cfg, s.scopes, s.outdated = cfg, newScopes(cfg), true
	for vni, index := range s.marks {
		if was[vni] == now[vni] {
			continue
		}
		if err := s.owners.tree.remove(index); err != nil {
			s.log.WithError(err).WithField("vni", vni).Warn("could not remove the rules of source validation")
		}
		delete(s.owners.taken, index)
		delete(s.marks, vni)
	}
	for _, list := range []map[natAddress][]portRange{s.said, s.earlier, s.steered} {
		for at := range list {
			if s.scope(at.vni) == nil {
				delete(s.said, at)
				delete(s.earlier, at)
				s.dirty[at] = true
			}
		}
	}
}
