package gobgp

// GoBGP changes no session without ending it, but for what does not matter to
// it. So neighbours of which something else has changed are removed and added
// again, and all others are left alone.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/protobuf/proto"

	"mbbgp/config"
)

// Step is a step to another configuration. Nothing has changed before Apply.
type Step struct {
	speaker *Speaker
	engine  *embedded // nil: all that may change is somebody else's
	setup   *setup
}

// Prepare checks the BGP part of a configuration as New does. It differs from
// the present one in VNIs, and in what the neighbours have of their own.
func (s *Speaker) Prepare(cfg *config.Config) (*Step, error) {
	if cfg.BGP == nil {
		return nil, errors.New("the configuration has no bgp section")
	}
	step := &Step{speaker: s}
	switch e := s.engine.(type) {
	case *attached:
		for _, f := range newAttached(cfg, e.log).wanted {
			if !slices.Contains(e.wanted, f) {
				return nil, fmt.Errorf("routes of a VNI are %v, which no VNI had: attached to a gobgpd, that needs a restart", f)
			}
		}
	case *embedded:
		var err error
		step.engine = e
		if step.setup, err = newSetup(cfg, e.log); err != nil {
			return nil, err
		}
	}
	return step, nil
}

// Ends returns the neighbours, and prefixes of neighbours, whose sessions end
// because something has changed that their two ends have agreed upon, or that
// are not there any more.
func (s *Step) Ends() (list []string) {
	if s.engine == nil || s.setup.file != nil {
		return nil
	}
	old := s.engine.current()
	for _, p := range old.peers {
		if !old.keeps(p, s.setup) {
			list = append(list, p.Conf.NeighborAddress)
		}
	}
	for i, d := range old.dynamic {
		if !s.setup.hasGroup(old.groups[i]) {
			list = append(list, d.Prefix)
		}
	}
	return list
}

// Apply takes the step. What it could not do is an error; Prepare and Apply of
// the same configuration do the rest.
func (s *Step) Apply(ctx context.Context) error {
	if s.engine == nil || s.setup.file != nil {
		return nil
	}
	return s.engine.apply(ctx, s.setup)
}

// keeps reports whether a neighbour is the same in another setup.
func (s *setup) keeps(p *api.Peer, other *setup) bool {
	return slices.ContainsFunc(other.peers, func(x *api.Peer) bool { return samePeer(p, x) })
}

// samePeer reports whether two neighbours differ in nothing but what is for
// people.
func samePeer(a, b *api.Peer) bool {
	x, y := proto.CloneOf(a), proto.CloneOf(b)
	x.Conf.Description, y.Conf.Description = "", ""
	return proto.Equal(x, y)
}

// hasGroup reports whether a setup has the neighbours of a prefix.
func (s *setup) hasGroup(g *api.PeerGroup) bool {
	return slices.ContainsFunc(s.groups, func(o *api.PeerGroup) bool {
		x, y := proto.CloneOf(g), proto.CloneOf(o)
		x.Conf.Description, y.Conf.Description = "", ""
		return proto.Equal(x, y)
	})
}

// current returns what GoBGP was told.
func (e *embedded) current() *setup {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.setup
}

// apply goes over to another setup. What is not running yet will start with it.
func (e *embedded) apply(ctx context.Context, next *setup) error {
	e.mu.Lock() // BGP is not stopped meanwhile, and its tables are not copied
	defer e.mu.Unlock()
	old := e.setup
	if e.server == nil {
		return errors.New("BGP is not running")
	}
	e.watcher.know(next)
	if err := changeOwnAS(ctx, e.server, old.own, next.own); err != nil {
		return err
	}
	if err := e.six.reconfigure(ctx, newNextHop6Rules(next)); err != nil {
		return err
	}
	// Whatever fails below, the next attempt begins from what is there.
	now := *next
	now.deferral = old.deferral // of the start
	now.peers, now.groups, now.dynamic = old.peers, old.groups, old.dynamic
	e.setup = &now
	errs := []error{e.removeNeighbors(ctx, next), e.addNewNeighbors(ctx, next)}
	return errors.Join(errs...)
}

// removeNeighbors removes those that are not in next, or not as they are.
func (e *embedded) removeNeighbors(ctx context.Context, next *setup) error {
	s := e.setup
	var errs []error
	s.peers = slices.DeleteFunc(slices.Clone(s.peers), func(p *api.Peer) bool {
		if s.keeps(p, next) {
			return false
		}
		err := e.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: p.Conf.NeighborAddress})
		if err != nil {
			errs = append(errs, fmt.Errorf("BGP neighbour %s: %w", p.Conf.NeighborAddress, err))
		}
		return err == nil
	})
	for i := len(s.groups) - 1; i >= 0; i-- {
		if next.hasGroup(s.groups[i]) {
			continue
		}
		if err := e.removeDynamic(ctx, s.dynamic[i]); err != nil {
			errs = append(errs, fmt.Errorf("BGP neighbours %s: %w", s.dynamic[i].Prefix, err))
			continue
		}
		s.groups = slices.Delete(slices.Clone(s.groups), i, i+1)
		s.dynamic = slices.Delete(slices.Clone(s.dynamic), i, i+1)
	}
	return errors.Join(errs...)
}

// removeDynamic removes the neighbours of a prefix.
func (e *embedded) removeDynamic(ctx context.Context, d *api.DynamicNeighbor) error {
	err := e.server.DeleteDynamicNeighbor(ctx, &api.DeleteDynamicNeighborRequest{Prefix: d.Prefix, PeerGroup: d.PeerGroup})
	if err != nil {
		return err
	}
	var addresses []string
	err = e.server.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		if p.Conf.PeerGroup == d.PeerGroup {
			addresses = append(addresses, p.State.NeighborAddress)
		}
	})
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if err := e.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: a}); err != nil {
			return err
		}
	}
	return e.server.DeletePeerGroup(ctx, &api.DeletePeerGroupRequest{Name: d.PeerGroup})
}

// addNewNeighbors adds those of next that are not there. Unlike at a start, what
// they are told is not held back: our routes are here.
func (e *embedded) addNewNeighbors(ctx context.Context, next *setup) error {
	s := e.setup
	var errs []error
	for i, g := range next.groups {
		if s.hasGroup(g) {
			continue
		}
		if err := e.addDynamic(ctx, settled(g), next.dynamic[i]); err != nil {
			errs = append(errs, fmt.Errorf("BGP neighbours %s: %w", next.dynamic[i].Prefix, err))
			continue
		}
		s.groups, s.dynamic = append(slices.Clone(s.groups), g), append(slices.Clone(s.dynamic), next.dynamic[i])
	}
	for _, p := range next.peers {
		if next.keeps(p, s) {
			continue
		}
		x := proto.CloneOf(p)
		x.GracefulRestart = settledRestart(x.GracefulRestart)
		if err := e.server.AddPeer(ctx, &api.AddPeerRequest{Peer: x}); err != nil {
			errs = append(errs, fmt.Errorf("BGP neighbour %s: %w", p.Conf.NeighborAddress, err))
			continue
		}
		s.peers = append(slices.Clone(s.peers), p)
	}
	return errors.Join(errs...)
}

func (e *embedded) addDynamic(ctx context.Context, g *api.PeerGroup, d *api.DynamicNeighbor) error {
	if err := e.server.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: g}); err != nil {
		return err
	}
	return e.server.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: d})
}

func settled(g *api.PeerGroup) *api.PeerGroup {
	x := proto.CloneOf(g)
	x.GracefulRestart = settledRestart(x.GracefulRestart)
	return x
}

// settledRestart is the graceful restart of a speaker that has not restarted.
func settledRestart(r *api.GracefulRestart) *api.GracefulRestart {
	r.LocalRestarting, r.DeferralTime = false, 0
	return r
}

// changeOwnAS makes GoBGP refuse paths with one of next in their AS_PATH instead
// of one of old.
func changeOwnAS(ctx context.Context, s *server.BgpServer, old, next []uint32) error {
	if slices.Equal(old, next) {
		return nil
	}
	if err := s.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: ownASSet(without(next, old))}); err != nil {
		return fmt.Errorf("AS path set of loops: %w", err)
	}
	if gone := without(old, next); len(gone) > 0 {
		if err := s.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: ownASSet(gone)}); err != nil {
			return fmt.Errorf("AS path set of loops: %w", err)
		}
	}
	return nil
}

// without returns what is in one list and not in another.
func without[T comparable](list, other []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return slices.Contains(other, x) })
}

// describe returns what people are told of a neighbour's address or peer group.
func (w *watcher) describe(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.described[name]
}

// isConfigured reports whether a neighbour is one of the configuration.
func (w *watcher) isConfigured(a netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.configured[a]
}
