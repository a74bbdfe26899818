package kernel

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/test/lab"
)

// newPeer makes a network namespace and a link u to it, which ends with the test:
// 192.0.2.1 and 2001:db8::1 are here, .2 and ::2 there.
func newPeer(t *testing.T, name string) {
	t.Helper()
	netns.Run(t, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	ip(t, "netns add "+name)
	t.Cleanup(func() { ip(t, "netns del "+name) })
	netns.Run(t, "ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
	ip(t, "link add "+name+" up type veth peer name u netns "+name)
	there(t, name, "link set lo up", "link set u up")
}

// there carries out commands of ip in a peer's namespace.
func there(t *testing.T, name string, commands ...string) {
	t.Helper()
	cmd := exec.Command("ip", "-n", name, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %s: %v\n%s", name, strings.Join(commands, "; "), err, out)
	}
}

// newTenant makes a network namespace "host", whose link host is in the VRF or, if
// that is "", led to the table by rules. 10.1.0.2 and fd01::2 are there.
func newTenant(t *testing.T, vrf, table string) {
	t.Helper()
	newPeer(t, "host")
	if vrf != "" {
		ip(t, "link set host master "+vrf, "addr add 10.1.0.1/24 dev host", "addr add fd01::1/64 dev host")
	} else {
		ip(t, "rule add iif host lookup "+table+" priority 900", "route add 10.1.0.0/24 dev host table "+table,
			"route add fd01::/64 dev host table "+table, "addr add 10.1.0.1/32 dev host", "addr add fd01::1/128 dev host")
		netns.Run(t, "ip", "-6", "rule", "add", "iif", "host", "lookup", table, "priority", "900")
	}
	there(t, "host", "addr add 10.1.0.2/24 dev u", "addr add fd01::2/64 dev u",
		"route add default via 10.1.0.1", "route add default via fd01::1")
}

// newHypervisor makes a network namespace "hv" that sends to the tenant through
// the tunnel to testGateway, and takes what comes back to 2001:db8:c::7.
// 10.2.0.1 and fd02::1 are there.
func newHypervisor(t *testing.T, encap string) {
	t.Helper()
	newPeer(t, "hv")
	ip(t, "addr add 2001:db8::1/64 dev hv", "route add 2001:db8:c::/64 via 2001:db8::2")
	there(t, "hv", "addr add 2001:db8::2/64 dev u nodad", "addr add 2001:db8:c::7/128 dev lo nodad", "route add 2001:db8:ff::/64 via 2001:db8::1",
		"link add te up type ip6tnl external", "link add back up type ip6tnl mode any local 2001:db8:c::7 remote ::",
		"addr add 10.2.0.1/32 dev lo", "addr add fd02::1/128 dev lo nodad",
		"route add 10.1.0.0/24 "+encap+" src 10.2.0.1", "route add fd01::/64 "+encap+" src fd02::1")
}

// answers reports whether addr answers pings from a peer's namespace.
func answers(name, addr string) bool {
	return exec.Command("ip", "netns", "exec", name, "ping", "-q", "-i", "0.2", "-c", "1", "-w", "3", addr).Run() == nil
}

func TestPacketsOutOfTheTunnelComeToTheTable(t *testing.T) {
	const (
		ip6tnl = "encap ip6 dst 2001:db8:ff::7 dev te"
		red    = "encap seg6 mode encap.red segs 2001:db8:ff::7 dev u"
		srh    = "encap seg6 mode encap segs 2001:db8:ff::7 dev u"
	)
	for _, row := range []struct {
		name          string
		decapsulation config.Decapsulation
		vrf           string
		encap         string
		refused       string // addresses that do not answer
	}{
		{"ip6tnl to ip6tnl", config.DecapIP6TNL, "red", ip6tnl, ""},
		{"encap.red to ip6tnl", config.DecapIP6TNL, "red", red, ""},
		{"ip6tnl to ip6tnl without a VRF", config.DecapIP6TNL, "", ip6tnl, ""},
		{"ip6tnl to End.DT46", config.DecapDT46, "red", ip6tnl, ""},
		{"encap.red to End.DT46", config.DecapDT46, "red", red, ""},
		{"routing header to End.DT46", config.DecapDT46, "red", srh, ""},
		{"encap.red to End.DT4", config.DecapDT4, "red", red, "fd01::2"},
		{"encap.red to End.DT6", config.DecapDT6, "red", red, "10.1.0.2"},
		{"encap.red to End.DT6 without a VRF", config.DecapDT6, "", red, "10.1.0.2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := config.VNI{VNI: 7, Table: 1007, VRF: row.vrf, Gateway: testGateway, Decapsulation: row.decapsulation}
			if row.decapsulation == config.DecapIP6TNL {
				v.DecapDevice = "mb7"
			}
			d := newTestDevices(t, deviceConfig(v))
			if row.vrf != "" {
				d.reconcile() // the parameter is there with the first VRF
				netns.Run(t, "sysctl", "-qw", "net.vrf.strict_mode=1", "net.ipv6.conf.all.seg6_enabled=1", "net.ipv6.conf.default.seg6_enabled=1")
			}
			reconciled(t, d)
			newTenant(t, row.vrf, "1007")
			newHypervisor(t, row.encap)
			ip(t, "route add 10.2.0.0/24 table 1007 encap ip6 dst 2001:db8:c::7 hoplimit 64 dev overlay",
				"route add fd02::/64 table 1007 encap ip6 dst 2001:db8:c::7 hoplimit 64 dev overlay")
			for _, addr := range []string{"10.1.0.2", "fd01::2"} {
				if got, want := answers("hv", addr), addr != row.refused; got != want {
					t.Errorf("%s answers: %v, want %v", addr, got, want)
				}
			}
			if n := reconciled(t, d); n != 0 {
				t.Errorf("restored %d", n)
			}
		})
	}
}

// segmentConfig returns a configuration that needs no more for segments than this
// machine's kernel has.
func segmentConfig(v config.VNI) *config.Config {
	cfg := deviceConfig(v)
	cfg.Kernel.Tunnel, cfg.Kernel.Device = config.TunnelSeg6, "lo"
	return cfg
}

func TestSegmentsComeAndGo(t *testing.T) {
	v := config.VNI{VNI: 7, Table: 1007, Gateway: testGateway, Decapsulation: config.DecapDT6}
	d := newTestDevices(t, segmentConfig(v))
	if _, err := d.reconcile(); err == nil || !strings.Contains(err.Error(), "segment 2001:db8:ff::7: needs a device besides lo that is up") {
		t.Errorf("got %v", err)
	}
	ip(t, "link add x up type bridge")
	route := func() string { return says(t, "ip -6 route show table main 2001:db8:ff::7") }
	reconciled(t, d)
	wantText(t, route(), "2001:db8:ff::7 encap seg6local action End.DT6 table 1007 dev x proto 254 metric 4711")

	ip(t, "route del 2001:db8:ff::7")
	if n := reconciled(t, d); n != 1 {
		t.Errorf("restored %d, want 1", n)
	}
	ip(t, "route replace 2001:db8:ff::7 encap seg6local action End.DT6 table 5 dev x proto 254 metric 4711")
	if n := reconciled(t, d); n != 1 {
		t.Errorf("restored %d, want 1", n)
	}
	wantText(t, route(), "End.DT6 table 1007")
	err := (&socket{Conn: d.conn}).Routes(rtnl.RouteFilter{Table: mainTable, Protocol: 254}, func() {}, func(r *rtnl.Route) error {
		t.Errorf("%v looks like a route of a VNI", r.Prefix)
		return nil
	})
	try(t, err)

	ip(t, "route add blackhole 2001:db8:ff::9", "route add 2001:db8:ff::8 encap seg6local action End.DT6 table 5 dev x proto 254 metric 4711")
	if err := d.sweep(); err != nil {
		t.Fatal(err)
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	left := says(t, "ip -6 route show table main")
	wantText(t, left, "blackhole 2001:db8:ff::9")
	if strings.Contains(left, "seg6local") {
		t.Errorf("left behind: %s", left)
	}
}

func TestRoutesOfOthersKeepTheSegmentAway(t *testing.T) {
	v := config.VNI{VNI: 7, Table: 1007, Gateway: testGateway, Decapsulation: config.DecapDT6}
	d := newTestDevices(t, segmentConfig(v), "link add x up type bridge", "route add blackhole 2001:db8:ff::7 metric 4711 proto static")
	_, err := d.reconcile()
	if err == nil {
		t.Fatal("no problem")
	}
	wantText(t, err.Error(), "segment 2001:db8:ff::7: another route to it is in the way: ip -6 route show 2001:db8:ff::7/128")
	wantText(t, says(t, "ip -6 route show table main 2001:db8:ff::7"), "blackhole 2001:db8:ff::7 dev lo proto static")

	ip(t, "route del 2001:db8:ff::7 metric 4711", "route add 2001:db8:ff::7 dev x metric 100")
	if _, err = d.reconcile(); err == nil {
		t.Fatal("no problem")
	}
	wantText(t, err.Error(), "segment 2001:db8:ff::7: another route to it is in the way, of protocol 3 and metric 100: ip -6 route show 2001:db8:ff::7/128")
	ip(t, "route del 2001:db8:ff::7", "route add 2001:db8:ff::7 encap seg6local action End.DT6 table 1007 dev x metric 10")
	reconciled(t, d)
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	wantText(t, says(t, "ip -6 route show table main 2001:db8:ff::7"), "End.DT6 table 1007 dev x metric 10")
}

func TestDevicesLeadToTheTableOfAVNIWithoutVRF(t *testing.T) {
	v := config.VNI{VNI: 7, Table: 1007, Gateway: testGateway, DecapDevice: "mb7", VXLANDevice: "vx7"}
	d := newTestDevices(t, deviceConfig(v))
	reconciled(t, d)
	check := func() {
		t.Helper()
		for _, family := range []string{"-4", "-6"} {
			wantText(t, says(t, "ip "+family+" -d rule"), "774: from all iif mb7 lookup 1007 proto 254", "774: from all iif vx7 lookup 1007 proto 254")
		}
	}
	check()
	ip(t, "rule del iif mb7 lookup 1007")
	if n := reconciled(t, d); n != 1 {
		t.Errorf("restored %d, want 1", n)
	}
	check()

	// Another table, and a rule of somebody else that does the same.
	v.Table = 1008
	d = reopen(t, deviceConfig(v))
	ip(t, "rule add iif mb7 lookup 1008 priority 774 protocol static")
	reconciled(t, d)
	if left := says(t, "ip rule") + says(t, "ip -6 rule"); strings.Contains(left, "1007") {
		t.Errorf("rules of the table before are left: %s", left)
	}
	foreign := func(i DeviceInfo) bool { return i.Kind == "rule" && !i.Ours }
	if i := slices.IndexFunc(d.info(), foreign); i < 0 || d.info()[i].Name != "ip iif mb7 lookup 1008" {
		t.Errorf("somebody else's rule is not seen: %+v", d.info())
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	if left := says(t, "ip rule"); !strings.Contains(left, "iif mb7 [detached] lookup 1008 proto static") || strings.Count(left, "1008") != 1 {
		t.Errorf("want only somebody else's rule: %s", left)
	}
}

func TestTheMainTableNeedsNoRules(t *testing.T) {
	d := newTestDevices(t, deviceConfig(config.VNI{VNI: 7, Table: mainTable, Gateway: testGateway, DecapDevice: "mb7"}))
	reconciled(t, d)
	if slices.ContainsFunc(d.info(), func(i DeviceInfo) bool { return i.Kind == "rule" }) {
		t.Errorf("there are rules: %+v", d.info())
	}
}

func TestLabelsLeadToTheVRF(t *testing.T) {
	v := config.VNI{VNI: 7, Table: 1007, VRF: "red", Label: 100, Decapsulation: config.DecapOff}
	d := newTestDevices(t, deviceConfig(v))
	netns.Run(t, "modprobe", "mpls_router")
	netns.Run(t, "modprobe", "mpls_iptunnel")
	problem := func(want string) {
		t.Helper()
		if _, err := d.reconcile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	newPeer(t, "core")
	problem("label 100: the kernel takes labels below 0: sysctl -w net.mpls.platform_labels=1048575")
	netns.Run(t, "sysctl", "-qw", "net.mpls.platform_labels=1048575")
	problem("label 100: no device takes packets with labels: sysctl -w net.mpls.conf.DEVICE.input=1 for each that faces the fabric")
	netns.Run(t, "sysctl", "-qw", "net.mpls.conf.core.input=1")
	reconciled(t, d)

	newTenant(t, "red", "")
	ip(t, "addr add 2001:db8::1/64 dev core", "addr add 192.0.2.1/24 dev core",
		"route add 10.3.0.0/24 via 192.0.2.2 dev core table 1007", "route add fd03::/64 via 2001:db8::2 dev core table 1007")
	there(t, "core", "addr add 2001:db8::2/64 dev u", "addr add 192.0.2.2/24 dev u", "addr add 10.3.0.1/32 dev lo", "addr add fd03::1/128 dev lo nodad",
		"route add 10.1.0.0/24 encap mpls 100 via 192.0.2.1 src 10.3.0.1", "route add fd01::/64 encap mpls 100 via 2001:db8::1 src fd03::1")
	for _, addr := range []string{"10.1.0.2", "fd01::2"} {
		if !answers("core", addr) {
			t.Errorf("%s does not answer", addr)
		}
	}

	route := func() string { return says(t, "ip -f mpls route") }
	wantText(t, route(), "100 dev red proto 254")
	netns.Run(t, "ip", "-f", "mpls", "route", "del", "100")
	if n := reconciled(t, d); n != 1 {
		t.Errorf("restored %d, want 1", n)
	}
	netns.Run(t, "ip", "-f", "mpls", "route", "replace", "100", "dev", "lo", "proto", "static")
	problem("label 100: is the label of somebody else's route, of protocol 4: ip -f mpls route del 100")
	netns.Run(t, "ip", "-f", "mpls", "route", "replace", "100", "dev", "lo", "proto", "254")
	reconciled(t, d)
	wantText(t, route(), "100 dev red proto 254")
	netns.Run(t, "ip", "-f", "mpls", "route", "add", "101", "dev", "lo", "proto", "254")
	netns.Run(t, "ip", "-f", "mpls", "route", "add", "102", "dev", "lo", "proto", "static")
	if err := d.sweep(); err != nil {
		t.Fatal(err)
	}
	if got := route(); strings.Contains(got, "101") || !strings.Contains(got, "100 dev red") {
		t.Errorf("after the sweep there is %s", got)
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	if got := route(); got != "102 dev lo proto static" {
		t.Errorf("left is %q, want only somebody else's", got)
	}
}

func TestAnySteadyDeviceServesSeg6(t *testing.T) {
	lab.Need(t, "lab")
	for _, row := range []struct{ name, device, encap string }{
		{"a dummy that is made", "overlay", "dummy"},
		{"lo", "lo", "device"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := config.VNI{VNI: 7, Table: 1007, VRF: "red", Gateway: testGateway, DecapDevice: "mb7"}
			cfg := deviceConfig(v)
			cfg.Kernel.Tunnel, cfg.Kernel.Device = config.TunnelSeg6, row.device
			d := newTestDevices(t, cfg)
			reconciled(t, d)
			newTenant(t, "red", "")
			newHypervisor(t, "encap ip6 dst 2001:db8:ff::7 dev te")
			netns.Run(t, "ip", "-6", "nexthop", "add", "id", "1", "encap", "seg6", "mode", "encap.red", "segs", "2001:db8:c::7", "dev", row.device)
			ip(t, "route add 10.2.0.0/24 nhid 1 table 1007", "route add fd02::/64 nhid 1 table 1007")
			for _, addr := range []string{"10.1.0.2", "fd01::2"} {
				if !answers("hv", addr) {
					t.Errorf("%s does not answer", addr)
				}
			}
			if d.tunnel(d.overlay()) {
				t.Errorf("device %s counts as a tunnel", row.device)
			}
		})
	}
}

func TestGatewayAddressesStayWhereTheyAre(t *testing.T) {
	v := config.VNI{VNI: 7, Table: mainTable, Gateway: testGateway, DecapDevice: "mb7"}
	d := newTestDevices(t, deviceConfig(v), "link add x up type bridge", "addr add 2001:db8:ff::7/64 dev x nodad")
	reconciled(t, d)
	if got := says(t, "ip -6 addr show dev lo"); strings.Contains(got, "2001:db8:ff::7") {
		t.Errorf("lo has the address, too: %s", got)
	}
	ip(t, "link set lo down", "addr del 2001:db8:ff::7/64 dev x")
	if _, err := d.reconcile(); err == nil || !strings.Contains(err.Error(), "is on device lo, which is down: ip link set lo up") {
		t.Errorf("got %v", err)
	}
	ip(t, "link set lo up")
	reconciled(t, d)
	addrs, err := d.sys.localAddrs()
	want := localAddr{addr: testGateway, bits: 128, device: 1, protocol: 254}
	if err != nil || !slices.Contains(addrs, want) {
		t.Errorf("addresses %+v (%v), want %+v among them", addrs, err, want)
	}
	if slices.Contains(addrs, localAddr{addr: netip.IPv6Loopback(), bits: 128, device: 1, protocol: 254}) {
		t.Errorf("::1 counts as ours: %+v", addrs)
	}
}
