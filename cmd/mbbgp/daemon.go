package main

// The daemon is the whole bridge in one process: the table, the policy around
// it, and the plugins that speak to the outside, each in a goroutine of its own
// under one group. The first of them that fails ends all of them.
//
//	MetalBond server, client  <->  bridge, tables  <->  BGP speaker
//	                                |          |
//	                         HTTP, gRPC     kernel
//
// A hypervisor asks for its routes once, when it has connected, and some of
// them act on what they get within half a second. So what can be in the table
// by then is: static routes and BGP come first, the MetalBond listener last.
//
// The end has an order, too. The kernel's side is the first to end, and leaves
// the kernel as it is: what the others then take out of the tables, because
// their sessions are over, is still to be forwarded.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/plugin/kernel"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

// daemon is a wired bridge. What the configuration does not ask for is nil.
type daemon struct {
	log       logrus.FieldLogger
	table     *rib.Table
	bridge    *bridge.Bridge
	speaker   *gobgp.Speaker
	server    *metalbond.Server
	client    *metalbond.Client
	kernel    *kernel.Kernel
	http      *api.Server
	api       *api.GRPC
	static    *api.Static // routes that are announced over the API
	migration *api.Migration
	memory    *memory
	settle    time.Duration // bgp.settle
	running   atomic.Pointer[config.Config]
	reloads   reloads

	operator  operator
	begun     time.Time
	listening chan struct{} // closed once MetalBond clients can connect
}

// newDaemon wires what the configuration asks for. Nothing runs, and no socket
// is open, before Run.
func newDaemon(cfg *config.Config, log *logs) (*daemon, error) {
	d := &daemon{log: log.of(config.LogBridge), begun: time.Now(), listening: make(chan struct{})}
	d.running.Store(cfg)
	d.reloads.passwords = passwordsOf(cfg)
	d.table = rib.New(rib.Options{Encode: metalbond.Encode})
	var err error
	if d.bridge, err = bridge.New(cfg, d.table, d.log); err != nil {
		return nil, err
	}
	d.memory = newMemory(cfg.MemoryLimit, d.bridge.RefuseNew, d.log)
	if cfg.BGP != nil {
		d.settle = cfg.BGP.Settle
		if d.speaker, err = gobgp.New(cfg, d.bridge.BGP(), log.of(config.LogBGP)); err != nil {
			return nil, err
		}
	}
	clientOptions, serverOptions := clientOptions(cfg), serverOptions(cfg)
	clientOptions.Subscribe = configuredVNIs(cfg)
	clientOptions.Bridge, clientOptions.Log = d.bridge, log.of(config.LogMetalBond)
	d.client = metalbond.NewClient(clientOptions)
	if serves(cfg) {
		serverOptions.OneNextHop = func(vni rib.VNI) bool { return oneNextHop(d.running.Load(), vni) }
		serverOptions.OnSubscribe, serverOptions.OnAnnounce = d.subscribed, d.announced
		serverOptions.Bridge, serverOptions.Log = d.bridge, log.of(config.LogMetalBond)
		d.server = metalbond.NewServer(serverOptions)
	}
	if cfg.Kernel != nil {
		tables := kernel.Tables{MetalBond: d.table, Fabric: d.bridge.Fabric(), Label: d.bridge.Label}
		if d.kernel, err = kernel.New(cfg, tables, log.of(config.LogKernel)); err != nil {
			return nil, err
		}
	}
	d.migration = &api.Migration{Bridge: d.bridge, Log: log.of(config.LogBridge)}
	if d.kernel != nil {
		d.migration.Kernel = d.kernel
	}
	if cfg.API.Socket != "" || cfg.API.Listen.IsValid() {
		d.static = api.NewStatic(api.StaticOptions{
			Path:      cfg.API.StaticRoutes,
			Channel:   d.bridge.Open(rib.Static, operatorName),
			Announced: d.announced,
			Log:       log.of(config.LogAPI),
		})
		d.api = api.NewGRPC(grpcOptions(&cfg.API), d.state(), log.of(config.LogAPI))
	}
	if cfg.HTTP != "" {
		d.http = api.New(cfg.HTTP, d.state(), log.of(config.LogAPI))
	}
	return d, nil
}

// Run runs everything until ctx ends, and returns nil then.
func (d *daemon) Run(ctx context.Context) error {
	defer d.bridge.BGP().Close()
	defer context.AfterFunc(ctx, func() { notify(sd.SdNotifyStopping) })()
	parts := []part{d.bridge.Leak, d.client.Run, d.supervise, d.memory.run}
	if d.api != nil {
		d.static.Load()
		parts = append(parts, d.api.Run)
	}
	if d.http != nil {
		parts = append(parts, d.http.Run)
	}
	if d.speaker != nil {
		parts = append(parts, d.speaker.Run)
	}
	if d.server != nil {
		parts = append(parts, d.serve)
	}
	return run(ctx, d.forward, parts)
}

// part is something that runs until ctx ends, or fails.
type part func(ctx context.Context) error

// run runs the parts until ctx ends or one of them fails, and returns the first
// failure. Whichever it is, forward has returned before the others are told to
// end.
func run(ctx context.Context, forward part, others []part) error {
	group, running := errgroup.WithContext(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(running)
	defer stop()
	forwarding, freeze := context.WithCancel(ctx)
	defer freeze()
	frozen := make(chan struct{})
	group.Go(func() error {
		defer close(frozen)
		return forward(forwarding)
	})
	for _, other := range others {
		group.Go(func() error {
			err := other(running)
			if err != nil { // the group tells the others once it is returned
				freeze()
				<-frozen
			}
			return err
		})
	}
	<-frozen
	stop()
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// forward keeps the kernel in step with the tables until ctx ends, and leaves
// everything as it is then.
func (d *daemon) forward(ctx context.Context) error {
	if d.kernel == nil {
		<-ctx.Done()
		return nil
	}
	return d.kernel.Run(ctx)
}

// serve opens the MetalBond listener once BGP is up and offers what hypervisors
// are to find, and serves.
func (d *daemon) serve(ctx context.Context) error {
	if d.speaker != nil {
		select {
		case <-d.speaker.Ready():
		case <-ctx.Done():
			return nil
		}
		if !d.awaitOriginated(ctx) {
			return nil
		}
	}
	if err := d.server.Listen(); err != nil {
		return err
	}
	close(d.listening)
	return d.server.Run(ctx)
}

// awaitOriginated waits until every prefix that VNIs originate is there, but no
// longer than bgp.settle: a hypervisor that finds no default route is better
// off than one that finds no server. It returns false if ctx is over.
func (d *daemon) awaitOriginated(ctx context.Context) bool {
	originated := d.bridge.BGP().Originated()
	if closed(originated) {
		return true
	}
	begun := time.Now()
	limit := time.NewTimer(d.settle)
	defer limit.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-originated:
		d.log.WithField("waited", time.Since(begun).Round(time.Millisecond)).Info("the fabric offers all prefixes that are originated")
	case <-limit.C:
		d.log.WithFields(logrus.Fields{"waited": d.settle, "missing": d.missing()}).
			Warn("the fabric does not offer all prefixes that are originated, serving without them")
	}
	return true
}

// missing are the prefixes that VNIs originate and that are not there.
func (d *daemon) missing() (list []string) {
	for _, v := range d.bridge.BGP().Stats().VNIs {
		for _, o := range v.Originated {
			if !o.Present {
				list = append(list, fmt.Sprintf("vni %d %v", v.VNI, o.Prefix))
			}
		}
	}
	return list
}

// subscribed makes what our clients read something that we read, too, from BGP
// and from the servers that we are a client of; those are never left again.
func (d *daemon) subscribed(vni rib.VNI, on bool) {
	d.bridge.BGP().Subscribed(vni, on)
	if on {
		d.client.Subscribe(vni)
	}
}

// announced makes what our clients say something that we say, too, to the
// servers that we are a client of.
func (d *daemon) announced(vni rib.VNI) {
	d.client.Export(vni)
}

// announce puts a route of the command line into the table.
func announce(c *bridge.Channel, text string) error {
	vni, prefix, hop, err := metalbond.ParseAnnouncement(text)
	if err != nil {
		return usageError{fmt.Errorf("--announce: %w", err)}
	}
	if err := c.Announce(vni, prefix, hop); err != nil {
		return usageError{fmt.Errorf("--announce %s: %w", text, err)}
	}
	return nil
}

// grpcOptions say where the API is served.
func grpcOptions(c *config.API) api.GRPCOptions {
	o := api.GRPCOptions{Socket: c.Socket, Group: c.Group, TLS: api.TLS(c.TLS)}
	if c.Socket == config.SocketAuto {
		o.Socket, o.Optional = config.DefaultSocket, true
	}
	if c.Listen.IsValid() {
		o.Listen = c.Listen.String()
	}
	return o
}

// configuredVNIs are those of the file and what they have routes of.
func configuredVNIs(cfg *config.Config) []rib.VNI {
	var list []rib.VNI
	for _, v := range cfg.VNIs {
		list = append(list, rib.VNI(v.VNI))
		for _, from := range v.ImportFrom {
			list = append(list, rib.VNI(from))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// vnis are the configured VNIs, which nobody changes.
func (d *daemon) vnis() []config.VNI { return d.running.Load().VNIs }

// clientOptions and serverOptions are what MetalBond's two sides take from a
// configuration, but for what VNIs say.
func clientOptions(cfg *config.Config) metalbond.ClientOptions {
	m := &cfg.MetalBond
	return metalbond.ClientOptions{Servers: m.Servers, Keepalive: m.Keepalive, Hold: m.Hold, Pace: m.ServerPace, TLS: m.ServerTLS}
}

func serverOptions(cfg *config.Config) metalbond.ServerOptions {
	m := &cfg.MetalBond
	return metalbond.ServerOptions{
		Listen: m.Listen, Keepalive: m.Keepalive, Pace: m.Pace, Clients: m.Clients, RefuseUnlisted: m.RefuseUnlisted,
		MaxConnections: m.MaxSessions, MaxPerSource: m.MaxSessionsPerSource, TLS: m.TLS,
	}
}

// serves reports whether there are listeners for MetalBond clients.
func serves(cfg *config.Config) bool {
	plain, secure := cfg.MetalBond.Listeners()
	return len(plain)+len(secure) > 0
}

// oneNextHop reports whether clients get one next hop a prefix of a VNI.
func oneNextHop(cfg *config.Config, vni rib.VNI) bool {
	for i := range cfg.VNIs {
		if v := &cfg.VNIs[i]; rib.VNI(v.VNI) == vni {
			return v.NextHops == config.NextHopsOne
		}
	}
	return cfg.MetalBond.NextHops == config.NextHopsOne
}
