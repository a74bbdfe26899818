package kernel

// Every hypervisor that owns a port range has an index, the same for all VNIs:
// the value of the mark that leads packets to it. The index selects a table with
// a default route of each family to the hypervisor. With tunnel seg6 the kernel
// looks up the encapsulated packet with the same mark, so the table throws what
// is for the hypervisor itself back to the rules behind. That route also tells a
// later run whose table it was, so that what is in the kernel then stays true.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
)

// holder keeps next hop objects.
type holder interface {
	hold(hop) uint32 // id, 0: none can be had
	release(hop)
}

// owner is a hypervisor that owns port ranges.
type owner struct {
	index  uint16
	uses   int    // ranges in the kernel
	nextID uint32 // its routes name; 0: they have the encapsulation in them
	held   bool   // false: only an earlier run knew it so far
}

// owners keeps indexes, steering tables and rules.
type owners struct {
	cfg    *config.Kernel
	conn   *rtnl.Conn
	hops   holder
	tree   tree
	list   map[netip.Addr]*owner
	taken  map[uint16]bool // by list, and by VNIs
	next   uint16          // where the search for a free one begins
	routes rtnl.Batch
}

func newOwners(cfg *config.Kernel, conn *rtnl.Conn, hops holder, handle *netlink.Handle) owners {
	return owners{
		cfg: cfg, conn: conn, hops: hops, tree: newTree(cfg, handle),
		list: map[netip.Addr]*owner{}, taken: map[uint16]bool{},
	}
}

// adopt finds the indexes of an earlier run: its rules lead to its tables.
func (o *owners) adopt() error {
	rules, err := o.tree.read()
	if err != nil {
		return err
	}
	for r := range rules {
		index := r.table - o.cfg.SteeringTables.First
		if r.table <= o.cfg.SteeringTables.First || index > lastOwner {
			continue
		}
		list, err := o.read(r.table)
		if err != nil {
			return err
		}
		for _, x := range list {
			if target := x.Prefix.Addr(); x.Type == unix.RTN_THROW && !o.taken[uint16(index)] && o.list[target] == nil {
				o.list[target] = &owner{index: uint16(index)}
				o.taken[uint16(index)] = true
				o.tree.tables[uint16(index)] = r.table
			}
		}
	}
	return nil
}

// acquire makes the mark of a hypervisor lead there, if it does not.
func (o *owners) acquire(target netip.Addr) (*owner, error) {
	w := o.list[target]
	if w != nil && w.held {
		return w, nil
	}
	if w == nil {
		index, err := o.index()
		if err != nil {
			return nil, err
		}
		w = &owner{index: index}
		o.taken[index] = true
		o.list[target] = w
	}
	w.nextID, w.held = o.hops.hold(hop{kind: overlayHop, target: target}), true
	if err := o.install(target, w); err != nil {
		return nil, errors.Join(err, o.drop(target))
	}
	return w, nil
}

// index returns one that is free: not one that was in use just before, if
// possible.
func (o *owners) index() (uint16, error) {
	for range lastOwner {
		o.next = o.next%lastOwner + 1
		if !o.taken[o.next] {
			return o.next, nil
		}
	}
	return 0, fmt.Errorf("NAT steering has marks for %d hypervisors, and all are in use", lastOwner)
}

// reserve makes a mark of VNIs select a table.
func (o *owners) reserve(table uint32) (uint16, error) {
	for index := uint16(firstVNI); index <= lastVNI; index++ {
		if !o.taken[index] {
			o.taken[index] = true
			return index, o.tree.add(index, table)
		}
	}
	return 0, fmt.Errorf("sources of %d VNIs can be validated, table %d is one too many", lastVNI-firstVNI+1, table)
}

func (o *owners) install(target netip.Addr, w *owner) error {
	list, err := o.table(target, w)
	if err != nil {
		return err
	}
	o.routes.Reset()
	for i := range list {
		o.routes.ReplaceRoute(&list[i])
	}
	if err := o.send(); err != nil {
		return fmt.Errorf("steering table %d of %v: %w", list[0].Table, target, err)
	}
	return o.tree.add(w.index, list[0].Table)
}

// table returns the routes of a hypervisor's table, in the order in which they
// are added.
func (o *owners) table(target netip.Addr, w *owner) ([]rtnl.Route, error) {
	list := o.bare(target, w.index)
	var hops []rtnl.Hop
	if w.nextID == 0 {
		device, err := o.tree.handle.LinkByName(o.cfg.Device)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", o.cfg.Device, err)
		}
		encap := rtnl.Encap{Kind: rtnl.EncapIP6, Dst: target, Src: o.cfg.Source, HopLimit: o.cfg.HopLimit}
		if o.cfg.Tunnel == config.TunnelSeg6 {
			encap = rtnl.Encap{Kind: rtnl.EncapSeg6, Dst: target}
		}
		hops = []rtnl.Hop{{Device: device.Attrs().Index, Encap: encap}}
	}
	for i := range list {
		if list[i].Type == unix.RTN_UNICAST {
			list[i].NextHopID, list[i].Hops = w.nextID, hops
		}
	}
	return list, nil
}

// bare returns what tells the routes of a table from others.
func (o *owners) bare(target netip.Addr, index uint16) []rtnl.Route {
	route := func(kind uint8, p netip.Prefix) rtnl.Route {
		return rtnl.Route{
			Table: o.cfg.SteeringTables.First + uint32(index), Protocol: o.cfg.Protocol, Metric: o.cfg.MetricFor(p),
			Type: kind, Prefix: p,
		}
	}
	return []rtnl.Route{
		route(unix.RTN_THROW, netip.PrefixFrom(target, target.BitLen())),
		route(unix.RTN_UNICAST, netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		route(unix.RTN_UNICAST, netip.PrefixFrom(netip.IPv6Unspecified(), 0)),
	}
}

// drop takes away the mark, the table and the hold of a hypervisor.
func (o *owners) drop(target netip.Addr) error {
	w := o.list[target]
	delete(o.list, target)
	delete(o.taken, w.index)
	err := o.tree.remove(w.index)
	list := o.bare(target, w.index)
	o.routes.Reset()
	for i := range list {
		o.routes.DeleteRoute(&list[i])
	}
	err = errors.Join(err, o.send())
	if w.held {
		o.hops.release(hop{kind: overlayHop, target: target})
	}
	return err
}

// collect drops all that own nothing any more.
func (o *owners) collect() error {
	var errs []error
	for target, w := range o.list {
		if w.uses == 0 {
			errs = append(errs, o.drop(target))
		}
	}
	return errors.Join(errs...)
}

// send sends the queued requests. That what is to be removed is gone already is
// no error.
func (o *owners) send() error {
	refusals, err := o.conn.Execute(&o.routes)
	errs := []error{err}
	for _, r := range refusals {
		if !errors.Is(r.Err, unix.ESRCH) {
			errs = append(errs, r.Err)
		}
	}
	return errors.Join(errs...)
}

// read returns our routes in a table, or in all if table is 0.
func (o *owners) read(table uint32) (list []rtnl.Route, err error) {
	filter := rtnl.RouteFilter{Table: table, Protocol: o.cfg.Protocol}
	first := o.cfg.SteeringTables.First
	err = o.conn.Routes(filter, func() { list = nil }, func(r *rtnl.Route) error {
		if r.Table > first && r.Table <= first+lastOwner {
			c := *r
			c.Hops = slices.Clone(r.Hops)
			list = append(list, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading steering tables: %w", err)
	}
	return list, nil
}

// reconcile compares tables and rules with the kernel and puts them right.
func (o *owners) reconcile() (restored int, err error) {
	var errs []error
	for target, w := range o.list {
		if !w.held {
			continue
		}
		x := hop{kind: overlayHop, target: target}
		w.nextID = o.hops.hold(x) // it may be another object by now
		o.hops.release(x)
		want, err := o.table(target, w)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		have, err := o.read(want[0].Table)
		if err != nil {
			return restored, err
		}
		if !sameRoutes(have, want) {
			errs = append(errs, o.install(target, w))
			restored++
		}
	}
	n, err := o.tree.reconcile()
	return restored + n, errors.Join(append(errs, err)...)
}

// sameRoutes reports whether all that is wanted is there.
func sameRoutes(have, want []rtnl.Route) bool {
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h rtnl.Route) bool {
			return h.Prefix == w.Prefix && h.Metric == w.Metric && h.Type == w.Type &&
				h.NextHopID == w.NextHopID && slices.Equal(h.Hops, w.Hops)
		}) {
			return false
		}
	}
	return true
}

// remove takes away all tables and rules, those of an earlier run, too.
func (o *owners) remove() error {
	errs := []error{o.tree.clear()}
	for target := range o.list {
		errs = append(errs, o.drop(target))
	}
	list, err := o.read(0)
	o.routes.Reset()
	for i := range list {
		o.routes.DeleteRoute(&list[i])
	}
	clear(o.taken)
	return errors.Join(append(errs, err, o.send())...)
}
