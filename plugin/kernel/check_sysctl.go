package kernel

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"mbbgp/config"
)

// sysctl returns the number that a kernel parameter has, which is written with
// dots or, as sysctl allows, with slashes.
func (m *machine) sysctl(name string) (value int, known bool) {
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, ".", "/")
	}
	b, err := fs.ReadFile(m.files, "proc/sys/"+name)
	if err != nil {
		return 0, false
	}
	value, err = strconv.Atoi(strings.TrimSpace(string(b)))
	return value, err == nil
}

// deviceSysctl returns the name of a parameter of a device, with slashes if the
// name of the device has a dot.
func deviceSysctl(section, device, parameter string) string {
	name := section + "." + device + "." + parameter
	if strings.Contains(device, ".") {
		name = strings.ReplaceAll(section, ".", "/") + "/" + device + "/" + parameter
	}
	return name
}

// parameter looks at one that has to have a value. One that the kernel does not
// have is the matter of a feature.
func (c *examination) parameter(level, name string, good func(int) bool, want int, why string) {
	value, known := c.sysctl(name)
	switch {
	case !known:
	case good(value):
		c.good(fmt.Sprintf("%s is %d", name, value), "")
	default:
		c.bad(level, fmt.Sprintf("%s is %d", name, value), why, fmt.Sprintf("sysctl -w %s=%d", name, want))
	}
}

func equal(want int) func(int) bool   { return func(v int) bool { return v == want } }
func atLeast(want int) func(int) bool { return func(v int) bool { return v >= want } }

// forwarding looks at whether packets of others are forwarded at all.
func (c *examination) forwarding() {
	c.parameter(LevelError, "net.ipv4.ip_forward", equal(1), 1, "IPv4 packets inside the tunnels are not forwarded")
	c.parameter(LevelError, "net.ipv6.conf.all.forwarding", atLeast(1), 1, "IPv6 packets, and what is inside them, are not forwarded")
}

// reversePath looks at source validation (RFC 3704) of packets out of tunnels.
// Their sources are reached by the tunnel device and not by the one that they
// come in by, which strict validation does not stand. The kernel takes the
// larger one of the values of all and of the device.
func (c *examination) reversePath() {
	const section, strict = "net.ipv4.conf", 1
	all, known := c.sysctl(section + ".all.rp_filter")
	if !known {
		return
	}
	const why = "IPv4 packets out of tunnels are dropped, their sources are not reached by the device that they come in by"
	if what := fmt.Sprintf("%s.all.rp_filter is %d", section, all); all == strict {
		c.bad(LevelError, what, why, "sysctl -w "+section+".all.rp_filter=0")
	} else {
		c.good(what, "")
	}
	for _, device := range append([]string{"default"}, c.tunnelEnds()...) {
		name := deviceSysctl(section, device, "rp_filter")
		value, known := c.sysctl(name)
		switch effective := max(all, value); {
		case !known:
		case effective != strict:
			c.good(fmt.Sprintf("%s is %d", name, value), "")
		case value == strict:
			c.bad(LevelError, name+" is 1", why, "sysctl -w "+name+"=0")
		}
	}
}

// tunnelEnds returns the names of the devices that packets come out of.
func (c *examination) tunnelEnds() []string {
	var names []string
	if c.cfg.Kernel.Tunnel == config.TunnelIP6TNL {
		names = append(names, c.cfg.Kernel.Device)
	}
	for _, v := range c.tables() {
		for _, name := range []string{v.VRF, v.DecapDevice, v.VXLANDevice} {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// segments looks at what seg6local needs.
func (c *examination) segments() {
	var vrf, any bool
	for _, v := range c.tables() {
		vrf = vrf || v.Decapsulation == config.DecapDT46 || v.Decapsulation == config.DecapDT4
		any = any || vrf || v.Decapsulation == config.DecapDT6
	}
	if vrf {
		c.parameter(LevelError, "net.vrf.strict_mode", equal(1), 1, "the kernel refuses decapsulation dt46 and dt4 without: one table, one VRF")
	}
	if value, known := c.sysctl("net.ipv6.conf.all.seg6_enabled"); any && known {
		why := "packets without a routing header (SRH) do not need it, and hypervisors send none"
		if value != 0 {
			why = "packets with a routing header (SRH) are taken from everywhere"
		}
		c.good(fmt.Sprintf("net.ipv6.conf.all.seg6_enabled is %d", value), why)
	}
}

// labels looks at what MPLS needs.
func (c *examination) labels() {
	highest := uint32(0)
	for _, v := range c.tables() {
		if v.Encapsulation != config.EncapMPLS {
			continue
		}
		highest = max(highest, v.Label)
		if v.Label == 0 {
			highest = max(highest, c.cfg.MPLS.Labels.Last)
		}
	}
	if highest == 0 {
		return
	}
	if highest >= mostLabels {
		c.bad(LevelError, fmt.Sprintf("label %d is too high", highest),
			fmt.Sprintf("Linux takes labels up to %d: want another one, or less of mpls.labels", mostLabels-1), "")
		highest = mostLabels - 1
	}
	c.parameter(LevelError, "net.mpls.platform_labels", atLeast(int(highest)+1), int(highest)+1,
		fmt.Sprintf("packets with our labels, up to %d, are dropped", highest))
	for _, device := range c.underlay {
		c.parameter(LevelError, deviceSysctl("net.mpls.conf", device, "input"), equal(1), 1, "packets with labels that come in here are dropped")
	}
}

// hashing looks at how packets are shared between next hops.
func (c *examination) hashing() {
	const why = "all connections between two addresses take one next hop: ports are not hashed"
	for _, name := range []string{"net.ipv4.fib_multipath_hash_policy", "net.ipv6.fib_multipath_hash_policy"} {
		c.parameter(LevelWarning, name, atLeast(1), 1, why)
	}
}

// objects looks at what a changed next hop object costs.
func (c *examination) objects() {
	if c.cfg.Kernel.NextHopObjects {
		c.parameter(LevelWarning, "net.ipv4.nexthop_compat_mode", equal(0), 0,
			"when a next hop changes, every listener is told of every route that uses it")
	}
}

// routeCache looks at the limit of IPv6 routes in use, which Linux had until 6.3
// and which a gateway with many clients crosses.
func (c *examination) routeCache() {
	const enough = 1 << 20
	if c.olderThan(6, 3) {
		c.parameter(LevelWarning, "net.ipv6.route.max_size", atLeast(enough), enough,
			"this kernel refuses IPv6 routes beyond so many in use (Network is unreachable)")
	}
}

// olderThan reports whether the kernel is of a release before a version. It is
// not if the release cannot be read.
func (m *machine) olderThan(major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(m.release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}
