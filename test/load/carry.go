package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// The loopback addresses of the parts; one port serves each protocol.
var (
	addressA        = netip.MustParseAddr("127.0.0.11")
	addressB        = netip.MustParseAddr("127.0.0.12")
	addressSender   = netip.MustParseAddr("127.0.0.21")
	addressReceiver = netip.MustParseAddr("127.0.0.22")
)

const (
	portBGP       = 11790
	portMetalBond = 14711
	portHTTP      = 14712
	vni           = 200
)

// bridges carries the routes through two bridges.
func (l *load) bridges(ctx context.Context) (r result, err error) {
	a, err := l.bridge(ctx, "A", addressA, 65001, addressB, 65002)
	if err != nil {
		return r, err
	}
	defer a.end()
	b, err := l.bridge(ctx, "B", addressB, 65002, addressA, 65001)
	if err != nil {
		return r, err
	}
	defer b.end()
	if err := ready(ctx, addressA, addressB); err != nil {
		return r, err
	}
	var subscribers []*client
	for range l.subscribers {
		c, err := connect(ctx, netip.AddrPortFrom(addressB, portMetalBond))
		if err != nil {
			return r, err
		}
		defer c.close()
		if err := c.subscribe(); err != nil {
			return r, err
		}
		subscribers = append(subscribers, c)
	}
	announcer, err := connect(ctx, netip.AddrPortFrom(addressA, portMetalBond))
	if err != nil {
		return r, err
	}
	defer announcer.close()
	for _, p := range []*process{a, b} {
		if err := p.rest(ctx); err != nil {
			return r, err
		}
	}
	r.all, err = l.pass(ctx, announcer, subscribers, true)
	if err != nil {
		return r, err
	}
	if r.processes, err = usages(ctx, a, b); err != nil {
		return r, err
	}
	r.none, err = l.pass(ctx, announcer, subscribers, false)
	return r, err
}

// pass announces or withdraws all routes, and waits until the subscribers have
// heard of all.
func (l *load) pass(ctx context.Context, from *client, to []*client, announce bool) (time.Duration, error) {
	begin := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- from.say(l, announce) }()
	all, ctx := errgroup.WithContext(ctx)
	for _, c := range to {
		all.Go(func() error { return c.hear(ctx, l, announce) })
	}
	if err := all.Wait(); err != nil {
		return 0, err
	}
	return time.Since(begin), <-sent
}

func (l *load) bridge(ctx context.Context, name string, own netip.Addr, asn int, peer netip.Addr, peerASN int) (*process, error) {
	family := "evpn"
	if l.encap == "srv6" {
		family = "vpnv4"
	}
	id := own.As4()
	id[0] = 10
	text := fmt.Sprintf(`router-id: %v
asn: %d
domain: %d:1
http: %v:%d
metalbond: {listen: "%v:%d", pace: off}
bgp:
  listen: "%v:%d"
  neighbors:
    - address: %v
      port: %d
      asn: %d
      local-address: %v
      families: [%s]
      timers: {connect-retry: 1s}
vnis:
  - {vni: %d, encapsulation: %s}
`, netip.AddrFrom4(id), asn, asn, own, portHTTP, own, portMetalBond, own, portBGP, peer, portBGP, peerASN, own, family, vni, l.encap)
	file := filepath.Join(l.work, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return l.start(ctx, name, "mbbgp", "run", "-c", file)
}

// carriers carries the routes from one plain GoBGP to another.
func (l *load) carriers(ctx context.Context) (r result, err error) {
	carrier := func(name string, own netip.Addr, asn int, peer netip.Addr, peerASN int, send bool) (*process, error) {
		return l.start(ctx, name, "carrier",
			"-local", own.String(), "-asn", strconv.Itoa(asn), "-peer", peer.String(), "-peer-asn", strconv.Itoa(peerASN),
			"-port", strconv.Itoa(portBGP), "-routes", strconv.Itoa(l.routes), "-nexthops", strconv.Itoa(l.nexthops),
			fmt.Sprintf("-mixed=%t", l.mixed), fmt.Sprintf("-send=%t", send), fmt.Sprintf("-srv6=%t", l.encap == "srv6"))
	}
	receiver, err := carrier("receiver", addressReceiver, 65002, addressSender, 65001, false)
	if err != nil {
		return r, err
	}
	defer receiver.end()
	sender, err := carrier("sender", addressSender, 65001, addressReceiver, 65002, true)
	if err != nil {
		return r, err
	}
	defer sender.end()
	for _, p := range []*process{sender, receiver} {
		if err := p.expect(ctx, "established"); err != nil {
			return r, err
		}
		if err := p.rest(ctx); err != nil {
			return r, err
		}
	}
	pass := func(command, done, heard string) (time.Duration, error) {
		begin := time.Now()
		if _, err := fmt.Fprintln(sender.in, command); err != nil {
			return 0, err
		}
		if err := receiver.expect(ctx, heard); err != nil {
			return 0, err
		}
		took := time.Since(begin)
		return took, sender.expect(ctx, done)
	}
	if r.all, err = pass("announce", "announced", "has all"); err != nil {
		return r, err
	}
	if r.processes, err = usages(ctx, sender, receiver); err != nil {
		return r, err
	}
	r.none, err = pass("withdraw", "withdrawn", "has none")
	return r, err
}
