package api

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "mbbgp/plugin/api/v1"
)

// service answers the calls of the management API.
type service struct {
	pb.UnimplementedBridgeServer
	state      *State
	ended      chan struct{} // closed when watches are to end
	explaining chan struct{} // has room for those who explain
	listing    chan struct{} // has room for those who list the paths of BGP
	watches    watches
}

func newService(state *State) *service {
	return &service{
		state:      state,
		ended:      make(chan struct{}),
		explaining: make(chan struct{}, 1),
		listing:    make(chan struct{}, 2),
		watches:    newWatches(),
	}
}

// end ends all watches.
func (s *service) end() {
	close(s.ended)
	s.watches.close()
}

// errEnding is what a watch ends with when the process does.
var errEnding = status.Error(codes.Unavailable, "the bridge is ending")

// GetStatus implements mbbgp.v1.
func (s *service) GetStatus(context.Context, *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	return s.state.statusMessage(), nil
}

func (s *State) statusMessage() *pb.GetStatusResponse {
	conditions, ready := s.ready()
	m := &pb.GetStatusResponse{Version: s.Version, Started: stamp(s.Started), Ready: ready}
	for _, c := range conditions {
		m.Conditions = append(m.Conditions, &pb.Condition{Name: c.Name, Ok: c.OK, Detail: c.Detail})
	}
	return m
}

// ready returns the conditions, and whether all are met.
func (s *State) ready() (list []Condition, ready bool) {
	if s.Ready == nil {
		return nil, true
	}
	list, ready = s.Ready(), true
	for _, c := range list {
		ready = ready && c.OK
	}
	return list, ready
}

// stamp returns a time for a message, nil for none.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Reload implements mbbgp.v1.
func (s *service) Reload(ctx context.Context, _ *pb.ReloadRequest) (*pb.ReloadResponse, error) {
	if s.state.Operator == nil {
		return nil, errNoOperator
	}
	done, err := s.state.Operator.Reload(ctx)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	answer := &pb.ReloadResponse{}
	for _, c := range done.Changes {
		answer.Changes = append(answer.Changes, &pb.ReloadChange{Path: c.Path, Old: c.Old, New: c.New, How: c.How})
	}
	return answer, nil
}

// Drain implements mbbgp.v1.
func (s *service) Drain(context.Context, *pb.DrainRequest) (*pb.DrainResponse, error) {
	if s.state.Operator == nil {
		return nil, errNoOperator
	}
	if err := s.state.Operator.Drain(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &pb.DrainResponse{}, nil
}

// SetLogLevel implements mbbgp.v1.
func (s *service) SetLogLevel(_ context.Context, r *pb.SetLogLevelRequest) (*pb.SetLogLevelResponse, error) {
	if s.state.Operator == nil {
		return nil, errNoOperator
	}
	if err := s.state.Operator.SetLogLevel(r.GetComponent(), r.GetLevel()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &pb.SetLogLevelResponse{}, nil
}

// errNoOperator is the answer where nobody does what is asked for.
var errNoOperator = status.Error(codes.FailedPrecondition, "this process has no configuration to reload, nor anything to drain")
