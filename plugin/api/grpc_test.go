package api

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	pb "mbbgp/plugin/api/v1"
)

// serveAPI serves a state on a socket until the test ends, and returns a
// connection to it.
func serveAPI(t *testing.T, state State) *grpc.ClientConn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "mbbgp.sock")
	g := NewGRPC(GRPCOptions{Socket: socket}, state, quiet())
	if err := g.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return conn
}

func TestReflectionNamesTheServices(t *testing.T) {
	conn := serveAPI(t, full())
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"mbbgp.v1.Bridge", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %q", want, names)
		}
	}
}

func TestHealthSaysWhatReadyzSays(t *testing.T) {
	state := full()
	conditions := []Condition{{Name: "bgp-speaker"}}
	state.Ready = func() []Condition { return conditions }
	client := grpc_health_v1.NewHealthClient(serveAPI(t, state))
	check := func(service string) string {
		r, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			return status.Code(err).String()
		}
		return r.GetStatus().String()
	}
	for service, want := range map[string]string{"": "NOT_SERVING", "mbbgp.v1.Bridge": "NOT_SERVING", "mbbgp.v2.Bridge": "NotFound"} {
		if got := check(service); got != want {
			t.Errorf("%q: %s, want %s", service, got, want)
		}
	}
	ready, err := pb.NewBridgeClient(serveAPI(t, full())).GetStatus(t.Context(), &pb.GetStatusRequest{})
	if err != nil || !ready.GetReady() || len(ready.GetConditions()) != 1 || ready.GetVersion() != "v1" {
		t.Errorf("status %v, %v", ready, err)
	}
}

func TestSocketIsForItsGroupOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "mbbgp.sock")
	l, err := listenUnix(path, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := listenUnix(path, ""); err == nil || !strings.Contains(err.Error(), "another process answers at "+path) {
		t.Errorf("a second one: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it had been killed
	_ = l.Close()
	if l, err = listenUnix(path, "0"); err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, ""); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := listenUnix(path, "no-such-group"); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("unknown group: %v", err)
	}
}

func TestSocketThatIsNotNeededMayFail(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	missing := filepath.Join(t.TempDir(), "a", "b", "mbbgp.sock")
	if err := NewGRPC(GRPCOptions{Socket: missing, Optional: true}, State{}, quiet()).Run(ctx); err != nil {
		t.Errorf("optional: %v", err)
	}
	if err := NewGRPC(GRPCOptions{Socket: missing}, State{}, quiet()).Run(ctx); err == nil {
		t.Error("a socket that somebody asked for is not there, and nobody is told")
	}
}

func TestWithoutOperatorNothingIsDone(t *testing.T) {
	client := pb.NewBridgeClient(serveAPI(t, State{}))
	if _, err := client.Drain(t.Context(), &pb.DrainRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("drain: %v", err)
	}
	if _, err := client.Reload(t.Context(), &pb.ReloadRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("reload: %v", err)
	}
}
