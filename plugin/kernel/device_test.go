package kernel

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
	"mbbgp/test/lab"
)

var (
	testGateway = netip.MustParseAddr("2001:db8:ff::7")
	testVTEP    = netip.MustParseAddr("192.0.2.1")
	testMAC     = config.MAC{2, 0, 0xc0, 0, 2, 1}
)

// deviceConfig returns a configuration with the defaults of kernel, in which the
// overlay device is made.
func deviceConfig(vnis ...config.VNI) *config.Config {
	return &config.Config{
		VXLAN: config.VXLAN{Local: testVTEP, RouterMAC: testMAC},
		Kernel: &config.Kernel{
			Device: "overlay", MakeDevice: true, HopLimit: 64,
			Protocol: 254, Metric: 4711, RulePriority: 500, NextHopObjects: true,
		},
		VNIs: vnis,
	}
}

// fullVNI has all that a VNI with encapsulation vxlan can have.
func fullVNI() config.VNI {
	return config.VNI{VNI: 7, Table: 1007, VRF: "red", Gateway: testGateway, DecapDevice: "mb7", VXLANDevice: "vx7"}
}

// newTestDevices returns the devices of a configuration in a new network
// namespace, in which the commands of ip were carried out first.
func newTestDevices(t *testing.T, cfg *config.Config, before ...string) *devices {
	t.Helper()
	lab.Need(t, "lab")
	netns.New(t)
	ip(t, before...)
	return reopen(t, cfg)
}

// reopen returns the devices of a configuration in the present network namespace,
// as another run of the program has them.
func reopen(t *testing.T, cfg *config.Config) *devices {
	t.Helper()
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	log := logrus.New()
	log.SetOutput(io.Discard)
	d, err := newDevices(cfg, func(vni rib.VNI) uint32 {
		for _, v := range cfg.VNIs {
			if rib.VNI(v.VNI) == vni {
				return v.Label
			}
		}
		return 0
	}, conn, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// ip carries out commands of ip, all in one go.
func ip(t testing.TB, commands ...string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(commands, "; "), err, out)
	}
}

// says returns what a command prints, in one line.
func says(t *testing.T, command string) string {
	t.Helper()
	words := strings.Fields(command)
	return strings.Join(strings.Fields(netns.Run(t, words[0], words[1:]...)), " ")
}

// reconciled reconciles and wants no problem.
func reconciled(t *testing.T, d *devices) (restored int) {
	t.Helper()
	restored, err := d.reconcile()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range d.info() {
		if !i.OK {
			t.Fatalf("%s %s: %s", i.Kind, i.Name, i.Problem)
		}
	}
	return restored
}

// linkNames returns the names of all devices.
func linkNames(t *testing.T) (names []string) {
	t.Helper()
	var list []struct {
		Name string `json:"ifname"`
	}
	if err := json.Unmarshal([]byte(netns.Run(t, "ip", "-j", "link")), &list); err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Name != "ip6tnl0" { // is there with the module
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names
}

func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, text)
		}
	}
}

func TestAllThatAVNINeedsIsMade(t *testing.T) {
	d := newTestDevices(t, deviceConfig(fullVNI()))
	if n := reconciled(t, d); n != 0 {
		t.Errorf("restored %d, nothing had been there before", n)
	}
	wantText(t, says(t, "ip -d link show overlay"), "UP", "ip6tnl external", "alias mbbgp 254")
	wantText(t, says(t, "ip -d link show red"), "UP", "vrf table 1007", "alias mbbgp 254 vni 7")
	wantText(t, says(t, "ip -d link show mb7"), "UP", "master red", "ip6tnl any remote any local 2001:db8:ff::7",
		"encaplimit none", "addrgenmode none", "alias mbbgp 254 vni 7")
	wantText(t, says(t, "ip -d link show vx7"), "UP", "master red", "vxlan id 7 local 192.0.2.1", "dstport 4789",
		"nolearning", "link/ether 02:00:c0:00:02:01", "addrgenmode none", "alias mbbgp 254 vni 7")
	wantText(t, says(t, "ip -d -6 addr show dev lo"), "2001:db8:ff::7/128")
	for _, i := range d.info() {
		if !i.Ours {
			t.Errorf("%s %s is not ours", i.Kind, i.Name)
		}
	}
	if d.overlay() == 0 || d.vxlan(7) == 0 || d.vxlan(8) != 0 {
		t.Errorf("overlay %d, VXLAN of VNI 7 %d, of VNI 8 %d", d.overlay(), d.vxlan(7), d.vxlan(8))
	}

	before := says(t, "ip -d addr")
	if n := reconciled(t, d); n != 0 {
		t.Errorf("the second time restored %d", n)
	}
	again := reopen(t, deviceConfig(fullVNI()))
	reconciled(t, again)
	for _, i := range again.info() {
		if !i.Ours {
			t.Errorf("after a restart %s %s is not ours", i.Kind, i.Name)
		}
	}
	if after := says(t, "ip -d addr"); after != before {
		t.Errorf("changed what was right:\n%s\n%s", before, after)
	}
}

func TestVNIsWithoutATableNeedNothing(t *testing.T) {
	d := newTestDevices(t, deviceConfig(config.VNI{VNI: 7, Gateway: testGateway}))
	reconciled(t, d)
	if got := linkNames(t); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("made %v", got)
	}
	if d.overlay() != 0 || len(d.info()) != 0 {
		t.Errorf("overlay %d, pieces %v", d.overlay(), d.info())
	}
}

func TestWhatSomebodyBreaksIsPutRight(t *testing.T) {
	d := newTestDevices(t, deviceConfig(fullVNI()))
	reconciled(t, d)
	for _, row := range []struct {
		name, command string
		restored      int
	}{
		{"overlay device deleted", "link del overlay", 1},
		{"overlay device down", "link set overlay down", 1},
		{"VXLAN device out of its VRF", "link set vx7 nomaster", 1},
		{"VXLAN device with another MAC address", "link set vx7 address 02:00:00:00:00:99", 1},
		{"tunnel deleted", "link del mb7", 1},
		{"address deleted", "addr del 2001:db8:ff::7/128 dev lo", 1},
		{"VRF deleted", "link del red", 3}, // and both leave it
		{"VRF down", "link set red down", 1},
	} {
		// No subtests: these would be in another network namespace.
		ip(t, row.command)
		if n := reconciled(t, d); n != row.restored {
			t.Errorf("%s: restored %d, want %d", row.name, n, row.restored)
		}
		wantText(t, says(t, "ip link show vx7"), "UP", "master red", "02:00:c0:00:02:01")
		wantText(t, says(t, "ip link show mb7"), "UP", "master red")
		wantText(t, says(t, "ip -6 addr show dev lo"), "2001:db8:ff::7/128")
		if d.overlay() == 0 || d.vxlan(7) == 0 {
			t.Errorf("%s: overlay %d, VXLAN %d", row.name, d.overlay(), d.vxlan(7))
		}
	}
}

func TestDevicesOfOthersAreUsedAndStay(t *testing.T) {
	cfg := deviceConfig(fullVNI())
	cfg.Kernel.MakeDevice = false
	d := newTestDevices(t, cfg,
		"link add tunnel0 type ip6tnl external", "link set tunnel0 name overlay up",
		"link add red up type vrf table 1007",
		"link add vx7 address 02:00:c0:00:02:01 type vxlan id 7 local 192.0.2.1 dstport 4789 nolearning",
		"link set vx7 master red up",
		"link add mb7 type ip6tnl mode any local 2001:db8:ff::7 remote ::", "link set mb7 master red up",
		"addr add 2001:db8:ff::7/64 dev lo",
	)
	all := func() string { return says(t, "ip -d link") + says(t, "ip addr show dev lo") }
	before := all()
	reconciled(t, d)
	for _, i := range d.info() {
		if i.Ours {
			t.Errorf("%s %s is called ours", i.Kind, i.Name)
		}
	}
	if d.overlay() == 0 || d.vxlan(7) == 0 {
		t.Errorf("overlay %d, VXLAN %d", d.overlay(), d.vxlan(7))
	}
	if err := errors.Join(d.sweep(), d.remove()); err != nil {
		t.Fatal(err)
	}
	if after := all(); after != before {
		t.Errorf("changed what is somebody else's:\n%s\n%s", before, after)
	}
}

func TestAnotherConfigurationMakesDevicesAnewAndSweeps(t *testing.T) {
	cfg := deviceConfig(fullVNI(), config.VNI{VNI: 8, Table: 1008, Gateway: netip.MustParseAddr("2001:db8:ff::8"), DecapDevice: "mb8"})
	d := newTestDevices(t, cfg)
	reconciled(t, d)

	cfg = deviceConfig(fullVNI())
	cfg.VXLAN.Local = netip.MustParseAddr("2001:db8::1")
	cfg.VNIs[0].Table, cfg.VNIs[0].Gateway = 1070, netip.MustParseAddr("2001:db8:ff::70")
	cfg.Kernel.MTU = 1400
	d = reopen(t, cfg)
	reconciled(t, d)
	wantText(t, says(t, "ip -d link show vx7"), "UP", "mtu 1400", "master red", "vxlan id 7 local 2001:db8::1", "udp6zerocsumrx")
	wantText(t, says(t, "ip -d link show red"), "UP", "vrf table 1070")
	wantText(t, says(t, "ip -d link show mb7"), "UP", "mtu 1400", "local 2001:db8:ff::70")
	wantText(t, says(t, "ip -d link show overlay"), "mtu 1400")
	wantText(t, says(t, "ip rule"), "iif mb8 lookup 1008")

	if err := d.sweep(); err != nil {
		t.Fatal(err)
	}
	if got, want := linkNames(t), []string{"lo", "mb7", "overlay", "red", "vx7"}; !slices.Equal(got, want) {
		t.Errorf("devices %v are left, want %v", got, want)
	}
	left := says(t, "ip -6 addr show dev lo") + says(t, "ip rule") + says(t, "ip -6 rule")
	for _, gone := range []string{"2001:db8:ff::7/", "2001:db8:ff::8/", "mb8"} {
		if strings.Contains(left, gone) {
			t.Errorf("%s is left: %s", gone, left)
		}
	}
	wantText(t, left, "2001:db8:ff::70/128")
}

func TestRemoveLeavesNothingOfOurs(t *testing.T) {
	lab.Need(t, "lab")
	netns.New(t)
	all := func() string {
		return says(t, "ip addr") + says(t, "ip rule") + says(t, "ip -6 rule") + says(t, "ip -6 route")
	}
	d := reopen(t, deviceConfig(fullVNI(), config.VNI{VNI: 8, Table: 1008, Gateway: netip.MustParseAddr("2001:db8:ff::8"), DecapDevice: "mb8"}))
	ip(t, "link add red type vrf table 5", "link del red") // the kernel keeps the rule that it makes with the first VRF
	before := all()
	reconciled(t, d)
	ip(t, "rule add iif lo lookup 9 priority 774", "addr add 2001:db8::5/128 dev lo")
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	ip(t, "rule del iif lo lookup 9 priority 774", "addr del 2001:db8::5/128 dev lo") // fails if they are gone
	if after := all(); after != before {
		t.Errorf("left behind:\n%s\n%s", before, after)
	}
}

func TestEventsOfWhatIsNeededCallForReconcile(t *testing.T) {
	d := newTestDevices(t, deviceConfig(fullVNI(),
		config.VNI{VNI: 8, Table: 1008, Gateway: netip.MustParseAddr("2001:db8:ff::8"), Decapsulation: config.DecapDT6}))
	reconciled(t, d)
	d.wanted.labels[777] = true // as if a VNI had one
	segment := rtnl.Route{Table: mainTable, Prefix: netip.MustParsePrefix("2001:db8:ff::8/128")}
	for _, row := range []struct {
		name  string
		event rtnl.Event
		want  bool
	}{
		{"device of ours", rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: 9999, Name: "vx7"}}, true},
		{"device of ours renamed", rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: d.vxlan(7), Name: "other"}}, true},
		{"another device", rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: 9999, Name: "eth0"}}, false},
		{"IPv6 address", rtnl.Event{Kind: rtnl.AddressEvent, Family: unix.AF_INET6}, true},
		{"IPv4 address", rtnl.Event{Kind: rtnl.AddressEvent, Family: unix.AF_INET}, false},
		{"rule, of which there are none", rtnl.Event{Kind: rtnl.RuleEvent}, false},
		{"entry of the VXLAN device", rtnl.Event{Kind: rtnl.NeighborEvent, Device: d.vxlan(7)}, true},
		{"entry that we made", rtnl.Event{Kind: rtnl.NeighborEvent, Device: d.vxlan(7), Port: d.sys.port}, false},
		{"neighbour of another device", rtnl.Event{Kind: rtnl.NeighborEvent, Device: 9999}, false},
		{"segment removed", rtnl.Event{Kind: rtnl.RouteEvent, Removed: true, Route: segment}, true},
		{"segment made", rtnl.Event{Kind: rtnl.RouteEvent, Route: segment}, false},
		{"another route", rtnl.Event{Kind: rtnl.RouteEvent, Removed: true}, false},
		{"label", rtnl.Event{Kind: rtnl.LabelEvent, Removed: true, Label: rtnl.LabelRoute{Label: 777}}, true},
		{"another label", rtnl.Event{Kind: rtnl.LabelEvent, Removed: true, Label: rtnl.LabelRoute{Label: 778}}, false},
		{"events lost", rtnl.Event{Kind: rtnl.OverrunEvent}, true},
	} {
		if got := d.event(&row.event); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
