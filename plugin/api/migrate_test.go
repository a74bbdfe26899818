package api

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// fakePlanes have prefixes that both control planes tell of.
type fakePlanes struct {
	prefer   config.Prefer
	prefixes []netip.Prefix
	refuses  error // to prefer something else
}

var bgpHop, metalBondHop = rib.NextHop{Target: netip.MustParseAddr("2001:db8:2::1")}, rib.NextHop{Target: netip.MustParseAddr("2001:db8:1::1")}

func (f *fakePlanes) Preferred(rib.VNI) bridge.Preferred {
	return bridge.Preferred{Prefer: f.prefer, Kept: true}
}

func (f *fakePlanes) Prefer(_ rib.VNI, p config.Prefer) error {
	if f.refuses == nil {
		f.prefer = p
	}
	return f.refuses
}

func (f *fakePlanes) Compare(vni rib.VNI, p config.Prefer, visit func(*bridge.Comparison) bool) {
	for _, prefix := range f.prefixes {
		if c, _ := f.CompareOne(vni, prefix, p); !visit(&c) {
			return
		}
	}
}

func (f *fakePlanes) CompareOne(_ rib.VNI, prefix netip.Prefix, p config.Prefer) (bridge.Comparison, bool) {
	hops := map[config.Prefer][]rib.NextHop{config.PreferBGP: {bgpHop}, config.PreferMetalBond: {metalBondHop}}
	return bridge.Comparison{
		Prefix: prefix, BGP: hops[config.PreferBGP], MetalBond: hops[config.PreferMetalBond], Now: hops[f.prefer], Then: hops[p],
	}, true
}

func (f *fakePlanes) Ways(_ *bridge.Comparison, hops []rib.NextHop) (ways []netip.Addr) {
	for _, nh := range hops {
		ways = append(ways, nh.Target)
	}
	return ways
}

func (f *fakePlanes) Hides(rib.VNI, *bridge.Comparison) bool { return false }

// fakeKernel does not get beyond some prefixes once MetalBond is preferred.
type fakeKernel struct {
	planes      *fakePlanes
	takes       int
	unreachable []netip.Addr
}

func (k *fakeKernel) Verify(_ rib.VNI, prefixes []netip.Prefix) (map[netip.Prefix]error, bool) {
	astray := map[netip.Prefix]error{}
	if k.planes.prefer == config.PreferMetalBond {
		for _, p := range prefixes {
			if slices.Index(k.planes.prefixes, p) >= k.takes {
				astray[p] = errors.New("no buffer space available")
			}
		}
	}
	return astray, true
}

func (k *fakeKernel) Unreachable([]netip.Addr) ([]netip.Addr, error) { return k.unreachable, nil }

// A switch that ends otherwise than planned says at which step, and what is
// preferred then.
func TestSwitchThatFailsIsTakenBack(t *testing.T) {
	for _, row := range []struct {
		name    string
		takes   int
		down    []netip.Addr
		refuses error
		back    bool
		steps   string
		want    *pb.SwitchResult
	}{
		{
			name: "all goes well", takes: 3, back: true,
			steps: "check done, switch done, kernel done, verify done",
			want:  &pb.SwitchResult{Ok: true, Preferred: "metalbond"},
		},
		{
			name: "the kernel stops in the middle", takes: 2, back: true,
			steps: "check done, switch done, kernel failed, rollback done",
			want:  &pb.SwitchResult{Preferred: "bgp", RolledBack: true, Reason: "2 of 3 prefixes in the kernel for 30s; of 10.1.0.2/32: no buffer space available"},
		},
		{
			name: "the kernel stops, and it is to stay so", takes: 2,
			steps: "check done, switch done, kernel failed",
			want:  &pb.SwitchResult{Preferred: "metalbond", Reason: "2 of 3 prefixes in the kernel for 30s; of 10.1.0.2/32: no buffer space available"},
		},
		{
			name: "a next hop cannot be reached", takes: 3, down: []netip.Addr{metalBondHop.Target}, back: true,
			steps: "check failed",
			want:  &pb.SwitchResult{Preferred: "bgp", Reason: "1 finding blocks it"},
		},
		{
			name: "it cannot be kept", takes: 3, refuses: errors.New("write prefer.json: disk full"), back: true,
			steps: "check done, switch failed",
			want:  &pb.SwitchResult{Preferred: "bgp", Reason: "write prefer.json: disk full"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				planes := &fakePlanes{prefer: config.PreferBGP, refuses: row.refuses}
				for i := range 3 {
					planes.prefixes = append(planes.prefixes, netip.MustParsePrefix(fmt.Sprintf("10.1.0.%d/32", i)))
				}
				state := &State{
					VNIs:      func() []VNI { return []VNI{{VNI: 200, Table: 200}} },
					Migration: &Migration{Bridge: planes, Kernel: &fakeKernel{planes, row.takes, row.down}, Log: logrus.New()},
				}
				m := migration{service: newService(state)}
				before, err := m.comparing(200, "metalbond", false)
				if err != nil {
					t.Fatal(err)
				}
				var steps []string
				progress, changes := 0, 0
				s := &switching{
					migration: m, before: before, request: &pb.SwitchRequest{Vni: 200, RollbackOnFailure: row.back},
					tell: func(a *pb.SwitchResponse) {
						changes += len(a.GetChanges())
						if x := a.GetStep(); x.GetState() == "running" && x.GetDetail() != "" {
							progress++
						} else if x.GetState() == "done" || x.GetState() == "failed" {
							steps = append(steps, x.GetName()+" "+x.GetState())
						}
					},
				}
				begun := time.Now()
				got := s.run(t.Context())
				if got.GetOk() != row.want.GetOk() || got.GetPreferred() != row.want.GetPreferred() ||
					got.GetRolledBack() != row.want.GetRolledBack() || got.GetReason() != row.want.GetReason() {
					t.Errorf("%v, want %v", got, row.want)
				}
				if list := strings.Join(steps, ", "); list != row.steps {
					t.Errorf("steps %s, want %s", list, row.steps)
				}
				if changes != 3 {
					t.Errorf("%d changes were told, want 3", changes)
				}
				if stuck := strings.Contains(row.steps, "kernel failed"); stuck != (progress >= 25) {
					t.Errorf("progress was told %d times in %v", progress, time.Since(begun))
				}
			})
		})
	}
}

func TestOneSwitchAtATime(t *testing.T) {
	planes := &fakePlanes{prefer: config.PreferBGP, prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/32")}}
	state := State{Migration: &Migration{Bridge: planes, Log: logrus.New()}}
	client := pb.NewMigrationClient(serveAPI(t, state))
	state.Migration.switching.Lock()
	stream, err := client.Switch(t.Context(), &pb.SwitchRequest{Vni: 200, Prefer: "metalbond"})
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil || !strings.Contains(err.Error(), "another VNI is being switched at this moment") {
		t.Errorf("%v", err)
	}
	if planes.prefer != config.PreferBGP {
		t.Error("it was switched all the same")
	}
}
