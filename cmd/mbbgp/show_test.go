package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbbgp/plugin/api"
)

func TestExplanationReads(t *testing.T) {
	preferred := uint32(200)
	e := &api.Explanation{
		VNI: 200, Configured: true, Prefix: netip.MustParsePrefix("10.1.0.7/32"),
		NextHops: []api.ExplainedHop{
			{
				Target: netip.MustParseAddr("2001:db8:1::7"), Type: "nat", NATFrom: 1024, NATTo: 2048, Visible: true,
				Claims: []api.Claim{{Source: "client", Name: "[2001:db8::5]:40000", Preference: 200}, {Source: "bgp", Name: "192.0.2.9", Preference: 108}},
				Export: api.Verdict{Reason: "next-hop-type", Detail: "10.1.0.7/32 by 2001:db8:1::7#nat#1024#2048 from client"},
			},
			{
				Target: netip.MustParseAddr("2001:db8:f::100"), TargetVNI: 100, Type: "standard",
				Claims: []api.Claim{{Source: "leaked", Name: "vni 100", Preference: 50}},
				Export: api.Verdict{Reason: "not-preferred"},
			},
		},
		Paths: []api.ExplainedBGP{
			{
				Kind: "vpn", NLRI: "192.0.2.9:1:10.1.0.7/32", Neighbor: netip.MustParseAddr("192.0.2.9"), Best: true, Stale: true,
				NextHop: netip.MustParseAddr("2001:db8:2::1"), SID: netip.MustParseAddr("2001:db8:2:1:100::"), Label: 3,
				RouteTargets: []string{"target:65000:200"}, DPath: []string{"65001:1"}, LocalPreference: &preferred,
				Import: []api.Verdict{{Accepted: true, NextHop: "2001:db8:2:1:100::"}, {Accepted: true, NextHop: "2001:db8:f::200", Via: "198.51.100.9 (label 16)"}},
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
	printExplanation(&got, &api.Explanation{
		VNI: 100, Configured: true, NotAsked: true, Prefix: netip.MustParsePrefix("0.0.0.0/0"),
		Originated: &api.Originated{Present: true}, Aggregate: &api.Aggregate{Exported: true, Contributors: 2},
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
	printNeighbors(&got, []api.Neighbor{
		{
			Address: netip.MustParseAddr("192.0.2.9"), ASN: 65001, Description: "leaf 9", State: "established", Since: now.Add(-time.Hour - 5*time.Second),
			Routes: 10, MaxRoutes: 100, Refused: 2, LastError: "of long ago",
			Families: []api.NeighborFamily{{Family: "evpn", EndOfRIB: true}, {Family: "vpnv4"}},
			Stale:    []api.StaleFamily{{Family: "vpnv4", LongLived: true}},
		},
		{Address: netip.MustParseAddr("2001:db8::99"), ASN: 65000, State: "active", LastError: "hold timer expired"},
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
	printPolicy(&got, []api.PolicyRule{
		{VNI: 200, Direction: "import", Name: "private", When: "prefixes 10.0.0.0/8 le 32", Then: "refuse", Matched: 12, Refused: 12},
		{VNI: 200, Direction: "export", Name: "rule-1", When: "everything", Set: "communities 65001:200", Then: "continue", Matched: 3},
	})
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}
