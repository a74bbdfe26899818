package main

import (
	"net/netip"
	"strconv"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/rib"
)

// counters are what the bridge and the BGP speaker count.
func (d *daemon) counters() []api.Counter {
	list := append(kindCounters(d.vnis()), leakCounters(d.bridge.Leaks())...)
	list = append(list, d.memory.counters()...)
	if d.server != nil {
		for reason, n := range d.server.Refused() {
			list = append(list, total("metalbond_connections_refused", "Connections of MetalBond clients that were turned away before there was a session.", n, api.Label{Name: "reason", Value: reason}))
		}
	}
	if d.speaker == nil {
		return list
	}
	g := d.bridge.BGP()
	list = append(list, speakerCounters(d.speaker.Counters())...)
	list = append(list, bridgeCounters(g.Stats())...)
	return append(list, membershipCounters(g.Memberships())...)
}

func total(name, help string, v uint64, labels ...api.Label) api.Counter {
	return api.Counter{Name: name + "_total", Help: help, Value: float64(v), Labels: labels}
}

func gauge(name, help string, v int, labels ...api.Label) api.Counter {
	return api.Counter{Name: name, Help: help, Value: float64(v), Labels: labels, Gauge: true}
}

func speakerCounters(c gobgp.Counters) []api.Counter {
	return []api.Counter{
		total("bgp_announcements", "Paths given to the BGP speaker, replacements included.", c.Announced),
		total("bgp_withdrawals", "Withdrawals given to the BGP speaker.", c.Withdrawn),
		total("bgp_imported_announcements", "Paths of neighbors given to the bridge.", c.Imported),
		total("bgp_imported_withdrawals", "Withdrawals of neighbors given to the bridge.", c.Removed),
		total("bgp_unsupported_paths", "Paths of neighbors of a route type or family that is not bridged.", c.Unsupported),
		total("bgp_malformed_paths", "Paths of neighbors treated as withdrawn because a value is impossible.", c.Malformed),
		gauge("bgp_retained_nlris", "Route keys withdrawn since, for which the BGP library keeps memory.", int(c.Retained)),
	}
}

func bridgeCounters(s bridge.BGPStats) []api.Counter {
	list := []api.Counter{
		gauge("import_routes", "BGP routes that some VNI imports.", s.Routes),
		gauge("import_stale_routes", "Imported BGP routes that their neighbors lost long ago, known by LLGR_STALE.", s.Stale),
		gauge("import_ranks", "Different ranks of imported BGP routes.", s.Ranks.Used),
		total("import_ranks_merged", "Ranks of imported BGP routes that share the preference of another one because there are too many.", s.Ranks.Merged),
	}
	for reason, n := range s.Refused {
		list = append(list, total("import_refused", "BGP routes refused before a VNI was asked.", n, api.Label{Name: "reason", Value: string(reason)}))
	}
	for _, v := range s.VNIs {
		vni := vniLabel("vni", v.VNI)
		list = append(list,
			gauge("vni_imported_routes", "BGP routes that the VNI imports.", v.Imported.Routes, vni),
			gauge("vni_exported_routes", "BGP routes announced for the VNI.", v.Exported.Routes, vni),
			gauge("vni_export_waiting_prefixes", "Prefixes of the VNI that its export limit keeps from BGP.", v.Exported.Waiting, vni),
			total("vni_export_announcements", "Announcements to BGP for the VNI.", v.Exported.Announced, vni),
			total("vni_export_withdrawals", "Withdrawals to BGP for the VNI.", v.Exported.Withdrawn, vni),
		)
		for reason, n := range v.Imported.Refused {
			list = append(list, total("vni_import_refused", "BGP routes that the VNI's policy refused.", n, vni, api.Label{Name: "reason", Value: string(reason)}))
		}
		for reason, n := range v.Exported.Refused {
			list = append(list, total("vni_export_refused", "Next hops of the VNI that were kept from BGP.", n, vni, api.Label{Name: "reason", Value: string(reason)}))
		}
		if v.Fabric > 0 {
			list = append(list, gauge("vni_fabric_next_hops", "BGP next hops that packets of the VNI go on to from this gateway, discards of aggregates among them.", v.Fabric, vni))
		}
		if v.Exported.Label != 0 {
			list = append(list, gauge("vni_label", "Label of the VNI's routes in BGP: of MPLS an allocated one, of VXLAN and IP in IP the VNI, of SRv6 Implicit NULL.", int(v.Exported.Label), vni))
		}
		list = append(list, limitCounters(vni, &v)...)
		list = append(list, configuredPrefixes(vni, &v)...)
		list = append(list, ruleCounters(vni, "import", v.Imported.Rules)...)
		list = append(list, ruleCounters(vni, "export", v.Exported.Rules)...)
	}
	return list
}

// limitCounters are the limits of a VNI that are set, with what counts against
// each.
func limitCounters(vni api.Label, v *bridge.VNIStats) (list []api.Counter) {
	for _, l := range []struct {
		name string
		bridge.LimitStats
	}{{"metalbond", v.Table}, {"import", v.Imported.Prefixes}, {"export", v.Exported.Prefixes}} {
		if l.Max == 0 {
			continue
		}
		of := api.Label{Name: "limit", Value: l.name}
		list = append(list,
			gauge("vni_limit_prefixes", "Most prefixes that the VNI takes from MetalBond peers, imports from BGP, or exports to it.", l.Max, vni, of),
			gauge("vni_limit_used_prefixes", "Prefixes of the VNI that count against the limit.", l.Used, vni, of),
		)
	}
	return list
}

// kindCounters let other figures of a VNI be told apart by its name and kind.
func kindCounters(vnis []config.VNI) (list []api.Counter) {
	for i := range vnis {
		v := &vnis[i]
		list = append(list, gauge("vni_info", "Name and kind of a configured VNI; the value is always 1.", 1,
			vniLabel("vni", rib.VNI(v.VNI)), api.Label{Name: "name", Value: v.Name},
			api.Label{Name: "family", Value: v.Family.String()}, api.Label{Name: "encapsulation", Value: v.Encapsulation.String()}))
	}
	return list
}

// configuredPrefixes are the figures of prefixes that the configuration names,
// the only ones that are labels.
func configuredPrefixes(vni api.Label, v *bridge.VNIStats) (list []api.Counter) {
	label := func(p netip.Prefix) api.Label { return api.Label{Name: "prefix", Value: p.String()} }
	for _, o := range v.Originated {
		list = append(list,
			gauge("originated", "1 while hypervisors have a prefix that the VNI originates.", one(o.Present), vni, label(o.Prefix)),
			gauge("originated_offers", "BGP routes that offer a prefix that the VNI originates; 0 while it is present: it is in its hold-down.", o.Offers, vni, label(o.Prefix)),
		)
	}
	for _, a := range v.Exported.Aggregates {
		list = append(list,
			gauge("aggregate", "1 while an aggregate of the VNI is exported.", one(a.Exported), vni, label(a.Prefix)),
			gauge("aggregate_contributors", "Exportable prefixes inside an aggregate of the VNI.", a.Contributors, vni, label(a.Prefix)),
		)
	}
	return list
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func ruleCounters(vni api.Label, direction string, rules []bridge.RuleStats) (list []api.Counter) {
	for _, r := range rules {
		labels := []api.Label{vni, {Name: "direction", Value: direction}, {Name: "rule", Value: r.Name}}
		list = append(list,
			total("policy_rule_matches", "Routes that the rule matched.", r.Matched, labels...),
			total("policy_rule_refusals", "Routes that the rule matched and refused.", r.Refused, labels...),
		)
	}
	return list
}

func leakCounters(leaks []bridge.LeakStats) (list []api.Counter) {
	for _, l := range leaks {
		labels := []api.Label{vniLabel("vni", l.To), vniLabel("from", l.From)}
		list = append(list,
			gauge("vni_leaked_routes", "Next hops that the VNI has of another one.", l.Routes, labels...),
			gauge("vni_leak_waiting_prefixes", "Prefixes of another VNI for which the VNI has no room.", l.Waiting, labels...),
		)
	}
	return list
}

func membershipCounters(m bridge.MembershipStats) []api.Counter {
	if !m.Spoken {
		return nil
	}
	return []api.Counter{
		gauge("bgp_membership_targets", "Route targets that BGP is asked for.", len(m.Targets)),
		gauge("bgp_membership_vnis", "VNIs whose routes BGP is asked for.", len(m.VNIs)),
	}
}

func vniLabel(name string, vni rib.VNI) api.Label {
	return api.Label{Name: name, Value: strconv.FormatUint(uint64(vni), 10)}
}
