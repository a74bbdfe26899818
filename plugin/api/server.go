package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
	"golang.org/x/net/netutil"
)

// maxConnections bounds the connections of each listener; who comes later waits.
// Those who route must not lack file descriptors because others look on.
const maxConnections = 256

// Server is the HTTP server.
type Server struct {
	address  string
	state    *State
	page     *statusPage
	log      logrus.FieldLogger
	listener net.Listener
}

// New returns a server for a listen address host:port that does nothing yet.
func New(address string, state State, log logrus.FieldLogger) *Server {
	return &Server{address: address, state: &state, page: newStatusPage(&state), log: log}
}

// Listen binds the address. Run calls it if nobody has.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	s.listener = l
	return nil
}

// Addr returns the bound address, nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves until ctx ends and returns nil then. Requests that are under way
// get a moment to finish.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a million routes to a slow reader
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	server.RegisterOnShutdown(s.page.end)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			_ = server.Close() // it was asked nicely
		}
	})
	s.log.WithField("address", s.listener.Addr().String()).Info("serving HTTP")
	err := server.Serve(netutil.LimitListener(s.listener, maxConnections))
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		s.page.wait()
		return nil
	}
	return fmt.Errorf("http: %w", err)
}

// Handler returns the handler of all paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry(s.state), promhttp.HandlerOpts{
		ErrorLog:            s.log,
		MaxRequestsInFlight: 4,
		Timeout:             30 * time.Second,
	}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /routes.json", s.routes("application/json", writeJSON))
	mux.HandleFunc("GET /routes.yaml", s.routes("text/yaml", writeYAML))
	s.page.register(mux)
	return mux
}

// healthz says that the process lives: that it answers is the answer.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz lists the conditions, one a line, and answers 503 while one is not
// met.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	var text strings.Builder
	status := http.StatusOK
	conditions, ready := s.state.ready()
	if !ready {
		status = http.StatusServiceUnavailable
	}
	for _, c := range conditions {
		word := "ok     "
		if !c.OK {
			word = "waiting"
		}
		fmt.Fprintf(&text, "%s %s", word, c.Name)
		if c.Detail != "" {
			fmt.Fprintf(&text, ": %s", c.Detail)
		}
		text.WriteByte('\n')
	}
	if text.Len() == 0 {
		text.WriteString("ok\n")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String()))
}
