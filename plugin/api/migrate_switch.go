package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mbbgp/bridge"
	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// stuck is how long the kernel may take none of the changes that are left before
// a switch has failed.
const stuck = 30 * time.Second

// Switch implements mbbgp.v1.
func (m migration) Switch(r *pb.SwitchRequest, stream grpc.ServerStreamingServer[pb.SwitchResponse]) error {
	if m.state.Migration == nil {
		return errNoMigration
	}
	if r.GetPrefer() == "" {
		return status.Error(codes.InvalidArgument, "prefer: missing, want metalbond or bgp")
	}
	before, err := m.comparing(rib.VNI(r.GetVni()), r.GetPrefer(), r.GetComplete())
	if err != nil {
		return err
	}
	if !m.state.Migration.switching.TryLock() {
		return status.Error(codes.FailedPrecondition, "another VNI is being switched at this moment")
	}
	defer m.state.Migration.switching.Unlock()
	ctx := context.WithoutCancel(stream.Context()) // whoever asked may go away: what was begun is brought to its end
	s := &switching{migration: m, request: r, before: before, tell: func(a *pb.SwitchResponse) { _ = stream.Send(a) }}
	result := s.run(ctx)
	s.log(result)
	return stream.Send(&pb.SwitchResponse{Result: result})
}

// switching is a switch that is under way.
type switching struct {
	migration
	request *pb.SwitchRequest
	before  *comparison
	plan    []planned
	begun   bool                     // the preference was changed
	tell    func(*pb.SwitchResponse) // who asked may be gone
}

// planned is a prefix whose next hops change.
type planned struct {
	prefix netip.Prefix
	then   []rib.NextHop
}

// run does the steps one after the other.
func (s *switching) run(ctx context.Context) *pb.SwitchResult {
	vni, was, next := s.before.vni, s.before.preferred.Prefer, s.before.planned
	failed := func(err error) *pb.SwitchResult {
		return &pb.SwitchResult{Preferred: s.state.Migration.Bridge.Preferred(vni).Prefer.String(), Reason: err.Error()}
	}
	if err := s.step("check", func() (string, error) { return s.check(ctx) }); err != nil {
		return failed(err)
	}
	err := s.step("switch", func() (string, error) { return s.prefer(next) })
	if err != nil {
		return failed(err)
	}
	err = s.step("kernel", func() (string, error) { return s.follow("kernel") })
	if err == nil {
		err = s.step("verify", func() (string, error) { return s.verify(ctx) })
	}
	if err == nil {
		return &pb.SwitchResult{Ok: true, Preferred: next.String()}
	}
	result := failed(err)
	if !s.request.GetRollbackOnFailure() || was == next {
		return result
	}
	err = s.step("rollback", func() (string, error) {
		if _, err := s.prefer(was); err != nil {
			return "", err
		}
		return s.follow("rollback")
	})
	result.RolledBack = err == nil
	result.Preferred = s.state.Migration.Bridge.Preferred(vni).Prefer.String()
	return result
}

// step does one of them, and tells of its begin and its end.
func (s *switching) step(name string, do func() (detail string, err error)) error {
	s.progress(name, "running", "")
	detail, err := do()
	if err != nil {
		s.progress(name, "failed", err.Error())
		return err
	}
	s.progress(name, "done", detail)
	return nil
}

func (s *switching) progress(name, state, detail string) {
	s.tell(&pb.SwitchResponse{Step: &pb.SwitchStep{Name: name, State: state, Detail: detail, At: timestamppb.Now()}})
}

// check compares, and refuses what it finds to block.
func (s *switching) check(ctx context.Context) (string, error) {
	out := pages[*pb.ComparedPrefix]{send: func(list []*pb.ComparedPrefix) error {
		s.tell(&pb.SwitchResponse{Changes: list})
		return nil
	}}
	told := s.before.run(ctx, func(x *bridge.Comparison, problem error) bool {
		if x.Changes() {
			s.plan = append(s.plan, planned{x.Prefix, x.Then})
			out.put(comparedMessage(s.before.vni, x, problem))
		}
		return true
	})
	out.flush()
	s.tell(&pb.SwitchResponse{Before: told})
	if n := blocked(told); n > 0 && !s.request.GetForce() {
		return "", errors.New(plural(n, "finding blocks it", "findings block it"))
	}
	return fmt.Sprintf("%s, %d change", plural(int(told.GetPrefixes()), "prefix", "prefixes"), told.GetChanges()), nil
}

// blocked returns how many findings are blocking.
func blocked(v *pb.ComparedVNI) (n int) {
	for _, f := range v.GetFindings() {
		if f.GetLevel() == blocking {
			n++
		}
	}
	return n
}

// prefer changes the preference, and with it the table.
func (s *switching) prefer(p config.Prefer) (string, error) {
	if err := s.state.Migration.Bridge.Prefer(s.before.vni, p); err != nil {
		return "", err
	}
	s.begun = true
	return fmt.Sprintf("the VNI prefers %v", p), nil
}

// follow waits until the kernel has what is wanted now of all prefixes that
// change, as long as it comes closer.
func (s *switching) follow(name string) (string, error) {
	m := s.state.Migration
	if m.Kernel == nil || s.before.told.GetTable() == 0 {
		return "the VNI has no table there", nil
	}
	left := make([]netip.Prefix, 0, len(s.plan))
	for _, p := range s.plan {
		left = append(left, p.prefix)
	}
	all, fewest := len(left), len(left)+1
	moved, told := time.Now(), time.Now()
	for {
		var astray map[netip.Prefix]error
		for part := range slices.Chunk(left, verifyAtOnce) {
			some, _ := m.Kernel.Verify(s.before.vni, part)
			if astray == nil {
				astray = map[netip.Prefix]error{}
			}
			maps.Copy(astray, some)
		}
		now := time.Now()
		if len(astray) < fewest {
			fewest, moved = len(astray), now
		}
		done := fmt.Sprintf("%d of %s", all-len(astray), plural(all, "prefix", "prefixes"))
		switch {
		case len(astray) == 0:
			return done, nil
		case now.Sub(moved) > stuck:
			for p, why := range astray {
				return "", fmt.Errorf("%s in the kernel for %v; of %v: %w", done, stuck, p, why)
			}
		case now.Sub(told) >= time.Second:
			told = now
			s.progress(name, "running", done)
		}
		left = slices.Collect(maps.Keys(astray))
		select {
		case <-s.ended:
			return "", errors.New("the bridge is ending")
		case <-time.After(patience):
		}
	}
}

// verify compares what is now with what was planned.
func (s *switching) verify(ctx context.Context) (string, error) {
	b, vni, next := s.state.Migration.Bridge, s.before.vni, s.before.planned
	otherwise := 0
	for _, p := range s.plan {
		c, there := b.CompareOne(vni, p.prefix, next)
		if there && c.Changes() {
			return "", fmt.Errorf("%v goes to %v, want %v", p.prefix, c.Now, c.Then)
		}
		if !there || !slices.Equal(c.Now, p.then) {
			otherwise++ // somebody has said something else of it meanwhile
		}
	}
	after, err := s.comparing(vni, "", false)
	if err != nil {
		return "", err
	}
	told := after.run(ctx, func(*bridge.Comparison, error) bool { return true })
	s.tell(&pb.SwitchResponse{After: told})
	for _, f := range told.GetFindings() {
		if f.GetLevel() == blocking && !s.known(f) {
			return "", fmt.Errorf("%s: %s", f.GetCheck(), f.GetText())
		}
	}
	if otherwise > 0 {
		return fmt.Sprintf("in step; of %s something else was said meanwhile", plural(otherwise, "prefix", "prefixes")), nil
	}
	return fmt.Sprintf("%s as planned", plural(len(s.plan), "change", "changes")), nil
}

// known reports whether something was found before already.
func (s *switching) known(f *pb.Finding) bool {
	return slices.ContainsFunc(s.before.told.GetFindings(), func(x *pb.Finding) bool {
		return x.GetCheck() == f.GetCheck() && x.GetText() == f.GetText()
	})
}

// log writes the line that stays when nobody keeps a report.
func (s *switching) log(r *pb.SwitchResult) {
	log := s.state.Migration.Log.WithFields(logrus.Fields{
		"vni": s.before.vni, "prefer": r.GetPreferred(), "changes": len(s.plan), "who": s.request.GetWho(),
	})
	switch {
	case r.GetOk():
		log.Info("the VNI was switched")
	case !s.begun:
		log.WithField("reason", r.GetReason()).Warn("the VNI was not switched")
	case r.GetRolledBack():
		log.WithField("reason", r.GetReason()).Error("the VNI could not be switched, and is back")
	default:
		log.WithField("reason", r.GetReason()).Error("the VNI could not be switched")
	}
}
