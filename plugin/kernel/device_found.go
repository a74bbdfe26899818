package kernel

import (
	"net/netip"

	"github.com/vishvananda/netlink"

	"mbbgp/plugin/kernel/rtnl"
)

// found is what the kernel has of the kinds of pieces that are wanted. Devices
// are kept up to date while pieces are reconciled.
type found struct {
	links  map[string]netlink.Link // by name
	names  map[int]string          // by interface index
	rules  []netlink.Rule
	addrs  []localAddr
	labels map[uint32]rtnl.LabelRoute
}

func (f *found) add(l netlink.Link) {
	a := l.Attrs()
	f.links[a.Name], f.names[a.Index] = l, a.Name
}

func (f *found) remove(l netlink.Link) {
	delete(f.links, l.Attrs().Name)
	delete(f.names, l.Attrs().Index)
}

// index returns the interface index of a device, 0 if it is not there.
func (f *found) index(name string) int {
	if l := f.links[name]; l != nil {
		return l.Attrs().Index
	}
	return 0
}

// name returns the name of a device, "" if it is not there.
func (f *found) name(index int) string { return f.names[index] }

// vrfOf returns the name of the VRF that a device is or is in, "" if there is
// none.
func (f *found) vrfOf(index int) string {
	for range len(f.names) { // a VRF may be above a bridge above the device
		l := f.links[f.names[index]]
		if l == nil {
			break
		}
		if l.Type() == "vrf" {
			return l.Attrs().Name
		}
		index = l.Attrs().MasterIndex
	}
	return ""
}

// wanted says which pieces there should be.
type wanted struct {
	links      map[string]bool
	rules      map[ruleKey]bool
	addrs      map[netip.Addr]bool
	segments   map[netip.Addr]bool
	labels     map[uint32]bool
	isolations map[isolationKey]bool
}

func newWanted() wanted {
	return wanted{
		links: map[string]bool{}, rules: map[ruleKey]bool{}, addrs: map[netip.Addr]bool{},
		segments: map[netip.Addr]bool{}, labels: map[uint32]bool{}, isolations: map[isolationKey]bool{},
	}
}

func (w *wanted) add(p piece) {
	switch p := p.(type) {
	case *device:
		w.links[p.name()] = true
	case *vxlan:
		w.links[p.name()] = true
	case *rule:
		w.rules[p.want] = true
	case *gatewayAddress:
		w.addrs[p.addr] = true
	case *segment:
		w.segments[p.addr()] = true
	case *isolation:
		w.isolations[p.key()] = true
	case *labelRoute:
		w.labels[p.route.Label] = true
	}
}

// find asks the kernel what it has.
func (d *devices) find() (*found, error) {
	list, err := d.sys.links()
	if err != nil {
		return nil, err
	}
	f := &found{links: map[string]netlink.Link{}, names: map[int]string{}, labels: map[uint32]rtnl.LabelRoute{}}
	for _, l := range list {
		f.add(l)
	}
	if len(d.wanted.rules) > 0 {
		if f.rules, err = d.sys.rules(); err != nil {
			return nil, err
		}
	}
	if len(d.wanted.addrs)+len(d.wanted.segments) > 0 {
		if f.addrs, err = d.sys.localAddrs(); err != nil {
			return nil, err
		}
	}
	if len(d.wanted.labels) > 0 {
		if f.labels, err = labelRoutes(d.conn); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// labelRoutes returns the MPLS routes by label.
func labelRoutes(conn *rtnl.Conn) (map[uint32]rtnl.LabelRoute, error) {
	routes := map[uint32]rtnl.LabelRoute{}
	err := conn.LabelRoutes(func() { clear(routes) }, func(r *rtnl.LabelRoute) error {
		routes[r.Label] = *r
		return nil
	})
	return routes, err
}
