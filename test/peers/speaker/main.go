// Speaker is a BGP EVPN speaker (GoBGP's library) under the control of a test:
// commands come in as lines, every route that a neighbour sends or withdraws
// goes out as a line of JSON, as it came, before any policy.
//
//	announce RD PREFIX LABEL NEXTHOP RT MAC    an EVPN type 5 route
//	withdraw RD PREFIX
//	fill RD N LABEL NEXTHOP RT MAC             type 5 of the first N addresses of 10.0.0.0/8
//	drain RD N
//	host RD MAC IP LABEL LABEL2 NEXTHOP RT ROUTER-MAC   an EVPN type 2 route with two labels
//	disconnect ADDRESS
//
// It ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

func main() {
	asn := flag.Uint("asn", 65000, "AS number")
	id := flag.String("router-id", "", "router id")
	port := flag.Int("port", 179, "port to listen on")
	neighbors := flag.String("neighbors", "", "ADDRESS=AS,... ; sessions are passive")
	reflector := flag.Bool("reflector", false, "neighbours of the own AS are route reflector clients")
	flag.Parse()
	if err := run(uint32(*asn), *id, int32(*port), *neighbors, *reflector); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(asn uint32, id string, port int32, neighbors string, reflector bool) error {
	ctx := context.Background()
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	s := server.NewBgpServer(server.LoggerOption(log, level))
	go s.Serve()
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: asn, RouterId: id, ListenPort: port}})
	if err != nil {
		return err
	}
	out := &reporter{w: bufio.NewWriter(os.Stdout)}
	err = s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPathUpdate: out.paths,
		OnPeerUpdate: out.peer,
	}, server.WatchUpdate(true, "", ""), server.WatchPeer(), server.WatchAdjInWithdraw())
	if err != nil {
		return err
	}
	for _, n := range strings.Split(neighbors, ",") {
		addr, as, ok := strings.Cut(n, "=")
		peerAS, err := strconv.ParseUint(as, 10, 32)
		if !ok || err != nil {
			return fmt.Errorf("neighbour %q is not ADDRESS=AS", n)
		}
		p := &api.Peer{
			Conf:      &api.PeerConf{NeighborAddress: addr, PeerAsn: uint32(peerAS)},
			Transport: &api.Transport{PassiveMode: true},
			AfiSafis: []*api.AfiSafi{{Config: &api.AfiSafiConfig{
				Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, Enabled: true,
			}}},
		}
		if reflector {
			p.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: id}
		}
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: p}); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		r := report{Event: "done"}
		if err := do(s, strings.Fields(lines.Text())); err != nil {
			r.Error = err.Error()
		}
		out.say(r)
	}
	s.Stop()
	return lines.Err()
}

// report is one line of output.
type report struct {
	Event   string   `json:"event"` // add, remove, state, done
	Peer    string   `json:"peer,omitempty"`
	State   string   `json:"state,omitempty"`
	Error   string   `json:"error,omitempty"`
	Type    uint8    `json:"type,omitempty"` // EVPN route type
	RD      string   `json:"rd,omitempty"`
	Prefix  string   `json:"prefix,omitempty"` // type 2: the address
	Label   uint32   `json:"label,omitempty"`
	Gateway string   `json:"gateway,omitempty"`
	Tag     uint32   `json:"tag,omitempty"`
	NextHop string   `json:"nexthop,omitempty"`
	ASPath  string   `json:"aspath,omitempty"`
	Ext     []string `json:"ext,omitempty"` // extended communities, sorted
}

type reporter struct {
	mu sync.Mutex
	w  *bufio.Writer // guarded by mu
}

func (r *reporter) say(lines ...report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range lines {
		b, err := json.Marshal(line)
		if err != nil {
			panic(err)
		}
		r.w.Write(append(b, '\n'))
	}
	if err := r.w.Flush(); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

func (r *reporter) peer(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	if e.Type == apiutil.PEER_EVENT_STATE {
		r.say(report{
			Event: "state", Peer: e.Peer.State.NeighborAddress.String(),
			State: e.Peer.State.SessionState.String(), Error: e.Peer.State.DisconnectMessage,
		})
	}
}

func (r *reporter) paths(paths []*apiutil.Path, _ time.Time) {
	lines := make([]report, 0, len(paths))
	for _, p := range paths {
		if line, ok := describe(p); ok {
			lines = append(lines, line)
		}
	}
	r.say(lines...)
}

// describe tells of a path; ok is false for other families and route types.
func describe(p *apiutil.Path) (line report, ok bool) {
	evpn, ok := p.Nlri.(*bgp.EVPNNLRI)
	if !ok {
		return line, false
	}
	line = report{Event: "add", Peer: p.PeerAddress.String(), Type: evpn.RouteType}
	if p.Withdrawal {
		line.Event = "remove"
	}
	switch r := evpn.RouteTypeData.(type) {
	case *bgp.EVPNIPPrefixRoute:
		line.RD, line.Label, line.Tag = r.RD.String(), r.Label, r.ETag
		line.Prefix = netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength)).String()
		if r.GWIPAddress.IsValid() && !r.GWIPAddress.IsUnspecified() {
			line.Gateway = r.GWIPAddress.String()
		}
	case *bgp.EVPNMacIPAdvertisementRoute:
		line.RD, line.Tag, line.Prefix = r.RD.String(), r.ETag, r.IPAddress.String()
	default:
		return line, false
	}
	if p.Withdrawal {
		return line, true
	}
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			line.NextHop = a.Nexthop.String()
		case *bgp.PathAttributeAsPath:
			line.ASPath = strings.TrimSuffix(strings.TrimPrefix(a.String(), "{AsPath: "), "}")
		case *bgp.PathAttributeExtendedCommunities:
			for _, c := range a.Value {
				line.Ext = append(line.Ext, c.String())
			}
		}
	}
	slices.Sort(line.Ext)
	return line, true
}

func do(s *server.BgpServer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command")
	}
	want := map[string]int{"announce": 7, "withdraw": 3, "fill": 7, "drain": 3, "host": 9, "disconnect": 2}
	if want[args[0]] != len(args) {
		return fmt.Errorf("no such command: %q", args)
	}
	// GoBGP wants a next hop in withdrawals, too.
	next, err := bgp.NewPathAttributeNextHop(netip.IPv6Unspecified())
	if err != nil {
		return err
	}
	gone := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(0), next}
	switch args[0] {
	case "announce":
		attrs, err := attributes(args[4], args[5], args[6])
		if err != nil {
			return err
		}
		return send(s, false, attrs, args[1], args[3], args[2])
	case "withdraw":
		return send(s, true, gone, args[1], "0", args[2])
	case "fill", "drain":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		prefixes := make([]string, n)
		for i := range prefixes {
			prefixes[i] = fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255)
		}
		if args[0] == "drain" {
			return send(s, true, gone, args[1], "0", prefixes...)
		}
		attrs, err := attributes(args[4], args[5], args[6])
		if err != nil {
			return err
		}
		return send(s, false, attrs, args[1], args[3], prefixes...)
	case "host":
		return host(s, args[1:])
	}
	return s.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: args[1]})
}

// send originates or withdraws type 5 routes, a thousand a call.
func send(s *server.BgpServer, withdraw bool, attrs []bgp.PathAttributeInterface, rd, label string, prefixes ...string) error {
	d, err := bgp.ParseRouteDistinguisher(rd)
	if err != nil {
		return err
	}
	l, err := strconv.ParseUint(label, 10, 32)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(prefixes, 1000) {
		var paths []*apiutil.Path
		for _, text := range batch {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return err
			}
			gateway := netip.IPv4Unspecified()
			if p.Addr().Is6() {
				gateway = netip.IPv6Unspecified()
			}
			nlri, err := bgp.NewEVPNIPPrefixRoute(d, bgp.EthernetSegmentIdentifier{}, 0, uint8(p.Bits()), p.Addr(), gateway, uint32(l))
			if err != nil {
				return err
			}
			paths = append(paths, &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Attrs: attrs})
		}
		if err := apply(s, withdraw, paths); err != nil {
			return err
		}
	}
	return nil
}

func apply(s *server.BgpServer, withdraw bool, paths []*apiutil.Path) error {
	if withdraw {
		return s.DeletePath(apiutil.DeletePathRequest{Paths: paths})
	}
	answers, err := s.AddPath(apiutil.AddPathRequest{Paths: paths})
	for _, a := range answers {
		if err == nil {
			err = a.Error
		}
	}
	return err
}

// host originates a type 2 route with an address, an L2 and an L3 label.
func host(s *server.BgpServer, a []string) error {
	rd, err := bgp.ParseRouteDistinguisher(a[0])
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(a[2])
	if err != nil {
		return err
	}
	var labels []uint32
	for _, text := range a[3:5] {
		l, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return err
		}
		labels = append(labels, uint32(l))
	}
	nlri, err := bgp.NewEVPNMacIPAdvertisementRoute(rd, bgp.EthernetSegmentIdentifier{}, 0, a[1], ip, labels)
	if err != nil {
		return err
	}
	attrs, err := attributes(a[5], a[6], a[7])
	if err != nil {
		return err
	}
	return apply(s, false, []*apiutil.Path{{Family: bgp.RF_EVPN, Nlri: nlri, Attrs: attrs}})
}

func attributes(nexthop, rt, mac string) ([]bgp.PathAttributeInterface, error) {
	addr, err := netip.ParseAddr(nexthop)
	if err != nil {
		return nil, err
	}
	next, err := bgp.NewPathAttributeNextHop(addr)
	if err != nil {
		return nil, err
	}
	var communities []bgp.ExtendedCommunityInterface
	for _, text := range strings.Split(rt, ",") {
		target, err := bgp.ParseRouteTarget(text)
		if soo, ok := strings.CutPrefix(text, "soo:"); ok {
			target, err = bgp.ParseExtendedCommunity(bgp.EC_SUBTYPE_ROUTE_ORIGIN, soo)
		}
		if err != nil {
			return nil, err
		}
		communities = append(communities, target)
	}
	communities = append(communities, bgp.NewEncapExtended(bgp.TUNNEL_TYPE_VXLAN), bgp.NewRoutersMacExtended(mac))
	return []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(0), next, bgp.NewPathAttributeExtendedCommunities(communities),
	}, nil
}
