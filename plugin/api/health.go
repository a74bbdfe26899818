package api

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "mbbgp/plugin/api/v1"
)

// health says what /readyz says by the protocol of grpc.health.v1, of the
// process ("") and of the service mbbgp.v1.Bridge, which are the same.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	service *service
}

// healthEvery is how often a watch of the health looks.
const healthEvery = time.Second

// Check implements grpc.health.v1.
func (h health) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if !h.knows(r.GetService()) {
		return nil, status.Errorf(codes.NotFound, "service: %q is none of \"\", %q", r.GetService(), pb.Bridge_ServiceDesc.ServiceName)
	}
	return &grpc_health_v1.HealthCheckResponse{Status: h.now()}, nil
}

// Watch implements grpc.health.v1: of a service that is not there it says so,
// for ever.
func (h health) Watch(r *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	return repeat(h.service, stream, healthEvery, func() *grpc_health_v1.HealthCheckResponse {
		if !h.knows(r.GetService()) {
			return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN}
		}
		return &grpc_health_v1.HealthCheckResponse{Status: h.now()}
	})
}

func (health) knows(name string) bool {
	return name == "" || name == pb.Bridge_ServiceDesc.ServiceName
}

func (h health) now() grpc_health_v1.HealthCheckResponse_ServingStatus {
	if _, ready := h.service.state.ready(); !ready {
		return grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return grpc_health_v1.HealthCheckResponse_SERVING
}
