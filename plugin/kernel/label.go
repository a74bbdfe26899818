package kernel

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// labelRoute is the MPLS route that takes the label of a VNI off and hands the
// packets to its VRF.
type labelRoute struct {
	conn  *rtnl.Conn
	vni   rib.VNI
	route rtnl.LabelRoute
	vrf   *device
	ours  bool
}

func newLabelRoute(conn *rtnl.Conn, k *config.Kernel, v *config.VNI, vrf *device, label uint32) *labelRoute {
	return &labelRoute{conn: conn, vni: rib.VNI(v.VNI), vrf: vrf, route: rtnl.LabelRoute{Label: label, Protocol: k.Protocol}}
}

func (l *labelRoute) info() DeviceInfo {
	return DeviceInfo{Name: strconv.FormatUint(uint64(l.route.Label), 10), Kind: "label", VNI: l.vni, Ours: l.ours}
}

func (l *labelRoute) reconcile(f *found) (changed bool, err error) {
	l.ours = false
	if err := l.vrf.ready(); err != nil {
		return false, err
	}
	l.route.Device = l.vrf.index
	if err := checkMPLS(l.route.Label); err != nil {
		return false, err
	}
	have, there := f.labels[l.route.Label]
	var b rtnl.Batch
	switch {
	case there && have == l.route:
		l.ours = true
		return false, nil
	case there && have.Device == l.route.Device:
		return false, nil // somebody else's
	case there && have.Protocol != l.route.Protocol:
		return false, fmt.Errorf("is the label of somebody else's route, of protocol %d: ip -f mpls route del %d", have.Protocol, have.Label)
	case there:
		b.DeleteLabelRoute(&have) // the VRF was made anew; MPLS routes cannot be replaced
	}
	b.AddLabelRoute(&l.route)
	if err := execute(l.conn, &b); err != nil {
		return false, fmt.Errorf("making the route: %w", err)
	}
	l.ours = true
	return true, nil
}

// checkMPLS says what keeps the kernel from taking packets with a label.
func checkMPLS(label uint32) error {
	if label >= mostLabels {
		return fmt.Errorf("the kernel takes labels up to %d, want another one", mostLabels-1)
	}
	most := sysctl("net/mpls/platform_labels")
	if most == "" {
		return errors.New("the kernel has no MPLS: modprobe mpls_router")
	}
	if n, err := strconv.ParseUint(most, 10, 32); err != nil || n <= uint64(label) {
		return fmt.Errorf("the kernel takes labels below %s: sysctl -w net.mpls.platform_labels=%d", most, mostLabels)
	}
	inputs, err := filepath.Glob("/proc/sys/net/mpls/conf/*/input")
	if err != nil {
		return err
	}
	for _, path := range inputs {
		if sysctl(path[len("/proc/sys/"):]) == "1" {
			return nil
		}
	}
	return errors.New("no device takes packets with labels: sysctl -w net.mpls.conf.DEVICE.input=1 for each that faces the fabric")
}

// mostLabels is the largest value of platform_labels, which labels are below.
const mostLabels = 1<<20 - 1
