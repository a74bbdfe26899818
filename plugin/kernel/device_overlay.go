package kernel

import (
	"errors"

	"github.com/vishvananda/netlink"

	"mbbgp/config"
)

// newOverlay returns the device that packets to hypervisors leave by.
//
// For ip6tnl it is the one device in external mode that a network namespace can
// have: it puts the outer header on that the route says, and looks up where that
// goes by the rules for packets of the kernel itself.
//
// For seg6 the route does all that. Its device is only what a route has to have,
// and sends nothing: any one does that stays up. With next hop objects even lo
// does; the kernel takes an IPv6 route that names lo itself for one that drops
// packets. Where a packet goes with its outer header, the kernel looks up as for
// the packet inside: of packets that are forwarded in the VNI's table first, and
// only if that has no IPv6 route for it, not even a default one, in the main one.
func newOverlay(sys *sockets, k *config.Kernel, objects bool) *device {
	d := &device{sys: sys, others: k.RoutesOnly}
	if k.Tunnel == config.TunnelSeg6 {
		d.want, d.kind = &netlink.Dummy{LinkAttrs: newAttrs(k.Device)}, "dummy"
		d.hint = "modprobe dummy, or name another one in kernel.device that stays up"
		d.manual = "name another one in kernel.device that stays up, or set kernel.make-device"
		d.check = func(have netlink.Link) error {
			if have.Attrs().Name == loopback && !objects {
				return errors.New("drops IPv6 packets without next hop objects: name another device in kernel.device that stays up")
			}
			return nil
		}
	} else {
		d.want, d.kind = &netlink.Ip6tnl{LinkAttrs: newAttrs(k.Device), FlowBased: true}, "ip6tnl"
		d.want.Attrs().MTU = int(k.MTU)
		d.hint = "modprobe ip6_tunnel, or use kernel.tunnel seg6"
		d.manual = "ip link add " + k.Device + " type ip6tnl external, or set kernel.make-device"
		d.check = checkExternal
	}
	if k.MakeDevice {
		d.manual = ""
	}
	return d
}

func checkExternal(have netlink.Link) error {
	tunnel, ok := have.(*netlink.Ip6tnl)
	switch {
	case !ok:
		return wrongKind(have, "ip6tnl")
	case !tunnel.FlowBased:
		return errors.New("is an ip6tnl device with an end of its own, want one in external mode")
	}
	return nil
}
