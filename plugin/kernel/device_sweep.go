package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
)

// sweep removes what carries our marks and nothing needs: what an earlier run
// with another configuration made, and the entries of VTEPs that no route uses
// any more.
func (d *devices) sweep() error {
	errs := []error{d.clear(d.wanted)}
	for _, x := range d.vxlans {
		errs = append(errs, x.sweep())
	}
	return errors.Join(errs...)
}

// remove removes everything that carries our marks.
func (d *devices) remove() error {
	f, err := d.find()
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range d.vxlans {
		x.vteps = vteps{}
		have := f.links[x.name()]
		if have == nil || d.isOurs(have) || x.check(have) != nil {
			continue
		}
		x.index, x.ours = have.Attrs().Index, false
		errs = append(errs, x.sweep()) // the rest goes with our devices
	}
	return errors.Join(append(errs, d.clear(newWanted()))...)
}

// clear removes everything that carries our marks and is not wanted. What keeps
// packets in a table goes last.
func (d *devices) clear(w wanted) error {
	return errors.Join(d.clearAddrs(w), d.clearRoutes(w), d.clearRules(w), d.clearLinks(w), d.clearIsolations(w))
}

func (d *devices) clearAddrs(w wanted) error {
	links, err := d.sys.links()
	if err != nil {
		return err
	}
	addrs, err := d.sys.localAddrs()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		for _, a := range addrs {
			if l.Attrs().Name != loopback || a.device != l.Attrs().Index || a.protocol != d.cfg.Protocol || w.addrs[a.addr] {
				continue
			}
			if err := d.sys.changeAddr(unix.RTM_DELADDR, 0, a); err != nil {
				errs = append(errs, fmt.Errorf("removing the address %v: %w", a.addr, err))
			}
		}
	}
	return errors.Join(errs...)
}

// clearRoutes removes segments and label routes.
func (d *devices) clearRoutes(w wanted) error {
	var b rtnl.Batch
	err := d.conn.Routes(rtnl.RouteFilter{Family: unix.AF_INET6, Table: mainTable, Protocol: d.cfg.Protocol}, b.Reset,
		func(r *rtnl.Route) error {
			if isSegment(r) && r.Metric == d.cfg.MetricFor(r.Prefix) && !w.segments[r.Prefix.Addr()] {
				b.DeleteRoute(r)
			}
			return nil
		})
	if err != nil {
		return err
	}
	labels, err := labelRoutes(d.conn)
	if err != nil {
		return err
	}
	for label, r := range labels {
		if r.Protocol == d.cfg.Protocol && !w.labels[label] {
			b.DeleteLabelRoute(&r)
		}
	}
	if err := execute(d.conn, &b); err != nil {
		return fmt.Errorf("removing segments and labels: %w", err)
	}
	return nil
}

// isSegment reports whether a route is a segment, as decap.go makes them, and
// none of a table's.
func isSegment(r *rtnl.Route) bool {
	return len(r.Hops) == 1 && r.Hops[0].Encap.Kind == rtnl.EncapSeg6Local
}

func (d *devices) clearRules(w wanted) error {
	rules, err := d.sys.rules()
	if err != nil {
		return err
	}
	var errs []error
	for i := range rules {
		k, ok := keyOf(&rules[i])
		if !ok || k.protocol != d.cfg.Protocol || k.priority != int(d.cfg.RulePriority)+deviceRuleOffset || w.rules[k] {
			continue
		}
		if err := d.sys.RuleDel(k.rule()); err != nil {
			errs = append(errs, fmt.Errorf("removing the rule of %s: %w", k.device, err))
		}
	}
	return errors.Join(errs...)
}

// clearLinks removes devices, those of a VRF before it.
func (d *devices) clearLinks(w wanted) error {
	links, err := d.sys.links()
	if err != nil {
		return err
	}
	var errs []error
	for _, vrfs := range []bool{false, true} {
		for _, l := range links {
			a := l.Attrs()
			if (l.Type() == "vrf") != vrfs || !d.isOurs(l) || w.links[a.Name] {
				continue
			}
			if err := d.sys.LinkDel(l); err != nil {
				errs = append(errs, fmt.Errorf("removing the device %s: %w", a.Name, err))
				continue
			}
			d.log.WithField("device", a.Name).Info("removed a device")
		}
	}
	return errors.Join(errs...)
}

// isOurs reports whether we have made a device, for whatever VNI.
func (d *devices) isOurs(l netlink.Link) bool {
	a, ours := l.Attrs().Alias, aliasOf(d.cfg.Protocol)
	return a == ours || strings.HasPrefix(a, ours+aliasVNI)
}
