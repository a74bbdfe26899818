package gobgp

import (
	"context"
	"fmt"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"mbbgp/config"
)

// A path with our AS in its AS_PATH is not for us (RFC 4271 section 9.1.2).
// GoBGP drops it before its table hears of it, so the path that the neighbour
// had announced before stays in the table although it is over: a neighbour
// that lost its own way to a prefix and has found one through us would leave a
// route for ever. So GoBGP is told to let such paths in, and an import policy
// refuses them there, which takes the old path out. A gobgpd file has policies
// of its own, and is left as it is.

// anyOwnAS is more occurrences of our AS than an AS_PATH has.
const anyOwnAS = 255

const loopName = "own-as"

// ownAS returns the AS numbers that we go by.
func ownAS(cfg *config.Config) []uint32 {
	list := []uint32{cfg.ASN}
	for _, n := range cfg.BGP.Neighbors {
		list = append(list, n.LocalASN)
	}
	for _, n := range cfg.BGP.DynamicNeighbors {
		list = append(list, n.LocalASN)
	}
	list = slices.DeleteFunc(list, func(as uint32) bool { return as == 0 })
	slices.Sort(list)
	return slices.Compact(list)
}

// ownASSet is the set of paths with one of own.
func ownASSet(own []uint32) *api.DefinedSet {
	set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: loopName}
	for _, as := range own {
		set.List = append(set.List, fmt.Sprintf("_%d_", as))
	}
	return set
}

// refuseLoops makes GoBGP refuse paths with one of own in their AS_PATH.
func refuseLoops(ctx context.Context, s *server.BgpServer, own []uint32) error {
	if err := s.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: ownASSet(own)}); err != nil {
		return fmt.Errorf("AS path set of loops: %w", err)
	}
	policy := &api.Policy{Name: loopName, Statements: []*api.Statement{{
		Name:       loopName,
		Conditions: &api.Conditions{AsPathSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: loopName}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	}}}
	if err := s.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("policy against loops: %w", err)
	}
	assignment := &api.PolicyAssignment{
		Name:          "global",
		Direction:     api.PolicyDirection_POLICY_DIRECTION_IMPORT,
		Policies:      []*api.Policy{{Name: loopName}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
	}
	if err := s.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: assignment}); err != nil {
		return fmt.Errorf("policy against loops: %w", err)
	}
	return nil
}
