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
// and sends nothing: any one does that stays up, lo as well.
func newOverlay(sys *sockets, k *config.Kernel) *device {
	d := &device{sys: sys}
	if k.Tunnel == config.TunnelSeg6 {
		d.want, d.kind = &netlink.Dummy{LinkAttrs: newAttrs(k.Device)}, "dummy"
		d.hint = "modprobe dummy, or name one in kernel.device that stays up, such as lo"
		d.manual = "name a device in kernel.device that stays up, such as lo, or set kernel.make-device"
		d.check = func(netlink.Link) error { return nil }
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
