package gobgp

import (
	"context"
	"fmt"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// What one neighbour says is passed on to the others, as BGP does. Over eBGP
// GoBGP puts itself in as the next hop (RFC 4271 section 5.1.3). In EVPN the
// next hop is the end of a tunnel and goes with the label and the Router's MAC
// beside it: of a leaf's route with our next hop, the packets would come here,
// with a MAC that is not ours and a label that may be of no VNI of ours. So the
// next hop of EVPN routes stays what it is, as other speakers do it in a
// fabric. A gobgpd file has policies of its own, and is left as it is.

const transitName = "evpn-next-hop-unchanged"

// keepNextHops makes GoBGP pass on EVPN routes with the next hop that they
// have. Routes that we originate are none of its business, they have theirs.
func keepNextHops(ctx context.Context, s *server.BgpServer) error {
	evpn := &api.Family{Afi: api.Family_Afi(bgp.RF_EVPN.Afi()), Safi: api.Family_Safi(bgp.RF_EVPN.Safi())}
	policy := &api.Policy{Name: transitName}
	for name, from := range map[string]api.Conditions_RouteType{
		"-external": api.Conditions_ROUTE_TYPE_EXTERNAL,
		"-internal": api.Conditions_ROUTE_TYPE_INTERNAL,
	} {
		policy.Statements = append(policy.Statements, &api.Statement{
			Name:       transitName + name,
			Conditions: &api.Conditions{AfiSafiIn: []*api.Family{evpn}, RouteType: from},
			Actions:    &api.Actions{Nexthop: &api.NexthopAction{Unchanged: true}},
		})
	}
	if err := s.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("policy of next hops: %w", err)
	}
	assignment := &api.PolicyAssignment{
		Name:          "global",
		Direction:     api.PolicyDirection_POLICY_DIRECTION_EXPORT,
		Policies:      []*api.Policy{{Name: transitName}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
	}
	if err := s.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: assignment}); err != nil {
		return fmt.Errorf("policy of next hops: %w", err)
	}
	return nil
}
