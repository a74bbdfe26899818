package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/osrg/gobgp/v4/api"
	gobgpconfig "github.com/osrg/gobgp/v4/pkg/config"
	"github.com/osrg/gobgp/v4/pkg/metrics"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"mbbgp/config"
)

// GoBGP in this process. Its server has one management loop, so paths go in a
// thousand at a time, and nothing here asks it for what it would walk a table
// for. It watches best paths only: adj-in costs twice as much, and where every
// path of a prefix matters, each has a route distinguisher of its own.

// maxMessage is what gobgpd allows in one message of its API.
const maxMessage = 256 << 20

// What ends BGP but not ctx.
var (
	errStopped = errors.New("BGP was stopped through its API")
	errDeaf    = errors.New("bgp.listen: no neighbor can connect any more, GoBGP has stopped listening")
)

// embedded is the engine that runs GoBGP.
type embedded struct {
	log      logrus.FieldLogger
	encode   *encoder               // used by announce and withdraw only
	unsaid   leftOut                // likewise
	several  *multipath             // nil if one path of each NLRI is in use
	sweep    *sweeper               // nil if GoBGP's tables cannot be swept
	tables   map[config.Family]bool // that GoBGP has
	missing  map[config.Family]bool // that are not, and were announced
	retained atomic.Uint64
	watcher  *watcher
	six      *nextHop6
	timings  metrics.FSMTimingsCollector // how long management operations take
	mu       sync.RWMutex
	setup    *setup            // guarded by mu once BGP runs, changed by apply
	server   *server.BgpServer // guarded by mu; nil while BGP is not running
}

func newEmbedded(s *setup, log logrus.FieldLogger) *embedded {
	return &embedded{setup: s, log: log, encode: newEncoder(s.asn), unsaid: leftOut{log: log}, timings: metrics.NewFSMTimingsCollector()}
}

func (e *embedded) run(ctx context.Context, to sink, carry func(context.Context) error) error {
	handler := newLogHandler(e.log, to.failed)
	options := []server.ServerOption{server.LoggerOption(slog.New(handler), handler.level), server.TimingHookOption(e.timings)}
	if e.setup.api != "" {
		if err := checkAPI(e.setup.api); err != nil {
			return fmt.Errorf("bgp.api: %w", err)
		}
		options = append(options,
			server.GrpcListenAddress(e.setup.api),
			server.GrpcOption([]grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)}))
	}
	handler.kept.watch()
	s := server.NewBgpServer(options...)
	carrying, stopCarrying := context.WithCancelCause(ctx)
	defer stopCarrying(nil)
	handler.deaf = func(reason string) { stopCarrying(fmt.Errorf("%w: %s", errDeaf, reason)) }
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve()
		stopCarrying(errStopped)
	}()
	// What neighbours said is not withdrawn because we stop: the watch ends
	// before the server does.
	watching, stopWatching := context.WithCancel(context.Background())
	err := e.start(watching, s, to, handler)
	if err == nil {
		err = e.carry(carrying, s, carry)
		if cause := context.Cause(carrying); errors.Is(cause, errStopped) || errors.Is(cause, errDeaf) {
			err = cause
		}
	}
	stopWatching()
	handler.kept.watch() // to stop what was stopped is an error for GoBGP
	e.mu.Lock()
	e.server = nil
	// Neighbours that are to keep our routes get no notification.
	if e.setup.deferral > 0 {
		_ = s.StopBgp(context.Background(), &api.StopBgpRequest{AllowGracefulRestart: true})
	}
	s.Stop()
	e.mu.Unlock()
	<-served
	_ = handler.kept.take()
	return err
}

// carry announces what the bridge exports, and holds it back from neighbours
// as long as they have to wait.
func (e *embedded) carry(ctx context.Context, s *server.BgpServer, export func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var hold sync.WaitGroup
	start := e.current()
	hold.Go(func() { start.letGo(ctx, s) })
	err := export(ctx)
	cancel()
	hold.Wait()
	return err
}

// start starts BGP, its API and its neighbours.
func (e *embedded) start(ctx context.Context, s *server.BgpServer, to sink, handler *logHandler) error {
	if e.setup.multipath() {
		e.several = newMultipath()
	}
	w := newWatcher(ctx, e.setup, to, e.several, func(neighbor netip.Addr) {
		r := &api.ResetPeerRequest{Address: neighbor.String(), Communication: "graceful restart is over"}
		if err := s.ResetPeer(ctx, r); err != nil {
			e.log.WithError(err).WithField("neighbor", neighbor).Warn("stale BGP routes stay")
		}
	})
	err := s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnBestPath:   w.best,
		OnPathEor:    w.endOfRIB,
		OnPeerUpdate: w.session,
	}, server.WatchBestPath(false), server.WatchEor(false), server.WatchPeer())
	if err != nil {
		return fmt.Errorf("watch BGP: %w", err)
	}
	handler.up = func(neighbor netip.Addr) {
		e.six.learn(neighbor)
		if err := comeUp(s, neighbor); err != nil {
			e.log.WithError(err).WithField("neighbor", neighbor).Warn("BGP changes of this moment may not reach the neighbor")
		}
	}
	if e.setup.file != nil {
		if _, err := gobgpconfig.InitialConfig(ctx, s, e.setup.file, false); err != nil {
			return fmt.Errorf("bgp.gobgp-config: %s: %w", e.setup.fileName, err)
		}
	} else if err := e.addNeighbors(ctx, s); err != nil {
		return err
	}
	if e.sweep, err = newSweeper(s); err != nil {
		e.log.WithError(err).Warn("memory of withdrawn BGP paths will not be freed")
	}
	w.sweep.Store(e.sweep)
	e.watcher = w
	if e.setup.api != "" {
		if err := waitAPI(ctx, e.setup.api, handler.kept.err); err != nil {
			return fmt.Errorf("bgp.api: %w", err)
		}
	}
	if err := handler.kept.take(); err != nil {
		if e.setup.file != nil {
			err = fmt.Errorf("bgp.gobgp-config: %s: %w", e.setup.fileName, err)
		}
		return err
	}
	e.tables, e.missing = hasTables(ctx, s), make(map[config.Family]bool)
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	for _, address := range e.setup.listening() {
		e.log.WithField("address", address).Info("serving BGP")
	}
	if e.setup.api != "" {
		e.log.WithField("address", e.setup.api).Info("serving the gobgp API")
	}
	return nil
}

func (e *embedded) addNeighbors(ctx context.Context, s *server.BgpServer) error {
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: e.setup.global}); err != nil {
		return fmt.Errorf("start BGP: %w", err)
	}
	if err := refuseLoops(ctx, s, e.setup.own); err != nil {
		return err
	}
	if err := keepNextHops(ctx, s); err != nil {
		return err
	}
	six, err := refuseNextHop6(ctx, s, newNextHop6Rules(e.setup), e.log)
	if err != nil {
		return err
	}
	e.six = six
	if err := e.setup.awaitClients(ctx, s); err != nil {
		return err
	}
	for _, g := range e.setup.groups {
		if err := s.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: g}); err != nil {
			return fmt.Errorf("BGP neighbours %s: %w", g.Conf.PeerGroupName, err)
		}
	}
	for _, d := range e.setup.dynamic {
		if err := s.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: d}); err != nil {
			return fmt.Errorf("BGP neighbours %s: %w", d.PeerGroup, err)
		}
	}
	for _, p := range e.setup.peers {
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: p}); err != nil {
			return fmt.Errorf("BGP neighbour %s: %w", p.Conf.NeighborAddress, err)
		}
	}
	return nil
}
