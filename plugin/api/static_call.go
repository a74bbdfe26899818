package api

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// Announce implements mbbgp.v1.
func (s *service) Announce(_ context.Context, r *pb.AnnounceRequest) (*pb.AnnounceResponse, error) {
	if s.state.Static == nil {
		return nil, errNoStatic
	}
	routes, err := staticRoutes(r.GetRoutes(), false)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	changed, err := s.state.Static.announce(routes, r.GetKeep())
	if err != nil {
		return nil, staticStatus(err)
	}
	return &pb.AnnounceResponse{Changed: uint32(changed)}, nil
}

// Withdraw implements mbbgp.v1.
func (s *service) Withdraw(_ context.Context, r *pb.WithdrawRequest) (*pb.WithdrawResponse, error) {
	if s.state.Static == nil {
		return nil, errNoStatic
	}
	routes, err := staticRoutes(r.GetRoutes(), true)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	withdrawn, err := s.state.Static.withdraw(routes)
	if err != nil {
		return nil, staticStatus(err)
	}
	return &pb.WithdrawResponse{Withdrawn: uint32(withdrawn)}, nil
}

var errNoStatic = status.Error(codes.FailedPrecondition, "this process takes no static routes")

// staticStatus gives an error of the static routes its code.
func staticStatus(err error) error {
	if errors.Is(err, errNotKept) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	if refused, ok := errors.AsType[*staticError](err); ok {
		return status.Error(codes.FailedPrecondition, refused.Error())
	}
	return status.Error(codes.Internal, fmt.Sprintf("static routes: %v", err))
}

// staticRoutes reads the routes of a request. whole lets one without next hop
// stand for its prefix.
func staticRoutes(list []*pb.StaticRoute, whole bool) ([]staticRoute, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("routes: there are none, want at least one")
	}
	routes := make([]staticRoute, 0, len(list))
	for i, r := range list {
		h := r.GetNextHop()
		k := keptRoute{
			VNI: r.GetVni(), Prefix: r.GetPrefix(), Target: h.GetTarget(), TargetVNI: h.GetTargetVni(), Type: h.GetType(),
			NATFrom: h.GetNatFrom(), NATTo: h.GetNatTo(), Preference: r.GetPreference(),
		}
		if whole && h == nil {
			k.Target = "::"
		}
		route, err := k.parse()
		if err != nil {
			return nil, &staticError{index: i, problem: err.Error()}
		}
		if whole && h == nil {
			route.hop = rib.NextHop{}
		}
		routes = append(routes, route)
	}
	return routes, nil
}
