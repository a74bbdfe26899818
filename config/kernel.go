package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	minNextHopIDs  = 1000
	mainTable      = 254
	steeringTables = 4096 // one for each value of the packet mark
)

// DefaultKernel returns the section as it is with nothing said.
func DefaultKernel() *Kernel {
	return &Kernel{
		Device:            "overlay",
		HopLimit:          64,
		Protocol:          254,
		Metric:            4711,
		NextHopObjects:    true,
		NextHopIDs:        NumberRange{471_000_000, 471_999_999},
		ResolveViaDefault: true,
		RulePriority:      500,
		MarkShift:         20,
		SteeringTables:    NumberRange{472_000_000, 472_004_095},
		Settle:            time.Minute,
		Scan:              time.Minute,
		Drain:             10 * time.Second,
	}
}

func (d *decoder) kernel(n *node, path string) *Kernel {
	k := DefaultKernel()
	ranges := parsed(d, "a range of numbers, such as 1000-1999", ParseNumberRange)
	if !d.mapping(n, path, "a mapping",
		field{"tunnel", into(&k.Tunnel, oneOf[Tunnel](d, tunnelNames))},
		field{"device", into(&k.Device, d.device)},
		field{"make-device", into(&k.MakeDevice, d.boolean)},
		field{"source", into(&k.Source, d.address6)},
		field{"hop-limit", into(&k.HopLimit, number[uint8](d, 1, math.MaxUint8))},
		field{"decapsulation", into(&k.Decapsulation, oneOf[Decapsulation](d, decapsulationNames))},
		field{"protocol", into(&k.Protocol, number[uint8](d, 5, math.MaxUint8))},
		field{"metric", into(&k.Metric, number[uint32](d, 1, IsolationMetric-1))},
		field{"nexthop-objects", into(&k.NextHopObjects, d.autoOrOff)},
		field{"nexthop-ids", into(&k.NextHopIDs, ranges)},
		field{"resolve-via-default", into(&k.ResolveViaDefault, d.boolean)},
		field{"rule-priority", into(&k.RulePriority, number[uint32](d, 1, 32000))},
		field{"mark-shift", into(&k.MarkShift, number[uint8](d, 0, 20))},
		field{"steering-tables", into(&k.SteeringTables, ranges)},
		field{"mtu", into(&k.MTU, number[uint16](d, 1280, math.MaxUint16))},
		field{"mss", into(&k.MSS, parsed(d, "off, auto, or a number (500 to 65535)", ParseMSS))},
		field{"source-validation", into(&k.SourceValidation, d.boolean)},
		field{"settle", into(&k.Settle, d.duration(0, time.Hour, false))},
		field{"scan", into(&k.Scan, d.duration(time.Second, day, false))},
		field{"drain", into(&k.Drain, d.duration(0, time.Hour, false))},
		field{"cleanup", into(&k.Cleanup, d.boolean)},
	) {
		return k
	}
	if k.Tunnel == TunnelSeg6 {
		k.HopLimit = 0
		d.excluded(n, path, " with tunnel seg6", "source", "hop-limit")
		if n.entry("decapsulation") == nil {
			k.Decapsulation = DecapDT46
		}
		if k.MSS == MSSAuto {
			d.bad(n.entry("mss").value, join(path, "mss"), "auto does not work with tunnel seg6, whose packets nothing is known of when they come in; want off or a number (500 to 65535)")
		}
		if k.Device == "lo" && !k.NextHopObjects {
			d.bad(n.entry("device").value, join(path, "device"), "lo does not work with nexthop-objects off: Linux drops packets of IPv6 routes that leave by it; want another device that stays up")
		}
	}
	if size := k.NextHopIDs.size(); size != 0 && size < minNextHopIDs {
		d.bad(n.entry("nexthop-ids").value, join(path, "nexthop-ids"), "%s has %d numbers, want at least %d", k.NextHopIDs, size, minNextHopIDs)
	}
	if size := k.SteeringTables.size(); size != 0 && size != steeringTables {
		first := min(k.SteeringTables.First, math.MaxUint32-steeringTables+1)
		d.bad(n.entry("steering-tables").value, join(path, "steering-tables"), "%s has %d numbers, want %d, such as %s",
			k.SteeringTables, size, steeringTables, NumberRange{first, first + steeringTables - 1})
	}
	return k
}

// autoOrOff reads what is used if it is there, unless it is off.
func (d *decoder) autoOrOff(n *node, path string) bool {
	const off = 1
	return oneOf[uint8](d, []string{"auto", "off"})(n, path) != off
}

// device reads the name of a network interface, as the kernel allows them. It
// takes one with % for a pattern, and all and default are those of sysctl.
func (d *decoder) device(n *node, path string) string {
	const want = "the name of a device (1 to 15 bytes, no / : % and white space, not all or default)"
	s, ok := d.text(n, path, want)
	if !ok {
		return ""
	}
	bad := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("/:%", r) }
	if s == "" || len(s) > 15 || slices.Contains([]string{".", "..", "all", "default"}, s) || strings.ContainsFunc(s, bad) {
		d.wrong(n, path, want)
		return ""
	}
	return s
}

// table reads the number of a routing table that a VNI can have for itself.
func (d *decoder) table(n *node, path string) uint32 {
	t := number[uint32](d, 1, math.MaxUint32)(n, path)
	switch t {
	case 253:
		d.bad(n, path, "253 is the table default, want another one")
	case 255:
		d.bad(n, path, "255 is the table local, want another one")
	default:
		return t
	}
	return 0
}

// kernelSide gives the kernel's side of a VNI its defaults, and checks what
// depends on other keys.
func (d *decoder) kernelSide(n *node, path string, v *VNI, c *Config) {
	decapsulation, validation := n.entry("decapsulation"), n.entry("source-validation")
	if c.Kernel == nil {
		d.excluded(n, path, " without kernel", "table")
	}
	if n.entry("table") == nil || c.Kernel == nil {
		if n.entry("table") == nil {
			d.excluded(n, path, " without table", "vrf", "isolated", "decapsulation", "decap-device", "vxlan-device", "nat-from", "source-validation")
		}
		v.Decapsulation = DecapOff
		return
	}
	switch isolated := n.entry("isolated"); {
	case isolated == nil:
		v.Isolated = v.Table != mainTable
	case v.Isolated && v.Table == mainTable:
		d.bad(isolated.value, join(path, isolated.key), "true does not go with table %d, which others go on to, want false", mainTable)
	}
	switch {
	case decapsulation == nil && !v.Gateway.IsValid():
		v.Decapsulation = DecapOff
	case decapsulation == nil:
		v.Decapsulation = c.Kernel.Decapsulation
	case v.Decapsulation != DecapOff:
		d.required(n, path, " for decapsulation "+v.Decapsulation.String(), "gateway")
	}
	switch {
	case v.Decapsulation == DecapDT46 || v.Decapsulation == DecapDT4:
		d.required(n, path, " for decapsulation "+v.Decapsulation.String(), "vrf")
	case v.Encapsulation == EncapMPLS:
		d.required(n, path, " with encapsulation mpls and a table", "vrf")
	}
	if v.Decapsulation != DecapIP6TNL {
		d.excluded(n, path, " with decapsulation "+v.Decapsulation.String(), "decap-device")
	} else if v.DecapDevice == "" {
		v.DecapDevice = fmt.Sprintf("mb%d", v.VNI)
	}
	switch {
	case v.Encapsulation != EncapVXLAN:
		d.excluded(n, path, " with encapsulation "+v.Encapsulation.String(), "vxlan-device")
	case !d.hasBGP:
		d.excluded(n, path, " without bgp", "vxlan-device")
	case v.VXLANDevice == "":
		v.VXLANDevice = fmt.Sprintf("vx%d", v.VNI)
	}
	switch {
	case validation == nil:
		v.SourceValidation = c.Kernel.SourceValidation && v.Decapsulation != DecapOff
	case v.SourceValidation && v.Decapsulation == DecapOff:
		d.bad(validation.value, join(path, validation.key), "true without a decapsulation has nothing to look at")
	}
	if v.SourceValidation && v.Decapsulation == DecapDT6 {
		where, key := n, "source-validation"
		if validation != nil {
			where = validation.value
		}
		d.bad(where, join(path, key), "true (here or in kernel) does not work with decapsulation dt6: the kernel shows its packets to no filter; want dt46, or false")
	}
}

// checkTables checks that no VNI has a table of NAT steering.
func (d *decoder) checkTables(n *node, path string, list []VNI, k *Kernel) {
	if n.kind != listNode || k == nil {
		return
	}
	for i := range list {
		if t := list[i].Table; t != 0 && k.SteeringTables.contains(t) {
			d.bad(place(n.items[i], "table"), fmt.Sprintf("%s[%d].table", path, i), "%d is in kernel.steering-tables (%s), want another one", t, k.SteeringTables)
		}
	}
}

// checkDevices checks that all devices have names of their own.
func (d *decoder) checkDevices(n *node, path string, list []VNI, k *Kernel) {
	if n.kind != listNode || k == nil {
		return
	}
	owner := map[string]string{k.Device: "kernel.device"}
	for i := range list {
		where := fmt.Sprintf("%s[%d]", path, i)
		for _, device := range []struct{ key, name string }{
			{"vrf", list[i].VRF}, {"decap-device", list[i].DecapDevice}, {"vxlan-device", list[i].VXLANDevice},
		} {
			if device.name == "" {
				continue
			}
			at := place(n.items[i], device.key)
			if first, twice := owner[device.name]; twice {
				d.bad(at, join(where, device.key), "%s is that of %s", show(device.name), first)
				continue
			}
			owner[device.name] = fmt.Sprintf("%s already (line %d)", join(where, device.key), at.line)
		}
	}
}

func (w *writer) kernel(k *Kernel) {
	w.text("tunnel", k.Tunnel.String())
	w.text("device", k.Device)
	w.boolean("make-device", k.MakeDevice)
	w.addr("source", k.Source)
	w.number("hop-limit", uint64(k.HopLimit))
	w.text("decapsulation", k.Decapsulation.String())
	w.number("protocol", uint64(k.Protocol))
	w.number("metric", uint64(k.Metric))
	w.text("nexthop-objects", map[bool]string{true: "auto", false: "off"}[k.NextHopObjects])
	w.text("nexthop-ids", k.NextHopIDs.String())
	w.boolean("resolve-via-default", k.ResolveViaDefault)
	w.number("rule-priority", uint64(k.RulePriority))
	w.line("mark-shift", strconv.Itoa(int(k.MarkShift)))
	w.text("steering-tables", k.SteeringTables.String())
	w.number("mtu", uint64(k.MTU))
	w.text("mss", k.MSS.String())
	w.boolean("source-validation", k.SourceValidation)
	w.duration("settle", k.Settle)
	w.duration("scan", k.Scan)
	w.duration("drain", k.Drain)
	w.boolean("cleanup", k.Cleanup)
}

// kernelSide writes what a VNI with a table has in the kernel.
func (w *writer) kernelSide(v *VNI) {
	if v.Table == 0 {
		return
	}
	w.number("table", uint64(v.Table))
	w.optional("vrf", v.VRF)
	w.boolean("isolated", v.Isolated)
	w.text("decapsulation", v.Decapsulation.String())
	w.optional("decap-device", v.DecapDevice)
	w.optional("vxlan-device", v.VXLANDevice)
	list(w, "nat-from", v.NATFrom, func(n uint32) string { return strconv.FormatUint(uint64(n), 10) })
	w.boolean("source-validation", v.SourceValidation)
}
