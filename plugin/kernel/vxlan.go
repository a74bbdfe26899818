package kernel

// The fabric's side of a VNI with encapsulation vxlan (RFC 9136 section 4.4.1):
// one VXLAN device, in the VNI's VRF, and nothing else. A packet that is routed
// to it has a gateway, of which the kernel wants to know the MAC address (a
// permanent neighbour entry: the Router's MAC of the route), and then which tunnel
// endpoint (VTEP) has that MAC address (an entry of the device's forwarding
// database). Both come from the routes, see vtep.go. What comes in has our
// Router's MAC, which is the device's, and is routed on.
//
// A VXLAN device that is a port of a bridge, as FRR wants it, does not serve: the
// bridge would be what is routed to.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"mbbgp/config"
	"mbbgp/rib"
)

// vxlanPort is VXLAN's UDP port (RFC 7348 section 5).
const vxlanPort = 4789

// vxlan is the VXLAN device of a VNI, with the entries of its VTEPs.
type vxlan struct {
	*device
	local    netip.Addr
	protocol uint8 // of neighbour entries
	vteps    vteps
}

func newVXLAN(sys *sockets, cfg *config.Config, v *config.VNI, vrf *device) *vxlan {
	local, mac := cfg.VXLAN.Local, cfg.VXLAN.RouterMAC
	want := &netlink.Vxlan{
		LinkAttrs: newAttrs(v.VXLANDevice),
		VxlanId:   int(v.VNI),
		SrcAddr:   toIP(local),
		Port:      vxlanPort,
		// Over IPv6, packets without a UDP checksum are taken (RFC 7348 section 5)
		// and not sent: Linux drops them by default.
		UDP6ZeroCSumRx: local.Is6(),
	}
	want.MTU = int(cfg.Kernel.MTU)
	want.HardwareAddr = net.HardwareAddr(mac[:])
	x := &vxlan{local: local, protocol: cfg.Kernel.Protocol, vteps: vteps{}}
	x.device = &device{
		sys: sys, vni: rib.VNI(v.VNI), want: want, kind: "vxlan", master: vrf,
		hint:  "modprobe vxlan",
		check: x.serves,
	}
	return x
}

// serves says why a device that is there does not serve.
func (x *vxlan) serves(have netlink.Link) error {
	d, ok := have.(*netlink.Vxlan)
	switch {
	case !ok:
		return wrongKind(have, "vxlan")
	case d.FlowBased:
		return errors.New("is a VXLAN device in external mode, want one of a single VNI")
	case d.VxlanId != int(x.vni):
		return fmt.Errorf("is the VXLAN device of VNI %d, want %d", d.VxlanId, x.vni)
	case !sameIP(d.SrcAddr, x.local):
		return fmt.Errorf("sends from %v, want vxlan.local (%v)", d.SrcAddr, x.local)
	case d.Port != vxlanPort:
		return fmt.Errorf("uses UDP port %d, want %d", d.Port, vxlanPort)
	}
	return nil
}
