package kernel

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// modelConfig has a VNI of each kind: 1 plain, 2 in VXLAN, 3 with the routes of
// 2, 4 with MPLS.
func modelConfig() *config.Config {
	gateway := func(vni uint32) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd00:f::%d", vni)) }
	return &config.Config{
		Kernel: &config.Kernel{
			Device: "overlay", HopLimit: 64, Protocol: 254, Metric: 4711, NextHopObjects: true,
			NextHopIDs: config.NumberRange{First: 1000, Last: 1999}, Settle: time.Minute, Scan: time.Minute,
		},
		VNIs: []config.VNI{
			{VNI: 1, Encapsulation: config.EncapNone, Gateway: gateway(1), Table: 101},
			{VNI: 2, Encapsulation: config.EncapVXLAN, Gateway: gateway(2), Table: 102},
			{VNI: 3, Encapsulation: config.EncapVXLAN, Gateway: gateway(3), Table: 103, ImportFrom: []uint32{2}},
			{VNI: 4, Encapsulation: config.EncapMPLS, Gateway: gateway(4), Table: 104},
		},
	}
}

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// model is a fib on a fake kernel, with tables that it follows.
type model struct {
	cfg     *config.Config
	tables  Tables
	origin  [2]rib.Origin
	kernel  *fakeKernel
	world   *fakeWorld
	foreign map[fakeRoute]rtnl.Route
	fib     *fib
	feeds   *feeds
	now     time.Time
	settled time.Time
}

func newModel(cfg *config.Config) *model {
	m := &model{cfg: cfg, kernel: newFakeKernel(), foreign: map[fakeRoute]rtnl.Route{}, now: time.Unix(1e9, 0)}
	m.tables = Tables{MetalBond: rib.New(rib.Options{}), Fabric: rib.New(rib.Options{})}
	m.origin[0] = m.tables.MetalBond.NewOrigin(rib.OriginInfo{Source: rib.Client})
	m.origin[1] = m.tables.Fabric.NewOrigin(rib.OriginInfo{Source: rib.BGP})
	m.world = newFakeWorld(m.kernel)
	m.start()
	return m
}

// start begins a run of the fib; an earlier one ends without a word.
func (m *model) start() {
	if m.feeds != nil {
		m.feeds.close()
	}
	m.world.watched, m.world.vteps = map[netip.Addr]int{}, map[hop]int{}
	m.fib = newFIB(m.cfg, m.tables, quiet())
	m.fib.kernel, m.fib.devices, m.fib.underlay = m.kernel, m.world, m.world
	m.fib.objects = m.cfg.Kernel.NextHopObjects
	if err := m.fib.adopt(); err != nil {
		panic(err)
	}
	m.fib.resyncs.last = m.now
	m.settled = m.now.Add(m.cfg.Kernel.Settle)
	m.feeds = newFeeds(m.cfg, m.fib, make(chan struct{}, 1))
}

// turn does what a turn of the loop does.
func (m *model) turn() {
	if !m.now.Before(m.fib.nextResync()) {
		m.fib.compare(m.now)
	}
	m.feeds.read(m.fib)
	for m.fib.flush(m.now); len(m.fib.dirty) > 0; {
		m.fib.flush(m.now)
	}
	if !m.fib.swept && !m.now.Before(m.settled) {
		m.fib.sweep()
		m.turn()
	}
}

func (m *model) event(e rtnl.Event) { m.fib.event(&e) }
