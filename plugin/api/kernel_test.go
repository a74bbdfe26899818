package api

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// gateway is the kernel's side of two VNIs.
func gateway() Kernel {
	return Kernel{
		Synced: true, Since: time.Unix(1, 0).UTC(), NextHopObjects: true,
		Tables: []KernelTable{
			{VNI: 100, Table: 254, Routes: 7, Steered: 3},
			{VNI: 200, Table: 200, VRF: "tenant-a", Routes: 3, Unclaimed: 1, Pending: 2, Conflicts: 4, Contested: 5, Dropped: 6, LastError: "10.0.0.0/24: EINVAL"},
		},
		NextHops: []KernelNextHop{
			{Kind: "overlay", Target: netip.MustParseAddr("2001:db8:1::1"), ID: 471000000, Routes: 3, Reachable: true, Device: "eth0", Gateway: netip.MustParseAddr("fe80::1")},
			{Kind: "overlay", Target: netip.MustParseAddr("2001:db8:1::2"), ID: 471000001, Routes: 2},
			{Kind: "vtep", Target: netip.MustParseAddr("192.0.2.9"), VNI: 200, RouterMAC: "02:00:c0:00:02:09", Label: 200, ID: 471000002, Routes: 1, Reachable: true, Device: "eth1"},
		},
		Devices: []KernelDevice{
			{Name: "overlay", Kind: "ip6tnl", OK: true},
			{Name: "tenant-a", Kind: "vrf", VNI: 200, Ours: true, OK: true},
			{Name: "from mb100", Kind: "rule", VNI: 100, Ours: true, OK: true},
			{Name: "from mb100", Kind: "rule", VNI: 100, Ours: true, Problem: "file exists"},
		},
		Counters: KernelCounters{
			Installed: 9, Removed: 2, NextHops: 3, Restored: 1, Swept: 4,
			Failed: map[string]uint64{"EINVAL": 2}, Resyncs: map[string]uint64{"start": 1}, ScanLasted: 0.5,
		},
	}
}

func TestMetricsOfTheKernelFollowItsState(t *testing.T) {
	s := full()
	s.Kernel = gateway
	body := get(t, s, "/metrics").Body.String()
	for _, want := range []string{
		`mbbgp_kernel_synced 1`,
		`mbbgp_kernel_swept 0`,
		`mbbgp_kernel_routes{table="200",vni="200"} 3`,
		`mbbgp_kernel_unclaimed_routes{table="200",vni="200"} 1`,
		`mbbgp_kernel_pending_prefixes{table="200",vni="200"} 2`,
		`mbbgp_kernel_conflicting_prefixes{table="200",vni="200"} 4`,
		`mbbgp_kernel_steered_ranges{table="254",vni="100"} 3`,
		`mbbgp_kernel_contested_addresses{table="200",vni="200"} 5`,
		`mbbgp_kernel_source_dropped_total{table="200",vni="200"} 6`,
		`mbbgp_kernel_nexthops{kind="overlay",reachable="true"} 1`,
		`mbbgp_kernel_nexthops{kind="overlay",reachable="false"} 1`,
		`mbbgp_kernel_nexthops{kind="vtep",reachable="false"} 0`,
		`mbbgp_kernel_operations_total{operation="install"} 9`,
		`mbbgp_kernel_operations_total{operation="sweep"} 4`,
		`mbbgp_kernel_failures_total{error="EINVAL"} 2`,
		`mbbgp_kernel_restored_total 1`,
		`mbbgp_kernel_resyncs_total{reason="start"} 1`,
		`mbbgp_kernel_scan_seconds 0.5`,
		`mbbgp_kernel_device_ok{device="tenant-a",kind="vrf",vni="200"} 1`,
		`mbbgp_kernel_device_ok{device="from mb100",kind="rule",vni="100"} 0`, // one of the two is not
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if without := get(t, full(), "/metrics").Body.String(); strings.Contains(without, "mbbgp_kernel") {
		t.Error("metrics of a kernel that is left alone")
	}
}
