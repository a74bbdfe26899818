package main

import (
	"net/netip"
	"reflect"
	"runtime/debug"
	"testing"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

func buildInfo() *debug.BuildInfo {
	return &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Deps: []*debug.Module{{Path: "example.org/other", Version: "v9"}, {Path: speakerModule, Version: "v4.8.0"}},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123abcd"}, {Key: "vcs.modified", Value: "true"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		},
	}
}

func TestNeighborIsInOnceItsFirstTablesAre(t *testing.T) {
	families := func(ended ...bool) (list []gobgp.FamilyInfo) {
		for _, e := range ended {
			list = append(list, gobgp.FamilyInfo{Family: config.FamilyEVPN, EndOfRIB: e})
		}
		return list
	}
	rows := []struct {
		name string
		info gobgp.NeighborInfo
		want bool
	}{
		{"never established", gobgp.NeighborInfo{State: gobgp.Active}, false},
		{"established, table on its way", gobgp.NeighborInfo{State: gobgp.Established, Ups: 1, Families: families(true, false)}, false},
		{"established, table in", gobgp.NeighborInfo{State: gobgp.Established, Ups: 1, Families: families(true, true)}, true},
		{"was there and is gone", gobgp.NeighborInfo{State: gobgp.Idle, Ups: 1}, true},
	}
	for _, row := range rows {
		row.info.Address = netip.MustParseAddr("192.0.2.254")
		if got := neighborCondition(row.info); got.OK != row.want {
			t.Errorf("%s: %+v", row.name, got)
		}
	}
}

func TestNeighborIsShownWithAllThatBothEndsAgreedOn(t *testing.T) {
	since := time.Unix(100, 0)
	got := neighbor(gobgp.NeighborInfo{
		Address: netip.MustParseAddr("192.0.2.254"), ASN: 65000, LocalASN: 65001, RouterID: netip.MustParseAddr("192.0.2.9"), Description: "leaf", Dynamic: true,
		State: gobgp.Established, Since: since, Ups: 2, LastError: "x", Updates: 3, Withdrawals: 4, Restart: 2 * time.Minute,
		Families: []gobgp.FamilyInfo{{
			Family: config.FamilyVPNv4, EndOfRIB: true, AddPathReceive: true, ExtendedNextHop: true, GracefulRestart: true, LongLived: time.Hour,
		}},
		Stale: []gobgp.StaleInfo{{Family: config.FamilyEVPN, LongLived: true, Until: since}},
	}, bridge.LimitStats{Max: 10, Used: 5, Refused: 6})
	want := api.Neighbor{
		Address: netip.MustParseAddr("192.0.2.254"), ASN: 65000, LocalASN: 65001, RouterID: netip.MustParseAddr("192.0.2.9"), Description: "leaf", Dynamic: true,
		State: "established", Since: since, Sessions: 2, LastError: "x", Routes: 5, MaxRoutes: 10, Refused: 6, Updates: 3, Withdrawals: 4, Restart: 120,
		Families: []api.NeighborFamily{{Family: "vpnv4", EndOfRIB: true, AddPathReceive: true, ExtendedNextHop: true, GracefulRestart: true, LongLived: 3600}},
		Stale:    []api.StaleFamily{{Family: "evpn", LongLived: true, Until: since}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadinessDoesNotWaitForEver(t *testing.T) {
	waiting := api.Condition{Name: "bgp-neighbor 192.0.2.254", Detail: "active"}
	young, old := &daemon{begun: time.Now()}, &daemon{begun: time.Now().Add(-settle - time.Second)}
	if young.patient(waiting).OK {
		t.Error("not waited for")
	}
	if got := old.patient(waiting); !got.OK || got.Detail != "active, not waited for any longer" {
		t.Errorf("after a minute: %+v", got)
	}
}

func TestClientIsNamedByItsAddressServerAsConfigured(t *testing.T) {
	if got := session(metalbond.SessionInfo{Peer: "[2001:db8::1]:50000"}).Peer; got != "2001:db8::1" {
		t.Errorf("client %s", got)
	}
	if got := session(metalbond.SessionInfo{Peer: "a.example:4711", Server: true}).Peer; got != "a.example:4711" {
		t.Errorf("server %s", got)
	}
}

func TestNextHopsOfAVNIAreItsOwnAffair(t *testing.T) {
	cfg := &config.Config{VNIs: []config.VNI{{VNI: 1, NextHops: config.NextHopsAll}, {VNI: 2, NextHops: config.NextHopsOne}}}
	cfg.MetalBond.NextHops = config.NextHopsOne
	one := func(vni rib.VNI) bool { return oneNextHop(cfg, vni) }
	if one(1) || !one(2) || !one(3) {
		t.Errorf("one next hop: %v %v %v, want false true true", one(1), one(2), one(3))
	}
}
