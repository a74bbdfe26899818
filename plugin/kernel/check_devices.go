package kernel

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"mbbgp/config"
)

// link is a network interface of the machine.
type link struct {
	name     string
	index    int
	kind     string // "ip6tnl", "vrf", ...
	mtu      int
	up       bool
	external bool   // ip6tnl: in external mode
	table    uint32 // vrf
	master   int    // interface index of the VRF or bridge that it is in; 0: none
}

// linkAddr is an IPv6 address of the machine.
type linkAddr struct {
	prefix netip.Prefix
	device string
}

// The headers that tunnels put in front of a packet, in bytes.
const (
	overheadIP6    = 40              // IPv6
	overheadVXLAN  = 14 + 8 + 8 + 20 // Ethernet, VXLAN, UDP, IPv4
	overheadVXLAN6 = 14 + 8 + 8 + 40 // the same with IPv6
)

// usualMTU is that of what is inside if the configuration does not say.
const usualMTU = 1500

// readDevices reads devices and addresses, and finds the underlay. What cannot
// be read is not there.
func (m *machine) readDevices(cfg *config.Config) {
	links, _ := netlink.LinkList()
	for _, l := range links {
		m.links = append(m.links, newLink(l))
	}
	for _, l := range m.links {
		addrs, _ := netlink.AddrList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: l.index}}, netlink.FAMILY_V6)
		for _, a := range addrs {
			if p, ok := prefixFrom(a.IPNet); ok {
				m.addrs = append(m.addrs, linkAddr{p, l.name})
			}
		}
	}
	for _, to := range peers(cfg) {
		routes, _ := netlink.RouteGet(to.AsSlice())
		for _, r := range routes {
			m.addUnderlay(r.LinkIndex)
		}
	}
	routes, _ := netlink.RouteList(nil, netlink.FAMILY_V6)
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() && slices.Equal(r.Dst.Mask, net.CIDRMask(0, 128)) {
			m.addUnderlay(r.LinkIndex)
			for _, hop := range r.MultiPath {
				m.addUnderlay(hop.LinkIndex)
			}
		}
	}
}

func newLink(l netlink.Link) link {
	a := l.Attrs()
	n := link{name: a.Name, index: a.Index, kind: l.Type(), mtu: a.MTU, up: a.Flags&net.FlagUp != 0, master: a.MasterIndex}
	switch l := l.(type) {
	case *netlink.Ip6tnl:
		n.external = l.FlowBased
	case *netlink.Vrf:
		n.table = l.Table
	}
	return n
}

func prefixFrom(n *net.IPNet) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits), ok
}

// peers returns the addresses that the configuration names of neighbors and
// servers.
func peers(cfg *config.Config) []netip.Addr {
	var list []netip.Addr
	if cfg.BGP != nil {
		for _, n := range cfg.BGP.Neighbors {
			list = append(list, n.Address.WithZone(""))
		}
	}
	for _, s := range cfg.MetalBond.Servers {
		if at, err := netip.ParseAddrPort(s); err == nil {
			list = append(list, at.Addr().WithZone(""))
		}
	}
	return list
}

func (m *machine) addUnderlay(index int) {
	for _, l := range m.links {
		if l.index == index && l.name != "lo" && !slices.Contains(m.underlay, l.name) {
			m.underlay = append(m.underlay, l.name)
		}
	}
}

// link returns a device of the machine.
func (m *machine) link(name string) (link, bool) {
	i := slices.IndexFunc(m.links, func(l link) bool { return l.name == name })
	if i < 0 {
		return link{}, false
	}
	return m.links[i], true
}

// devices looks at the devices that the configuration names.
func (c *examination) devices() {
	k := c.cfg.Kernel
	if k.Tunnel == config.TunnelSeg6 {
		c.device(k.Device, "", k.MakeDevice, "ip link add "+k.Device+" up type dummy")
	} else {
		add := "ip link add " + k.Device + " up type ip6tnl external"
		if l, there := c.device(k.Device, "ip6tnl", k.MakeDevice, add); there && !l.external {
			c.bad(LevelError, k.Device+" has an end of its own", "routes with encap ip6 want an ip6tnl device in external mode", "ip link del "+k.Device+" && "+add)
		}
	}
	for _, v := range c.tables() {
		if v.VRF != "" {
			if l, there := c.device(v.VRF, "vrf", true, ""); there && l.table != v.Table {
				c.bad(LevelError, fmt.Sprintf("%s is the VRF of table %d", v.VRF, l.table), fmt.Sprintf("VNI %d has table %d", v.VNI, v.Table),
					fmt.Sprintf("ip link del %s && ip link add %s up type vrf table %d", v.VRF, v.VRF, v.Table))
			}
		}
		c.device(v.DecapDevice, "ip6tnl", true, "")
		c.device(v.VXLANDevice, "vxlan", true, "")
	}
}

// device looks for a device of a kind; "" is any. One that mbbgp makes need not
// be there; add makes another one. there means that it is, and of this kind.
func (c *examination) device(name, kind string, made bool, add string) (l link, there bool) {
	if name == "" {
		return link{}, false
	}
	l, there = c.link(name)
	switch {
	case !there && made:
	case !there:
		c.bad(LevelError, name+" does not exist", "kernel.device, and kernel.make-device is false", add)
	case kind != "" && l.kind != kind:
		c.bad(LevelError, fmt.Sprintf("%s is a device of kind %s", name, l.kind), "want "+kind, "ip link del "+name)
		return l, false
	case !l.up:
		c.bad(LevelError, name+" is down", "routes do not leave by it", "ip link set "+name+" up")
	default:
		c.good(name, cmp.Or(kind, l.kind))
	}
	return l, there
}

// source looks at whether the outer source address is one of the machine: ip6tnl
// drops packets with another one. Gateway addresses of ip6tnl devices become one.
func (c *examination) source() {
	source := c.cfg.Kernel.Source
	switch {
	case !source.IsValid():
	case slices.ContainsFunc(c.addrs, func(a linkAddr) bool { return a.prefix.Addr() == source }),
		slices.ContainsFunc(c.tables(), func(v *config.VNI) bool { return v.Gateway == source && v.Decapsulation == config.DecapIP6TNL }):
		c.good(fmt.Sprintf("source %v", source), "an address of this machine")
	default:
		c.bad(LevelError, fmt.Sprintf("source %v is no address of this machine", source), "packets to hypervisors are dropped", fmt.Sprintf("ip addr add %v/128 dev lo", source))
	}
}

// gateways looks at whether addresses that demultiplex packets of VNIs are free
// for that.
func (c *examination) gateways() {
	for _, v := range c.tables() {
		i := slices.IndexFunc(c.addrs, func(a linkAddr) bool { return a.prefix.Addr() == v.Gateway })
		if i < 0 {
			continue
		}
		a := c.addrs[i]
		what := fmt.Sprintf("%v is an address of %s", v.Gateway, a.device)
		remedy := fmt.Sprintf("ip addr del %v dev %s", a.prefix, a.device)
		switch v.Decapsulation {
		case config.DecapDT46, config.DecapDT4, config.DecapDT6:
			c.bad(LevelError, what, fmt.Sprintf("packets to it do not reach the segment of VNI %d", v.VNI), remedy)
		case config.DecapIP6TNL:
			if a.device != "lo" {
				c.bad(LevelWarning, what, fmt.Sprintf("the gateway of VNI %d is gone when the device is", v.VNI), remedy)
			}
		}
	}
}

// sizes looks at whether packets still fit into those of the underlay when they
// are in a tunnel.
func (c *examination) sizes() {
	inner, source := usualMTU, "the usual MTU"
	if mtu := int(c.cfg.Kernel.MTU); mtu != 0 {
		inner, source = mtu, "kernel.mtu"
	}
	overhead, tunnel := overheadIP6, c.cfg.Kernel.Tunnel.String()
	for _, v := range c.tables() {
		if v.VXLANDevice == "" {
			continue
		}
		overhead, tunnel = overheadVXLAN, "vxlan"
		if c.cfg.VXLAN.Local.Is6() {
			overhead = overheadVXLAN6
		}
	}
	c.tunnelSize(inner, source)
	if len(c.underlay) == 0 {
		c.bad(LevelWarning, "no underlay device found", "no route leads to neighbors, servers or by default: MTU not looked at", "")
	}
	for _, name := range c.underlay {
		l, _ := c.link(name)
		need := inner + overhead
		if l.mtu >= need {
			c.good(fmt.Sprintf("MTU %d of %s", l.mtu, name), fmt.Sprintf("%d inside, and %d of %s", inner, overhead, tunnel))
			continue
		}
		c.bad(LevelWarning, fmt.Sprintf("MTU %d of %s", l.mtu, name),
			fmt.Sprintf("%d (%s) and %d of %s are %d", inner, source, overhead, tunnel, need), fmt.Sprintf("ip link set %s mtu %d", name, need))
	}
}
