package config

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// One method a section of the file: its keys in the order of the reference
// file, then the defaults that depend on other values, then what values must
// have in common. Sections that others depend on are read first.

const (
	day     = 24 * time.Hour
	longest = 65535 * time.Second
)

func (d *decoder) config(n *node) *Config {
	c := &Config{HTTP: DefaultHTTP}
	var vnis *node
	d.hasBGP = n.kind == mappingNode && n.entry("bgp") != nil
	c.MetalBond = d.metalBondDefaults()
	if !d.mapping(n, "", "a mapping",
		field{"router-id", into(&c.RouterID, d.address4)},
		field{"asn", into(&c.ASN, d.asn)},
		field{"domain", into(&c.Domain, parsed(d, "a Site-of-Origin, such as 65001:1", ParseSiteOfOrigin))},
		field{"state-directory", into(&c.StateDirectory, d.directory)},
		field{"vxlan", into(&c.VXLAN, d.vxlan)},
		field{"metalbond", into(&c.MetalBond, d.metalBond)},
		field{"bgp", func(n *node, path string) { c.BGP = d.bgp(n, path, c) }},
		field{"vnis", func(n *node, path string) { vnis = n; c.VNIs = d.vnis(n, path, c) }},
		field{"log", into(&c.Log, d.log)},
		field{"http", into(&c.HTTP, d.http)},
	) {
		return nil
	}
	if d.hasBGP {
		d.required(n, "", " with bgp", "router-id", "asn")
		if vnis != nil {
			d.required(n, "", " with bgp and vnis", "domain")
		}
	}
	if c.RouterID.IsValid() {
		if !c.VXLAN.Local.IsValid() {
			c.VXLAN.Local = c.RouterID
		}
		if c.VXLAN.RouterMAC == (MAC{}) {
			a := c.RouterID.As4()
			c.VXLAN.RouterMAC = MAC{0x02, 0x00, a[0], a[1], a[2], a[3]}
		}
	}
	return c
}

func (d *decoder) vxlan(n *node, path string) (v VXLAN) {
	d.mapping(n, path, "a mapping",
		field{"local", func(n *node, path string) {
			v.Local = d.address(n, path)
			if v.Local.Zone() != "" {
				d.bad(n, path, "%s has a zone, want an address without one", v.Local)
			}
		}},
		field{"router-mac", func(n *node, path string) {
			v.RouterMAC = parsed(d, "a MAC address, such as 02:00:c0:00:02:01", ParseMAC)(n, path)
			if v.RouterMAC[0]&1 != 0 || v.RouterMAC == (MAC{}) && n.kind == scalarNode && n.text == v.RouterMAC.String() {
				d.bad(n, path, "%s is no address of a host, want a unicast MAC address", v.RouterMAC)
			}
		}},
	)
	return v
}

func (d *decoder) metalBondDefaults() MetalBond {
	return MetalBond{
		Listen:    []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultMetalBondPort)},
		Keepalive: 5 * time.Second,
	}
}

func (d *decoder) metalBond(n *node, path string) MetalBond {
	m := d.metalBondDefaults()
	clients := func(n *node, path string) MetalBondClient { return d.client(n, path, m.Pace) }
	d.mapping(n, path, "a mapping",
		field{"listen", into(&m.Listen, d.listens(DefaultMetalBondPort, 0))},
		field{"servers", into(&m.Servers, setOf(d, "a list of HOST:PORT", d.server))},
		field{"keepalive", into(&m.Keepalive, d.duration(time.Second, longest, true))},
		field{"hold", into(&m.Hold, d.duration(0, day, false))},
		field{"gateways", into(&m.Gateways, setOf(d, "a list of IPv6 prefixes", d.prefix6))},
		field{"nexthops", into(&m.NextHops, oneOf[NextHops](d, nextHopsNames))},
		field{"pace", into(&m.Pace, d.pace)},
		field{"server-pace", into(&m.ServerPace, d.pace)},
		field{"clients", func(n *node, path string) {
			m.Clients = listOf(d, "a list of mappings", clients)(n, path)
			unique(d, n, path, "source", func(i int) (netip.Prefix, bool) { return m.Clients[i].Source, m.Clients[i].Source.IsValid() })
		}},
	)
	if n.kind == mappingNode {
		switch listen := n.entry("listen"); {
		case len(m.Servers) > 0 && listen == nil:
			m.Listen = nil
		case listen != nil && len(m.Listen) == 0 && n.entry("servers") == nil:
			d.bad(listen.value, join(path, "listen"), "off without servers leaves MetalBond nothing to do")
		}
	}
	return m
}

func (d *decoder) client(n *node, path string, pace Pace) MetalBondClient {
	c := MetalBondClient{Pace: pace}
	d.mapping(n, path, "a mapping",
		field{"source", into(&c.Source, d.prefix)},
		field{"pace", into(&c.Pace, d.pace)},
	)
	d.required(n, path, "", "source")
	return c
}

func (d *decoder) pace(n *node, path string) Pace {
	return parsed(d, "a pace (auto, off, or a rate such as 400kB/s)", ParsePace)(n, path)
}

func (d *decoder) log(n *node, path string) (l Log) {
	d.mapping(n, path, "a mapping",
		field{"level", into(&l.Level, oneOf[LogLevel](d, logLevelNames))},
		field{"format", into(&l.Format, oneOf[LogFormat](d, logFormatNames))},
	)
	return l
}

func (d *decoder) http(n *node, path string) string {
	if n.isOff() {
		return ""
	}
	at := d.listen(4712, 0)(n, path)
	if !at.IsValid() {
		return ""
	}
	return at.String()
}

func (d *decoder) vnis(n *node, path string, c *Config) []VNI {
	list := listOf(d, "a list of mappings", func(n *node, path string) VNI { return d.vni(n, path, c) })(n, path)
	unique(d, n, path, "vni", func(i int) (uint32, bool) { return list[i].VNI, list[i].VNI != 0 })
	unique(d, n, path, "name", func(i int) (string, bool) { return list[i].Name, list[i].Name != "" })
	unique(d, n, path, "rd", func(i int) (RD, bool) { return list[i].RD, list[i].RD != RD{} })
	unique(d, n, path, "gateway", func(i int) (netip.Addr, bool) { return list[i].Gateway, list[i].Gateway.IsValid() })
	return list
}

func (d *decoder) vni(n *node, path string, c *Config) VNI {
	v := VNI{NextHops: c.MetalBond.NextHops, AutoRT: AutoRTASVNI, Export: Export{Types: []HopType{HopStandard}}}
	most := uint64(math.MaxUint32)
	if d.hasBGP {
		most = 1<<24 - 1
	}
	var autoRT *node
	var importNamed, exportNamed bool
	if !d.mapping(n, path, "a mapping",
		field{"vni", into(&v.VNI, number[uint32](d, 1, most))},
		field{"name", into(&v.Name, d.name)},
		field{"encapsulation", into(&v.Encapsulation, oneOf[Encapsulation](d, encapsulationNames))},
		field{"rd", into(&v.RD, d.rd)},
		field{"auto-rt", func(n *node, path string) { autoRT = n; v.AutoRT = oneOf[AutoRT](d, autoRTNames)(n, path) }},
		field{"import", func(n *node, path string) { v.Import, importNamed = d.imports(n, path) }},
		field{"export", func(n *node, path string) { v.Export, exportNamed = d.exports(n, path) }},
		field{"gateway", into(&v.Gateway, d.address6)},
		field{"nexthops", into(&v.NextHops, oneOf[NextHops](d, nextHopsNames))},
		field{"max-prefixes", into(&v.MaxPrefixes, d.maxPrefixes)},
	) {
		return v
	}
	d.required(n, path, "", "vni")
	if d.hasBGP && v.Encapsulation == EncapVXLAN {
		d.required(n, path, " for vxlan", "gateway")
	}
	if autoRT == nil && importNamed && exportNamed {
		v.AutoRT = AutoRTNone
	}
	if v.AutoRT == AutoRTRFC8365 && c.ASN > math.MaxUint16 {
		d.bad(autoRT, join(path, "auto-rt"), "rfc8365 has no room for asn %d (1 to 65535)", c.ASN)
	}
	if d.hasBGP {
		target, ok := v.AutoRT.target(c.ASN, v.VNI)
		if ok && !importNamed {
			number, _ := target.Number()
			v.Import.Targets = []TargetMatch{{Any: true, Number: number}}
		}
		if ok && !exportNamed {
			v.Export.Targets = []RouteTarget{target}
		}
	}
	return v
}

// target returns the route target of a VNI.
func (a AutoRT) target(asn, vni uint32) (t RouteTarget, ok bool) {
	switch a {
	case AutoRTASVNI:
		return NewRouteTarget(uint16(asn), vni), true
	case AutoRTRFC8365:
		return NewRouteTarget(uint16(asn), 1<<28|vni), true
	}
	return RouteTarget{}, false
}

func (d *decoder) rd(n *node, path string) RD {
	if n.kind == scalarNode && n.text == "auto" {
		return RD{}
	}
	return parsed(d, "auto, or a route distinguisher such as 65001:200", ParseRD)(n, path)
}

func (d *decoder) imports(n *node, path string) (im Import, named bool) {
	const want = "a list of route targets"
	targets := setOf(d, want, parsed(d, "a route target", ParseTargetMatch))
	if n.kind == listNode {
		im.Targets = targets(n, path)
		return im, true
	}
	d.mapping(n, path, want+", or a mapping",
		field{"targets", func(n *node, path string) { im.Targets, named = targets(n, path), true }},
		field{"prefixes", into(&im.Prefixes, listOf(d, "a list of rules", d.rule))},
		field{"max-prefixes", into(&im.MaxPrefixes, d.maxPrefixes)},
	)
	return im, named
}

func (d *decoder) exports(n *node, path string) (ex Export, named bool) {
	const want = "a list of route targets"
	targets := setOf(d, want, parsed(d, "a route target", ParseRouteTarget))
	ex.Types = []HopType{HopStandard}
	if n.kind == listNode {
		ex.Targets = targets(n, path)
		return ex, true
	}
	d.mapping(n, path, want+", or a mapping",
		field{"targets", func(n *node, path string) { ex.Targets, named = targets(n, path), true }},
		field{"types", func(n *node, path string) {
			ex.Types = setOf(d, "a list of "+strings.Join(hopTypeNames, ", "), oneOf[HopType](d, hopTypeNames))(n, path)
			if n.kind == listNode && len(ex.Types) == 0 {
				d.bad(n, path, "an empty list, want some of %s", strings.Join(hopTypeNames, ", "))
			}
			slices.Sort(ex.Types)
		}},
		field{"prefixes", into(&ex.Prefixes, listOf(d, "a list of rules", d.rule))},
		field{"max-prefixes", into(&ex.MaxPrefixes, d.maxPrefixes)},
	)
	return ex, named
}

func (d *decoder) rule(n *node, path string) (r PrefixRule) {
	var allow, deny netip.Prefix
	var ge, le *node
	if !d.mapping(n, path, "a rule (allow or deny, with ge and le)",
		field{"allow", into(&allow, d.prefix)},
		field{"deny", into(&deny, d.prefix)},
		field{"ge", func(n *node, _ string) { ge = n }},
		field{"le", func(n *node, _ string) { le = n }},
	) {
		return r
	}
	hasAllow, hasDeny := n.entry("allow") != nil, n.entry("deny") != nil
	if hasAllow == hasDeny {
		d.bad(n, path, "want one prefix to allow or to deny")
		return r
	}
	r.Allow, r.Prefix = hasAllow, allow
	if hasDeny {
		r.Prefix = deny
	}
	if !r.Prefix.IsValid() {
		return r
	}
	low, high := r.Prefix.Bits(), r.Prefix.Addr().BitLen()
	r.GE, r.LE = low, low
	if ge != nil {
		r.GE, r.LE = number[int](d, uint64(low), uint64(high))(ge, join(path, "ge")), high
	}
	if le != nil {
		r.LE = number[int](d, uint64(max(low, r.GE)), uint64(high))(le, join(path, "le"))
	}
	return r
}
