package config

import (
	"net/netip"
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
	var vnis, api *node
	var apiPath string
	d.hasBGP = n.kind == mappingNode && n.entry("bgp") != nil
	c.MetalBond = d.metalBondDefaults()
	if !d.mapping(n, "", "a mapping",
		field{"router-id", into(&c.RouterID, d.address4)},
		field{"asn", into(&c.ASN, d.asn)},
		field{"domain", into(&c.Domain, parsed(d, "a Site-of-Origin, such as 65001:1", ParseSiteOfOrigin))},
		field{"domain-id", into(&c.DomainID, parsed(d, "a domain identifier, such as 65001:1", ParseDomainID))},
		field{"state-directory", into(&c.StateDirectory, d.directory)},
		field{"memory-limit", into(&c.MemoryLimit, d.memoryLimit)},
		field{"vxlan", into(&c.VXLAN, d.vxlan)},
		field{"mpls", into(&c.MPLS, d.mpls)},
		field{"metalbond", into(&c.MetalBond, d.metalBond)},
		field{"bgp", func(n *node, path string) { c.BGP = d.bgp(n, path, c) }},
		field{"kernel", into(&c.Kernel, d.kernel)},
		field{"vnis", func(n *node, path string) { vnis = n; c.VNIs = d.vnis(n, path, c) }},
		field{"log", into(&c.Log, d.log)},
		field{"http", into(&c.HTTP, d.http)},
		field{"api", func(n *node, path string) { api, apiPath = n, path }},
	) {
		return nil
	}
	if d.hasBGP {
		d.required(n, "", " with bgp", "router-id", "asn")
		if vnis != nil {
			d.required(n, "", " with bgp and vnis", "domain")
		}
	}
	c.API = apiDefaults(c.StateDirectory)
	if api != nil {
		c.API = d.management(api, apiPath, c.API)
	}
	d.checkLabels(n, c)
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

func (d *decoder) mpls(n *node, path string) (m MPLS) {
	d.mapping(n, path, "a mapping",
		field{"labels", into(&m.Labels, parsed(d, "a range of labels, such as 100000-199999", ParseLabelRange))},
	)
	return m
}

func (d *decoder) metalBondDefaults() MetalBond {
	return MetalBond{
		Listen:    []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultMetalBondPort)},
		Keepalive: 5 * time.Second,

		MaxSessions: DefaultMaxSessions, MaxSessionsPerSource: DefaultMaxSessionsPerSource,
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
		}},
		field{"tls", into(&m.TLS, d.metalBondTLS)},
		field{"server-tls", into(&m.ServerTLS, d.serverTLS)},
		field{"unlisted-clients", func(n *node, path string) {
			m.RefuseUnlisted = oneOf[uint8](d, unlistedNames)(n, path) == 1
		}},
		field{"max-sessions", into(&m.MaxSessions, d.maxSessions)},
		field{"max-sessions-per-source", into(&m.MaxSessionsPerSource, d.maxSessions)},
	)
	if n.kind == mappingNode {
		d.checkClients(n, path, &m)
		switch listen := n.entry("listen"); {
		case len(m.Servers) > 0 && listen == nil:
			m.Listen = nil
		case listen != nil && len(m.Listen) == 0 && n.entry("servers") == nil && (m.TLS == nil || len(m.TLS.Listen) == 0):
			d.bad(listen.value, join(path, "listen"), "off without servers leaves MetalBond nothing to do")
		}
		d.checkTLS(n, path, &m)
	}
	return m
}

func (d *decoder) pace(n *node, path string) Pace {
	return parsed(d, "a pace (auto, off, or a rate such as 400kB/s)", ParsePace)(n, path)
}

func (d *decoder) log(n *node, path string) (l Log) {
	d.mapping(n, path, "a mapping",
		field{"level", into(&l.Level, oneOf[LogLevel](d, logLevelNames))},
		field{"components", into(&l.Components, d.logComponents)},
		field{"format", into(&l.Format, oneOf[LogFormat](d, logFormatNames))},
	)
	return l
}

func (d *decoder) logComponents(n *node, path string) map[LogComponent]LogLevel {
	levels := make(map[LogComponent]LogLevel)
	var fields []field
	for _, c := range LogComponents() {
		fields = append(fields, field{c.String(), func(n *node, path string) {
			levels[c] = oneOf[LogLevel](d, logLevelNames)(n, path)
		}})
	}
	if d.mapping(n, path, "a mapping", fields...); len(levels) == 0 {
		return nil
	}
	return levels
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
