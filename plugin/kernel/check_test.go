package kernel

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"mbbgp/config"
)

// goodFiles are of a machine that lacks nothing.
func goodFiles() fstest.MapFS {
	files := fstest.MapFS{"proc/self/status": {Data: []byte("Name:\tmbbgp\nCapInh:\t0000000000000000\nCapEff:\t0000000000001400\n")}}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":                 "1",
		"net/ipv6/conf/all/forwarding":        "1",
		"net/ipv4/conf/all/rp_filter":         "0",
		"net/ipv4/conf/default/rp_filter":     "2",
		"net/ipv4/conf/overlay/rp_filter":     "0",
		"net/ipv4/fib_multipath_hash_policy":  "1",
		"net/ipv6/fib_multipath_hash_policy":  "1",
		"net/ipv4/nexthop_compat_mode":        "0",
		"net/ipv4/ip_unprivileged_port_start": "1024",
		"net/ipv6/route/max_size":             "4096",
		"net/ipv6/conf/all/seg6_enabled":      "0",
		"net/vrf/strict_mode":                 "1",
		"net/mpls/platform_labels":            "200000",
		"net/mpls/conf/eth0.100/input":        "1",
	} {
		files["proc/sys/"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
	return files
}

// goodMachine lacks nothing that goodConfig needs.
func goodMachine(cfg *config.Config) *machine {
	m := &machine{
		files: goodFiles(), release: "6.12.0",
		features: make(map[feature]support),
		links: []link{
			{name: "lo", index: 1, mtu: 65536, up: true},
			{name: "eth0.100", index: 2, mtu: 9000, up: true},
			{name: "overlay", index: 3, kind: "ip6tnl", mtu: 1500, up: true, external: true},
			{name: "red", index: 4, kind: "vrf", up: true, table: 100},
		},
		addrs:    []linkAddr{{prefixOf("2001:db8::1/128"), "lo"}, {prefixOf("fd00::1/128"), "red"}},
		underlay: []string{"eth0.100"},
	}
	for _, f := range featuresOf(cfg) {
		m.features[f] = support{tried: true}
	}
	return m
}

func goodConfig() *config.Config {
	return &config.Config{
		MPLS:   config.MPLS{Labels: config.LabelRange{First: 100000, Last: 199999}},
		BGP:    &config.BGP{Listen: []netip.AddrPort{netip.MustParseAddrPort("[::]:179")}},
		Kernel: &config.Kernel{Device: "overlay", NextHopObjects: true},
		VNIs: []config.VNI{
			{VNI: 100, Table: 100, VRF: "red", Gateway: addrOf("2001:db8:f::100"), Decapsulation: config.DecapIP6TNL, DecapDevice: "mb100", VXLANDevice: "vx100"},
			{VNI: 200, Table: 200, VRF: "blue", Gateway: addrOf("2001:db8:f::200"), Decapsulation: config.DecapDT46, Encapsulation: config.EncapMPLS},
			{VNI: 300},
		},
	}
}

// remarks returns what is not OK.
func remarks(list []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return f.OK })
}

func TestNothingIsSaidOfAMachineThatLacksNothing(t *testing.T) {
	cfg := goodConfig()
	all := examine(cfg, goodMachine(cfg))
	for _, f := range remarks(all) {
		t.Errorf("%+v", f)
	}
	for _, want := range []string{"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "VRF devices", "net.ipv4.ip_forward is 1", "net.ipv4.conf.overlay.rp_filter is 0",
		"net.vrf.strict_mode is 1", "net/mpls/conf/eth0.100/input is 1", "net.mpls.platform_labels is 200000", "overlay", "red", "MTU 9000 of eth0.100"} {
		if !slices.ContainsFunc(all, func(f Finding) bool { return f.OK && f.What == want }) {
			t.Errorf("%q was not looked at", want)
		}
	}
}

func TestEachLackIsFoundAndHasARemedy(t *testing.T) {
	write := func(file, text string) func(*config.Config, *machine) {
		return func(_ *config.Config, m *machine) {
			m.files.(fstest.MapFS)[file] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	lacks := func(f feature, module string) func(*config.Config, *machine) {
		return func(_ *config.Config, m *machine) {
			m.features[f] = support{tried: true, err: unix.EOPNOTSUPP}
			m.files.(fstest.MapFS)["lib/modules/6.12.0/modules.dep"] = &fstest.MapFile{Data: []byte("kernel/drivers/net/" + module + ".ko.xz: kernel/x.ko\n")}
		}
	}
	for _, test := range []struct {
		name   string
		change func(*config.Config, *machine)
		want   Finding
	}{
		{"no capability", write("proc/self/status", "CapEff:\t0000000000000400\n"),
			Finding{Level: LevelError, What: "CAP_NET_ADMIN is missing", Remedy: "setcap cap_net_admin,cap_net_bind_service+ep $(command -v mbbgp)"}},
		{"no capability for the port of BGP", write("proc/self/status", "CapEff:\t0000000000001000\n"),
			Finding{Level: LevelError, What: "CAP_NET_BIND_SERVICE is missing", Why: "needed for listening on port 179", Remedy: "setcap cap_net_admin,cap_net_bind_service+ep $(command -v mbbgp)"}},
		{"no status of the process", func(_ *config.Config, m *machine) { delete(m.files.(fstest.MapFS), "proc/self/status") },
			Finding{Level: LevelWarning, What: "capabilities"}},
		{"no module loaded", lacks(featureVRF, "vrf"),
			Finding{Level: LevelError, What: "VRF devices: missing", Why: "VNI 100, vrf: red", Remedy: "modprobe vrf"}},
		{"no module of this name", lacks(featureVRF, "another"),
			Finding{Level: LevelError, What: "VRF devices: missing", Remedy: "boot Linux 4.8 or later with CONFIG_NET_VRF"}},
		{"an old kernel", lacks(featureDT46, "another"),
			Finding{Level: LevelError, What: "seg6local End.DT46: missing", Remedy: "boot Linux 5.14 or later with CONFIG_IPV6_SEG6_LWTUNNEL"}},
		{"no next hop objects", lacks(featureObjects, "another"),
			Finding{Level: LevelWarning, What: "next hop objects: missing", Remedy: "boot Linux 5.3 or later with CONFIG_INET"}},
		{"no nftables", lacks(featureNFTables, "nf_tables"),
			Finding{Level: LevelWarning, What: "nftables of family inet: missing", Remedy: "modprobe nf_tables"}},
		{"no nftables for source validation", func(cfg *config.Config, m *machine) {
			cfg.VNIs[0].SourceValidation = true
			lacks(featureNFTables, "nf_tables")(cfg, m)
		}, Finding{Level: LevelError, What: "nftables of family inet: missing", Why: "VNI 100, source-validation", Remedy: "modprobe nf_tables"}},
		{"no IPv4 forwarding", write("proc/sys/net/ipv4/ip_forward", "0\n"),
			Finding{Level: LevelError, What: "net.ipv4.ip_forward is 0", Remedy: "sysctl -w net.ipv4.ip_forward=1"}},
		{"no IPv6 forwarding", write("proc/sys/net/ipv6/conf/all/forwarding", "0\n"),
			Finding{Level: LevelError, What: "net.ipv6.conf.all.forwarding is 0", Remedy: "sysctl -w net.ipv6.conf.all.forwarding=1"}},
		{"strict validation of a device", write("proc/sys/net/ipv4/conf/overlay/rp_filter", "1\n"),
			Finding{Level: LevelError, What: "net.ipv4.conf.overlay.rp_filter is 1", Remedy: "sysctl -w net.ipv4.conf.overlay.rp_filter=0"}},
		{"strict validation of devices to come", write("proc/sys/net/ipv4/conf/default/rp_filter", "1\n"),
			Finding{Level: LevelError, What: "net.ipv4.conf.default.rp_filter is 1", Remedy: "sysctl -w net.ipv4.conf.default.rp_filter=0"}},
		{"strict validation of all", write("proc/sys/net/ipv4/conf/all/rp_filter", "1\n"),
			Finding{Level: LevelError, What: "net.ipv4.conf.all.rp_filter is 1", Remedy: "sysctl -w net.ipv4.conf.all.rp_filter=0"}},
		{"no strict mode of VRFs", write("proc/sys/net/vrf/strict_mode", "0\n"),
			Finding{Level: LevelError, What: "net.vrf.strict_mode is 0", Remedy: "sysctl -w net.vrf.strict_mode=1"}},
		{"too few labels", write("proc/sys/net/mpls/platform_labels", "199999\n"),
			Finding{Level: LevelError, What: "net.mpls.platform_labels is 199999", Remedy: "sysctl -w net.mpls.platform_labels=200000"}},
		{"no MPLS on the underlay", write("proc/sys/net/mpls/conf/eth0.100/input", "0\n"),
			Finding{Level: LevelError, What: "net/mpls/conf/eth0.100/input is 0", Remedy: "sysctl -w net/mpls/conf/eth0.100/input=1"}},
		{"hashing without ports", write("proc/sys/net/ipv6/fib_multipath_hash_policy", "0\n"),
			Finding{Level: LevelWarning, What: "net.ipv6.fib_multipath_hash_policy is 0", Remedy: "sysctl -w net.ipv6.fib_multipath_hash_policy=1"}},
		{"an event for every route", write("proc/sys/net/ipv4/nexthop_compat_mode", "1\n"),
			Finding{Level: LevelWarning, What: "net.ipv4.nexthop_compat_mode is 1", Remedy: "sysctl -w net.ipv4.nexthop_compat_mode=0"}},
		{"few IPv6 routes in use", func(_ *config.Config, m *machine) { m.release = "6.1.0-35-amd64" },
			Finding{Level: LevelWarning, What: "net.ipv6.route.max_size is 4096", Remedy: "sysctl -w net.ipv6.route.max_size=1048576"}},
		{"no tunnel device", func(_ *config.Config, m *machine) { m.links = m.links[:2] },
			Finding{Level: LevelError, What: "overlay does not exist", Remedy: "ip link add overlay up type ip6tnl external"}},
		{"a tunnel device that is down", func(_ *config.Config, m *machine) { m.links[2].up = false },
			Finding{Level: LevelError, What: "overlay is down", Remedy: "ip link set overlay up"}},
		{"another device of this name", func(_ *config.Config, m *machine) { m.links[2].kind = "dummy" },
			Finding{Level: LevelError, What: "overlay is a device of kind dummy", Why: "want ip6tnl", Remedy: "ip link del overlay"}},
		{"a tunnel device with an end", func(_ *config.Config, m *machine) { m.links[2].external = false },
			Finding{Level: LevelError, What: "overlay has an end of its own", Remedy: "ip link del overlay && ip link add overlay up type ip6tnl external"}},
		{"a VRF of another table", func(_ *config.Config, m *machine) { m.links[3].table = 7 },
			Finding{Level: LevelError, What: "red is the VRF of table 7", Why: "VNI 100 has table 100", Remedy: "ip link del red && ip link add red up type vrf table 100"}},
		{"a source that is not here", func(cfg *config.Config, _ *machine) { cfg.Kernel.Source = addrOf("2001:db8::5") },
			Finding{Level: LevelError, What: "source 2001:db8::5 is no address of this machine", Remedy: "ip addr add 2001:db8::5/128 dev lo"}},
		{"a gateway address that the host takes", func(_ *config.Config, m *machine) {
			m.addrs = append(m.addrs, linkAddr{prefixOf("2001:db8:f::200/64"), "lo"})
		}, Finding{Level: LevelError, What: "2001:db8:f::200 is an address of lo", Remedy: "ip addr del 2001:db8:f::200/64 dev lo"}},
		{"a gateway address on a device that may go", func(_ *config.Config, m *machine) {
			m.addrs = append(m.addrs, linkAddr{prefixOf("2001:db8:f::100/128"), "eth0.100"})
		}, Finding{Level: LevelWarning, What: "2001:db8:f::100 is an address of eth0.100", Remedy: "ip addr del 2001:db8:f::100/128 dev eth0.100"}},
		{"an MTU too small for VXLAN", func(_ *config.Config, m *machine) { m.links[1].mtu = 1540 },
			Finding{Level: LevelWarning, What: "MTU 1540 of eth0.100", Why: "1500 (the usual MTU) and 50 of vxlan are 1550", Remedy: "ip link set eth0.100 mtu 1550"}},
		{"an MTU too small for VXLAN over IPv6", func(cfg *config.Config, m *machine) {
			cfg.VXLAN.Local = addrOf("2001:db8::1")
			m.links[1].mtu = 1560
		}, Finding{Level: LevelWarning, What: "MTU 1560 of eth0.100", Why: "1500 (the usual MTU) and 70 of vxlan are 1570", Remedy: "ip link set eth0.100 mtu 1570"}},
		{"an MTU too small for the tunnel", func(cfg *config.Config, m *machine) {
			cfg.VNIs[0].VXLANDevice, cfg.Kernel.MTU = "", 8961
			m.links[2].mtu = 8952 // what the underlay can carry
		}, Finding{Level: LevelWarning, What: "MTU 9000 of eth0.100", Why: "8961 (kernel.mtu) and 40 of ip6tnl are 9001", Remedy: "ip link set eth0.100 mtu 9001"}},
		{"an MTU of the tunnel that is too small for the usual packets", func(_ *config.Config, m *machine) { m.links[2].mtu = 1452 },
			Finding{Level: LevelWarning, What: "MTU 1452 of overlay", Remedy: "ip link set overlay mtu 1500"}},
		{"a tunnel that will have the MTU of Linux", func(cfg *config.Config, m *machine) {
			cfg.Kernel.MakeDevice = true
			m.links[2].name = "other"
		}, Finding{Level: LevelWarning, What: "MTU 1452 of overlay"}},
		{"a VRF without an IPv6 address", func(_ *config.Config, m *machine) { m.addrs[1].prefix = prefixOf("fe80::1/64") },
			Finding{Level: LevelWarning, What: "red has no IPv6 address", Remedy: "ip addr add ADDRESS/128 dev red"}},
		{"an IPv6 default route that packets to segments would follow", func(cfg *config.Config, m *machine) {
			cfg.Kernel.Tunnel = config.TunnelSeg6
			m.features[featureSeg6] = support{tried: true}
			cfg.VNIs[0].Originate = []config.Originate{{Prefix: prefixOf("::/0")}}
			cfg.VNIs[1].Import.Prefixes = []config.PrefixRule{{Prefix: prefixOf("::/0")}}
		}, Finding{Level: LevelWarning, What: "VNI 100 originates ::/0"}},
		{"an import of one", func(cfg *config.Config, m *machine) {
			cfg.Kernel.Tunnel = config.TunnelSeg6
			m.features[featureSeg6] = support{tried: true}
			cfg.VNIs[0].Family = config.VNIFamilyUnicast
		}, Finding{Level: LevelWarning, What: "VNI 200 imports ::/0 if it comes"}},
		{"a label that Linux has not", func(cfg *config.Config, m *machine) {
			cfg.VNIs[1].Label = 1048575
			m.files.(fstest.MapFS)["proc/sys/net/mpls/platform_labels"] = &fstest.MapFile{Data: []byte("1048575\n")}
		}, Finding{Level: LevelError, What: "label 1048575 is too high", Why: "Linux takes labels up to 1048574: want another one, or less of mpls.labels"}},
		{"few labels for the last one that Linux has", func(cfg *config.Config, m *machine) { cfg.VNIs[1].Label = 1048574 },
			Finding{Level: LevelError, What: "net.mpls.platform_labels is 200000", Remedy: "sysctl -w net.mpls.platform_labels=1048575"}},
		{"no underlay", func(cfg *config.Config, m *machine) { m.underlay = nil },
			Finding{Level: LevelWarning, What: "no underlay device found"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := goodConfig()
			m := goodMachine(cfg)
			test.change(cfg, m)
			got := remarks(examine(cfg, m))
			if len(got) != 1 {
				t.Fatalf("%d findings, want 1: %+v", len(got), got)
			}
			if got[0].Why == "" {
				t.Error("does not say why")
			}
			if test.want.Why == "" {
				test.want.Why = got[0].Why
			}
			if got[0] != test.want {
				t.Errorf("got  %+v\nwant %+v", got[0], test.want)
			}
		})
	}
}

// Where no network namespace may be made, modules say what there is.
func TestWithoutATryModulesTell(t *testing.T) {
	cfg := &config.Config{Kernel: &config.Kernel{Device: "overlay"}}
	for _, test := range []struct {
		name, file, text string
		want             Finding
	}{
		{"loaded", "proc/modules", "x_tables 53248 1 nft_compat, Live 0x0\nip6_tunnel 40960 0 - Live 0x0\n", Finding{OK: true, What: "encapsulation ip6 (ip6tnl devices)"}},
		{"built in", "lib/modules/6.12.0/modules.builtin", "kernel/net/ipv6/ip6_tunnel.ko\n", Finding{OK: true, What: "encapsulation ip6 (ip6tnl devices)"}},
		{"built in, with parameters", "sys/module/ip6_tunnel/parameters/x", "1", Finding{OK: true, What: "encapsulation ip6 (ip6tnl devices)"}},
		{"there", "lib/modules/6.12.0/modules.dep", "kernel/net/ipv6/ip6_tunnel.ko.xz: kernel/net/ipv6/tunnel6.ko.xz\n",
			Finding{Level: LevelWarning, What: "encapsulation ip6 (ip6tnl devices): not loaded", Remedy: "modprobe ip6_tunnel"}},
		{"with a dash", "lib/modules/6.12.0/modules.dep", "kernel/net/ipv6/ip6-tunnel.ko:\n",
			Finding{Level: LevelWarning, What: "encapsulation ip6 (ip6tnl devices): not loaded", Remedy: "modprobe ip6_tunnel"}},
		{"needed by another one only", "lib/modules/6.12.0/modules.dep", "kernel/net/ipv6/ip6_gre.ko: kernel/net/ipv6/ip6_tunnel.ko\n",
			Finding{Level: LevelWarning, What: "encapsulation ip6 (ip6tnl devices): unknown"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := goodMachine(cfg)
			m.files.(fstest.MapFS)[test.file] = &fstest.MapFile{Data: []byte(test.text)}
			m.features = map[feature]support{featureIP6TNL: {err: errors.New("operation not permitted")}, featureNFTables: {tried: true}}
			list := examine(cfg, m)
			i := slices.IndexFunc(list, func(f Finding) bool { return strings.HasPrefix(f.What, "encapsulation ip6") })
			got := list[i]
			got.Why = ""
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestSourceMayBeAnAddressToCome(t *testing.T) {
	cfg := goodConfig()
	for _, source := range []string{"2001:db8::1", "2001:db8:f::100"} { // of lo, and the gateway of VNI 100
		cfg.Kernel.Source = addrOf(source)
		if got := remarks(examine(cfg, goodMachine(cfg))); len(got) > 0 {
			t.Errorf("%s: %+v", source, got)
		}
	}
}

func TestWithoutKernelSectionOnlyPortsMatter(t *testing.T) {
	cfg := &config.Config{BGP: &config.BGP{Listen: []netip.AddrPort{netip.MustParseAddrPort("[::]:179")}}}
	m := &machine{files: fstest.MapFS{"proc/self/status": {Data: []byte("CapEff:\t0\n")}}}
	got := examine(cfg, m)
	if len(got) != 1 || got[0].What != "CAP_NET_BIND_SERVICE is missing" {
		t.Errorf("got %+v", got)
	}
	m.files.(fstest.MapFS)["proc/sys/net/ipv4/ip_unprivileged_port_start"] = &fstest.MapFile{Data: []byte("179\n")}
	if got := examine(cfg, m); len(got) != 0 {
		t.Errorf("where everybody may have port 179: %+v", got)
	}
}

func TestParametersOfDevicesWithDots(t *testing.T) {
	files := fstest.MapFS{
		"proc/sys/net/ipv4/conf/eth0.100/rp_filter": {Data: []byte("2\n")},
		"proc/sys/net/ipv4/conf/eth0/rp_filter":     {Data: []byte("1\n")},
		"proc/sys/net/ipv4/tcp_mem":                 {Data: []byte("1 2 3\n")},
	}
	m := &machine{files: fs.FS(files)}
	for name, want := range map[string]int{
		deviceSysctl("net.ipv4.conf", "eth0.100", "rp_filter"): 2,
		deviceSysctl("net.ipv4.conf", "eth0", "rp_filter"):     1,
	} {
		if got, known := m.sysctl(name); !known || got != want {
			t.Errorf("%s: %d, %v, want %d", name, got, known, want)
		}
	}
	for _, name := range []string{"net.ipv4.tcp_mem", "net.ipv4.missing"} {
		if _, known := m.sysctl(name); known {
			t.Errorf("%s is no number", name)
		}
	}
}
