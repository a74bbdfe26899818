package api

// The management API is gRPC: package mbbgp.v1, with reflection and health. It
// is served on a unix socket, which the permissions of the file guard, and over
// TCP only to who shows a certificate. A connection and a message have limits,
// and what is streamed waits for its reader: somebody who reads slowly, or not
// at all, holds up nobody else.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	pb "mbbgp/plugin/api/v1"
)

// GRPCOptions say where the management API is served.
type GRPCOptions struct {
	Socket   string // path of a unix socket; "": none
	Optional bool   // a socket that cannot be made is a warning, not an error
	Group    string // of the socket, a name or a number; "": that of the process
	Listen   string // IP:PORT; "": no TCP
	TLS      TLS    // of Listen
}

// TLS names the files of TLS. All are PEM.
type TLS struct {
	Certificate, Key string // ours, with the chain behind it
	Clients          string // authorities that sign the certificates of clients
}

// Check reads the files and says what is wrong with them.
func (t TLS) Check() error {
	_, err := serverTLS(t)
	return err
}

// The limits of the management API.
const (
	maxMessage    = 1 << 20  // bytes of a request
	maxStreams    = 64       // requests of one connection at a time
	streamWindow  = 64 << 10 // bytes of a stream that its reader has not read
	connectionMax = 1 << 20  // bytes of all streams of a connection
	endGrace      = time.Second
)

// GRPC is the server of the management API.
type GRPC struct {
	options   GRPCOptions
	service   *service
	log       logrus.FieldLogger
	listened  bool
	listeners []net.Listener
}

// NewGRPC returns a server that does nothing yet.
func NewGRPC(options GRPCOptions, state State, log logrus.FieldLogger) *GRPC {
	return &GRPC{options: options, service: newService(&state), log: log}
}

// Listen binds the addresses. Run calls it if nobody has.
func (g *GRPC) Listen() error {
	g.listened = true
	if g.options.Socket != "" {
		l, err := listenUnix(g.options.Socket, g.options.Group)
		switch {
		case err == nil:
			g.listeners = append(g.listeners, l)
		case g.options.Optional:
			g.log.WithError(err).WithField("socket", g.options.Socket).Warn("no socket for the API, 'mbbgp show' finds nobody")
		default:
			return fmt.Errorf("api: socket: %w", err)
		}
	}
	if g.options.Listen != "" {
		l, err := listenTLS(g.options.Listen, g.options.TLS)
		if err != nil {
			return fmt.Errorf("api: %w", err)
		}
		g.listeners = append(g.listeners, l)
	}
	return nil
}

// Addrs returns the bound addresses.
func (g *GRPC) Addrs() (list []net.Addr) {
	for _, l := range g.listeners {
		list = append(list, l.Addr())
	}
	return list
}

// Run serves until ctx ends and returns nil then. Requests that are under way
// get a moment to finish.
func (g *GRPC) Run(ctx context.Context) error {
	if !g.listened {
		if err := g.Listen(); err != nil {
			return err
		}
	}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionMax),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WaitForHandlers(true),
	)
	pb.RegisterBridgeServer(server, g.service)
	pb.RegisterMigrationServer(server, migration{service: g.service})
	grpc_health_v1.RegisterHealthServer(server, health{service: g.service})
	reflection.Register(server)

	group, running := errgroup.WithContext(ctx)
	for _, l := range g.listeners {
		g.log.WithField("address", l.Addr().String()).Info("serving the API")
		group.Go(func() error {
			if err := server.Serve(netutil.LimitListener(l, maxConnections)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("api: %w", err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-running.Done()
		g.service.end() // watches never end by themselves
		force := time.AfterFunc(endGrace, server.Stop)
		defer force.Stop()
		server.GracefulStop()
		return nil
	})
	return group.Wait()
}

// listenTLS listens on a TCP address for who shows a certificate.
func listenTLS(address string, files TLS) (net.Listener, error) {
	config, err := serverTLS(files)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, config), nil
}

// serverTLS returns the configuration of the files.
func serverTLS(files TLS) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, err
	}
	clients, err := authorities(files.Clients)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
	}, nil
}

// ClientTLS returns how to reach a server over TCP: with our certificate, and
// the authorities that sign the server's, "" for those of the system.
func ClientTLS(certificate, key, servers string) (credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}
	if servers != "" {
		if config.RootCAs, err = authorities(servers); err != nil {
			return nil, err
		}
	}
	return credentials.NewTLS(config), nil
}

// authorities reads the certificates of a PEM file.
func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it, want PEM", path)
	}
	return pool, nil
}
