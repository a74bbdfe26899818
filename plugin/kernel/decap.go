package kernel

// What takes packets out of the tunnel that hypervisors send to a VNI's gateway
// address, which is all that tells the VNI. There are two ways:
//
//	ip6tnl  a tunnel device with the gateway address as its local end, in the
//	        VNI's VRF. The address has to be one of this machine (address.go).
//	segment a route to the gateway address whose encapsulation is seg6local: the
//	        address is an SRv6 segment (RFC 8986 sections 4.6 to 4.8). It must not
//	        be one of this machine, or else the kernel never gets to the route.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// addDecapsulation adds what takes a VNI's packets out of the tunnel.
func (d *devices) addDecapsulation(v *config.VNI, vrf *device) {
	switch v.Decapsulation {
	case config.DecapOff:
	case config.DecapIP6TNL:
		tunnel := newDecapTunnel(d.sys, d.cfg, v, vrf)
		d.add(tunnel)
		d.addRules(v, tunnel.name())
		// The last one: packets come only if all is ready.
		d.add(newGatewayAddress(d.sys, d.cfg, v))
	default:
		d.add(newSegment(d.conn, d.cfg, v, vrf))
	}
}

// ip6tnlIgnoreEncapLimit is IP6_TNL_F_IGN_ENCAP_LIMIT: no destination options
// header with an encapsulation limit (RFC 2473 section 4.1.1), which hypervisors
// do not take.
const ip6tnlIgnoreEncapLimit = 0x1

// newDecapTunnel returns the tunnel device of a VNI. It takes packets from
// everywhere, of IPv4 and IPv6, and sends none.
func newDecapTunnel(sys *sockets, k *config.Kernel, v *config.VNI, vrf *device) *device {
	gateway := v.Gateway
	want := &netlink.Ip6tnl{
		LinkAttrs: newAttrs(v.DecapDevice),
		Local:     toIP(gateway),
		Remote:    toIP(netip.IPv6Unspecified()),
		Flags:     ip6tnlIgnoreEncapLimit,
		Proto:     0, // any
	}
	want.MTU = int(k.MTU)
	return &device{
		sys: sys, vni: rib.VNI(v.VNI), want: want, kind: "ip6tnl", master: vrf,
		hint: "modprobe ip6_tunnel, or use decapsulation dt46",
		check: func(have netlink.Link) error {
			t, ok := have.(*netlink.Ip6tnl)
			switch {
			case !ok:
				return wrongKind(have, "ip6tnl")
			case t.FlowBased || !sameIP(t.Local, gateway) || !sameIP(t.Remote, netip.IPv6Unspecified()) || t.Proto != 0:
				return fmt.Errorf("is another tunnel, want mode any remote :: local %v", gateway)
			}
			return nil
		},
	}
}

// segment is a gateway address as an SRv6 segment.
type segment struct {
	conn   *rtnl.Conn
	vni    rib.VNI
	route  rtnl.Route
	vrf    *device // nil: none, End.DT6 names the table
	strict bool    // needs net.vrf.strict_mode
	ours   bool
}

// segmentActions are the behaviours of RFC 8986 as the kernel numbers them.
var segmentActions = map[config.Decapsulation]uint8{
	config.DecapDT46: rtnl.ActionDT46,
	config.DecapDT4:  rtnl.ActionDT4,
	config.DecapDT6:  rtnl.ActionDT6,
}

func newSegment(conn *rtnl.Conn, k *config.Kernel, v *config.VNI, vrf *device) *segment {
	s := &segment{conn: conn, vni: rib.VNI(v.VNI), vrf: vrf, strict: v.Decapsulation != config.DecapDT6}
	s.route = rtnl.Route{
		Table:    mainTable,
		Prefix:   netip.PrefixFrom(v.Gateway, v.Gateway.BitLen()),
		Type:     unix.RTN_UNICAST,
		Protocol: k.Protocol,
		Metric:   k.MetricFor(netip.PrefixFrom(v.Gateway, v.Gateway.BitLen())),
		Hops:     []rtnl.Hop{{Encap: rtnl.Encap{Kind: rtnl.EncapSeg6Local, Action: segmentActions[v.Decapsulation], Table: v.Table}}},
	}
	return s
}

func (s *segment) addr() netip.Addr { return s.route.Prefix.Addr() }

func (s *segment) info() DeviceInfo {
	return DeviceInfo{Name: s.addr().String(), Kind: "segment", VNI: s.vni, Ours: s.ours}
}

func (s *segment) reconcile(f *found) (changed bool, err error) {
	s.ours = false
	if i := slices.IndexFunc(f.addrs, func(a localAddr) bool { return a.addr == s.addr() }); i >= 0 {
		return false, fmt.Errorf("is an address of device %s, whose packets never get to a segment: ip addr del %v/%d dev %[1]s",
			f.name(f.addrs[i].device), s.addr(), f.addrs[i].bits)
	}
	if err := s.vrf.ready(); err != nil {
		return false, err
	}
	device, err := s.device(f)
	if err != nil {
		return false, err
	}
	s.route.Hops[0].Device = device
	if s.strict && sysctl("net/vrf/strict_mode") != "1" {
		return false, errors.New("needs VRFs that have their tables for themselves: sysctl -w net.vrf.strict_mode=1")
	}
	have, err := s.conn.Match(s.addr())
	if err != nil {
		return false, err
	}
	var b rtnl.Batch
	switch there := have.Prefix == s.route.Prefix && have.Table == mainTable; {
	case there && have.Protocol == s.route.Protocol && have.Metric == s.route.Metric:
		s.ours = true
		if slices.Equal(have.Hops, s.route.Hops) {
			return false, nil
		}
		b.ReplaceRoute(&s.route)
	case there && slices.Equal(have.Hops, s.route.Hops):
		return false, nil // somebody else's
	case there && have.Metric <= s.route.Metric:
		return false, fmt.Errorf("another route to it is in the way, of protocol %d and metric %d: ip -6 route show %v", have.Protocol, have.Metric, s.route.Prefix)
	default:
		b.AddRoute(&s.route)
	}
	switch err := execute(s.conn, &b); {
	case errors.Is(err, unix.EEXIST): // and the lookup does not show it: it drops packets
		return false, fmt.Errorf("another route to it is in the way: ip -6 route show %v", s.route.Prefix)
	case err != nil:
		return false, fmt.Errorf("making the route: %w", err)
	}
	s.ours = true
	return true, nil
}

// device returns the interface index for the route. Any device does that is up,
// but for lo: the kernel takes a route to lo for one that drops packets.
func (s *segment) device(f *found) (int, error) {
	if s.vrf != nil {
		return s.vrf.index, nil
	}
	first := 0
	for name, l := range f.links {
		a := l.Attrs()
		if name != loopback && a.RawFlags&unix.IFF_UP != 0 && (first == 0 || a.Index < first) {
			first = a.Index
		}
	}
	if first == 0 {
		return 0, errors.New("needs a device besides lo that is up")
	}
	return first, nil
}

// execute carries out a batch and returns the first refusal.
func execute(conn *rtnl.Conn, b *rtnl.Batch) error {
	refused, err := conn.Execute(b)
	if err == nil && len(refused) > 0 {
		err = refused[0].Err
	}
	return err
}
