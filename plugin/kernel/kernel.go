package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// Kernel keeps Linux's routing in step with the tables.
type Kernel struct {
	log    logrus.FieldLogger
	tables Tables
	ready  chan struct{}
	wake   chan struct{} // holds a token while there is something to read
	pings  chan struct{} // taken by the loop

	mu sync.Mutex // held for one turn of the loop at a time
	// guarded by mu, like what they hold; what Run makes is nil before it
	cfg       *config.Config
	inForce   *config.Config // what the devices are made of; another one while turning
	fib       *fib
	feeds     *feeds
	devices   *devices
	tracker   *tracker
	scanner   routeReader // of patrols
	steering  *steering
	reconcile bool      // devices may have to be put right
	rest      time.Time // and not before
	mend      time.Time // when devices with a problem are looked at again
	mended    int       // attempts that left a problem
	steer     time.Time // when steering that failed is tried again; zero: it did not
	steered   int       // attempts that failed
	resteer   bool      // steering has to be compared then
	settled   time.Time // when what an earlier run left is swept
	first     bool      // the first pass is in the kernel
	turning   bool      // another configuration has taken effect in part (apply.go)
	synced    bool
	since     time.Time // of synced
}

// New returns what keeps the tables of cfg in step with t. cfg must have a
// kernel section. Nothing happens before Run.
func New(cfg *config.Config, t Tables, log logrus.FieldLogger) (*Kernel, error) {
	if cfg.Kernel == nil {
		return nil, errors.New("kernel: the configuration has no such section")
	}
	if t.Label == nil {
		t.Label = func(rib.VNI) uint32 { return 0 }
	}
	return &Kernel{cfg: cfg, inForce: cfg, log: log, tables: t, ready: make(chan struct{}), wake: make(chan struct{}, 1), pings: make(chan struct{}), fib: newFIB(cfg, t, log)}, nil
}

// Ready is closed once all that the tables said at the start is in the kernel,
// but for what it refused.
func (k *Kernel) Ready() <-chan struct{} { return k.ready }

// groups are what the loop listens to.
var groups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_MPLS_ROUTE,
}

// Run keeps the kernel in step until ctx ends, and returns nil then. All stays
// as it is in the kernel at the end; Cleanup is for afterwards. Run is called
// once; its sockets are in the network namespace of the thread that calls it. It
// is an error if somebody else runs there who would take what is ours for his.
func (k *Kernel) Run(ctx context.Context) error {
	lock, err := acquire(k.cfg)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer lock.release()
	conn, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer conn.Close()
	scanner, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer scanner.Close()
	listener, err := rtnl.Listen([]uint32{conn.Port()}, groups...)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	events := make(chan *rtnl.Event, 1024)
	heard := make(chan error, 1)
	go func() { heard <- hear(listener, events) }()
	defer func() {
		listener.Close()
		for range events { // until hear has closed it
		}
	}()
	defer k.stop()
	if err := k.start(conn, scanner); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	if err := k.loop(ctx, events, heard); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	return nil
}

// hear hands over what the listener hears until it is closed.
func hear(l *rtnl.Listener, events chan<- *rtnl.Event) error {
	defer close(events)
	for {
		e, err := l.Next()
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		events <- e
	}
}

// start makes what the loop works with and adopts what is in the kernel.
func (k *Kernel) start(conn, scanner *rtnl.Conn) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.fib
	k.scanner = &socket{Conn: scanner}
	if k.devices, err = newDevices(k.cfg, k.tables.Label, conn, k.log); err != nil {
		return err
	}
	k.tracker = newTracker(conn, underlay{
		viaDefault: k.cfg.Kernel.ResolveViaDefault,
		ignore:     func(table uint32) bool { return table != mainTable && f.byNumber[table] != nil },
		tunnel:     k.devices.tunnel,
		encap:      encapOf(k.cfg.Kernel.Tunnel),
	})
	f.kernel, f.devices, f.underlay = &socket{Conn: conn}, k.devices, k.tracker
	f.objects = k.cfg.Kernel.NextHopObjects && conn.SupportsNextHopObjects()
	if k.steering, err = newSteering(k.cfg, conn, f, k.log); err != nil {
		return err
	}
	if err := f.adopt(); err != nil {
		return err
	}
	now := time.Now()
	k.reconcile = true
	k.steer = now // what does not wait for NAT ranges
	k.settled = now.Add(k.cfg.Kernel.Settle)
	f.resyncs.last = now
	k.feeds = newFeeds(k.cfg, f, k.wake)
	return nil
}

// stop ends what start began.
func (k *Kernel) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.fib.patrol; p != nil {
		for range p.parts { // until it has closed it
		}
	}
	if k.feeds != nil {
		k.feeds.close()
	}
	if k.steering != nil {
		k.steering.close()
	}
	if k.devices != nil {
		k.devices.close()
	}
	k.synced = false
}

// Route returns what there is of a prefix in a VNI's table, false if the VNI has
// none.
func (k *Kernel) Route(vni rib.VNI, p netip.Prefix) (RouteInfo, bool) {
	names := deviceNames()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.fib.tables {
		if t.vni == vni && !t.left {
			return k.fib.routeInfo(t, p, names), true
		}
	}
	return RouteInfo{}, false
}

// Info returns the state of the kernel side.
func (k *Kernel) Info() Info {
	names := deviceNames()
	k.mu.Lock()
	defer k.mu.Unlock()
	info := k.fib.info(names)
	info.Synced, info.Since = k.synced, k.since
	if k.devices != nil {
		info.Devices = k.devices.info()
	}
	if k.steering != nil {
		info.Devices = append(info.Devices, k.steering.info()...)
		dropped := k.steering.dropped()
		for i := range info.Tables {
			t := &info.Tables[i]
			t.Steered, t.Contested, t.Dropped = k.steering.counts(t.VNI), k.steering.conflicts(t.VNI), dropped[t.VNI]
		}
	}
	return info
}
