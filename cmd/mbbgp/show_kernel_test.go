package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "mbbgp/plugin/api/v1"
)

func TestKernelReads(t *testing.T) {
	now := time.Unix(1000, 0)
	k := &pb.GetKernelResponse{
		Synced: true, Since: timestamppb.New(now.Add(-90 * time.Second)), NextHopObjects: true,
		Tables: []*pb.KernelTable{
			{Vni: 100, Table: 254, Routes: 12, SteeredRanges: 3},
			{Vni: 200, Table: 200, Vrf: "tenant-a", Routes: 3, Unclaimed: 1, Pending: 1, Conflicts: 2, LastError: "10.0.0.0/24: EINVAL"},
		},
		NextHops: []*pb.KernelNextHop{
			{Kind: "overlay", Target: "2001:db8:1::1", Id: 471000000, Routes: 3, Reachable: true, Device: "eth0", Gateway: "fe80::1"},
			{Kind: "overlay", Target: "2001:db8:1::2", Routes: 2},
			{Kind: "vtep", Target: "192.0.2.9", Vni: 200, RouterMac: "02:00:c0:00:02:09", Label: 200, Routes: 1, Reachable: true, Device: "eth1"},
			{Kind: "discard", Routes: 1},
		},
		Devices: []*pb.KernelDevice{
			{Name: "overlay", Kind: "ip6tnl", Ok: true},
			{Name: "vx200", Kind: "vxlan", Vni: 200, Problem: "id 7, want 200"},
		},
		Counters: &pb.KernelCounters{Restored: 2},
	}
	const want = `in step with the tables for 1m30s; routes of an earlier run stay until they are claimed or settle is over; 2 restored

VNI  TABLE  VRF       ROUTES  UNCLAIMED  PENDING  CONFLICTS  NAT RANGES  LAST ERROR
100  254    -         12      0          0        0          3           -
200  200    tenant-a  3       1          1        2          0           10.0.0.0/24: EINVAL

NEXT HOP                                           KIND     ROUTES  UNDERLAY
2001:db8:1::1                                      overlay  3       dev eth0 via fe80::1
2001:db8:1::2                                      overlay  2       unreachable
192.0.2.9 vni 200 label 200 mac 02:00:c0:00:02:09  vtep     1       dev eth1
-                                                  discard  1       -

DEVICE  KIND   VNI  PROBLEM
vx200   vxlan  200  id 7, want 200
`
	var text strings.Builder
	printKernel(&text, k, now)
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	k.Devices = k.Devices[:1]
	k.Synced, k.NextHopObjects, k.Swept = false, false, true
	text.Reset()
	printKernel(&text, k, now)
	for _, want := range []string{"not in step with the tables; no next hop objects; 2 restored\n", "\ndevices, addresses, rules and segments: 1, all as they should be\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

func TestExplanationSaysWhatIsInTheKernel(t *testing.T) {
	e := &pb.ExplainResponse{Vni: 200, Configured: true, Prefix: "10.1.0.7/32", Kernel: &pb.KernelRoute{
		Table: 200, Problem: "EINVAL: Nexthop has invalid gateway",
		NextHops: []*pb.KernelNextHop{
			{Kind: "overlay", Target: "2001:db8:1::7", Id: 471000000, Reachable: true, Device: "eth0"},
			{Kind: "overlay", Target: "2001:db8:1::8"},
		},
	}}
	const want = `
Kernel
  table 200, not installed: EINVAL: Nexthop has invalid gateway
  via 2001:db8:1::7
    kind             overlay
    next hop object  471000000
    underlay         dev eth0
  via 2001:db8:1::8
    kind      overlay
    underlay  unreachable
`
	var text strings.Builder
	printExplanation(&text, e)
	if _, got, _ := strings.Cut(text.String(), "no path\n"); got != want {
		t.Errorf("-want +got:\n%s", cmp.Diff(want, got))
	}
	e.Kernel.Installed = true
	text.Reset()
	printExplanation(&text, e)
	if !strings.Contains(text.String(), "  table 200, installed as it was before: EINVAL: Nexthop has invalid gateway\n") {
		t.Errorf("got\n%s", &text)
	}
}
