package kernel

import (
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/config"
)

// defaults looks at whether a table may get an IPv6 default route that packets to
// segments would follow, which the kernel looks up in the table of the packet
// inside.
func (c *examination) defaults() {
	if c.cfg.Kernel.Tunnel != config.TunnelSeg6 {
		return
	}
	all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	for _, v := range c.tables() {
		why := fmt.Sprintf("packets to segments are looked up in table %d first, and would go there", v.Table)
		originated := slices.ContainsFunc(v.Originate, func(o config.Originate) bool { return o.Prefix == all })
		imported := c.cfg.BGP != nil && config.Permit(v.Import.Prefixes, all) && (v.Family != config.VNIFamilyUnicast || len(v.Import.Prefixes) > 0)
		switch {
		case v.Table == mainTable:
		case originated:
			c.bad(LevelWarning, fmt.Sprintf("VNI %d originates ::/0", v.VNI), why, "")
		case imported:
			c.bad(LevelWarning, fmt.Sprintf("VNI %d imports ::/0 if it comes", v.VNI), why+": refuse it in import.prefixes", "")
		}
	}
}

// answers looks at whether errors can be told to the hosts of a VNI. Of IPv4
// they come from 192.0.0.8 (RFC 7600) if the VRF has no address, but Linux sends
// no ICMPv6 message without one.
func (c *examination) answers() {
	for _, v := range c.tables() {
		vrf, there := c.link(v.VRF)
		if !there || vrf.kind != "vrf" {
			continue
		}
		inside := func(a linkAddr) bool {
			l, _ := c.link(a.device)
			return (l.name == vrf.name || l.master == vrf.index) && !a.prefix.Addr().IsLinkLocalUnicast()
		}
		if i := slices.IndexFunc(c.addrs, inside); i >= 0 {
			c.good(vrf.name+" has an IPv6 address", fmt.Sprintf("%v, which ICMPv6 errors come from", c.addrs[i].prefix.Addr()))
			continue
		}
		c.bad(LevelWarning, vrf.name+" has no IPv6 address", "ICMPv6 errors are not sent: a traceroute does not see this gateway, and what is unreachable is not answered",
			"ip addr add ADDRESS/128 dev "+vrf.name)
	}
}

// What Linux takes off the MTU of Ethernet for that of an ip6tnl device: the IPv6
// header, and an encapsulation limit (RFC 2473), which we do not send.
const (
	overheadMade = overheadIP6 + 8
	madeMTU      = 1500 - overheadMade
)

// tunnelSize looks at whether the device to hypervisors takes packets of a size,
// or as large as the underlay can carry. IPv6 packets that are too large are
// dropped without a word: Linux looks the way of a Packet Too Big up from the
// tunnel, which is in no VRF.
func (c *examination) tunnelSize(inner int, source string) {
	k := c.cfg.Kernel
	if k.Tunnel != config.TunnelIP6TNL {
		return
	}
	for _, name := range c.underlay {
		l, _ := c.link(name)
		inner = min(inner, l.mtu-overheadMade)
	}
	mtu, remedy := madeMTU, ""
	l, there := c.link(k.Device)
	switch {
	case there:
		mtu, remedy = l.mtu, fmt.Sprintf("ip link set %s mtu %d", k.Device, inner)
	case !k.MakeDevice:
		return
	case k.MTU != 0:
		mtu = int(k.MTU)
	}
	what := fmt.Sprintf("MTU %d of %s", mtu, k.Device)
	if mtu >= inner {
		c.good(what, fmt.Sprintf("%d inside", inner))
		return
	}
	c.bad(LevelWarning, what, fmt.Sprintf("larger packets, up to %d (%s), are dropped, those of IPv6 without a Packet Too Big: set kernel.mtu, or kernel.mss for TCP alone", inner, source), remedy)
}
