package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"mbbgp/config"
	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

// apiVariable is the environment variable that takes the place of --api.
const apiVariable = "MBBGP_API"

// asking are the flags of the commands that ask a running bridge.
type asking struct {
	address       string
	ca, cert, key string
	json          bool

	mu     sync.Mutex
	dialed error // guarded by mu; of the last attempt to connect
}

func addAskFlags(c *cobra.Command) *asking {
	a := &asking{}
	address := config.DefaultSocket
	if s := os.Getenv(apiVariable); s != "" {
		address = s
	}
	c.Flags().StringVar(&a.address, "api", address, "`ADDRESS` of the bridge: the path of its socket, or HOST:PORT; the variable "+apiVariable+" says it, too")
	c.Flags().StringVar(&a.cert, "tls-cert", "", "`FILE` with our certificate, for HOST:PORT")
	c.Flags().StringVar(&a.key, "tls-key", "", "`FILE` with its key")
	c.Flags().StringVar(&a.ca, "tls-ca", "", "`FILE` with the authorities of the bridge's certificate (default those of the system)")
	_ = c.MarkFlagFilename("api")
	return a
}

// addJSONFlag adds -j to a command that shows something.
func (a *asking) addJSONFlag(c *cobra.Command) {
	c.Flags().BoolVarP(&a.json, "json", "j", false, "print JSON, for programs")
}

// unreachable is that no bridge answers.
type unreachable struct{ error }

// The limits of a stream toward us: what is under way is what a watch that is
// resumed is told again.
const (
	streamWindow  = 64 << 10
	connectWithin = 10 * time.Second
	again         = time.Second // between attempts of a watch that goes on
)

// connect returns a client of the bridge. It connects when it is used first.
func (a *asking) connect() (pb.BridgeClient, io.Closer, error) {
	conn, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	return pb.NewBridgeClient(conn), conn, nil
}

// open returns a connection to the bridge, which is made when it is used first.
func (a *asking) open() (*grpc.ClientConn, error) {
	target, secure, err := a.target()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(secure),
		grpc.WithNoProxy(), // the bridge is where the operator says
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: again, Multiplier: 1, MaxDelay: again},
			MinConnectTimeout: connectWithin,
		}),
		grpc.WithContextDialer(a.dial),
	)
	if err != nil {
		return nil, usageError{fmt.Errorf("--api %s: %w", a.address, err)}
	}
	return conn, nil
}

// target says how to connect.
func (a *asking) target() (string, credentials.TransportCredentials, error) {
	path := strings.TrimPrefix(a.address, "unix://")
	if strings.Contains(path, "/") {
		if a.cert+a.key+a.ca != "" {
			return "", nil, usageError{fmt.Errorf("--tls-cert, --tls-key and --tls-ca are for HOST:PORT, and --api is %s", a.address)}
		}
		path, err := filepath.Abs(path)
		return "unix://" + path, insecure.NewCredentials(), err
	}
	if _, _, err := net.SplitHostPort(path); err != nil {
		return "", nil, usageError{fmt.Errorf("--api %s: want the path of a socket, such as %s, or HOST:PORT", a.address, config.DefaultSocket)}
	}
	if a.cert == "" || a.key == "" {
		return "", nil, usageError{fmt.Errorf("--api %s: over TCP a bridge answers only to a certificate, name it with --tls-cert and --tls-key", a.address)}
	}
	secure, err := api.ClientTLS(a.cert, a.key, a.ca)
	return "dns:///" + path, secure, err
}

// dial connects, and notes how that went.
func (a *asking) dial(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", strings.TrimPrefix(path, "//")
	} else if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dialed = err
	return conn, err
}

// failed turns the error of a call into one for people: without the words of
// gRPC, and with the exit code that fits.
func (a *asking) failed(err error) error {
	if err == nil {
		return nil
	}
	a.mu.Lock()
	dialed := a.dialed
	a.mu.Unlock()
	s := status.Convert(err)
	switch {
	case dialed != nil:
		return unreachable{fmt.Errorf("no bridge answers: %w\nRun 'mbbgp run', or name its address with --api", dialed)}
	case s.Code() == codes.Unavailable && strings.HasPrefix(s.Message(), "connection error"):
		return unreachable{fmt.Errorf("%s: %s", a.address, s.Message())}
	case s.Code() == codes.Unimplemented:
		return fmt.Errorf("%s: %s: is it an mbbgp of this version?", a.address, s.Message())
	case s.Code() == codes.InvalidArgument:
		return usageError{errors.New(s.Message())}
	case s.Code() == codes.Unknown:
		return err // not of a call
	}
	return errors.New(s.Message())
}

// caller is a call with one answer.
type caller[Q, R any] func(pb.BridgeClient, context.Context, *Q, ...grpc.CallOption) (*R, error)

// call asks once and returns the answer.
func call[Q, R any](c *cobra.Command, a *asking, ask caller[Q, R], question *Q) (*R, error) {
	client, conn, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(c.Context(), askLimit)
	defer cancel()
	answer, err := ask(client, ctx, question)
	return answer, a.failed(err)
}

// askLimit is how long a running bridge may take to answer: to explain a
// prefix it may copy all tables of BGP.
const askLimit = time.Minute
