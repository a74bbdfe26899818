package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/gobgp"
	"mbbgp/rib"
)

// leaf is a switch of the fabric: a BGP speaker with two VRFs. What is in its
// EVPN table it writes on the board.
type leaf struct {
	name  string
	board *board
	node  *daemon
	own   *bridge.Channel
	vnis  []rib.VNI
}

func newLeaf(name string, cfg *config.Config, b *board, log *logs) (*leaf, error) {
	node, err := newDaemon(cfg, log)
	if err != nil {
		return nil, err
	}
	return &leaf{name: name, board: b, node: node, own: node.bridge.Open(rib.Static, name), vnis: configuredVNIs(cfg)}, nil
}

// run lives until ctx ends.
func (l *leaf) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	changed := make(chan struct{}, 1)
	group.Go(func() error { return l.node.Run(ctx) })
	group.Go(func() error { return l.look(ctx, changed) })
	for _, vni := range l.vnis {
		group.Go(func() error {
			return follow(ctx, l.node.table, vni, rib.ReaderOptions{Sources: rib.Sources(rib.BGP)}, func(rib.Change) error {
				select {
				case changed <- struct{}{}:
				default: // it is going to look anyway
				}
				return nil
			})
		})
	}
	return group.Wait()
}

// look copies the EVPN table to the board whenever a VRF has changed, and now
// and then, because a route that changes no VRF is a route nevertheless.
func (l *leaf) look(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-l.node.speaker.Ready():
	case <-ctx.Done():
		return nil
	}
	moment := time.NewTicker(50 * time.Millisecond)
	defer moment.Stop()
	known := make(map[sight]detail)
	for {
		found := make(map[sight]detail)
		err := l.node.speaker.Table(func(p gobgp.Path) bool {
			if p.Neighbor.IsValid() {
				found[sight{l.name, rib.VNI(p.Label), p.NLRI.Prefix, p.NLRI.RD.String()}] = evpnDetail(p)
			}
			return true
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for s := range known {
			if _, ok := found[s]; !ok {
				l.board.drop(s)
			}
		}
		for s, d := range found {
			if known[s] != d {
				l.board.put(s, d)
			}
		}
		known = found
		select {
		case <-changed:
		case <-moment.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// announce gives a subnet of the leaf to the fabric.
func (l *leaf) announce(vni rib.VNI, prefix string) error {
	p := netip.MustParsePrefix(prefix)
	l.board.put(sight{l.name, vni, p, "own"}, detail{own: true})
	return l.own.Announce(vni, p, l.hop())
}

// hop is where the leaf's subnets are, as its own VRFs see it.
func (l *leaf) hop() rib.NextHop {
	return rib.NextHop{Target: netip.MustParseAddr(leafHost)}
}

// withdraw takes a subnet from the fabric.
func (l *leaf) withdraw(vni rib.VNI, prefix string) {
	p := netip.MustParsePrefix(prefix)
	l.board.drop(sight{l.name, vni, p, "own"})
	l.own.Withdraw(vni, p, l.hop())
}

// established reports whether the session with the bridge is up.
func (l *leaf) established() bool {
	for _, n := range l.node.speaker.Neighbors() {
		if n.State == gobgp.Established {
			return true
		}
	}
	return false
}

// evpnDetail says what matters of an EVPN route.
func evpnDetail(p gobgp.Path) detail {
	a := p.Attributes
	var targets []string
	for _, t := range a.RouteTargets {
		targets = append(targets, strings.TrimPrefix(t.String(), "target:"))
	}
	text := fmt.Sprintf("VNI %d  %v  EVPN type %d  RD %v  RT %s  label %d",
		p.Label, p.NLRI.Prefix, p.NLRI.Kind, p.NLRI.RD, strings.Join(targets, ","), p.Label)
	if a.Encapsulation == bridge.TunnelVXLAN {
		text += fmt.Sprintf("  VTEP %v  MAC %v", a.NextHop, a.RouterMAC)
	} else {
		text += fmt.Sprintf("  next hop %v", a.NextHop)
	}
	return detail{hop: a.NextHop.String(), text: text}
}
