package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parsedFile(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmptyMappingIsAMetalBondServer(t *testing.T) {
	want := &Config{
		HTTP: "127.0.0.1:4712",
		MetalBond: MetalBond{
			Listen:    []netip.AddrPort{netip.MustParseAddrPort("[::]:4711")},
			Keepalive: 5 * time.Second,

			MaxSessions: 16384, MaxSessionsPerSource: 1024,
		},
		API: API{Socket: SocketAuto, StaticRoutes: "/var/lib/mbbgp/static-routes.json"},
	}
	if diff := cmp.Diff(want, parsedFile(t, "{}"), values...); diff != "" {
		t.Error(diff)
	}
}

func TestClientOfServersDoesNotListenUnlessTold(t *testing.T) {
	if c := parsedFile(t, "metalbond: {servers: [a]}"); c.MetalBond.Listen != nil {
		t.Errorf("listens on %v", c.MetalBond.Listen)
	}
	if c := parsedFile(t, "metalbond: {servers: [a], listen: \":4711\"}"); len(c.MetalBond.Listen) != 1 {
		t.Errorf("listens on %v, want one address", c.MetalBond.Listen)
	}
}

func TestServersGetAPort(t *testing.T) {
	c := parsedFile(t, `metalbond: {servers: [name, "name:1", "2001:db8::a", "[2001:0db8::b]:2", 192.0.2.1, "192.0.2.1:3", "fe80::1%eth0"]}`)
	want := []string{"name:4711", "name:1", "[2001:db8::a]:4711", "[2001:db8::b]:2", "192.0.2.1:4711", "192.0.2.1:3", "[fe80::1%eth0]:4711"}
	if diff := cmp.Diff(want, c.MetalBond.Servers); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsFollowTheIdentity(t *testing.T) {
	c := parsedFile(t, base+"bgp:\n  neighbors: [{address: 192.0.2.2, asn: 65000, timers: {hold: 10s}}]\n")
	if want := (VXLAN{netip.MustParseAddr("192.0.2.1"), MAC{2, 0, 192, 0, 2, 1}}); c.VXLAN != want {
		t.Errorf("vxlan is %v, want %v", c.VXLAN, want)
	}
	if c.BGP.ClusterID != c.RouterID || c.BGP.Neighbors[0].LocalASN != 65001 {
		t.Errorf("cluster-id %v and local-asn %d are not those of the file", c.BGP.ClusterID, c.BGP.Neighbors[0].LocalASN)
	}
	if want := (Timers{10 * time.Second, 3 * time.Second, 10 * time.Second}); c.BGP.Neighbors[0].Timers != want {
		t.Errorf("timers are %v, want %v", c.BGP.Neighbors[0].Timers, want)
	}
}

func TestRouteTargetsComeFromTheFileOrTheRule(t *testing.T) {
	for _, row := range []struct {
		name, text           string
		auto                 AutoRT
		importing, exporting string
	}{
		{"nothing said", "", AutoRTASVNI, "[target:*:200]", "[target:65001:200]"},
		{"both said", "import: [1:2]\n    export: [3:4]", AutoRTNone, "[target:1:2]", "[target:3:4]"},
		{"import said", "import: [1:2]", AutoRTASVNI, "[target:1:2]", "[target:65001:200]"},
		{"export said", "export: [1:2]", AutoRTASVNI, "[target:*:200]", "[target:1:2]"},
		{"nothing to import", "import: []", AutoRTASVNI, "[]", "[target:65001:200]"},
		{"filters alone", "import: {max-prefixes: 1}\n    export: {types: [nat]}", AutoRTASVNI, "[target:*:200]", "[target:65001:200]"},
		{"no rule", "auto-rt: none", AutoRTNone, "[]", "[]"},
		{"the rule of RFC 8365", "auto-rt: rfc8365", AutoRTRFC8365, "[target:*:268435656]", "[target:65001:268435656]"},
		{"the rule and a side said", "auto-rt: rfc8365\n    import: [\"*:7\"]", AutoRTRFC8365, "[target:*:7]", "[target:65001:268435656]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := "vni: 200"
			if row.text != "" {
				text += "\n    " + row.text
			}
			v := parsedFile(t, vni(text)).VNIs[0]
			if v.AutoRT != row.auto || fmt.Sprint(v.Import.Targets) != row.importing || fmt.Sprint(v.Export.Targets) != row.exporting {
				t.Errorf("got %v, %v, %v, want %v, %v, %v", v.AutoRT, v.Import.Targets, v.Export.Targets, row.auto, row.importing, row.exporting)
			}
		})
	}
}

func TestFourOctetSystemKeepsItsLowerHalfInAutomaticTargets(t *testing.T) {
	c := parsedFile(t, strings.Replace(vni("vni: 200"), "asn: 65001", "asn: 4200000001", 1))
	if got := fmt.Sprint(c.VNIs[0].Export.Targets); got != "[target:59905:200]" {
		t.Error(got)
	}
}

func TestWithoutBGPThereAreNoTargetsAndNoGateways(t *testing.T) {
	c := parsedFile(t, "metalbond: {nexthops: one}\nvnis: [{vni: 4294967295}, {vni: 1, nexthops: all}]\n")
	if v := c.VNIs[0]; v.Import.Targets != nil || v.Export.Targets != nil || v.Gateway.IsValid() || v.NextHops != NextHopsOne {
		t.Errorf("%+v", v)
	}
	if v := c.VNIs[1]; v.NextHops != NextHopsAll {
		t.Errorf("%+v", v)
	}
}

func TestRulesGetTheirLengths(t *testing.T) {
	for text, want := range map[string][2]int{
		"{allow: 10.0.0.0/8}":                {8, 8},
		"{deny: 10.0.0.0/8, ge: 16}":         {16, 32},
		"{allow: 10.0.0.0/8, le: 16}":        {8, 16},
		"{allow: \"::/0\", ge: 0}":           {0, 128},
		"{allow: 0.0.0.0/0, ge: 0, le: 0}":   {0, 0},
		"{allow: 10.0.0.0/8, ge: 9, le: 10}": {9, 10},
	} {
		r := parsedFile(t, rule(text)).VNIs[0].Import.Prefixes[0]
		if r.GE != want[0] || r.LE != want[1] || r.Allow != strings.HasPrefix(text, "{allow") {
			t.Errorf("%s is %+v, want %v", text, r, want)
		}
	}
}

func TestGoBGPFileTakesThePlaceOfListenerAndNeighbours(t *testing.T) {
	b := parsedFile(t, base+"bgp: {gobgp-config: /etc/mbbgp/gobgpd.toml, api: \"127.0.0.1:50051\"}\n").BGP
	if diff := cmp.Diff(&BGP{
		AttachHold: 90 * time.Second, LosslessASN: 65001, Settle: 10 * time.Second, GoBGPConfig: "/etc/mbbgp/gobgpd.toml", API: "127.0.0.1:50051",
	}, b, values...); diff != "" {
		t.Error(diff)
	}
}

func TestAttachedSpeakerHasNoListenerAndNoNeighbours(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:50051":             "127.0.0.1:50051",
		"\"[2001:0db8::1]:50051\"":    "[2001:db8::1]:50051",
		"gobgpd.example.net:50051":    "gobgpd.example.net:50051",
		"unix:///run/gobgp/grpc.sock": "unix:///run/gobgp/grpc.sock",
	} {
		b := parsedFile(t, base+"bgp:\n  attach: "+address+"\n  attach-hold: 0s\n  lossless-asn: 65000\n  settle: 1m\n").BGP
		if diff := cmp.Diff(&BGP{Attach: want, LosslessASN: 65000, Settle: time.Minute}, b, values...); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNextHopsAreOneOfAFamily(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}
	if got := parsedFile(t, base+"bgp: {next-hops: [\"2001:db8::1\", 192.0.2.1]}\n").BGP.NextHops; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGracefulRestartIsAWordATimeOrAMapping(t *testing.T) {
	for text, want := range map[string]GracefulRestart{
		"":                                   {},
		"graceful-restart: helper":           {},
		"graceful-restart: off":              {Mode: GracefulRestartOff},
		"graceful-restart: 120s":             {Mode: GracefulRestartFull, Time: 2 * time.Minute},
		"graceful-restart: {}":               {},
		"graceful-restart: {mode: off}":      {Mode: GracefulRestartOff},
		"graceful-restart: {time: 120s}":     {Mode: GracefulRestartFull, Time: 2 * time.Minute},
		"graceful-restart: {long-lived: 1h}": {LongLived: time.Hour},
		"graceful-restart: {mode: full, time: 1s, long-lived: 16777215s}": {GracefulRestartFull, time.Second, 16777215 * time.Second},
	} {
		if got := parsedFile(t, neighbor("address: 192.0.2.2\n      "+text)).BGP.Neighbors[0].GracefulRestart; got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func TestRouteTargetConstraintAloneIsASession(t *testing.T) {
	n := parsedFile(t, neighbor("address: 192.0.2.2\n      families: [rtc]\n      add-path: both")).BGP.Neighbors[0]
	if !slices.Equal(n.Families, []Family{FamilyRTC}) || !n.AddPath.Receives() || !n.AddPath.Sends() {
		t.Errorf("%+v", n)
	}
}

func TestFamilyAndEncapsulationFollowFromEachOther(t *testing.T) {
	for _, row := range []struct {
		text          string
		family        VNIFamily
		encapsulation Encapsulation
		srv6          SRv6
	}{
		{"", VNIFamilyEVPN, EncapVXLAN, SRv6{}},
		{"encapsulation: ip-in-ip", VNIFamilyEVPN, EncapIPinIP, SRv6{}},
		{"encapsulation: srv6", VNIFamilyVPN, EncapSRv6, SRv6{Block: 48, Node: 16}},
		{"encapsulation: srv6\n    family: evpn\n    srv6: {behavior: dx, node: 0}", VNIFamilyEVPN, EncapSRv6, SRv6{Behavior: SIDBehaviorDX, Block: 48}},
		{"encapsulation: srv6\n    srv6: {next-hop: self, block: 32}", VNIFamilyVPN, EncapSRv6, SRv6{NextHop: SIDNextHopSelf, Block: 32, Node: 16}},
		{"encapsulation: mpls\n    label: 16", VNIFamilyVPN, EncapMPLS, SRv6{}},
		{"encapsulation: none", VNIFamilyUnicast, EncapNone, SRv6{}},
		{"family: unicast", VNIFamilyUnicast, EncapNone, SRv6{}},
		{"family: evpn", VNIFamilyEVPN, EncapVXLAN, SRv6{}},
	} {
		v := parsedFile(t, vni("vni: 1\n    nexthops: all\n    "+row.text)).VNIs[0]
		if v.Family != row.family || v.Encapsulation != row.encapsulation || v.SRv6 != row.srv6 {
			t.Errorf("%q is %v, %v, %+v, want %v, %v, %+v", row.text, v.Family, v.Encapsulation, v.SRv6, row.family, row.encapsulation, row.srv6)
		}
	}
}

func TestUnicastHasNoRouteTargets(t *testing.T) {
	v := parsedFile(t, vni("vni: 1\n    family: unicast\n    import: {max-prefixes: 1}")).VNIs[0]
	if v.AutoRT != AutoRTNone || v.Import.Targets != nil || v.Export.Targets != nil || v.Import.MaxPrefixes != 1 {
		t.Errorf("%+v", v)
	}
}

func TestLabelsOfTheRangeAreForVNIsWithoutOne(t *testing.T) {
	c := parsedFile(t, "mpls: {labels: 16-17}\n"+mpls(
		"{vni: 1, encapsulation: mpls, gateway: \"2001:db8::1\"}", "{vni: 2, encapsulation: mpls, gateway: \"2001:db8::2\", label: 17}",
		"{vni: 3, encapsulation: mpls, gateway: \"2001:db8::3\", label: 1048575}"))
	if want := (LabelRange{16, 17}); c.MPLS.Labels != want || c.VNIs[0].Label != 0 || c.VNIs[1].Label != 17 || c.VNIs[2].Label != 1048575 {
		t.Errorf("%+v", c)
	}
}

func TestImportHasTheTypesOfExportUnlessItNamesThem(t *testing.T) {
	for text, want := range map[string]string{
		"export: [1:1]":                    "[standard]",
		"export: {types: [nat, standard]}": "[standard nat]",
		"export: {types: [nat, standard]}\n    import: {types: [loadbalancer-target, nat]}": "[nat loadbalancer-target]",
	} {
		if got := fmt.Sprint(parsedFile(t, vni("vni: 1\n    "+text)).VNIs[0].Import.Types); got != want {
			t.Errorf("%q imports %s, want %s", text, got, want)
		}
	}
}

func TestPrefixesOfAVNIStandAloneOrWithSettings(t *testing.T) {
	v := parsedFile(t, vni(`vni: 1
    family: unicast
    import-from: [2]
    originate: [0.0.0.0/0, {prefix: "::/0", hold-down: 0s}]
    aggregates:
      - 10.0.0.0/8
      - prefix: 2001:db8::/32
        summary-only: true
    gateway: 2001:db8::2
  - vni: 2
    nexthops: all`)).VNIs[0]
	if want := []Originate{{netip.MustParsePrefix("0.0.0.0/0"), 10 * time.Second}, {netip.MustParsePrefix("::/0"), 0}}; !slices.Equal(v.Originate, want) {
		t.Errorf("originates %v, want %v", v.Originate, want)
	}
	if want := []Aggregate{{netip.MustParsePrefix("10.0.0.0/8"), false}, {netip.MustParsePrefix("2001:db8::/32"), true}}; !slices.Equal(v.Aggregates, want) {
		t.Errorf("aggregates %v, want %v", v.Aggregates, want)
	}
	if !slices.Equal(v.ImportFrom, []uint32{2}) {
		t.Errorf("imports from %v", v.ImportFrom)
	}
}

func TestPolicyKeepsTheOrderAndTheWordsOfTheFile(t *testing.T) {
	v := parsedFile(t, vni(`vni: 1
    export:
      flowspec: redirect-rt
      rules:
        - name: anycast
          when:
            prefixes:
              - 10.0.0.0/8
              - {prefix: 10.1.0.0/16, ge: 24}
              - {prefix: 10.2.0.0/16, le: 24}
            types: [nat, standard]
            nexthops: [2001:db8::/32]
            communities: [65000:100, blackhole]
            large-communities: [65000:1:2]
          set:
            communities: ["65000:200"]
            large-communities: ["65000:3:4"]
            local-preference: 0
            med: 4294967295
        - then: refuse
        - set: {med: 1}
          then: accept
    import:
      rules:
        - set: {local-preference: 200}`)).VNIs[0]
	within := func(prefix string, ge, le int) PrefixRule {
		return PrefixRule{Prefix: netip.MustParsePrefix(prefix), GE: ge, LE: le}
	}
	want := []Rule{
		{Name: "anycast", When: Match{
			Prefixes:         []PrefixRule{within("10.0.0.0/8", 8, 8), within("10.1.0.0/16", 24, 32), within("10.2.0.0/16", 16, 24)},
			Types:            []HopType{HopStandard, HopNAT},
			NextHops:         []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")},
			Communities:      []Community{65000<<16 | 100, 0xffff029a},
			LargeCommunities: []LargeCommunity{{65000, 1, 2}},
		}, Set: Set{
			Communities:      []Community{65000<<16 | 200},
			LargeCommunities: []LargeCommunity{{65000, 3, 4}},
			LocalPref:        new(uint32(0)),
			MED:              new(uint32(4294967295)),
		}},
		{Name: "rule-2", Then: ThenRefuse},
		{Name: "rule-3", Set: Set{MED: new(uint32(1))}, Then: ThenAccept},
	}
	if diff := cmp.Diff(want, v.Export.Rules, values...); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Rule{{Name: "rule-1", Set: Set{LocalPref: new(uint32(200))}}}, v.Import.Rules, values...); diff != "" {
		t.Error(diff)
	}
	if v.Export.FlowSpec != FlowSpecRedirectRT {
		t.Errorf("flowspec is %v", v.Export.FlowSpec)
	}
}

func TestMergedKeysGiveWayToThoseThatAreThere(t *testing.T) {
	c := parsedFile(t, base+`bgp:
  neighbors:
    - &a {address: 192.0.2.2, asn: 1, description: a}
    - {<<: *a, address: 192.0.2.3}
    - &b
      <<: *a
      address: 192.0.2.4
      passive: true
    - <<: [{asn: 2}, *b]
      address: 192.0.2.5
`)
	var got []string
	for _, n := range c.BGP.Neighbors {
		got = append(got, fmt.Sprintf("%v %d %s %v", n.Address, n.ASN, n.Description, n.Passive))
	}
	want := []string{"192.0.2.2 1 a false", "192.0.2.3 1 a false", "192.0.2.4 1 a true", "192.0.2.5 2 a true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAliasesThatStandForTooMuchAreRefused(t *testing.T) {
	text := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	_, err := Parse("f", []byte(text))
	if err == nil || !strings.Contains(err.Error(), "aliases stand for more than 1048576 values") {
		t.Errorf("%.300v", err)
	}
}

func TestErrorsCarryTheirPlace(t *testing.T) {
	_, err := Parse("f", []byte("asn: x\nhttp: y\n"))
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || len(list.Unwrap()) != 2 {
		t.Fatalf("%T: %v", err, err)
	}
	for i, want := range []Error{{"f", 1, 6, "asn", "x is not a number (1 to 4294967294)"}, {"f", 2, 7, "http", "y is not an address to listen on such as [::]:4712"}} {
		got, ok := errors.AsType[*Error](list.Unwrap()[i])
		if !ok || *got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestByteOrderMarkAndCarriageReturnsAreNoError(t *testing.T) {
	c := parsedFile(t, "\ufeffasn: 1\r\nlog:\r\n  level: debug\r\n")
	if c.ASN != 1 || c.Log.Level != LogDebug {
		t.Errorf("%+v", c)
	}
}

func TestLoadReadsAFileAndNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbbgp.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("asn: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:6: asn: ") {
		t.Errorf("bad file: %v", err)
	}
}

func TestTenThousandVNIsAreRead(t *testing.T) {
	var b strings.Builder
	b.WriteString(base + "bgp: {}\nvnis:\n")
	for i := 1; i <= 10000; i++ {
		fmt.Fprintf(&b, "  - vni: %d\n    name: tenant-%d\n    gateway: 2001:db8:f::%x\n", i, i, i)
	}
	if c := parsedFile(t, b.String()); len(c.VNIs) != 10000 {
		t.Errorf("%d VNIs", len(c.VNIs))
	}
}
