package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

// hypervisor is a MetalBond client with a table of its own, as metalnet is on
// a real host: what it hears it writes on the board.
type hypervisor struct {
	name     string
	underlay netip.Addr
	link     *link
	board    *board
	table    *rib.Table
	client   *metalbond.Client
	own      *bridge.Channel
}

func newHypervisor(name string, underlay netip.Addr, l *link, vnis []rib.VNI, b *board, log logrus.FieldLogger) (*hypervisor, error) {
	h := &hypervisor{name: name, underlay: underlay, link: l, board: b}
	h.table = rib.New(rib.Options{Encode: metalbond.Encode})
	policy, err := bridge.New(&config.Config{}, h.table, log)
	if err != nil {
		return nil, err
	}
	h.own = policy.Open(rib.Static, name)
	h.client = metalbond.NewClient(metalbond.ClientOptions{
		Servers:   []string{l.address()},
		Keepalive: time.Second,
		Subscribe: vnis,
		Bridge:    policy,
		Log:       log,
	})
	return h, nil
}

// run lives until ctx ends.
func (h *hypervisor) run(ctx context.Context, vnis []rib.VNI) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.link.run(ctx) })
	group.Go(func() error { return h.client.Run(ctx) })
	for _, vni := range vnis {
		group.Go(func() error {
			return follow(ctx, h.table, vni, rib.ReaderOptions{Sources: rib.Sources(rib.Server)}, func(c rib.Change) error {
				h.heard(vni, c)
				return nil
			})
		})
	}
	return group.Wait()
}

// heard writes a change on the board.
func (h *hypervisor) heard(vni rib.VNI, c rib.Change) {
	for _, p := range c.Old {
		if !holds(c.New, p.NextHop) {
			h.board.drop(sight{h.name, vni, c.Prefix, p.NextHop.String()})
		}
	}
	for _, p := range c.New {
		hop := p.NextHop.String()
		h.board.put(sight{h.name, vni, c.Prefix, hop}, detail{hop: hop, text: fmt.Sprintf("VNI %d  %v  next hop %s", vni, c.Prefix, hop)})
	}
}

// announce tells the bridge that a prefix is here.
func (h *hypervisor) announce(vni rib.VNI, prefix string, hop rib.NextHop) error {
	p := netip.MustParsePrefix(prefix)
	hop.Target = h.underlay
	h.board.put(sight{h.name, vni, p, "own" + hop.String()}, detail{own: true, hop: hop.String()})
	return h.own.Announce(vni, p, hop)
}

// withdraw tells the bridge that a prefix is here no longer.
func (h *hypervisor) withdraw(vni rib.VNI, prefix string, hop rib.NextHop) {
	p := netip.MustParsePrefix(prefix)
	hop.Target = h.underlay
	h.board.drop(sight{h.name, vni, p, "own" + hop.String()})
	h.own.Withdraw(vni, p, hop)
}

// established reports whether the session with the bridge is up.
func (h *hypervisor) established() bool {
	for _, s := range h.client.Sessions() {
		if s.State == metalbond.Established {
			return true
		}
	}
	return false
}
