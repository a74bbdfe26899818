package api

// Which control plane a VNI prefers is changed in steps (migrate_switch.go), each
// of which can be looked at beforehand: a comparison is what both control planes
// tell of each prefix, what is in force, and what would be; and what is found on
// the way is a reason to wait, or to know (migrate_find.go). To verify is to
// compare with what is preferred already.

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mbbgp/bridge"
	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// Migration is what VNIs are moved with from one control plane to the other.
type Migration struct {
	Bridge planes
	Kernel verifier // nil: VNIs have no tables there
	Log    logrus.FieldLogger

	switching sync.Mutex // held while a VNI is switched
}

// planes are both control planes; *bridge.Bridge is them.
type planes interface {
	Preferred(rib.VNI) bridge.Preferred
	Prefer(rib.VNI, config.Prefer) error
	Compare(rib.VNI, config.Prefer, func(*bridge.Comparison) bool)
	CompareOne(rib.VNI, netip.Prefix, config.Prefer) (bridge.Comparison, bool)
	Ways(*bridge.Comparison, []rib.NextHop) []netip.Addr
	Hides(rib.VNI, *bridge.Comparison) bool
}

// verifier is what looks into the kernel; *kernel.Kernel is one.
type verifier interface {
	// Verify returns which prefixes of a VNI the kernel does not have as it
	// should, and why; false if the VNI has no table.
	Verify(rib.VNI, []netip.Prefix) (astray map[netip.Prefix]error, ok bool)
	// Unreachable returns the addresses that the underlay does not lead to.
	Unreachable([]netip.Addr) ([]netip.Addr, error)
}

// errNoMigration is the answer of a process that is no bridge.
var errNoMigration = status.Error(codes.FailedPrecondition, "this process is no bridge between control planes")

// migration answers the calls.
type migration struct {
	pb.UnimplementedMigrationServer
	*service
}

// Compare implements mbbgp.v1.
func (m migration) Compare(r *pb.CompareRequest, stream grpc.ServerStreamingServer[pb.CompareResponse]) error {
	if m.state.Migration == nil {
		return errNoMigration
	}
	vnis := chosen(r.GetVnis())
	if vnis == nil {
		vnis = m.configured()
	}
	if len(vnis) == 0 {
		return status.Error(codes.FailedPrecondition, "no VNI is configured")
	}
	for _, vni := range vnis {
		c, err := m.comparing(vni, r.GetPrefer(), r.GetComplete())
		if err != nil {
			return err
		}
		out := pages[*pb.ComparedPrefix]{send: func(list []*pb.ComparedPrefix) error {
			return stream.Send(&pb.CompareResponse{Prefixes: list})
		}}
		last := c.run(stream.Context(), func(x *bridge.Comparison, problem error) bool {
			return out.put(comparedMessage(vni, x, problem))
		})
		if out.flush(); out.err != nil {
			return out.err
		}
		if err := stream.Send(&pb.CompareResponse{Vni: last}); err != nil {
			return err
		}
	}
	return nil
}

// configured are the VNIs of the configuration.
func (m migration) configured() (list []rib.VNI) {
	if m.state.VNIs != nil {
		for _, v := range m.state.VNIs() {
			list = append(list, v.VNI)
		}
	}
	slices.Sort(list)
	return list
}

// comparison is one of a VNI that is under way.
type comparison struct {
	*Migration
	state     *State
	vni       rib.VNI
	preferred bridge.Preferred
	planned   config.Prefer
	asked     bool // planned was said, and not only what is preferred
	complete  bool // what the one that is preferred lacks blocks

	told    *pb.ComparedVNI
	lacking []string // prefixes that the one that is planned for lacks
	noWay   []string // that would go to this gateway, which has no way on
	hidden  []string // whose path in BGP would be hidden by our own
	astray  []string
	ways    map[netip.Addr]bool // where packets would go
	settled time.Time           // until when the kernel may still catch up
}

// settling is how long a comparison waits for the kernel, which follows what has
// just changed.
const settling = 2 * time.Second

// comparing begins a comparison of a VNI with what it would be if it preferred a
// control plane; "": as it is. The error is one of a call.
func (m migration) comparing(vni rib.VNI, prefer string, complete bool) (*comparison, error) {
	c := &comparison{
		Migration: m.state.Migration, state: m.state, vni: vni, complete: complete,
		told: &pb.ComparedVNI{Vni: uint32(vni)}, ways: map[netip.Addr]bool{}, settled: time.Now().Add(settling),
	}
	c.preferred = c.Bridge.Preferred(vni)
	if c.preferred.Fixed == bridge.ErrNotConfigured {
		return nil, status.Errorf(codes.NotFound, "vni %d: %v", vni, c.preferred.Fixed)
	}
	c.planned = c.preferred.Prefer
	if c.asked = prefer != ""; c.asked {
		var err error
		if c.planned, err = config.ParsePrefer(prefer); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "prefer: %v", err)
		}
	}
	if m.state.VNIs != nil {
		for _, v := range m.state.VNIs() {
			if v.VNI == vni {
				c.told.Name, c.told.Table = v.Name, v.Table
			}
		}
	}
	return c, nil
}

// run visits all prefixes, with what is wrong with them in the kernel, and returns
// what is to be said of the VNI.
func (c *comparison) run(ctx context.Context, visit func(*bridge.Comparison, error) bool) *pb.ComparedVNI {
	t := c.told
	t.Preferred, t.Configured, t.Planned = c.preferred.Prefer.String(), c.preferred.Configured.String(), c.planned.String()
	t.Kept = c.preferred.Overridden && c.preferred.Kept
	var batch []*bridge.Comparison
	going := true
	flush := func() bool {
		astray := c.verify(ctx, batch)
		for _, x := range batch {
			problem := astray[x.Prefix]
			c.count(x, problem)
			if going = going && visit(x, problem); !going {
				break
			}
		}
		batch = batch[:0]
		return going
	}
	c.Bridge.Compare(c.vni, c.planned, func(x *bridge.Comparison) bool {
		batch = append(batch, x)
		return len(batch) < verifyAtOnce || flush()
	})
	if going {
		flush()
	}
	t.Findings = c.findings()
	return t
}

// verifyAtOnce is how many prefixes the kernel is asked about at a time.
const verifyAtOnce = 1024

// verify returns what is wrong with prefixes in the kernel, once it has had the
// time to follow.
func (c *comparison) verify(ctx context.Context, batch []*bridge.Comparison) map[netip.Prefix]error {
	if c.Kernel == nil || c.told.Table == 0 {
		return nil
	}
	prefixes := make([]netip.Prefix, 0, len(batch))
	for _, x := range batch {
		prefixes = append(prefixes, x.Prefix)
	}
	for {
		astray, ok := c.Kernel.Verify(c.vni, prefixes)
		if !ok || len(astray) == 0 || ctx.Err() != nil || time.Now().After(c.settled) {
			return astray
		}
		prefixes = slices.Collect(maps.Keys(astray))
		pause(ctx, patience)
	}
}

// patience is how long to wait before the kernel is looked at once more.
const patience = 20 * time.Millisecond

// pause waits, or until ctx is over.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// count adds a prefix to what is said of the VNI.
func (c *comparison) count(x *bridge.Comparison, problem error) {
	t, p := c.told, x.Prefix.String()
	t.Prefixes++
	lacks := bridge.OnlyBGP
	if c.planned == config.PreferBGP {
		lacks = bridge.OnlyMetalBond
	}
	side := x.Side()
	switch side {
	case bridge.Both:
		t.Both++
	case bridge.OnlyBGP:
		t.OnlyBgp++
	case bridge.OnlyMetalBond:
		t.OnlyMetalbond++
	default:
		t.Neither++
	}
	if side == lacks {
		c.lacking = append(c.lacking, p)
	}
	if problem != nil {
		t.Astray++
		c.astray = append(c.astray, p+": "+problem.Error())
	}
	if !x.Changes() {
		return
	}
	t.Changes++
	ways := c.Bridge.Ways(x, x.Then)
	if len(ways) == 0 {
		c.noWay = append(c.noWay, p)
	}
	for _, a := range ways {
		c.ways[a] = true
	}
	if c.planned == config.PreferMetalBond && c.Bridge.Hides(c.vni, x) {
		c.hidden = append(c.hidden, p)
	}
}

// comparedMessage returns a prefix for a message.
func comparedMessage(vni rib.VNI, x *bridge.Comparison, problem error) *pb.ComparedPrefix {
	m := &pb.ComparedPrefix{
		Vni: uint32(vni), Prefix: x.Prefix.String(), Side: x.Side().String(),
		Bgp: hopTexts(x.BGP), Via: hopTexts(x.Via), Metalbond: hopTexts(x.MetalBond),
		Now: hopTexts(x.Now), Then: hopTexts(x.Then), Changes: x.Changes(),
	}
	if problem != nil {
		m.Problem = problem.Error()
	}
	return m
}

func hopTexts(hops []rib.NextHop) (list []string) {
	for _, nh := range hops {
		list = append(list, nh.String())
	}
	return list
}
