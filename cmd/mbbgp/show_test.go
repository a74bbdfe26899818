package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

func TestExplanationReads(t *testing.T) {
	preferred := uint32(200)
	e := &pb.ExplainResponse{
		Vni: 200, Configured: true, Prefix: "10.1.0.7/32",
		NextHops: []*pb.ExplainedNextHop{
			{
				NextHop: &pb.NextHop{Target: "2001:db8:1::7", Type: "nat", NatFrom: 1024, NatTo: 2048}, Visible: true,
				Claims: []*pb.Claim{{Source: "client", Name: "[2001:db8::5]:40000", Preference: 200}, {Source: "bgp", Name: "192.0.2.9", Preference: 108}},
				Export: &pb.Verdict{Reason: "next-hop-type", Detail: "10.1.0.7/32 by 2001:db8:1::7#nat#1024#2048 from client"},
			},
			{
				NextHop: &pb.NextHop{Target: "2001:db8:f::100", TargetVni: 100, Type: "standard"},
				Claims:  []*pb.Claim{{Source: "leaked", Name: "vni 100", Preference: 50}},
				Export:  &pb.Verdict{Reason: "not-preferred"},
			},
		},
		Paths: []*pb.BGPPath{
			{
				Kind: "vpn", Nlri: "192.0.2.9:1:10.1.0.7/32", Neighbor: "192.0.2.9", Best: true, Stale: true,
				NextHop: "2001:db8:2::1", Sid: "2001:db8:2:1:100::", Label: 3,
				RouteTargets: []string{"target:65000:200"}, DPath: []string{"65001:1"}, LocalPreference: &preferred,
				Import: []*pb.Verdict{{Accepted: true, NextHop: "2001:db8:2:1:100::"}, {Accepted: true, NextHop: "2001:db8:f::200", Via: "198.51.100.9 (label 16)"}},
			},
		},
	}
	const want = `vni 200, 10.1.0.7/32

MetalBond
  via 2001:db8:1::7
    type            nat, ports 1024 to 2048
    said by         client [2001:db8::5]:40000, native (200)
    said by         bgp 192.0.2.9, preference 108
    clients see it  yes
    to BGP          refused: next-hop-type: 10.1.0.7/32 by 2001:db8:1::7#nat#1024#2048 from client
  via 2001:db8:f::100
    type            standard
    target vni      100
    said by         leaked vni 100, relayed (50)
    clients see it  no
    to BGP          refused: not-preferred

BGP
  vpn 192.0.2.9:1:10.1.0.7/32
    from              192.0.2.9, stale
    best              yes
    next hop          2001:db8:2::1
    SID               2001:db8:2:1:100::
    label             3
    route targets     target:65000:200
    d-path            65001:1
    local preference  200
    to MetalBond      accepted, via 2001:db8:2:1:100::
    to MetalBond      accepted, via 2001:db8:f::200, and on to 198.51.100.9 (label 16)
`
	var got strings.Builder
	if printExplanation(&got, e); got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

func TestExplanationOfConfiguredPrefixesReads(t *testing.T) {
	const want = `vni 100, 0.0.0.0/0
No hypervisor reads the VNI, so neighbors with route target constraint are not asked for its routes.
The VNI originates it toward hypervisors: no BGP path offers it any more, in its hold-down
It is an aggregate of the VNI: exported yes, 2 prefixes inside it

MetalBond
  no next hop

BGP
  no path
`
	var got strings.Builder
	printExplanation(&got, &pb.ExplainResponse{
		Vni: 100, Configured: true, NotAsked: true, Prefix: "0.0.0.0/0",
		Originated: &pb.Originated{Present: true}, Aggregate: &pb.Aggregate{Exported: true, Contributors: 2},
	})
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

func TestNeighborsRead(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	const want = `NEIGHBOR      AS     STATE        FOR     IMPORTED   FAMILIES     REMARK
192.0.2.9     65001  established  1h0m5s  10 of 100  evpn+ vpnv4  leaf 9; vpnv4 long-lived stale; 2 refused by max-prefixes
2001:db8::99  65000  active       -       0          -            hold timer expired
`
	var got strings.Builder
	printNeighbors(&got, []*pb.Neighbor{
		{
			Address: "192.0.2.9", Asn: 65001, Description: "leaf 9", State: "established", Since: timestamppb.New(now.Add(-time.Hour - 5*time.Second)),
			Routes: 10, MaxRoutes: 100, Refused: 2, LastError: "of long ago",
			Families: []*pb.NeighborFamily{{Family: "evpn", EndOfRib: true}, {Family: "vpnv4"}},
			Stale:    []*pb.StaleFamily{{Family: "vpnv4", LongLived: true}},
		},
		{Address: "2001:db8::99", Asn: 65000, State: "active", LastError: "hold timer expired"},
	}, now)
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

func TestPolicyReads(t *testing.T) {
	const want = `VNI  DIRECTION  RULE     MATCHED  REFUSED  THEN      WHEN                       SET
200  import     private  12       12       refuse    prefixes 10.0.0.0/8 le 32  -
200  export     rule-1   3        0        continue  everything                 communities 65001:200
`
	var got strings.Builder
	printPolicy(&got, []*pb.PolicyRule{
		{Vni: 200, Direction: "import", Name: "private", When: "prefixes 10.0.0.0/8 le 32", Then: "refuse", Matched: 12, Refused: 12},
		{Vni: 200, Direction: "export", Name: "rule-1", When: "everything", Set: "communities 65001:200", Then: "continue", Matched: 3},
	})
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

func TestPeersRead(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	const want = `PROTOCOL   ROLE      PEER                 STATE        FOR    ROUTES  HELD  BEHIND  REFUSED  VNIS     REMARK
metalbond  client    [2001:db8::5]:40000  established  1m30s  3       0     7       1        100 200  -
metalbond  server    a.example:4711       down         2s     0       9     0       0        100      connection refused
bgp        external  192.0.2.9            active       -      0       0     0       0        -        -
`
	var got strings.Builder
	printPeers(&got, []*pb.Peer{
		{
			Protocol: "metalbond", Role: "client", Peer: "[2001:db8::5]:40000", State: "established", Established: true, Since: timestamppb.New(now.Add(-90 * time.Second)),
			Routes: 3, Behind: 7, Refused: 1, Vnis: []uint32{100, 200}, LastError: "of long ago",
		},
		{Protocol: "metalbond", Role: "server", Peer: "a.example:4711", State: "down", Since: timestamppb.New(now.Add(-2 * time.Second)), Held: 9, Vnis: []uint32{100}, LastError: "connection refused"},
		{Protocol: "bgp", Role: "external", Peer: "192.0.2.9", State: "active"},
	}, now)
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

func TestJSONHasEveryFieldByItsName(t *testing.T) {
	med := uint32(0)
	for _, row := range []struct {
		m    proto.Message
		want string
	}{
		{&pb.PolicyRule{When: `a "<b>" & c`, Matched: 1 << 60}, `{"vni":0,"direction":"","name":"","when":"a \"<b>\" & c","set":"","then":"","matched":1152921504606846976,"refused":0}`},
		{&pb.GetStatusResponse{Started: timestamppb.New(time.Unix(1, 5000)), Conditions: []*pb.Condition{{Name: "x", Ok: true}, {}}},
			`{"version":"","started":"1970-01-01T00:00:01.000005Z","ready":false,"conditions":[{"name":"x","ok":true,"detail":""},{"name":"","ok":false,"detail":""}]}`},
		{&pb.KernelCounters{Failed: map[string]uint64{"EINVAL": 2, "EEXIST": 1}, ScanSeconds: 0.5},
			`{"installed":0,"removed":0,"nextHops":0,"restored":0,"swept":0,"failed":{"EEXIST":1,"EINVAL":2},"resyncs":{},"scanSeconds":0.5}`},
		{&pb.BGPPath{Med: &med, RouteTargets: []string{"a"}},
			`{"kind":"","nlri":"","neighbor":"","best":false,"stale":false,"nextHop":"","label":0,"sid":"","routeTargets":["a"],"siteOfOrigin":[],"communities":[],"largeCommunities":[],"dPath":[],"med":0,"import":[],"prefix":""}`},
	} {
		if got := string(api.JSON(row.m)); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
		if err := protojson.Unmarshal(api.JSON(row.m), proto.Clone(row.m)); err != nil {
			t.Errorf("protobuf does not read it: %v", err)
		}
	}
}
