package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func (d *decoder) vnis(n *node, path string, c *Config) []VNI {
	list := listOf(d, "a list of mappings", func(n *node, path string) VNI { return d.vni(n, path, c) })(n, path)
	unique(d, n, path, "vni", func(i int) (uint32, bool) { return list[i].VNI, list[i].VNI != 0 })
	unique(d, n, path, "name", func(i int) (string, bool) { return list[i].Name, list[i].Name != "" })
	unique(d, n, path, "label", func(i int) (uint32, bool) { return list[i].Label, list[i].Label != 0 })
	unique(d, n, path, "rd", func(i int) (RD, bool) { return list[i].RD, list[i].RD != RD{} })
	unique(d, n, path, "gateway", func(i int) (netip.Addr, bool) { return list[i].Gateway, list[i].Gateway.IsValid() })
	unique(d, n, path, "table", func(i int) (uint32, bool) { return list[i].Table, list[i].Table != 0 })
	d.checkOthers(n, path, "import-from", list, func(v *VNI) []uint32 { return v.ImportFrom })
	d.checkOthers(n, path, "nat-from", list, func(v *VNI) []uint32 { return v.NATFrom })
	d.checkTables(n, path, list, c.Kernel)
	d.checkDevices(n, path, list, c.Kernel)
	return list
}

func (d *decoder) vni(n *node, path string, c *Config) VNI {
	v := VNI{NextHops: c.MetalBond.NextHops, AutoRT: AutoRTASVNI, Export: Export{Types: []HopType{HopStandard}}}
	most := uint64(math.MaxUint32)
	if d.hasBGP {
		most = 1<<24 - 1
	}
	var importNamed, exportNamed bool
	if !d.mapping(n, path, "a mapping",
		field{"vni", into(&v.VNI, number[uint32](d, 1, most))},
		field{"name", into(&v.Name, d.name)},
		field{"family", into(&v.Family, oneOf[VNIFamily](d, vniFamilyNames))},
		field{"encapsulation", into(&v.Encapsulation, oneOf[Encapsulation](d, encapsulationNames))},
		field{"srv6", into(&v.SRv6, d.srv6)},
		field{"label", into(&v.Label, number[uint32](d, minLabel, maxLabel))},
		field{"rd", into(&v.RD, d.rd)},
		field{"auto-rt", into(&v.AutoRT, oneOf[AutoRT](d, autoRTNames))},
		field{"import", func(n *node, path string) { v.Import, importNamed = d.imports(n, path) }},
		field{"export", func(n *node, path string) { v.Export, exportNamed = d.exports(n, path) }},
		field{"import-from", into(&v.ImportFrom, setOf(d, "a list of VNIs", number[uint32](d, 1, most)))},
		field{"originate", func(n *node, path string) {
			v.Originate = listOf(d, "a list of prefixes", d.originate)(n, path)
			unique(d, n, path, "prefix", func(i int) (netip.Prefix, bool) { return v.Originate[i].Prefix, v.Originate[i].Prefix.IsValid() })
		}},
		field{"aggregates", func(n *node, path string) {
			v.Aggregates = listOf(d, "a list of prefixes", d.aggregate)(n, path)
			unique(d, n, path, "prefix", func(i int) (netip.Prefix, bool) { return v.Aggregates[i].Prefix, v.Aggregates[i].Prefix.IsValid() })
		}},
		field{"gateway", into(&v.Gateway, d.address6)},
		field{"nexthops", into(&v.NextHops, oneOf[NextHops](d, nextHopsNames))},
		field{"prefer", into(&v.Prefer, oneOf[Prefer](d, preferNames))},
		field{"table", into(&v.Table, d.table)},
		field{"vrf", into(&v.VRF, d.device)},
		field{"isolated", into(&v.Isolated, d.boolean)},
		field{"decapsulation", into(&v.Decapsulation, oneOf[Decapsulation](d, decapsulationNames))},
		field{"decap-device", into(&v.DecapDevice, d.device)},
		field{"vxlan-device", into(&v.VXLANDevice, d.device)},
		field{"nat-from", into(&v.NATFrom, setOf(d, "a list of VNIs", number[uint32](d, 1, most)))},
		field{"source-validation", into(&v.SourceValidation, d.boolean)},
		field{"max-prefixes", into(&v.MaxPrefixes, d.maxPrefixes)},
	) {
		return v
	}
	d.required(n, path, "", "vni")
	if len(v.Originate) > 0 {
		d.required(n, path, " for originate", "gateway")
	}
	d.kind(n, path, &v)
	d.kernelSide(n, path, &v, c)
	if v.Prefer == PreferBGP && v.Lossless() {
		d.bad(n.entry("prefer").value, join(path, "prefer"), "bgp does not go with lossless exports (export.types), whose routes are other sites' words in MetalBond")
	}
	if v.Import.Types == nil {
		v.Import.Types = slices.Clone(v.Export.Types)
	}
	autoRT := n.entry("auto-rt")
	switch {
	case v.Family == VNIFamilyUnicast:
		v.AutoRT = AutoRTNone
	case autoRT == nil && importNamed && exportNamed:
		v.AutoRT = AutoRTNone
	case v.AutoRT == AutoRTRFC8365 && c.ASN > math.MaxUint16:
		d.bad(autoRT.value, join(path, "auto-rt"), "rfc8365 has no room for asn %d (1 to 65535)", c.ASN)
	}
	if target, ok := v.AutoRT.target(c.ASN, v.VNI); ok && d.hasBGP {
		if !importNamed {
			number, _ := target.Number()
			v.Import.Targets = []TargetMatch{{Any: true, Number: number}}
		}
		if !exportNamed {
			v.Export.Targets = []RouteTarget{target}
		}
	}
	return v
}

// Lossless reports whether exports carry all fields of a MetalBond next hop.
func (v *VNI) Lossless() bool {
	straight := v.Encapsulation == EncapIPinIP || v.Encapsulation == EncapSRv6
	return straight && slices.ContainsFunc(v.Export.Types, func(t HopType) bool { return t != HopStandard })
}

// kind gives family and encapsulation their defaults, and checks what depends
// on the two.
func (d *decoder) kind(n *node, path string, v *VNI) {
	family, encapsulation := n.entry("family"), n.entry("encapsulation")
	if family != nil && !slices.Contains(vniFamilyNames, family.value.text) ||
		encapsulation != nil && !slices.Contains(encapsulationNames, encapsulation.value.text) {
		return // and is reported already
	}
	if encapsulation == nil && v.Family == VNIFamilyUnicast {
		v.Encapsulation = EncapNone
	}
	if family == nil {
		v.Family = v.Encapsulation.family()
	}
	if allowed := vniEncapsulations[v.Family]; !slices.Contains(allowed, v.Encapsulation) {
		names := make([]string, len(allowed))
		for i, e := range allowed {
			names[i] = e.String()
		}
		d.bad(family.value, join(path, family.key), "%s does not go with encapsulation %s, want encapsulation %s", v.Family, v.Encapsulation, strings.Join(names, " or "))
		return
	}
	with := " with encapsulation " + v.Encapsulation.String()
	switch v.Encapsulation {
	case EncapVXLAN, EncapMPLS, EncapNone:
		if d.hasBGP && len(v.Originate) == 0 { // or it is reported already
			d.required(n, path, with, "gateway")
		}
	default:
		d.excluded(n, path, with+", whose packets do not come through the gateway", "aggregates")
	}
	if v.Encapsulation != EncapSRv6 {
		d.excluded(n, path, with, "srv6")
	} else if n.entry("srv6") == nil {
		v.SRv6 = srv6Defaults()
	}
	if v.Encapsulation != EncapMPLS {
		d.excluded(n, path, with, "label")
	}
	if v.Family == VNIFamilyUnicast {
		d.checkUnicast(n, path)
	}
}

// checkUnicast reports what is about VPN routes.
func (d *decoder) checkUnicast(n *node, path string) {
	const why = " with family unicast, which has no route targets"
	d.excluded(n, path, " with family unicast, which has no route distinguishers", "rd")
	d.excluded(n, path, why, "auto-rt")
	for _, key := range []string{"import", "export"} {
		switch e := n.entry(key); {
		case e == nil:
		case e.value.kind == listNode:
			d.bad(e.value, join(path, key), "a list of route targets, and family unicast has none, want a mapping")
		default:
			d.excluded(e.value, join(path, key), why, "targets")
		}
	}
}

// checkOthers checks that a key of VNIs names other VNIs that are there.
func (d *decoder) checkOthers(n *node, path, key string, list []VNI, named func(*VNI) []uint32) {
	known := make(map[uint32]bool, len(list))
	for i := range list {
		known[list[i].VNI] = true
	}
	for i := range list {
		for j, other := range named(&list[i]) {
			item := n.items[i].entry(key).value.items[j]
			where := fmt.Sprintf("%s[%d].%s[%d]", path, i, key, j)
			switch {
			case other == 0: // reported already
			case other == list[i].VNI:
				d.bad(item, where, "%d is the VNI itself, want other ones", other)
			case !known[other]:
				d.bad(item, where, "%d is not configured, want VNIs of this file", other)
			}
		}
	}
}

// checkLabels checks that all VNIs that need a label of mpls.labels get one.
func (d *decoder) checkLabels(root *node, c *Config) {
	var needy []int
	room := 0
	labels := c.MPLS.Labels
	if labels != (LabelRange{}) {
		room = int(labels.Last-labels.First) + 1
	}
	for i := range c.VNIs {
		switch v := &c.VNIs[i]; {
		case v.Family == VNIFamilyVPN && v.Encapsulation == EncapMPLS && v.Label == 0:
			needy = append(needy, i)
		case v.Label >= labels.First && v.Label <= labels.Last && v.Label != 0:
			room--
		}
	}
	mpls := root.entry("mpls")
	if mpls == nil || mpls.value.entry("labels") == nil {
		vnis := root.entry("vnis")
		for _, i := range needy {
			d.required(vnis.value.items[i], fmt.Sprintf("vnis[%d]", i), " without mpls.labels", "label")
		}
		return
	}
	if labels != (LabelRange{}) && len(needy) > room {
		d.bad(mpls.value.entry("labels").value, "mpls.labels", "%s has room for %d of the %d VNIs that need a label", labels, room, len(needy))
	}
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

func srv6Defaults() SRv6 { return SRv6{Block: 48, Node: 16} }

func (d *decoder) srv6(n *node, path string) SRv6 {
	const most = 127 // leaves a bit for the function
	s := srv6Defaults()
	d.mapping(n, path, "a mapping",
		field{"behavior", into(&s.Behavior, oneOf[SIDBehavior](d, sidBehaviorNames))},
		field{"next-hop", into(&s.NextHop, oneOf[SIDNextHop](d, sidNextHopNames))},
		field{"block", into(&s.Block, number[uint8](d, 1, most))},
		field{"node", into(&s.Node, number[uint8](d, 0, most-1))},
	)
	if sum := int(s.Block) + int(s.Node); sum > most {
		d.bad(n, path, "block %d and node %d are %d bits, want at most %d", s.Block, s.Node, sum, most)
	}
	return s
}

func (d *decoder) originate(n *node, path string) Originate {
	o := Originate{HoldDown: 10 * time.Second}
	if n.kind != mappingNode {
		o.Prefix = d.prefix(n, path)
		return o
	}
	d.mapping(n, path, "a mapping",
		field{"prefix", into(&o.Prefix, d.prefix)},
		field{"hold-down", into(&o.HoldDown, d.duration(0, time.Hour, false))},
	)
	d.required(n, path, "", "prefix")
	return o
}

func (d *decoder) aggregate(n *node, path string) (a Aggregate) {
	if n.kind != mappingNode {
		a.Prefix = d.prefix(n, path)
		return a
	}
	d.mapping(n, path, "a mapping",
		field{"prefix", into(&a.Prefix, d.prefix)},
		field{"summary-only", into(&a.SummaryOnly, d.boolean)},
	)
	d.required(n, path, "", "prefix")
	return a
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
		field{"types", into(&im.Types, d.hopTypes)},
		field{"prefixes", into(&im.Prefixes, listOf(d, "a list of rules", d.prefixRule))},
		field{"rules", into(&im.Rules, d.importRules)},
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
		field{"types", into(&ex.Types, d.hopTypes)},
		field{"prefixes", into(&ex.Prefixes, listOf(d, "a list of rules", d.prefixRule))},
		field{"rules", into(&ex.Rules, d.exportRules)},
		field{"flowspec", into(&ex.FlowSpec, oneOf[FlowSpec](d, flowSpecNames))},
		field{"max-prefixes", into(&ex.MaxPrefixes, d.maxPrefixes)},
	)
	return ex, named
}

// hopTypes reads a list of next hop types.
func (d *decoder) hopTypes(n *node, path string) []HopType {
	what := "types (" + strings.Join(hopTypeNames, ", ") + ")"
	types := nonEmpty(d, what, oneOf[HopType](d, hopTypeNames))(n, path)
	slices.Sort(types)
	return types
}
