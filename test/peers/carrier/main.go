// Carrier is one half of what a load run compares a bridge with: plain GoBGP
// that carries the same routes from one process to another. The sender
// originates them as fast as GoBGP takes them, a thousand a call; the receiver
// watches best paths and counts.
//
// A line "announce" or "withdraw" starts the sender. It says "established",
// "announced" and "withdrawn" when its part is done; the receiver says
// "established", and "has all" and "has none" when all routes came and when
// all are gone. Both end with their input.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

type options struct {
	local, peer      netip.Addr
	asn, peerASN     uint
	port             int
	send             bool
	routes, nexthops int
	mixed            bool
	srv6             bool
}

func main() {
	var o options
	flag.TextVar(&o.local, "local", netip.Addr{}, "own address and router id")
	flag.TextVar(&o.peer, "peer", netip.Addr{}, "the other's address")
	flag.UintVar(&o.asn, "asn", 0, "own AS number")
	flag.UintVar(&o.peerASN, "peer-asn", 0, "the other's AS number")
	flag.IntVar(&o.port, "port", 0, "TCP port of both")
	flag.BoolVar(&o.send, "send", false, "send the routes; otherwise wait for them")
	flag.IntVar(&o.routes, "routes", 0, "how many, the first addresses of 10.0.0.0/8")
	flag.IntVar(&o.nexthops, "nexthops", 1, "next hops that they share")
	flag.BoolVar(&o.mixed, "mixed", false, "next hops change from route to route, not only behind all routes of one")
	flag.BoolVar(&o.srv6, "srv6", false, "VPNv4 with an SRv6 service instead of EVPN type 5")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx := context.Background()
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	s := server.NewBgpServer(server.LoggerOption(log, level))
	go s.Serve()
	defer s.Stop()
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: uint32(o.asn), RouterId: o.local.String(), ListenPort: int32(o.port), ListenAddresses: []string{o.local.String()},
	}})
	if err != nil {
		return err
	}
	events := server.WatchEventMessageCallbacks{OnPeerUpdate: sayEstablished}
	watch := []server.WatchOption{server.WatchPeer()}
	if !o.send {
		c := counter{all: o.routes}
		events.OnBestPath = c.count
		watch = append(watch, server.WatchBestPath(false))
	}
	if err := s.WatchEvent(ctx, events, watch...); err != nil {
		return err
	}
	family := &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}
	if o.srv6 {
		family = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_MPLS_VPN}
	}
	err = s.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: o.peer.String(), PeerAsn: uint32(o.peerASN)},
		Transport: &api.Transport{LocalAddress: o.local.String(), RemotePort: uint32(o.port), PassiveMode: !o.send},
		Timers:    &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1, IdleHoldTimeAfterReset: 1, HoldTime: 90, KeepaliveInterval: 30}},
		AfiSafis:  []*api.AfiSafi{{Config: &api.AfiSafiConfig{Family: family, Enabled: true}}},
	}})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "announce":
			err = o.originate(s, true)
		case "withdraw":
			err = o.originate(s, false)
		default:
			err = fmt.Errorf("no such command: %q", lines.Text())
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func sayEstablished(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	if e.Type == apiutil.PEER_EVENT_STATE && e.Peer.State.SessionState == bgp.BGP_FSM_ESTABLISHED {
		fmt.Println("established")
	}
}

// counter counts the prefixes that are there.
type counter struct {
	all, here int
}

func (c *counter) count(paths []*apiutil.Path, _ time.Time) {
	for _, p := range paths {
		if p.Withdrawal {
			if c.here--; c.here == 0 {
				fmt.Println("has none")
			}
		} else if c.here++; c.here == c.all {
			fmt.Println("has all")
		}
	}
}

// originate announces or withdraws all routes. Those of one next hop share
// their attributes.
func (o *options) originate(s *server.BgpServer, announce bool) error {
	rd, err := bgp.NewRouteDistinguisherIPAddressAS(o.local, 200)
	if err != nil {
		return err
	}
	hops := make([][]bgp.PathAttributeInterface, o.nexthops)
	for hop := range hops {
		if hops[hop], err = o.attributes(hop); err != nil {
			return err
		}
	}
	paths := make([]*apiutil.Path, o.routes)
	for i := range paths {
		if paths[i], err = o.path(rd, i); err != nil {
			return err
		}
		hop := i * o.nexthops / o.routes
		if o.mixed {
			hop = i % o.nexthops
		}
		paths[i].Attrs = hops[hop]
	}
	for batch := range slices.Chunk(paths, 1000) {
		if !announce {
			if err := s.DeletePath(apiutil.DeletePathRequest{Paths: batch}); err != nil {
				return err
			}
			continue
		}
		answers, err := s.AddPath(apiutil.AddPathRequest{Paths: batch})
		for _, a := range answers {
			err = errors.Join(err, a.Error)
		}
		if err != nil {
			return err
		}
	}
	if announce {
		fmt.Println("announced")
	} else {
		fmt.Println("withdrawn")
	}
	return nil
}

func (o *options) path(rd bgp.RouteDistinguisherInterface, i int) (*apiutil.Path, error) {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	addr := netip.AddrFrom4(a)
	if o.srv6 {
		nlri, err := bgp.NewLabeledVPNIPAddrPrefix(netip.PrefixFrom(addr, 32), *bgp.NewMPLSLabelStack(3), rd)
		return &apiutil.Path{Family: bgp.RF_IPv4_VPN, Nlri: nlri}, err
	}
	nlri, err := bgp.NewEVPNIPPrefixRoute(rd, bgp.EthernetSegmentIdentifier{}, 0, 32, addr, netip.IPv4Unspecified(), 200)
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri}, err
}

func (o *options) attributes(hop int) ([]bgp.PathAttributeInterface, error) {
	target := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 6: byte(hop >> 8), 7: byte(hop), 15: 1})
	next, err := bgp.NewPathAttributeNextHop(target)
	if err != nil {
		return nil, err
	}
	rt, err := bgp.ParseRouteTarget(fmt.Sprintf("%d:200", o.asn))
	if err != nil {
		return nil, err
	}
	soo := bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_ORIGIN, uint16(o.asn), 1, true)
	list := []bgp.ExtendedCommunityInterface{rt, soo}
	attrs := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP), next}
	if !o.srv6 {
		list = append(list, bgp.NewEncapExtended(bgp.TUNNEL_TYPE_IP_IN_IP))
		return append(attrs, bgp.NewPathAttributeExtendedCommunities(list)), nil
	}
	sid := bgp.NewSRv6InformationSubTLV(target, bgp.END_DT46, bgp.NewSRv6SIDStructureSubSubTLV(48, 16, 64, 0, 0, 0))
	return append(attrs,
		bgp.NewPathAttributeExtendedCommunities(list),
		bgp.NewPathAttributePrefixSID(bgp.NewSRv6ServiceTLV(bgp.TLVTypeSRv6L3Service, sid))), nil
}
