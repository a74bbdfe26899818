package kernel

// VNIs need more than routes: devices, addresses, rules, segments and labels,
// here called pieces. Which ones is known from the configuration. reconcile
// compares each with the kernel and makes it or puts it right, however often it
// is called.
//
// What is ours says so: devices by their alias, addresses, rules, and the routes
// of segments, labels and isolation by the protocol number. Only that is changed
// or removed. What somebody else made is used if it serves (it is adopted); if it
// does not, that is a problem to show, with the way out.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// mainTable is the routing table main.
const mainTable = unix.RT_TABLE_MAIN

// piece is one thing that VNIs need in the kernel.
type piece interface {
	// reconcile makes the piece or puts it right, and reports whether it had to.
	// The error is what keeps it from serving.
	reconcile(f *found) (changed bool, err error)
	// info returns name, kind, VNI and whether it is ours.
	info() DeviceInfo
}

// devices are the pieces of all VNIs that have a table. They are for one
// goroutine.
type devices struct {
	cfg    *config.Kernel
	sys    *sockets
	conn   *rtnl.Conn
	log    logrus.FieldLogger
	pieces []*placed // in the order in which they need each other
	wanted wanted
	uplink *device // toward hypervisors; nil: no VNI has a table
	links  []*device
	vxlans map[rib.VNI]*vxlan
	groups map[rib.VNI]group
}

// group are the pieces of a VNI, or of all if it is 0, and what they follow
// from.
type group struct {
	vni    config.VNI
	label  uint32
	pieces []*placed
}

// placed is a piece and what came of it.
type placed struct {
	piece
	seen    bool   // reconciled before
	served  bool   // without a problem, once
	problem string // "": none
}

// newDevices opens sockets in the network namespace of the calling thread.
// Nothing is changed before reconcile. label returns the MPLS label of a VNI.
func newDevices(cfg *config.Config, label func(rib.VNI) uint32, conn *rtnl.Conn, log logrus.FieldLogger) (*devices, error) {
	sys, err := openSockets()
	if err != nil {
		return nil, err
	}
	d := &devices{cfg: cfg.Kernel, sys: sys, conn: conn, log: log, wanted: newWanted(), vxlans: map[rib.VNI]*vxlan{}, groups: map[rib.VNI]group{}}
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		if v.Table != 0 {
			d.addVNI(cfg, v, label(rib.VNI(v.VNI)))
		}
	}
	return d, nil
}

// addVNI adds the pieces of a VNI that has a table.
func (d *devices) addVNI(cfg *config.Config, v *config.VNI, label uint32) {
	if d.uplink == nil {
		d.uplink = newOverlay(d.sys, d.cfg, d.cfg.NextHopObjects && d.conn.SupportsNextHopObjects())
		d.add(d.uplink)
		d.groups[0] = group{pieces: slices.Clone(d.pieces)}
	}
	start := len(d.pieces)
	var vrf *device
	if v.VRF != "" {
		vrf = newVRF(d.sys, v)
		d.add(vrf)
	}
	d.addIsolation(v) // before anything leads packets to the table
	d.addDecapsulation(v, vrf)
	if v.VXLANDevice != "" {
		x := newVXLAN(d.sys, cfg, v, vrf)
		d.vxlans[rib.VNI(v.VNI)] = x
		d.add(x)
		d.addRules(v, v.VXLANDevice)
	}
	if label != 0 && vrf != nil {
		d.add(newLabelRoute(d.conn, d.cfg, v, vrf, label))
	}
	d.groups[rib.VNI(v.VNI)] = group{*v, label, slices.Clone(d.pieces[start:])}
}

func (d *devices) add(p piece) { d.place(&placed{piece: p}) }

// place adds a piece that may have been there before.
func (d *devices) place(x *placed) {
	d.pieces = append(d.pieces, x)
	p := x.piece
	switch p := p.(type) {
	case *device:
		p.protocol = d.cfg.Protocol
		d.links = append(d.links, p)
	case *vxlan:
		p.device.protocol = d.cfg.Protocol
		d.links = append(d.links, p.device)
	}
	d.wanted.add(p)
}

// close closes the sockets and leaves the kernel as it is.
func (d *devices) close() { d.sys.close() }

// reconcile makes what is missing and puts right what is wrong. restored counts
// what had served before. Each change and each problem is logged when it
// arises; the error has all problems that there are.
func (d *devices) reconcile() (restored int, err error) {
	f, err := d.find()
	if err != nil {
		d.log.WithError(err).Warn("could not look at the devices, which is tried again")
		return 0, err
	}
	var problems []error
	for _, p := range d.pieces {
		changed, err := p.reconcile(f)
		if changed && p.served {
			restored++
		}
		d.report(p, changed, err)
		p.seen, p.served = true, p.served || err == nil
		if err != nil {
			info := p.info()
			problems = append(problems, fmt.Errorf("%s %s: %w", info.Kind, info.Name, err))
		}
	}
	for _, x := range d.vxlans {
		n, err := x.reconcileVTEPs()
		restored += n
		if err != nil {
			d.log.WithError(err).WithField("device", x.name()).Warn("could not put VTEPs back, which is tried again")
			problems = append(problems, err)
		}
	}
	return restored, errors.Join(problems...)
}

// report logs what has changed about a piece.
func (d *devices) report(p *placed, changed bool, err error) {
	info := p.info()
	log := d.log.WithFields(logrus.Fields{"kind": info.Kind, "name": info.Name})
	if info.VNI != 0 {
		log = log.WithField("vni", info.VNI)
	}
	switch {
	case changed && p.served:
		log.Info("restored in the kernel")
	case changed:
		log.Info("set up in the kernel")
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	switch {
	case problem == p.problem:
	case problem == "":
		log.Info("serves now")
	default:
		log.WithError(err).Warn("does not serve")
	}
	p.problem = problem
}

// event reports whether reconcile should run because of e.
func (d *devices) event(e *rtnl.Event) bool {
	if e.Port == d.sys.port {
		return false
	}
	switch e.Kind {
	case rtnl.OverrunEvent:
		return true
	case rtnl.LinkEvent:
		return d.wanted.links[e.Link.Name] || slices.ContainsFunc(d.links, func(l *device) bool { return l.index == e.Link.Index })
	case rtnl.RuleEvent:
		return len(d.wanted.rules) > 0
	case rtnl.AddressEvent:
		return e.Family == unix.AF_INET6 && len(d.wanted.addrs)+len(d.wanted.segments) > 0
	case rtnl.RouteEvent:
		if isIsolation(&e.Route) {
			return e.Removed && d.wanted.isolations[isolationKey{e.Route.Table, e.Route.Prefix}]
		}
		return e.Removed && e.Route.Table == mainTable && e.Route.Prefix.IsSingleIP() && d.wanted.segments[e.Route.Prefix.Addr()]
	case rtnl.LabelEvent:
		return d.wanted.labels[e.Label.Label]
	case rtnl.NeighborEvent:
		return slices.ContainsFunc(d.links, func(l *device) bool { return l.kind == "vxlan" && l.index == e.Device })
	}
	return false
}

// overlay returns the interface index of the device that packets to hypervisors
// leave by, 0 if it is not there or does not serve.
func (d *devices) overlay() int {
	if d.uplink == nil {
		return 0
	}
	return d.uplink.index
}

// vxlan returns the interface index of a VNI's VXLAN device, 0 if it is not there
// or does not serve.
func (d *devices) vxlan(vni rib.VNI) int {
	if x := d.vxlans[vni]; x != nil {
		return x.index
	}
	return 0
}

// tunnel reports whether what leaves by a device goes into one of our tunnels.
func (d *devices) tunnel(index int) bool {
	return index != 0 && slices.ContainsFunc(d.links, func(l *device) bool {
		return l.index == index && (l.kind == "ip6tnl" || l.kind == "vxlan")
	})
}

// info returns the state of all pieces as reconcile found it last.
func (d *devices) info() []DeviceInfo {
	list := make([]DeviceInfo, len(d.pieces))
	for i, p := range d.pieces {
		list[i] = p.info()
		list[i].Problem = p.problem
		if x, ok := p.piece.(*vxlan); ok && p.problem == "" {
			list[i].Problem = x.conflict()
		}
		list[i].OK = list[i].Problem == "" && p.seen
	}
	return list
}
