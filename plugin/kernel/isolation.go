package kernel

// Where a table has no route for a packet the kernel goes on to the next rule,
// with and without a VRF, and in the end to the table main: a tenant would get
// into the underlay. So the last route of an isolated table is one that says
// unreachable, with a metric that every other default route comes before.

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// isolation is the unreachable default route of a table, of one family.
type isolation struct {
	conn  *rtnl.Conn
	vni   rib.VNI
	route rtnl.Route
	ours  bool
}

// addIsolation adds the routes that isolate a VNI's table. With seg6 there is
// none of IPv6: packets to hypervisors are looked up in the VNI's table, and have
// to go on from there to the table main (device_overlay.go).
func (d *devices) addIsolation(v *config.VNI) {
	if !v.Isolated {
		return
	}
	d.add(newIsolation(d.conn, d.cfg, v, netip.IPv4Unspecified()))
	if d.cfg.Tunnel != config.TunnelSeg6 {
		d.add(newIsolation(d.conn, d.cfg, v, netip.IPv6Unspecified()))
	}
}

func newIsolation(conn *rtnl.Conn, k *config.Kernel, v *config.VNI, family netip.Addr) *isolation {
	return &isolation{conn: conn, vni: rib.VNI(v.VNI), route: rtnl.Route{
		Table: v.Table, Prefix: netip.PrefixFrom(family, 0), Type: unix.RTN_UNREACHABLE,
		Protocol: k.Protocol, Metric: config.IsolationMetric,
	}}
}

// isIsolation reports whether a route is one that isolates a table, whosever it
// is.
func isIsolation(r *rtnl.Route) bool {
	return r.Type == unix.RTN_UNREACHABLE && r.Prefix.Bits() == 0 && r.Metric == config.IsolationMetric
}

func (i *isolation) key() isolationKey { return isolationKey{i.route.Table, i.route.Prefix} }

// isolationKey is what there is one isolation of.
type isolationKey struct {
	table  uint32
	prefix netip.Prefix
}

func (i *isolation) info() DeviceInfo {
	return DeviceInfo{Name: fmt.Sprintf("table %d %v", i.route.Table, i.route.Prefix), Kind: "unreachable", VNI: i.vni, Ours: i.ours}
}

// reconcile asks for the route without looking, because a table can have a
// million of others to look through. The same one of somebody else stays.
func (i *isolation) reconcile(*found) (changed bool, err error) {
	var b rtnl.Batch
	b.PrependRoute(&i.route)
	err = execute(i.conn, &b)
	there := errors.Is(err, unix.EEXIST)
	if i.ours = err == nil || there; !i.ours {
		return false, fmt.Errorf("making it: %w", err)
	}
	return !there, nil
}

// clearIsolations removes the routes of ours that isolate tables.
func (d *devices) clearIsolations(w wanted) error {
	var b rtnl.Batch
	filter := rtnl.RouteFilter{Protocol: d.cfg.Protocol, Type: unix.RTN_UNREACHABLE}
	err := d.conn.Routes(filter, b.Reset, func(r *rtnl.Route) error {
		if isIsolation(r) && !w.isolations[isolationKey{r.Table, r.Prefix}] {
			b.DeleteRoute(r)
		}
		return nil
	})
	if err == nil {
		err = execute(d.conn, &b)
	}
	if err != nil {
		return fmt.Errorf("removing unreachable default routes: %w", err)
	}
	return nil
}
