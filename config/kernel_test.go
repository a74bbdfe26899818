package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kernelKeys are those of the section, as an error lists them.
const kernelKeys = "tunnel, device, make-device, source, hop-limit, decapsulation, protocol, metric, nexthop-objects, nexthop-ids, resolve-via-default, " +
	"rule-priority, mark-shift, steering-tables, mtu, mss, source-validation, settle, scan, drain, cleanup"

// table returns a file whose VNIs begin in line 7; the kernel section is line 5.
func table(kernel string, vnis ...string) string {
	return base + "bgp: {}\nkernel: " + kernel + "\nvnis:\n  - " + strings.Join(vnis, "\n  - ") + "\n"
}

const gateway = `gateway: "2001:db8::1", `

// malformedKernel has files and all of what is said about them.
var malformedKernel = []struct {
	name string
	file string
	want []string
}{
	{"an unknown key", "kernel: {device: a, dev: b}\n", []string{`f:1:21: kernel.dev: unknown key (` + kernelKeys + `)`}},
	{"a tunnel that is not there", "kernel: {tunnel: gre}\n", []string{`f:1:18: kernel.tunnel: gre is not one of ip6tnl, seg6`}},
	{"a device with a long name", "kernel: {device: sixteen-letters-}\n", []string{`f:1:18: kernel.device: sixteen-letters- is not the name of a device (1 to 15 bytes, no / : % and white space, not all or default)`}},
	{"a device that is a path", "kernel: {device: ..}\n", []string{`f:1:18: kernel.device: .. is not the name of a device (1 to 15 bytes, no / : % and white space, not all or default)`}},
	{"a device that is a pattern", "kernel: {device: ip6tnl%d}\n", []string{`f:1:18: kernel.device: ip6tnl%d is not the name of a device (1 to 15 bytes, no / : % and white space, not all or default)`}},
	{"a device that sysctl means otherwise", "kernel: {device: default}\n", []string{`f:1:18: kernel.device: default is not the name of a device (1 to 15 bytes, no / : % and white space, not all or default)`}},
	{"an outer source of IPv4", "kernel: {source: 192.0.2.1}\n", []string{`f:1:18: kernel.source: 192.0.2.1 is not an IPv6 address of a host (not link-local, not ::1)`}},
	{"an outer source of segments", "kernel: {tunnel: seg6, source: \"2001:db8::1\", hop-limit: 64}\n", []string{
		`f:1:24: kernel.source: not allowed with tunnel seg6`, `f:1:47: kernel.hop-limit: not allowed with tunnel seg6`}},
	{"a hop limit of zero", "kernel: {hop-limit: 0}\n", []string{`f:1:21: kernel.hop-limit: 0 is out of range (1 to 255)`}},
	{"a decapsulation that is not there", "kernel: {decapsulation: dx6}\n", []string{`f:1:25: kernel.decapsulation: dx6 is not one of ip6tnl, dt46, dt4, dt6, off`}},
	{"the kernel's own protocol", "kernel: {protocol: 2}\n", []string{`f:1:20: kernel.protocol: 2 is out of range (5 to 255)`}},
	{"a metric of zero", "kernel: {metric: 0}\n", []string{`f:1:18: kernel.metric: 0 is out of range (1 to 4278198271)`}},
	{"a metric behind that of isolation", "kernel: {metric: 4278198272}\n", []string{`f:1:18: kernel.metric: 4278198272 is out of range (1 to 4278198271)`}},
	{"next hop objects that must be", "kernel: {nexthop-objects: true}\n", []string{`f:1:27: kernel.nexthop-objects: true is not one of auto, off`}},
	{"few ids", "kernel: {nexthop-ids: 1-999}\n", []string{`f:1:23: kernel.nexthop-ids: 1-999 has 999 numbers, want at least 1000`}},
	{"an id of zero", "kernel: {nexthop-ids: 0-2000}\n", []string{`f:1:23: kernel.nexthop-ids: 0-2000: number 0 is out of range (1 to 4294967295)`}},
	{"ids the wrong way round", "kernel: {nexthop-ids: 2000-1}\n", []string{`f:1:23: kernel.nexthop-ids: 2000-1 has no number in it, want 1-2000`}},
	{"ids without end", "kernel: {nexthop-ids: 1000}\n", []string{`f:1:23: kernel.nexthop-ids: 1000 is not a range of numbers, such as 1000-1999`}},
	{"rules behind that of main", "kernel: {rule-priority: 32766}\n", []string{`f:1:25: kernel.rule-priority: 32766 is out of range (1 to 32000)`}},
	{"a mark without room", "kernel: {mark-shift: 21}\n", []string{`f:1:22: kernel.mark-shift: 21 is out of range (0 to 20)`}},
	{"few tables of steering", "kernel: {steering-tables: 1000-1999}\n", []string{`f:1:27: kernel.steering-tables: 1000-1999 has 1000 numbers, want 4096, such as 1000-5095`}},
	{"tables of steering at the end", "kernel: {steering-tables: 4294967000-4294967295}\n", []string{`f:1:27: kernel.steering-tables: 4294967000-4294967295 has 296 numbers, want 4096, such as 4294963200-4294967295`}},
	{"an MTU below that of IPv6", "kernel: {mtu: 1279}\n", []string{`f:1:15: kernel.mtu: 1279 is out of range (1280 to 65535)`}},
	{"a tiny segment size", "kernel: {mss: 499}\n", []string{`f:1:15: kernel.mss: 499 is out of range (500 to 65535)`}},
	{"a segment size in words", "kernel: {mss: small}\n", []string{`f:1:15: kernel.mss: small is not off, auto, or a number (500 to 65535)`}},
	{"a scan without end", "kernel: {scan: 0s}\n", []string{`f:1:16: kernel.scan: 0s is out of range (1s to 24h)`}},
	{"routes that stay too long", "kernel: {settle: 61m}\n", []string{`f:1:18: kernel.settle: 61m is out of range (0s to 1h)`}},

	{"a table without kernel", "vnis: [{vni: 1, table: 1}]\n", []string{`f:1:17: vnis[0].table: not allowed without kernel`}},
	{"a VRF and more without table", "kernel: {}\nvnis: [{vni: 1, vrf: a, decapsulation: off, decap-device: b, vxlan-device: c, nat-from: [], source-validation: false, isolated: true}]\n", []string{
		`f:2:17: vnis[0].vrf: not allowed without table`,
		`f:2:25: vnis[0].decapsulation: not allowed without table`,
		`f:2:45: vnis[0].decap-device: not allowed without table`,
		`f:2:62: vnis[0].vxlan-device: not allowed without table`,
		`f:2:79: vnis[0].nat-from: not allowed without table`,
		`f:2:93: vnis[0].source-validation: not allowed without table`,
		`f:2:119: vnis[0].isolated: not allowed without table`}},
	{"the table local", "kernel: {}\nvnis: [{vni: 1, table: 255}]\n", []string{`f:2:24: vnis[0].table: 255 is the table local, want another one`}},
	{"the table default", "kernel: {}\nvnis: [{vni: 1, table: 253}]\n", []string{`f:2:24: vnis[0].table: 253 is the table default, want another one`}},
	{"isolation of the table main", "kernel: {}\nvnis: [{vni: 1, table: 254, isolated: true}]\n", []string{`f:2:39: vnis[0].isolated: true does not go with table 254, which others go on to, want false`}},
	{"the table of nothing", "kernel: {}\nvnis: [{vni: 1, table: 0}]\n", []string{`f:2:24: vnis[0].table: 0 is out of range (1 to 4294967295)`}},
	{"the table of two VNIs", "kernel: {}\nvnis:\n  - {vni: 1, table: 9}\n  - {vni: 2, table: 9}\n", []string{`f:4:21: vnis[1].table: 9 is that of vnis[0] already (line 3)`}},
	{"a table of steering", "kernel: {}\nvnis: [{vni: 1, table: 472004095}]\n", []string{`f:2:24: vnis[0].table: 472004095 is in kernel.steering-tables (472000000-472004095), want another one`}},
	{"the VRF of two VNIs", "kernel: {}\nvnis:\n  - {vni: 1, table: 1, vrf: a}\n  - {vni: 2, table: 2, vrf: a}\n", []string{`f:4:29: vnis[1].vrf: a is that of vnis[0].vrf already (line 3)`}},
	{"a VRF that is the tunnel", "kernel: {}\nvnis: [{vni: 1, table: 1, vrf: overlay}]\n", []string{`f:2:32: vnis[0].vrf: overlay is that of kernel.device`}},
	{"a VRF with the default name of a VXLAN device", table("{}", "{"+gateway+"vni: 1, table: 1}", "{encapsulation: srv6, vni: 2, table: 2, vrf: vx1}"), []string{`f:8:50: vnis[1].vrf: vx1 is that of vnis[0].vxlan-device already (line 7)`}},
	{"a decapsulation of nothing", "kernel: {}\nvnis: [{vni: 1, table: 1, decapsulation: ip6tnl}]\n", []string{`f:2:8: vnis[0].gateway: missing, required for decapsulation ip6tnl`}},
	{"a segment of no VRF", table("{}", "{"+gateway+"vni: 1, table: 1, decapsulation: dt4}"), []string{`f:7:5: vnis[0].vrf: missing, required for decapsulation dt4`}},
	{"segments of no VRF by default", table("{tunnel: seg6}", "{"+gateway+"vni: 1, table: 1}"), []string{`f:7:5: vnis[0].vrf: missing, required for decapsulation dt46`}},
	{"labels of no VRF", table("{decapsulation: off}", "{"+gateway+"vni: 1, table: 1, encapsulation: mpls, label: 16}"), []string{`f:7:5: vnis[0].vrf: missing, required with encapsulation mpls and a table`}},
	{"a device of a segment", table("{}", "{"+gateway+"vni: 1, table: 1, decapsulation: dt6, decap-device: a}"), []string{`f:7:68: vnis[0].decap-device: not allowed with decapsulation dt6`}},
	{"a VXLAN device of segments", table("{}", "{vni: 1, table: 1, encapsulation: srv6, vxlan-device: a}"), []string{`f:7:45: vnis[0].vxlan-device: not allowed with encapsulation srv6`}},
	{"a VXLAN device without BGP", "kernel: {}\nvnis: [{vni: 1, table: 1, vxlan-device: a}]\n", []string{`f:2:27: vnis[0].vxlan-device: not allowed without bgp`}},
	{"NAT from odd VNIs", "kernel: {}\nvnis: [{vni: 1, table: 1, nat-from: [1, 2]}]\n", []string{
		`f:2:38: vnis[0].nat-from[0]: 1 is the VNI itself, want other ones`,
		`f:2:41: vnis[0].nat-from[1]: 2 is not configured, want VNIs of this file`}},
	{"a segment size found by seg6", "kernel: {tunnel: seg6, mss: auto}\n", []string{
		`f:1:29: kernel.mss: auto does not work with tunnel seg6, whose packets nothing is known of when they come in; want off or a number (500 to 65535)`}},
	{"loopback without next hop objects", "kernel: {tunnel: seg6, nexthop-objects: off, device: lo}\n", []string{
		`f:1:54: kernel.device: lo does not work with nexthop-objects off: Linux drops packets of IPv6 routes that leave by it; want another device that stays up`}},
	{"validation behind dt6", "kernel: {}\nvnis: [{vni: 1, table: 1, gateway: \"2001:db8::1\", decapsulation: dt6, source-validation: true}]\n", []string{
		`f:2:90: vnis[0].source-validation: true (here or in kernel) does not work with decapsulation dt6: the kernel shows its packets to no filter; want dt46, or false`}},
	{"validation of all behind dt6", "kernel: {decapsulation: dt6, source-validation: true}\nvnis: [{vni: 1, table: 1, gateway: \"2001:db8::1\"}]\n", []string{
		`f:2:8: vnis[0].source-validation: true (here or in kernel) does not work with decapsulation dt6: the kernel shows its packets to no filter; want dt46, or false`}},
	{"validation of nothing", "kernel: {}\nvnis: [{vni: 1, table: 1, source-validation: true}]\n", []string{`f:2:46: vnis[0].source-validation: true without a decapsulation has nothing to look at`}},
}

func TestMalformedKernelSectionsAreRefusedWithPlaceValueAndWhatIsAllowed(t *testing.T) {
	for _, row := range malformedKernel {
		t.Run(row.name, func(t *testing.T) {
			c, err := Parse("f", []byte(row.file))
			if err == nil || c != nil {
				t.Fatalf("parsed: %+v, %v", c, err)
			}
			if want := strings.Join(row.want, "\n"); err.Error() != want {
				t.Errorf("error of\n%s\n got %s\nwant %s", row.file, err, want)
			}
		})
	}
}

func TestEmptyKernelSectionHasAllDefaults(t *testing.T) {
	want := &Kernel{
		Device: "overlay", HopLimit: 64, Protocol: 254, Metric: 4711, NextHopObjects: true, NextHopIDs: NumberRange{471000000, 471999999},
		ResolveViaDefault: true, RulePriority: 500, MarkShift: 20, SteeringTables: NumberRange{472000000, 472004095},
		Settle: time.Minute, Scan: time.Minute, Drain: 10 * time.Second,
	}
	if diff := cmp.Diff(want, parsedFile(t, "kernel: {}").Kernel, values...); diff != "" {
		t.Error(diff)
	}
	want.Tunnel, want.HopLimit, want.Decapsulation = TunnelSeg6, 0, DecapDT46
	if diff := cmp.Diff(want, parsedFile(t, "kernel: {tunnel: seg6}").Kernel, values...); diff != "" {
		t.Error(diff)
	}
}

func TestKernelSideOfAVNIFollowsFromItsKind(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       VNI // these keys only
	}{
		{"no table", table("{source-validation: true}", "{"+gateway+"vni: 7}"), VNI{Decapsulation: DecapOff}},
		{"vxlan", table("{}", "{"+gateway+"vni: 7, table: 7}"), VNI{Table: 7, Isolated: true, DecapDevice: "mb7", VXLANDevice: "vx7"}},
		{"no isolation", table("{}", "{"+gateway+"vni: 7, table: 7, isolated: false}"), VNI{Table: 7, DecapDevice: "mb7", VXLANDevice: "vx7"}},
		{"names", table("{}", "{"+gateway+"vni: 7, table: 7, vrf: a, decap-device: b, vxlan-device: c}"), VNI{Table: 7, Isolated: true, VRF: "a", DecapDevice: "b", VXLANDevice: "c"}},
		{"no bgp", "kernel: {source-validation: true}\nvnis: [{vni: 4294967295, table: 254}]\n", VNI{Table: 254, Decapsulation: DecapOff}},
		{"validation of all", table("{source-validation: true}", "{"+gateway+"vni: 7, table: 7}"), VNI{Table: 7, Isolated: true, DecapDevice: "mb7", VXLANDevice: "vx7", SourceValidation: true}},
		{"validation of others", table("{source-validation: true}", "{"+gateway+"vni: 7, table: 7, source-validation: false}"), VNI{Table: 7, Isolated: true, DecapDevice: "mb7", VXLANDevice: "vx7"}},
		{"segments", table("{tunnel: seg6}", "{"+gateway+"vni: 7, table: 7, vrf: red, encapsulation: none}"), VNI{Table: 7, Isolated: true, VRF: "red", Decapsulation: DecapDT46}},
		{"segments for IPv6", table("{tunnel: seg6, decapsulation: dt6}", "{"+gateway+"vni: 7, table: 7, encapsulation: none}"), VNI{Table: 7, Isolated: true, Decapsulation: DecapDT6}},
		{"nobody to come from", table("{tunnel: seg6}", "{vni: 7, table: 7, encapsulation: srv6}"), VNI{Table: 7, Isolated: true, Decapsulation: DecapOff}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := parsedFile(t, row.file).VNIs[0]
			got := VNI{Table: v.Table, VRF: v.VRF, Decapsulation: v.Decapsulation, Isolated: v.Isolated, DecapDevice: v.DecapDevice, VXLANDevice: v.VXLANDevice, NATFrom: v.NATFrom, SourceValidation: v.SourceValidation}
			if diff := cmp.Diff(row.want, got, values...); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKernelSectionAloneIsAllowed(t *testing.T) {
	c := parsedFile(t, "kernel: {source: \"2001:db8::1\", mss: auto, nexthop-objects: off}\n")
	if k := c.Kernel; k.Source != netip.MustParseAddr("2001:db8::1") || k.MSS != MSSAuto || k.NextHopObjects {
		t.Errorf("%+v", k)
	}
	roundTrip(t, c)
}

func TestSegmentSizesReadWhatTheyWrite(t *testing.T) {
	for text, want := range map[string]MSS{"off": 0, "auto": MSSAuto, "500": 500, "65535": 65535} {
		if m, err := ParseMSS(text); err != nil || m != want || m.String() != text {
			t.Errorf("ParseMSS(%q) = %v, %v, want %d", text, m, err, want)
		}
	}
	for _, text := range []string{"", "1", "0", "499", "65536", "-1", "+600", "auto ", "99999999999999999999"} {
		if m, err := ParseMSS(text); err == nil {
			t.Errorf("ParseMSS(%q) = %v", text, m)
		}
	}
}

func TestNumberRangesReadWhatTheyWrite(t *testing.T) {
	for _, text := range []string{"1-1", "1-4294967295", "471000000-471999999"} {
		if r, err := ParseNumberRange(text); err != nil || r.String() != text {
			t.Errorf("ParseNumberRange(%q) = %v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "0-1", "2-1", "1-4294967296", "1--2", "a-b", "1-99999999999999999999"} {
		if r, err := ParseNumberRange(text); err == nil {
			t.Errorf("ParseNumberRange(%q) = %v", text, r)
		}
	}
}

func TestMetricIsTheConfiguredOneOrTheKernels(t *testing.T) {
	ip4, ip6 := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")
	for metric, want := range map[uint32][2]uint32{4711: {4711, 4711}, 0: {0, 1024}} {
		k := &Kernel{Metric: metric}
		if got := [2]uint32{k.MetricFor(ip4), k.MetricFor(ip6)}; got != want {
			t.Errorf("metric %d is %v, want %v", metric, got, want)
		}
	}
}
