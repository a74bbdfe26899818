package gobgp

import (
	"context"
	"fmt"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// What one neighbour says is passed on to the others, as BGP does. Over eBGP
// GoBGP puts itself in as the next hop (RFC 4271 section 5.1.3). In EVPN and
// VPNs the next hop is the end of a tunnel and goes with the label, the SID and
// the Router's MAC beside it: of a leaf's route with our next hop, the packets
// would come here, with a MAC that is not ours and a label that may be of no
// VNI of ours. So the next hop of these routes stays what it is, as other
// speakers do it in a fabric, and that of a flow specification, which is where
// it redirects to. Unicast routes get ours. A gobgpd file has policies of its
// own, and is left as it is.

const transitName = "next-hop-unchanged"

// keptNextHops are the families in which next hops stay.
var keptNextHops = []bgp.Family{bgp.RF_EVPN, bgp.RF_IPv4_VPN, bgp.RF_IPv6_VPN, bgp.RF_FS_IPv4_UC, bgp.RF_FS_IPv6_UC}

// keepNextHops makes GoBGP pass on such routes with the next hop that they
// have. Routes that we originate are none of its business, they have theirs.
func keepNextHops(ctx context.Context, s *server.BgpServer) error {
	var list []*api.Family
	for _, f := range keptNextHops {
		list = append(list, apiFamily(f))
	}
	policy := &api.Policy{Name: transitName}
	for name, from := range map[string]api.Conditions_RouteType{
		"-external": api.Conditions_ROUTE_TYPE_EXTERNAL,
		"-internal": api.Conditions_ROUTE_TYPE_INTERNAL,
	} {
		policy.Statements = append(policy.Statements, &api.Statement{
			Name:       transitName + name,
			Conditions: &api.Conditions{AfiSafiIn: list, RouteType: from},
			Actions:    &api.Actions{Nexthop: &api.NexthopAction{Unchanged: true}},
		})
	}
	return exportBy(ctx, s, policy)
}

// exportBy adds a policy behind those that routes pass on their way to the
// neighbours.
func exportBy(ctx context.Context, s *server.BgpServer, policy *api.Policy) error {
	if err := s.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("policy %s: %w", policy.Name, err)
	}
	assignment := &api.PolicyAssignment{
		Name:          "global",
		Direction:     api.PolicyDirection_POLICY_DIRECTION_EXPORT,
		Policies:      []*api.Policy{{Name: policy.Name}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
	}
	if err := s.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: assignment}); err != nil {
		return fmt.Errorf("policy %s: %w", policy.Name, err)
	}
	return nil
}
