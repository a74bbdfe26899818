package api

import (
	"context"
	"net/netip"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// chosen reads the field vnis, nil for all.
func chosen(list []uint32) (vnis []rib.VNI) {
	for _, n := range list {
		vnis = append(vnis, rib.VNI(n))
	}
	slices.Sort(vnis)
	return slices.Compact(vnis)
}

// wants reports whether a VNI is among those that were asked for.
func wants(vnis []rib.VNI, vni rib.VNI) bool { return vnis == nil || slices.Contains(vnis, vni) }

// ListVNIs implements mbbgp.v1.
func (s *service) ListVNIs(r *pb.ListVNIsRequest, stream grpc.ServerStreamingServer[pb.ListVNIsResponse]) error {
	vnis := chosen(r.GetVnis())
	return tell(s, stream, r.GetEvery(), func() *pb.ListVNIsResponse { return s.state.vniMessages(vnis) })
}

// vniMessages returns the VNIs that are configured or in the table.
func (s *State) vniMessages(vnis []rib.VNI) *pb.ListVNIsResponse {
	configured := make(map[rib.VNI]*VNI)
	all := s.vnis()
	if s.VNIs != nil {
		for _, v := range s.VNIs() {
			configured[v.VNI] = &v
			all = append(all, v.VNI)
		}
	}
	slices.Sort(all)
	answer := &pb.ListVNIsResponse{}
	for _, vni := range slices.Compact(all) {
		if wants(vnis, vni) {
			answer.Vnis = append(answer.Vnis, vniMessage(vni, s.Table.Stats(vni), configured[vni]))
		}
	}
	return answer
}

// ListPeers implements mbbgp.v1.
func (s *service) ListPeers(r *pb.ListPeersRequest, stream grpc.ServerStreamingServer[pb.ListPeersResponse]) error {
	return tell(s, stream, r.GetEvery(), func() *pb.ListPeersResponse {
		answer := &pb.ListPeersResponse{}
		if s.state.Sessions != nil {
			answer.Peers = messages(s.state.Sessions(), sessionMessage)
		}
		if s.state.Neighbors != nil {
			answer.Peers = append(answer.Peers, messages(s.state.Neighbors(), peerMessage)...)
		}
		return answer
	})
}

// ListNeighbors implements mbbgp.v1.
func (s *service) ListNeighbors(r *pb.ListNeighborsRequest, stream grpc.ServerStreamingServer[pb.ListNeighborsResponse]) error {
	return tell(s, stream, r.GetEvery(), func() *pb.ListNeighborsResponse {
		answer := &pb.ListNeighborsResponse{}
		if s.state.Neighbors != nil {
			answer.Neighbors = messages(s.state.Neighbors(), neighborMessage)
		}
		return answer
	})
}

// ListPolicy implements mbbgp.v1.
func (s *service) ListPolicy(r *pb.ListPolicyRequest, stream grpc.ServerStreamingServer[pb.ListPolicyResponse]) error {
	vnis := chosen(r.GetVnis())
	return tell(s, stream, r.GetEvery(), func() *pb.ListPolicyResponse {
		answer := &pb.ListPolicyResponse{}
		if s.state.Policy == nil {
			return answer
		}
		for _, rule := range s.state.Policy() {
			if wants(vnis, rule.VNI) {
				answer.Rules = append(answer.Rules, ruleMessage(&rule))
			}
		}
		return answer
	})
}

// GetKernel implements mbbgp.v1.
func (s *service) GetKernel(r *pb.GetKernelRequest, stream grpc.ServerStreamingServer[pb.GetKernelResponse]) error {
	if s.state.Kernel == nil {
		return status.Error(codes.FailedPrecondition, "the configuration has no kernel section")
	}
	vnis := chosen(r.GetVnis())
	return tell(s, stream, r.GetEvery(), func() *pb.GetKernelResponse {
		k := s.state.Kernel()
		if vnis != nil {
			k = k.of(vnis)
		}
		return kernelMessage(&k)
	})
}

// page is how many routes are in one answer at most: some tens of kilobytes.
const page = 256

// pages sends what is put into it, a page at a time. Who lists a million routes
// holds one page of them, and waits for the reader with no lock held.
type pages[T any] struct {
	list []T
	send func([]T) error
	err  error
}

// put adds an element, and reports whether more are wanted.
func (p *pages[T]) put(x T) bool {
	p.list = append(p.list, x)
	return len(p.list) < page || p.flush()
}

func (p *pages[T]) flush() bool {
	if p.err == nil && len(p.list) > 0 {
		p.err = p.send(p.list)
	}
	p.list = nil
	return p.err == nil
}

// ListRoutes implements mbbgp.v1.
func (s *service) ListRoutes(r *pb.ListRoutesRequest, stream grpc.ServerStreamingServer[pb.ListRoutesResponse]) error {
	prefix, err := optionalPrefix(r.GetPrefix())
	switch {
	case err != nil:
		return err
	case r.GetExact() && !prefix.IsValid():
		return status.Error(codes.InvalidArgument, "exact: true needs a prefix")
	}
	out := pages[*pb.Route]{send: func(list []*pb.Route) error { return stream.Send(&pb.ListRoutesResponse{Routes: list}) }}
	vnis := chosen(r.GetVnis())
	if vnis == nil {
		vnis = s.state.vnis()
	}
	for _, vni := range vnis {
		if r.GetExact() {
			for _, info := range s.state.Table.Lookup(vni, prefix) {
				out.put(routeMessage(vni, &info))
			}
			continue
		}
		s.state.Table.Walk(vni, func(info rib.RouteInfo) bool {
			return !within(info.Prefix, prefix) || out.put(routeMessage(vni, &info))
		})
	}
	out.flush()
	return out.err
}

// within reports whether a prefix is the outer one or inside it; without one it
// is.
func within(p, outer netip.Prefix) bool {
	return !outer.IsValid() || outer.Contains(p.Addr()) && p.Bits() >= outer.Bits()
}

// optionalPrefix reads the field prefix, the zero one if it is empty.
func optionalPrefix(s string) (p netip.Prefix, err error) {
	if s == "" {
		return p, nil
	}
	if p, err = ParsePrefix(s); err != nil {
		return p, status.Errorf(codes.InvalidArgument, "prefix: %v", err)
	}
	return p, nil
}

// errBusy is the answer to whoever asks for what only a few get at a time.
var errBusy = status.Error(codes.ResourceExhausted, "too many list the paths of BGP at this moment, each takes a copy of its tables")

// ListPaths implements mbbgp.v1.
func (s *service) ListPaths(r *pb.ListPathsRequest, stream grpc.ServerStreamingServer[pb.ListPathsResponse]) error {
	prefix, err := optionalPrefix(r.GetPrefix())
	if err != nil {
		return err
	}
	if s.state.Paths == nil {
		return errNoBGP
	}
	select {
	case s.listing <- struct{}{}:
		defer func() { <-s.listing }()
	default:
		return errBusy
	}
	out := pages[*pb.BGPPath]{send: func(list []*pb.BGPPath) error { return stream.Send(&pb.ListPathsResponse{Paths: list}) }}
	err = s.state.Paths(rib.VNI(r.GetVni()), func(x *ExplainedBGP) bool {
		return !within(x.Prefix, prefix) || out.put(pathMessage(x))
	})
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	out.flush()
	return out.err
}

var errNoBGP = status.Error(codes.FailedPrecondition, "the configuration has no bgp section")

// Explain implements mbbgp.v1. One at a time: each may copy the tables of BGP.
func (s *service) Explain(ctx context.Context, r *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	prefix, err := ParsePrefix(r.GetPrefix())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "prefix: %v", err)
	}
	if s.state.Explain == nil {
		return nil, status.Error(codes.FailedPrecondition, "there is nothing to explain")
	}
	select {
	case s.explaining <- struct{}{}:
		defer func() { <-s.explaining }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	e, err := s.state.Explain(rib.VNI(r.GetVni()), prefix)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return explanationMessage(&e), nil
}
