package kernel

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
)

// vtepOf returns the hop of a VTEP whose MAC address ends in mac.
func vtepOf(addr string, mac byte, label uint32) hop {
	return hop{kind: vtepHop, target: netip.MustParseAddr(addr), vni: 7, mac: [6]byte{2, 0, 0, 0, 0, mac}, label: label}
}

var vxlanVNI = config.VNI{VNI: 7, Table: 1007, VXLANDevice: "vx7", Decapsulation: config.DecapOff}

// newVXLANOnly returns the devices of one VNI that needs no more than this
// machine's kernel has: VXLAN, and rules in place of a VRF.
func newVXLANOnly(t *testing.T, local string, before ...string) *devices {
	t.Helper()
	cfg := segmentConfig(vxlanVNI)
	cfg.VXLAN.Local = netip.MustParseAddr(local)
	d := newTestDevices(t, cfg, before...)
	reconciled(t, d)
	return d
}

// entriesOf returns the neighbours and the forwarding database of vx7 as
// iproute2 shows them.
func entriesOf(t *testing.T) []string {
	t.Helper()
	out := netns.Run(t, "ip", "-6", "neigh", "show", "dev", "vx7") + netns.Run(t, "bridge", "fdb", "show", "dev", "vx7")
	var list []string
	for _, line := range strings.Split(out, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}

func wantEntries(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := entriesOf(t); !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVTEPsHaveEntriesWhileTheyAreUsed(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1")
	a, b := vtepOf("192.0.2.2", 2, 7), vtepOf("192.0.2.3", 3, 9)
	try(t, d.addVTEP(a))
	try(t, d.addVTEP(b))
	wantEntries(t, "two VTEPs, one with a VNI of its own",
		"02:00:00:00:00:02 dst 192.0.2.2 self permanent",
		"02:00:00:00:00:03 dst 192.0.2.3 vni 9 self permanent",
		"fe80::ff:fe00:2 lladdr 02:00:00:00:00:02 PERMANENT proto 254",
		"fe80::ff:fe00:3 lladdr 02:00:00:00:00:03 PERMANENT proto 254")
	try(t, d.removeVTEP(a))
	wantEntries(t, "one is gone",
		"02:00:00:00:00:03 dst 192.0.2.3 vni 9 self permanent",
		"fe80::ff:fe00:3 lladdr 02:00:00:00:00:03 PERMANENT proto 254")
	try(t, d.removeVTEP(b))
	wantEntries(t, "both are gone")
}

func TestAVTEPMayHaveSeveralMACAddresses(t *testing.T) {
	d := newVXLANOnly(t, "2001:db8::1")
	before, after := vtepOf("2001:db8::2", 2, 7), vtepOf("2001:db8::2", 4, 7)
	try(t, d.addVTEP(before))
	try(t, d.addVTEP(after))
	wantEntries(t, "both work while it changes",
		"02:00:00:00:00:02 dst 2001:db8::2 self permanent",
		"02:00:00:00:00:04 dst 2001:db8::2 self permanent",
		"fe80::ff:fe00:2 lladdr 02:00:00:00:00:02 PERMANENT proto 254",
		"fe80::ff:fe00:4 lladdr 02:00:00:00:00:04 PERMANENT proto 254")
	wantConflict(t, d, "")
	try(t, d.removeVTEP(before))
	wantEntries(t, "the old one is gone",
		"02:00:00:00:00:04 dst 2001:db8::2 self permanent",
		"fe80::ff:fe00:4 lladdr 02:00:00:00:00:04 PERMANENT proto 254")
}

func TestTheLastVTEPOfAMACAddressCounts(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1")
	a, b := vtepOf("192.0.2.2", 5, 7), vtepOf("192.0.2.3", 5, 9)
	try(t, d.addVTEP(a))
	try(t, d.addVTEP(b))
	const neighbor = "fe80::ff:fe00:5 lladdr 02:00:00:00:00:05 PERMANENT proto 254"
	wantEntries(t, "two VTEPs with one MAC address", "02:00:00:00:00:05 dst 192.0.2.3 vni 9 self permanent", neighbor)
	wantConflict(t, d, "routes give the MAC address 02:00:00:00:00:05 to several VTEPs, or to several VNIs of one: VTEP 192.0.2.3 with VNI 9 is used")
	try(t, d.removeVTEP(b))
	wantEntries(t, "the other one is back", "02:00:00:00:00:05 dst 192.0.2.2 self permanent", neighbor)
	wantConflict(t, d, "")

	try(t, d.addVTEP(b))
	try(t, d.removeVTEP(a))
	wantEntries(t, "the first one is gone", "02:00:00:00:00:05 dst 192.0.2.3 vni 9 self permanent", neighbor)
	try(t, d.removeVTEP(b))
	wantEntries(t, "both are gone")
}

func wantConflict(t *testing.T, d *devices, want string) {
	t.Helper()
	for _, i := range d.info() {
		if i.Kind == "vxlan" && (i.Problem != want || i.OK != (want == "")) {
			t.Errorf("OK %v, problem %q; want %q", i.OK, i.Problem, want)
		}
	}
}

func TestEntriesComeBack(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1")
	try(t, d.addVTEP(vtepOf("192.0.2.2", 2, 7)))
	want := entriesOf(t)
	for _, row := range []struct {
		name, command string
		restored      int
	}{
		{"neighbour deleted", "ip neigh del fe80::ff:fe00:2 dev vx7", 1},
		{"neighbour changed", "ip neigh replace fe80::ff:fe00:2 lladdr 02:00:00:00:00:99 dev vx7 nud permanent", 1},
		{"forwarding entry deleted", "bridge fdb del 02:00:00:00:00:02 dev vx7 dst 192.0.2.2 self", 1},
		{"forwarding entry changed", "bridge fdb replace 02:00:00:00:00:02 dev vx7 dst 192.0.2.9 self permanent", 1},
		{"device down", "ip link set vx7 down", 3},
		{"device deleted", "ip link del vx7", 3},
	} {
		words := strings.Fields(row.command)
		netns.Run(t, words[0], words[1:]...)
		if n := reconciled(t, d); n < 1 || n > row.restored {
			t.Errorf("%s: restored %d, want %d", row.name, n, row.restored)
		}
		wantEntries(t, row.name, want...)
	}
}

func TestEntriesOfAnEarlierRunStayUntilTheSweep(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1")
	try(t, d.addVTEP(vtepOf("192.0.2.2", 2, 7)))
	try(t, d.addVTEP(vtepOf("192.0.2.3", 3, 7)))
	again := reopen(t, segmentConfig(vxlanVNI))
	reconciled(t, again)
	if n := len(entriesOf(t)); n != 4 {
		t.Fatalf("%d entries, want those of two VTEPs", n)
	}
	try(t, again.addVTEP(vtepOf("192.0.2.3", 3, 7)))
	try(t, again.sweep())
	wantEntries(t, "after the sweep",
		"02:00:00:00:00:03 dst 192.0.2.3 self permanent",
		"fe80::ff:fe00:3 lladdr 02:00:00:00:00:03 PERMANENT proto 254")
}

func TestEntriesOfOthersOnTheirDeviceStay(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1",
		"link add vx7 address 02:00:c0:00:02:01 type vxlan id 7 local 192.0.2.1 dstport 4789 nolearning", "link set vx7 addrgenmode none up",
		"neigh add fe80::8 lladdr 02:00:00:00:00:08 dev vx7 nud permanent",
		"neigh add fe80::9 lladdr 02:00:00:00:00:02 dev vx7 nud permanent") // of our VTEP
	netns.Run(t, "bridge", "fdb", "add", "02:00:00:00:00:08", "dev", "vx7", "dst", "192.0.2.8", "self", "permanent")
	before := entriesOf(t)
	try(t, d.addVTEP(vtepOf("192.0.2.2", 2, 7)))
	if n := len(entriesOf(t)); n != len(before)+2 {
		t.Fatalf("%d entries, want %d", n, len(before)+2)
	}
	try(t, d.remove())
	wantEntries(t, "after removal", before...)
}

func TestVTEPsOfNoUseAreRefused(t *testing.T) {
	d := newVXLANOnly(t, "192.0.2.1")
	for want, h := range map[string]hop{
		"VNI 8 has no VXLAN device for VTEP 192.0.2.2":                               {kind: vtepHop, target: netip.MustParseAddr("192.0.2.2"), vni: 8},
		"VTEP 2001:db8::2 is of another address family than vxlan.local (192.0.2.1)": vtepOf("2001:db8::2", 2, 7),
	} {
		if err := d.addVTEP(h); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		try(t, d.removeVTEP(h))
	}
	wantEntries(t, "nothing was made")
}

// TestPacketsCrossVXLANBothWays sends from a leaf that is nothing but a plain
// VXLAN device of Linux to a tenant of the VNI, and back.
func TestPacketsCrossVXLANBothWays(t *testing.T) {
	for _, row := range []struct{ name, here, there, bits string }{
		{"IPv4 underlay", "192.0.2.1", "192.0.2.2", "/24"},
		{"IPv6 underlay", "2001:db8::1", "2001:db8::2", "/64"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newVXLANOnly(t, row.here)
			newPeer(t, "leaf")
			newTenant(t, "", "1007")
			ip(t, "addr add "+row.here+row.bits+" dev leaf")
			there(t, "leaf", "addr add "+row.there+row.bits+" dev u",
				"link add vx address 02:00:00:00:00:02 type vxlan id 7 local "+row.there+" dstport 4789 nolearning", "link set vx up",
				"addr add 10.3.0.1/32 dev vx", "addr add fd03::1/128 dev vx",
				"neigh add 10.9.9.9 lladdr 02:00:c0:00:02:01 dev vx nud permanent", "neigh add fd09::9 lladdr 02:00:c0:00:02:01 dev vx nud permanent",
				"route add 10.1.0.0/24 via 10.9.9.9 dev vx onlink", "route add fd01::/64 via fd09::9 dev vx onlink")
			if out, err := exec.Command("bridge", "-n", "leaf", "fdb", "add", "02:00:c0:00:02:01", "dev", "vx", "dst", row.here, "self", "permanent").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}

			h := vtepOf(row.there, 2, 7)
			try(t, d.addVTEP(h))
			netns.Run(t, "ip", "-6", "nexthop", "add", "id", "1", "via", vtepGateway(h).String(), "dev", "vx7")
			ip(t, "route add 10.3.0.0/24 nhid 1 table 1007", "route add fd03::/64 nhid 1 table 1007")
			for _, addr := range []string{"10.1.0.2", "fd01::2"} {
				if !answers("leaf", addr) {
					t.Errorf("%s does not answer", addr)
				}
			}
		})
	}
}
