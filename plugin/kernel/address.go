package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/rib"
)

// loopback is the device for addresses that belong to the whole machine.
const loopback = "lo"

// gatewayAddress is a gateway address that the kernel has to take packets to, for
// a tunnel device to get them. If no device has it, lo gets it, marked with our
// protocol (IFA_PROTO). Before Linux 5.18 the kernel does not keep the mark: the
// address then counts as somebody else's, and is not removed with the rest.
type gatewayAddress struct {
	sys      *sockets
	vni      rib.VNI
	addr     netip.Addr
	protocol uint8
	ours     bool
}

func newGatewayAddress(sys *sockets, k *config.Kernel, v *config.VNI) *gatewayAddress {
	return &gatewayAddress{sys: sys, vni: rib.VNI(v.VNI), addr: v.Gateway, protocol: k.Protocol}
}

func (g *gatewayAddress) info() DeviceInfo {
	return DeviceInfo{Name: g.addr.String(), Kind: "address", VNI: g.vni, Ours: g.ours}
}

func (g *gatewayAddress) reconcile(f *found) (changed bool, err error) {
	g.ours = false
	lo := f.links[loopback]
	for _, a := range f.addrs {
		if a.addr != g.addr {
			continue
		}
		g.ours = a.device == f.index(loopback) && a.protocol == g.protocol
		if name := f.vrfOf(a.device); name != "" {
			return false, fmt.Errorf("belongs to VRF %s, where the tunnel is not looked for: ip addr del %v/%d dev %s", name, a.addr, a.bits, f.name(a.device))
		}
		return false, g.usable(f, a.device)
	}
	if lo == nil {
		return false, errors.New("there is no device lo")
	}
	err = g.sys.changeAddr(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, g.local(lo.Attrs().Index))
	if err != nil {
		return false, fmt.Errorf("adding it to lo: %w", err)
	}
	g.ours = true
	return true, g.usable(f, lo.Attrs().Index)
}

// usable says what keeps the kernel from taking packets to the address.
func (g *gatewayAddress) usable(f *found, device int) error {
	name := f.name(device)
	if l := f.links[name]; l != nil && l.Attrs().RawFlags&unix.IFF_UP == 0 {
		return fmt.Errorf("is on device %s, which is down: ip link set %[1]s up", name)
	}
	return nil
}

// local returns the address as lo has it.
func (g *gatewayAddress) local(lo int) localAddr {
	return localAddr{addr: g.addr, bits: uint8(g.addr.BitLen()), device: lo, protocol: g.protocol}
}
