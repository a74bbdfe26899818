package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// values compares the comparable types that go-cmp cannot look into.
var values = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// roundTrip checks that a configuration is what its own file says, and that
// the file is the same every time.
func roundTrip(t fatal, c *Config) {
	t.Helper()
	text, err := c.Marshal()
	if err != nil {
		t.Fatalf("marshal %+v: %v", c, err)
	}
	again, err := Parse("again", text)
	if err != nil {
		t.Fatalf("parse\n%s\n%v", text, err)
	}
	if diff := cmp.Diff(c, again, values...); diff != "" {
		t.Fatalf("changed by\n%s\nbefore (-), after (+):\n%s", text, diff)
	}
	if second, err := again.Marshal(); err != nil || string(second) != string(text) {
		t.Fatalf("first\n%s\nthen\n%s\n%v", text, second, err)
	}
}

func TestEffectiveConfigurationParsesToItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, anyConfig(t)) })
}

func TestLongListsHaveALineForEachItem(t *testing.T) {
	c := parsedFile(t, base+"bgp:\n  dynamic-neighbors:\n    - {prefix: ::/0, asn: 1, families: [vpnv4, vpnv6, ipv4, ipv6, evpn, rtc, ipv4-flowspec, ipv6-flowspec]}\n"+
		"metalbond:\n  servers: [metalbond-a.example.net, metalbond-b.example.net, metalbond-c.example.net]\n")
	text, err := c.Marshal()
	if err != nil || !strings.Contains(string(text), "\n    - metalbond-a.example.net:4711\n    - metalbond-b.example.net:4711\n") {
		t.Errorf("%s\n%v", text, err)
	}
	roundTrip(t, c)
}

func TestConfigurationMadeByHandIsRefusedIfNoFileCanSayIt(t *testing.T) {
	c := Config{MetalBond: MetalBond{Keepalive: time.Millisecond}}
	if text, err := c.Marshal(); err == nil || !strings.Contains(err.Error(), "metalbond.keepalive: 1ms is out of range") {
		t.Errorf("marshalled\n%s\n%v", text, err)
	}
}

// anyConfig draws a valid configuration, all defaults spelled out.
func anyConfig(t *rapid.T) *Config {
	c := &Config{
		RouterID:       drawn(t, "router-id", optional(netip.Addr{}, addr4)),
		ASN:            drawn(t, "asn", rapid.OneOf(rapid.Just[uint32](0), asn)),
		StateDirectory: drawn(t, "state", rapid.SampledFrom([]string{"", "/var/lib/mbbgp", "/ä b/#: c"})),
		MemoryLimit:    drawn(t, "memory", optional(0, rapid.Map(rapid.Uint64Range(minMemory/1024, maxMemory/1024), func(n uint64) Bytes { return Bytes(n * 1024) }))),
		HTTP:           drawn(t, "http", rapid.SampledFrom([]string{"", DefaultHTTP, "[::]:0"})),
		Log:            Log{Level: enum[LogLevel](t, logLevelNames), Format: enum[LogFormat](t, logFormatNames)},
	}
	if rapid.Bool().Draw(t, "components") {
		c.Log.Components = map[LogComponent]LogLevel{enum[LogComponent](t, logComponentNames): enum[LogLevel](t, logLevelNames)}
	}
	c.API = API{
		Socket:       drawn(t, "socket", rapid.SampledFrom([]string{"", SocketAuto, DefaultSocket, "/a b:#c"})),
		StaticRoutes: drawn(t, "static-routes", rapid.SampledFrom([]string{"", "/var/lib/mbbgp/static-routes.json", "/ä b/#: c"})),
	}
	if c.API.Socket != "" {
		c.API.Group = drawn(t, "group", rapid.SampledFrom([]string{"", "mbbgp", "0x1F", "112"}))
	}
	if rapid.Bool().Draw(t, "api") {
		c.API.Listen = drawn(t, "api-listen", addrPort(0))
		c.API.TLS = APITLS{"/etc/mbbgp/api.crt", "/a b:/#c", "/etc/mbbgp/clients.crt"}
	}
	if rapid.Bool().Draw(t, "domain") {
		v := ExtendedCommunity{drawn(t, "type", rapid.Uint8Max(2)), subTypeOrigin}
		copy(v[2:], administrator(t, v[0]))
		c.Domain = v
	}
	if rapid.Bool().Draw(t, "domain-id") {
		c.DomainID = DomainID(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "domain-id"))
		c.DomainID[5] |= 1 // not zero
	}
	if rapid.Bool().Draw(t, "mpls") {
		first := rapid.Uint32Range(minLabel, 1000).Draw(t, "first")
		c.MPLS.Labels = LabelRange{first, first + rapid.Uint32Range(5, maxLabel-1000).Draw(t, "labels")}
	}
	m := &c.MetalBond
	*m = MetalBond{
		Listen:     some(t, "listen", addrPort(0)),
		Servers:    some(t, "servers", rapid.SampledFrom([]string{"a:1", "metalbond.example:4711", "[2001:db8::a]:4711", "192.0.2.1:65535"})),
		Keepalive:  seconds(t, 1, 65535),
		Hold:       time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "hold")),
		Gateways:   some(t, "gateways", rapid.Custom(func(t *rapid.T) netip.Prefix { return drawnPrefix(t, addr6) })),
		NextHops:   enum[NextHops](t, nextHopsNames),
		Pace:       anyPace(t),
		ServerPace: anyPace(t),
	}
	if len(m.Listen)+len(m.Servers) == 0 {
		m.Servers = []string{"a:1"}
	}
	anyTLS(t, m)
	for i, p := range some(t, "clients", prefix) {
		m.Clients = append(m.Clients, anyClient(t, i, p, m.TLS != nil))
	}
	m.RefuseUnlisted = rapid.Bool().Draw(t, "unlisted")
	m.MaxSessions = rapid.IntRange(1, 1<<20).Draw(t, "sessions")
	m.MaxSessionsPerSource = rapid.IntRange(1, 1<<20).Draw(t, "per source")
	if c.ASN != 0 && c.RouterID.IsValid() && c.Domain != (ExtendedCommunity{}) && rapid.Bool().Draw(t, "bgp") {
		c.BGP = anyBGP(t, c)
	}
	if rapid.Bool().Draw(t, "kernel") {
		c.Kernel = anyKernel(t)
	}
	if c.RouterID.IsValid() || rapid.Bool().Draw(t, "local") {
		c.VXLAN.Local = drawn(t, "local", rapid.OneOf(addr4, addr6))
	}
	if c.RouterID.IsValid() || rapid.Bool().Draw(t, "mac") {
		c.VXLAN.RouterMAC = MAC(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
		c.VXLAN.RouterMAC[0] = c.VXLAN.RouterMAC[0]&^1 | 2
	}
	vnis := some(t, "vnis", rapid.Uint32Range(1, 1<<24-1))
	for i, n := range vnis {
		c.VNIs = append(c.VNIs, anyVNI(t, c, n, i))
	}
	for i := range c.VNIs {
		v := &c.VNIs[i]
		for _, from := range vnis {
			if from != v.VNI && rapid.Bool().Draw(t, "import-from") {
				v.ImportFrom = append(v.ImportFrom, from)
			}
			if v.Table != 0 && from != v.VNI && rapid.Bool().Draw(t, "nat-from") {
				v.NATFrom = append(v.NATFrom, from)
			}
		}
	}
	return c
}

func anyKernel(t *rapid.T) *Kernel {
	ids := rapid.Uint32Range(1, 1<<32-2000).Draw(t, "ids")
	tables := rapid.Uint32Range(1<<31, 1<<32-steeringTables).Draw(t, "tables") // those of VNIs are below
	k := &Kernel{
		Tunnel:            enum[Tunnel](t, tunnelNames),
		Device:            drawn(t, "device", rapid.SampledFrom([]string{"overlay", "a", "0x1F", "null", "a#b'c", "-"})),
		MakeDevice:        rapid.Bool().Draw(t, "make"),
		Decapsulation:     enum[Decapsulation](t, decapsulationNames),
		Protocol:          rapid.Uint8Range(5, 255).Draw(t, "protocol"),
		Metric:            rapid.Uint32Range(1, IsolationMetric-1).Draw(t, "metric"),
		NextHopObjects:    rapid.Bool().Draw(t, "objects"),
		NextHopIDs:        NumberRange{ids, ids + rapid.Uint32Range(minNextHopIDs-1, 1999).Draw(t, "number")},
		ResolveViaDefault: rapid.Bool().Draw(t, "default"),
		RulePriority:      rapid.Uint32Range(1, 32000).Draw(t, "priority"),
		MarkShift:         rapid.Uint8Max(20).Draw(t, "mark"),
		SteeringTables:    NumberRange{tables, tables + steeringTables - 1},
		MTU:               drawn(t, "mtu", optional(0, rapid.Uint16Min(1280))),
		MSS:               MSS(drawn(t, "mss", rapid.OneOf(rapid.Just[uint16](0), rapid.Just(uint16(MSSAuto)), rapid.Uint16Min(500)))),
		SourceValidation:  rapid.Bool().Draw(t, "validation"),
		Settle:            time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "settle")),
		Scan:              time.Duration(rapid.Int64Range(int64(time.Second), int64(day)).Draw(t, "scan")),
		Drain:             time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "drain")),
		Cleanup:           rapid.Bool().Draw(t, "cleanup"),
	}
	if k.Tunnel == TunnelIP6TNL {
		k.Source = drawn(t, "source", optional(netip.Addr{}, addr6))
		k.HopLimit = rapid.Uint8Min(1).Draw(t, "hop-limit")
	} else if k.MSS == MSSAuto {
		k.MSS = 0
	}
	return k
}

// anyKernelSide gives a VNI a table, or none.
func anyKernelSide(t *rapid.T, c *Config, v *VNI, i int) {
	v.Decapsulation = DecapOff
	if c.Kernel == nil || rapid.Bool().Draw(t, "no table") {
		return
	}
	name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, i) }
	v.Table = rapid.Uint32Range(0, 9).Draw(t, "table")*1000 + uint32(i) + 1
	v.Isolated = v.Table != mainTable && rapid.Bool().Draw(t, "isolated")
	if v.Gateway.IsValid() {
		v.Decapsulation = enum[Decapsulation](t, decapsulationNames)
		v.SourceValidation = v.Decapsulation != DecapOff && v.Decapsulation != DecapDT6 && rapid.Bool().Draw(t, "validation")
	}
	if v.Decapsulation == DecapDT46 || v.Decapsulation == DecapDT4 || v.Encapsulation == EncapMPLS || rapid.Bool().Draw(t, "vrf") {
		v.VRF = name("vrf")
	}
	if v.Decapsulation == DecapIP6TNL {
		v.DecapDevice = name("decap")
	}
	if v.Encapsulation == EncapVXLAN && c.BGP != nil {
		v.VXLANDevice = name("vxlan")
	}
}

func anyBGP(t *rapid.T, c *Config) *BGP {
	b := &BGP{
		AttachHold:  time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "attach-hold")),
		LosslessASN: drawn(t, "lossless", asn),
		Settle:      time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "settle")),
	}
	for _, family := range []*rapid.Generator[netip.Addr]{addr4, addr6} {
		if rapid.Bool().Draw(t, "next-hops") {
			b.NextHops = append(b.NextHops, drawn(t, "next-hop", family))
		}
	}
	if rapid.Bool().Draw(t, "attach") {
		b.Attach = drawn(t, "attach", rapid.SampledFrom([]string{"127.0.0.1:50051", "[::1]:50051", "gobgpd.example:50051", "unix:///run/gobgp.sock"}))
		return b
	}
	b.API = drawn(t, "api", rapid.SampledFrom([]string{"", "unix:///run/mbbgp/gobgp.sock", "unix:///run/a b:", "[::1]:50051"}))
	if rapid.Bool().Draw(t, "gobgp") {
		b.GoBGPConfig = "/etc/mbbgp/gobgpd.toml"
		return b
	}
	b.ClusterID = drawn(t, "cluster", addr4)
	b.Listen = some(t, "listen", addrPort(179))
	for i := range b.Listen {
		b.Listen[i] = netip.AddrPortFrom(b.Listen[i].Addr(), 179)
	}
	slices.SortFunc(b.Listen, netip.AddrPort.Compare)
	b.Listen = slices.Compact(b.Listen)
	for _, a := range some(t, "neighbors", rapid.OneOf(addr4, addr6, rapid.Just(netip.MustParseAddr("fe80::1%eth0")))) {
		b.Neighbors = append(b.Neighbors, Neighbor{
			Address: a,
			Port:    rapid.Uint16Range(1, 65535).Draw(t, "port"),
			Passive: len(b.Listen) > 0 && rapid.Bool().Draw(t, "passive"),
			Peering: anyPeering(t, c, a),
		})
	}
	if len(b.Listen) > 0 {
		for _, p := range some(t, "dynamic", prefix) {
			b.DynamicNeighbors = append(b.DynamicNeighbors, DynamicNeighbor{p, anyPeering(t, c, p.Addr())})
		}
	}
	return b
}

func anyPeering(t *rapid.T, c *Config, remote netip.Addr) Peering {
	local := addr6
	if remote.Is4() {
		local = addr4
	}
	p := Peering{
		ASN:          drawn(t, "asn", rapid.OneOf(asn, rapid.Just(c.ASN))),
		LocalASN:     drawn(t, "local-asn", rapid.OneOf(asn, rapid.Just(c.ASN))),
		LocalAddress: drawn(t, "local", optional(netip.Addr{}, local)),
		Description:  drawn(t, "description", text),
		PasswordFile: drawn(t, "password", rapid.SampledFrom([]string{"", "/etc/mbbgp/fabric.key", "/a b:/#c"})),
		Families:     some(t, "families", rapid.Custom(func(t *rapid.T) Family { return enum[Family](t, familyNames) })),
		MaxPrefixes:  rapid.IntRange(0, 1<<31-1).Draw(t, "max"),
		Timers:       Timers{ConnectRetry: seconds(t, 1, 65535)},
	}
	if len(p.Families) == 0 {
		p.Families = []Family{FamilyEVPN}
	}
	if p.ASN == p.LocalASN {
		p.RouteReflectorClient = rapid.Bool().Draw(t, "client")
	} else {
		p.Multihop = drawn(t, "multihop", rapid.OneOf(rapid.Just[uint8](0), rapid.Uint8Range(2, 255)))
	}
	p.Timers.Hold = seconds(t, 3, 65535)
	p.Timers.Keepalive = seconds(t, 1, int64(p.Timers.Hold/time.Second/3))
	p.AddPath = enum[AddPath](t, addPathNames)
	p.GracefulRestart.Mode = enum[GracefulRestartMode](t, gracefulRestartNames)
	if p.GracefulRestart.Mode != GracefulRestartOff && rapid.Bool().Draw(t, "long-lived") {
		p.GracefulRestart.LongLived = seconds(t, 1, 1<<24-1)
	}
	if p.GracefulRestart.Mode == GracefulRestartFull {
		p.GracefulRestart.Time = seconds(t, 1, 4095)
	}
	return p
}

func anyVNI(t *rapid.T, c *Config, n uint32, i int) VNI {
	v := VNI{
		VNI:         n,
		Family:      enum[VNIFamily](t, vniFamilyNames),
		NextHops:    enum[NextHops](t, nextHopsNames),
		MaxPrefixes: rapid.IntRange(0, 1<<31-1).Draw(t, "most"),
		Import: Import{
			Types:       anyTypes(t),
			Prefixes:    few(t, "prefixes", prefixRule),
			Rules:       anyRules(t, false),
			MaxPrefixes: rapid.IntRange(0, 1<<31-1).Draw(t, "max"),
		},
		Export: Export{
			Types:       anyTypes(t),
			Prefixes:    few(t, "prefixes", prefixRule),
			Rules:       anyRules(t, true),
			FlowSpec:    enum[FlowSpec](t, flowSpecNames),
			MaxPrefixes: rapid.IntRange(0, 1<<31-1).Draw(t, "max"),
		},
	}
	v.Encapsulation = drawn(t, "encapsulation", rapid.SampledFrom(vniEncapsulations[v.Family]))
	if !v.Lossless() {
		v.Prefer = enum[Prefer](t, preferNames)
	}
	if s := drawn(t, "name", text); s != "" {
		v.Name = s + string(rune('a'+i)) // unique
	}
	for _, p := range some(t, "originate", prefix) {
		v.Originate = append(v.Originate, Originate{p, time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "hold-down"))})
	}
	through := v.Encapsulation != EncapSRv6 && v.Encapsulation != EncapIPinIP
	if through {
		for _, p := range some(t, "aggregates", prefix) {
			v.Aggregates = append(v.Aggregates, Aggregate{p, rapid.Bool().Draw(t, "summary-only")})
		}
	}
	if through && c.BGP != nil || len(v.Originate) > 0 || rapid.Bool().Draw(t, "gateway") {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[14], a[15] = 1, byte(i)
		v.Gateway = netip.AddrFrom16(a)
	}
	if v.Encapsulation == EncapSRv6 {
		v.SRv6 = SRv6{
			Behavior: enum[SIDBehavior](t, sidBehaviorNames),
			NextHop:  enum[SIDNextHop](t, sidNextHopNames),
			Block:    rapid.Uint8Range(1, 127).Draw(t, "block"),
		}
		v.SRv6.Node = rapid.Uint8Max(127-v.SRv6.Block).Draw(t, "node")
	}
	if v.Encapsulation == EncapMPLS && (c.MPLS.Labels == LabelRange{} || rapid.Bool().Draw(t, "label")) {
		v.Label = c.MPLS.Labels.First + 1000*rapid.Uint32Range(0, 1).Draw(t, "label") + minLabel + uint32(i)
	}
	if v.Family != VNIFamilyUnicast {
		anyTargets(t, c, &v, i)
	}
	anyKernelSide(t, c, &v, i)
	return v
}

func anyTargets(t *rapid.T, c *Config, v *VNI, i int) {
	v.AutoRT = enum[AutoRT](t, autoRTNames)
	if v.AutoRT == AutoRTRFC8365 && c.ASN > 65535 {
		v.AutoRT = AutoRTNone
	}
	v.Import.Targets = some(t, "import", targetMatch)
	v.Export.Targets = some(t, "export", routeTarget)
	if rapid.Bool().Draw(t, "rd") {
		v.RD = RD{1: rapid.Uint8Max(2).Draw(t, "type")}
		copy(v.RD[2:], administrator(t, v.RD[1]))
		v.RD[7] = byte(i + 1) // unique, not zero
	}
}

func anyTypes(t *rapid.T) []HopType {
	types := some(t, "types", hopType)
	if types == nil {
		return []HopType{HopStandard}
	}
	slices.Sort(types)
	return types
}

func anyRules(t *rapid.T, exporting bool) []Rule {
	var rules []Rule
	for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := Rule{Name: drawn(t, "name", text) + string(rune('a'+i)), Then: enum[Then](t, thenNames)} // unique
		r.When = Match{
			Prefixes:         some(t, "prefixes", rapid.Map(prefixRule, func(r PrefixRule) PrefixRule { r.Allow = false; return r })),
			Types:            some(t, "types", hopType),
			NextHops:         some(t, "nexthops", prefix),
			Communities:      some(t, "communities", community),
			LargeCommunities: some(t, "large", largeCommunity),
		}
		slices.Sort(r.When.Types)
		if exporting {
			r.Set.Communities = some(t, "communities", community)
			r.Set.LargeCommunities = some(t, "large", rapid.Map(largeCommunity, func(c LargeCommunity) LargeCommunity { c[1] |= 4; return c })) // not those of lossless
		}
		for _, to := range []**uint32{&r.Set.LocalPref, &r.Set.MED} {
			if rapid.Bool().Draw(t, "set") {
				*to = new(rapid.Uint32().Draw(t, "preference"))
			}
		}
		rules = append(rules, r)
	}
	return rules
}

var (
	asn   = rapid.OneOf(rapid.Uint32Range(1, 65535), rapid.Uint32Range(65536, 4294967294))
	addr4 = rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{192, 0, rapid.Byte().Draw(t, "c"), rapid.ByteRange(1, 255).Draw(t, "d")})
	})
	addr6 = rapid.Custom(func(t *rapid.T) netip.Addr {
		a := [16]byte{0x20, 1, 0xd, 0xb8}
		copy(a[8:], rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xff}), 8, 8).Draw(t, "host"))
		return netip.AddrFrom16(a)
	})
	prefix      = rapid.Custom(func(t *rapid.T) netip.Prefix { return drawnPrefix(t, rapid.OneOf(addr4, addr6)) })
	text        = rapid.SampledFrom([]string{"", "a", "null", "true", "12", "0x1F", "~", "- a", "a: b", "a #b", "#", "é\"\\", "[x]", "*a", "off", "a:", " a ", "<<", "1e3"})
	routeTarget = rapid.Custom(func(t *rapid.T) RouteTarget {
		v := RouteTarget{rapid.Uint8Max(2).Draw(t, "type"), subTypeTarget}
		copy(v[2:], administrator(t, v[0]))
		return v
	})
	targetMatch = rapid.Custom(func(t *rapid.T) TargetMatch {
		if rapid.Bool().Draw(t, "any") {
			return TargetMatch{Any: true, Number: rapid.Uint32().Draw(t, "number")}
		}
		return TargetMatch{Target: routeTarget.Draw(t, "target")}
	})
	hopType   = rapid.Custom(func(t *rapid.T) HopType { return enum[HopType](t, hopTypeNames) })
	community = rapid.Custom(func(t *rapid.T) Community {
		if rapid.Bool().Draw(t, "well-known") {
			return wellKnown[rapid.IntRange(0, len(wellKnown)-1).Draw(t, "name")].value
		}
		return Community(rapid.Uint32().Draw(t, "community"))
	})
	largeCommunity = rapid.Custom(func(t *rapid.T) LargeCommunity {
		return LargeCommunity(rapid.SliceOfN(rapid.Uint32(), 3, 3).Draw(t, "community"))
	})
	prefixRule = rapid.Custom(func(t *rapid.T) PrefixRule {
		r := PrefixRule{Allow: rapid.Bool().Draw(t, "allow"), Prefix: prefix.Draw(t, "prefix")}
		r.GE = rapid.IntRange(r.Prefix.Bits(), r.Prefix.Addr().BitLen()).Draw(t, "ge")
		r.LE = rapid.IntRange(r.GE, r.Prefix.Addr().BitLen()).Draw(t, "le")
		return r
	})
)

func drawn[T any](t *rapid.T, label string, g *rapid.Generator[T]) T { return g.Draw(t, label) }

func optional[T any](none T, g *rapid.Generator[T]) *rapid.Generator[T] {
	return rapid.OneOf(rapid.Just(none), g)
}

// some draws a few different values, nil if none.
func some[T comparable](t *rapid.T, label string, g *rapid.Generator[T]) []T {
	list := rapid.SliceOfNDistinct(g, 0, 3, func(v T) T { return v }).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

// few draws values of which some may be equal, nil if none.
func few[T any](t *rapid.T, label string, g *rapid.Generator[T]) []T {
	list := rapid.SliceOfN(g, 0, 3).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

func enum[T ~uint8](t *rapid.T, names []string) T {
	return T(rapid.IntRange(0, len(names)-1).Draw(t, "enum"))
}

func seconds(t *rapid.T, low, high int64) time.Duration {
	return time.Duration(rapid.Int64Range(low, high).Draw(t, "seconds")) * time.Second
}

func addrPort(lowest uint16) *rapid.Generator[netip.AddrPort] {
	return rapid.Custom(func(t *rapid.T) netip.AddrPort {
		a := drawn(t, "addr", rapid.OneOf(addr4, addr6, rapid.Just(netip.IPv6Unspecified())))
		return netip.AddrPortFrom(a, rapid.Uint16Min(lowest).Draw(t, "port"))
	})
}

func drawnPrefix(t *rapid.T, g *rapid.Generator[netip.Addr]) netip.Prefix {
	a := g.Draw(t, "addr")
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
}

// anyClient draws the entry of clients from a prefix, or with a certificate.
func anyClient(t *rapid.T, i int, source netip.Prefix, tls bool) MetalBondClient {
	c := MetalBondClient{
		Source:     source,
		Pace:       anyPace(t),
		Subscribe:  anyVNISet(t),
		Announce:   anyVNISet(t),
		Prefixes:   some(t, "prefixes", prefix),
		NextHops:   some(t, "nexthops", rapid.Custom(anyScope)),
		Types:      some(t, "types", rapid.Custom(func(t *rapid.T) HopType { return enum[HopType](t, hopTypeNames) })),
		MaxRoutes:  drawn(t, "max-routes", optional(0, rapid.IntRange(1, 1<<31-1))),
		UpdateRate: drawn(t, "update-rate", optional(0, rapid.IntRange(1, maxUpdateRate))),
	}
	if slices.Sort(c.Types); len(c.Types) == len(hopTypeNames) {
		c.Types = nil
	}
	if tls && rapid.Bool().Draw(t, "certificate") {
		c.Certificate = fmt.Sprintf(drawn(t, "name", rapid.SampledFrom([]string{"hv%d", "*.rack-%d.example.net", "spiffe://example.net/hv %d: #"})), i)
		if rapid.Bool().Draw(t, "any source") {
			c.Source = netip.Prefix{}
		}
	}
	return c
}

func anyTLS(t *rapid.T, m *MetalBond) {
	if rapid.Bool().Draw(t, "tls") {
		m.TLS = &MetalBondTLS{
			Listen:      some(t, "listen", addrPort(0)),
			Certificate: "/etc/mbbgp/server.crt", Key: "/a b/#: c", ClientCA: "/etc/mbbgp/clients.crt",
		}
		if len(m.Listen)+len(m.TLS.Listen) == 0 {
			m.TLS = nil
		}
	}
	if len(m.Servers) > 0 && rapid.Bool().Draw(t, "server-tls") {
		m.ServerTLS = &MetalBondServerTLS{CA: drawn(t, "ca", rapid.SampledFrom([]string{"", "/etc/mbbgp/servers.crt"}))}
		if rapid.Bool().Draw(t, "certificate") {
			m.ServerTLS.Certificate, m.ServerTLS.Key = "/etc/mbbgp/client.crt", "/a b/#: d"
		}
		m.ServerTLS.ServerName = drawn(t, "name", rapid.SampledFrom([]string{"", "metalbond.example.net", "2001:db8::1"}))
	}
}

func anyVNISet(t *rapid.T) VNISet {
	return union(few(t, "vnis", rapid.Custom(func(t *rapid.T) VNIRange {
		a, b := rapid.Uint32().Draw(t, "first"), rapid.Uint32().Draw(t, "last")
		return VNIRange{min(a, b), max(a, b)}
	})))
}

func anyScope(t *rapid.T) NextHopScope {
	if rapid.Bool().Draw(t, "own") {
		return NextHopScope{Own: rapid.Uint8Range(1, 128).Draw(t, "bits")}
	}
	return NextHopScope{Prefix: drawnPrefix(t, addr6)}
}

func anyPace(t *rapid.T) Pace {
	p := Pace{Mode: PaceMode(rapid.Uint8Max(2).Draw(t, "pace"))}
	if p.Mode == PaceRate {
		p.Rate = drawn(t, "rate", rapid.OneOf(rapid.IntRange(minRate, maxRate), rapid.Map(rapid.IntRange(1, 1000), func(n int) int { return n * 1000_000 })))
	}
	return p
}

// administrator draws the six bytes behind a type.
func administrator(t *rapid.T, kind byte) []byte {
	v := rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "value")
	if kind == 2 && rapid.Bool().Draw(t, "short") {
		v[0], v[1] = 0, 0
	}
	return v
}

func FuzzParse(f *testing.F) {
	f.Add(Reference)
	for _, row := range malformed {
		f.Add([]byte(row.file))
	}
	f.Add([]byte("vxlan: {local: 192.0.2.1}\n")) // and no router-mac
	f.Add([]byte("vnis: [{vni: 1, name: 'it''s', rd: 65000L:1}]\nmetalbond: {pace: 400kB/s, hold: 1h}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		c, err := Parse("f", data)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
		if err == nil {
			roundTrip(t, c)
		} else if c != nil {
			t.Fatalf("a configuration and an error: %v", err)
		}
	})
}
