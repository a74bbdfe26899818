package config

import (
	"net/netip"
	"strconv"
)

// Marshal returns the effective configuration, defaults included, as a file in
// the order of the reference that parses to the same configuration. What has
// no value has no line. The error is that of Parse for a configuration made by
// hand that no file could say.
func (c *Config) Marshal() ([]byte, error) {
	text := c.marshal()
	if _, err := Parse("effective configuration", text); err != nil {
		return nil, err
	}
	return text, nil
}

func (c *Config) marshal() []byte {
	var w writer
	w.addr("router-id", c.RouterID)
	w.number("asn", uint64(c.ASN))
	if c.Domain != (ExtendedCommunity{}) {
		w.text("domain", c.Domain.String())
	}
	if c.DomainID != (DomainID{}) {
		w.text("domain-id", c.DomainID.String())
	}
	w.optional("state-directory", c.StateDirectory)
	if c.MemoryLimit == 0 {
		w.text("memory-limit", "off")
	} else {
		w.text("memory-limit", c.MemoryLimit.String())
	}
	w.section("vxlan", func() {
		w.addr("local", c.VXLAN.Local)
		if c.VXLAN.RouterMAC != (MAC{}) {
			w.text("router-mac", c.VXLAN.RouterMAC.String())
		}
	})
	w.section("mpls", func() {
		if c.MPLS.Labels != (LabelRange{}) {
			w.text("labels", c.MPLS.Labels.String())
		}
	})
	w.section("metalbond", func() { w.metalBond(&c.MetalBond) })
	if c.BGP != nil {
		w.section("bgp", func() { w.bgp(c.BGP) })
	}
	if c.Kernel != nil {
		w.section("kernel", func() { w.kernel(c.Kernel) })
	}
	w.section("vnis", func() {
		for i := range c.VNIs {
			w.item(func() { w.vni(&c.VNIs[i]) })
		}
	})
	w.section("log", func() {
		w.text("level", c.Log.Level.String())
		w.section("components", func() {
			for _, component := range LogComponents() {
				if level, ok := c.Log.Components[component]; ok {
					w.text(component.String(), level.String())
				}
			}
		})
		w.text("format", c.Log.Format.String())
	})
	w.orOff("http", c.HTTP)
	w.section("api", func() { w.management(&c.API) })
	return w.Bytes()
}

func (w *writer) metalBond(m *MetalBond) {
	w.listens("listen", m.Listen)
	list(w, "servers", m.Servers, func(s string) string { return s })
	w.duration("keepalive", m.Keepalive)
	w.duration("hold", m.Hold)
	list(w, "gateways", m.Gateways, netip.Prefix.String)
	w.text("nexthops", m.NextHops.String())
	w.text("pace", m.Pace.String())
	w.text("server-pace", m.ServerPace.String())
	w.section("clients", func() {
		for _, c := range m.Clients {
			w.item(func() { w.client(&c) })
		}
	})
	w.metalBondTLS(m)
	if m.RefuseUnlisted {
		w.text("unlisted-clients", unlistedNames[1])
	} else {
		w.text("unlisted-clients", unlistedNames[0])
	}
	w.number("max-sessions", uint64(m.MaxSessions))
	w.number("max-sessions-per-source", uint64(m.MaxSessionsPerSource))
}

func (w *writer) bgp(b *BGP) {
	w.optional("attach", b.Attach)
	w.duration("attach-hold", b.AttachHold)
	list(w, "next-hops", b.NextHops, netip.Addr.String)
	w.number("lossless-asn", uint64(b.LosslessASN))
	w.duration("settle", b.Settle)
	if b.Attach != "" {
		return // gobgpd has its own
	}
	if b.GoBGPConfig == "" {
		w.listens("listen", b.Listen)
	}
	w.orOff("api", b.API)
	w.optional("gobgp-config", b.GoBGPConfig)
	w.addr("cluster-id", b.ClusterID)
	w.section("neighbors", func() {
		for _, n := range b.Neighbors {
			w.item(func() {
				w.addr("address", n.Address)
				w.number("port", uint64(n.Port))
				w.boolean("passive", n.Passive)
				w.peering(&n.Peering)
			})
		}
	})
	w.section("dynamic-neighbors", func() {
		for _, n := range b.DynamicNeighbors {
			w.item(func() {
				w.text("prefix", n.Prefix.String())
				w.peering(&n.Peering)
			})
		}
	})
}

func (w *writer) peering(p *Peering) {
	w.number("asn", uint64(p.ASN))
	w.number("local-asn", uint64(p.LocalASN))
	w.addr("local-address", p.LocalAddress)
	w.optional("description", p.Description)
	w.number("multihop", uint64(p.Multihop))
	w.optional("password-file", p.PasswordFile)
	list(w, "families", p.Families, Family.String)
	w.boolean("route-reflector-client", p.RouteReflectorClient)
	w.section("timers", func() {
		w.duration("hold", p.Timers.Hold)
		w.duration("keepalive", p.Timers.Keepalive)
		w.duration("connect-retry", p.Timers.ConnectRetry)
	})
	w.section("graceful-restart", func() {
		g := &p.GracefulRestart
		w.text("mode", g.Mode.String())
		w.seconds("time", g.Time)
		w.seconds("long-lived", g.LongLived)
	})
	w.text("add-path", p.AddPath.String())
	w.number("max-prefixes", uint64(p.MaxPrefixes))
}

func (w *writer) vni(v *VNI) {
	w.number("vni", uint64(v.VNI))
	w.optional("name", v.Name)
	w.text("family", v.Family.String())
	w.text("encapsulation", v.Encapsulation.String())
	if v.Encapsulation == EncapSRv6 {
		w.section("srv6", func() {
			w.text("behavior", v.SRv6.Behavior.String())
			w.text("next-hop", v.SRv6.NextHop.String())
			w.line("block", strconv.Itoa(int(v.SRv6.Block)))
			w.line("node", strconv.Itoa(int(v.SRv6.Node)))
		})
	}
	w.number("label", uint64(v.Label))
	if v.Family != VNIFamilyUnicast {
		w.orAuto("rd", v.RD)
		w.text("auto-rt", v.AutoRT.String())
	}
	w.section("import", func() {
		if v.Family != VNIFamilyUnicast {
			w.targets(texts(v.Import.Targets, TargetMatch.String))
		}
		list(w, "types", v.Import.Types, HopType.String)
		w.prefixRules(v.Import.Prefixes)
		w.rules(v.Import.Rules)
		w.number("max-prefixes", uint64(v.Import.MaxPrefixes))
	})
	w.section("export", func() {
		if v.Family != VNIFamilyUnicast {
			w.targets(texts(v.Export.Targets, RouteTarget.String))
		}
		list(w, "types", v.Export.Types, HopType.String)
		w.prefixRules(v.Export.Prefixes)
		w.rules(v.Export.Rules)
		w.text("flowspec", v.Export.FlowSpec.String())
		w.number("max-prefixes", uint64(v.Export.MaxPrefixes))
	})
	list(w, "import-from", v.ImportFrom, func(n uint32) string { return strconv.FormatUint(uint64(n), 10) })
	w.section("originate", func() {
		for _, o := range v.Originate {
			w.item(func() {
				w.text("prefix", o.Prefix.String())
				w.duration("hold-down", o.HoldDown)
			})
		}
	})
	w.section("aggregates", func() {
		for _, a := range v.Aggregates {
			w.item(func() {
				w.text("prefix", a.Prefix.String())
				w.boolean("summary-only", a.SummaryOnly)
			})
		}
	})
	w.addr("gateway", v.Gateway)
	w.text("nexthops", v.NextHops.String())
	w.text("prefer", v.Prefer.String())
	w.kernelSide(v)
	w.number("max-prefixes", uint64(v.MaxPrefixes))
}

func (w *writer) prefixRules(rules []PrefixRule) {
	w.section("prefixes", func() {
		for _, r := range rules {
			w.item(func() {
				if r.Allow {
					w.prefixRule("allow", r)
				} else {
					w.prefixRule("deny", r)
				}
			})
		}
	})
}

func (w *writer) prefixRule(key string, r PrefixRule) {
	ge, le := r.bounds()
	w.text(key, r.Prefix.String())
	w.line("ge", strconv.Itoa(ge))
	w.line("le", strconv.Itoa(le))
}

func (w *writer) rules(rules []Rule) {
	w.section("rules", func() {
		for i := range rules {
			w.item(func() { w.rule(&rules[i]) })
		}
	})
}

func (w *writer) rule(r *Rule) {
	w.optional("name", r.Name)
	w.section("when", func() {
		w.section("prefixes", func() {
			for _, p := range r.When.Prefixes {
				w.item(func() { w.prefixRule("prefix", p) })
			}
		})
		list(w, "types", r.When.Types, HopType.String)
		list(w, "nexthops", r.When.NextHops, netip.Prefix.String)
		list(w, "communities", r.When.Communities, Community.String)
		list(w, "large-communities", r.When.LargeCommunities, LargeCommunity.String)
	})
	w.section("set", func() {
		list(w, "communities", r.Set.Communities, Community.String)
		list(w, "large-communities", r.Set.LargeCommunities, LargeCommunity.String)
		w.value("local-preference", r.Set.LocalPref)
		w.value("med", r.Set.MED)
	})
	w.text("then", r.Then.String())
}
