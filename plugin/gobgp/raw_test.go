package gobgp

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// raw is a neighbour that sends what no implementation would.
type raw struct {
	net.Conn
	t *testing.T

	mu    sync.Mutex
	heard []*bgp.BGPUpdate // guarded by mu; what it was sent
}

// withRaw starts a speaker of AS 65001 with a raw neighbour of AS 65000, which
// has these capabilities beside EVPN.
func withRaw(t *testing.T, caps ...bgp.ParameterCapabilityInterface) (*host, *raw, netip.Addr) {
	t.Helper()
	addrs := addresses(2)
	cfg := configuration(t, addrs[0], 65001)
	cfg.BGP.Neighbors = []config.Neighbor{{Address: addrs[1], Passive: true, Peering: config.Peering{
		ASN: 65000, Families: []config.Family{config.FamilyEVPN}, Timers: timers(),
	}}}
	h := start(t, cfg)
	settle(t, h)
	return h, connect(t, h, addrs[1], append(caps, bgp.NewCapMultiProtocol(bgp.RF_EVPN))...), addrs[1]
}

// connect makes a raw neighbour of AS 65000 with these capabilities, and
// returns when its session is established.
func connect(t *testing.T, h *host, from netip.Addr, caps ...bgp.ParameterCapabilityInterface) *raw {
	t.Helper()
	r := open(t, h, from, caps...)
	eventually(t, "session established", func() bool { return h.neighbor(from).State == Established })
	return r
}

// open is connect that does not wait.
func open(t *testing.T, h *host, from netip.Addr, caps ...bgp.ParameterCapabilityInterface) *raw {
	t.Helper()
	eventually(t, "listening", func() bool { return h.neighbor(from).State == Active })
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.Dial("tcp", netip.AddrPortFrom(h.addr, h.port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &raw{Conn: conn, t: t}
	message, err := bgp.NewBGPOpenMessage(65000, 90, from, []bgp.OptionParameterInterface{
		bgp.NewOptionParameterCapability(append(caps, bgp.NewCapFourOctetASNumber(65000))),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.send(message)
	r.send(bgp.NewBGPKeepAliveMessage())
	go r.listen()
	return r
}

// listen keeps the UPDATEs that come, until the session is over.
func (r *raw) listen() {
	for {
		head := make([]byte, bgp.BGP_HEADER_LENGTH)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		body := make([]byte, max(int(binary.BigEndian.Uint16(head[16:])), len(head))-len(head))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		m, err := bgp.ParseBGPMessage(append(head, body...))
		if err != nil {
			continue
		}
		if u, ok := m.Body.(*bgp.BGPUpdate); ok {
			r.mu.Lock()
			r.heard = append(r.heard, u)
			r.mu.Unlock()
		}
	}
}

func (r *raw) send(m *bgp.BGPMessage) {
	r.t.Helper()
	b, err := m.Serialize()
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(b)
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	_ = r.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// update makes an UPDATE of NLRIs with an AS path.
func update(asPath []uint32, nlris ...bgp.NLRI) *bgp.BGPMessage {
	list := make([]bgp.PathNLRI, len(nlris))
	for i, n := range nlris {
		list[i] = bgp.PathNLRI{NLRI: n}
	}
	reach, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_EVPN, list, addr("192.0.2.9"))
	if err != nil {
		panic(err)
	}
	return bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(0),
		bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)}),
		bgp.NewPathAttributeExtendedCommunities([]bgp.ExtendedCommunityInterface{rt200, vxEC, macEC}),
		reach,
	}, nil)
}

func typeFive(prefix string, label uint32) (bgp.NLRI, bridge.NLRI) {
	p := netip.MustParsePrefix(prefix)
	n := rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: uint8(p.Bits()), IPPrefix: p.Addr(), GWIPAddress: zero4, Label: label})
	return n, bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.9:9"), Prefix: p}
}

func TestRouteWithOurASIsNotImported(t *testing.T) {
	parallel(t)
	h, r, _ := withRaw(t)
	loop, _ := typeFive("10.1.2.0/24", 7)
	good, _ := typeFive("10.1.3.0/24", 7)
	r.send(update([]uint32{65000, 65001, 65009}, loop))
	r.send(update([]uint32{65000, 165001, 6500, 650011}, good))
	eventually(t, "the good route arrived", func() bool { return h.len() == 1 })
	if c := h.Counters(); c.Imported != 1 {
		t.Errorf("counters: %+v", c)
	}
}

// A neighbour whose own way is lost may next announce the way through us. What
// it said before is over then.
func TestRouteThatComesBackToUsEndsTheOldOne(t *testing.T) {
	parallel(t)
	h, r, peer := withRaw(t)
	n, _ := typeFive("10.1.2.0/24", 7)
	r.send(update([]uint32{65000, 65009}, n))
	eventually(t, "the good route arrived", func() bool { return h.len() == 1 })
	r.send(update([]uint32{65000, 65001, 65009}, n))
	eventually(t, "no route", func() bool { return h.len() == 0 })
	r.send(update([]uint32{65000, 65009}, n))
	eventually(t, "the good route is back", func() bool { return h.len() == 1 })
	if n := h.neighbor(peer); n.Ups != 1 {
		t.Errorf("neighbour: %+v", n)
	}
}

// TestBrokenUpdateWithdrawsItsRoutes sends a valid route, then its update with
// one attribute broken (RFC 7606): the route goes, the session and the other
// routes stay.
func TestBrokenUpdateWithdrawsItsRoutes(t *testing.T) {
	parallel(t)
	h, r, peer := withRaw(t)
	victim, key := typeFive("10.1.2.0/24", 7)
	other, _ := typeFive("10.1.3.0/24", 7)
	for _, tt := range []struct {
		name  string
		spoil func(*bgp.BGPMessage)
	}{
		{"ORIGIN of an unknown value", func(m *bgp.BGPMessage) {
			m.Body.(*bgp.BGPUpdate).PathAttributes[0] = bgp.NewPathAttributeOrigin(9)
		}},
		{"extended communities of a wrong length", func(m *bgp.BGPMessage) {
			m.Body.(*bgp.BGPUpdate).PathAttributes[2] = bgp.NewPathAttributeUnknown(
				bgp.BGP_ATTR_FLAG_OPTIONAL|bgp.BGP_ATTR_FLAG_TRANSITIVE, bgp.BGP_ATTR_TYPE_EXTENDED_COMMUNITIES, []byte{0, 2, 1})
		}},
		{"no ORIGIN", func(m *bgp.BGPMessage) {
			u := m.Body.(*bgp.BGPUpdate)
			u.PathAttributes = u.PathAttributes[1:]
		}},
	} {
		r.send(update([]uint32{65000}, victim, other))
		eventually(t, tt.name+": both routes", func() bool { return h.len() == 2 })
		m := update([]uint32{65000}, victim)
		tt.spoil(m)
		r.send(m)
		eventually(t, tt.name+": one route", func() bool { return h.len() == 1 })
		if _, ok := h.get(key); ok {
			t.Errorf("%s: the broken route is there", tt.name)
		}
	}
	if n := h.neighbor(peer); n.State != Established || n.Ups != 1 {
		t.Errorf("neighbour: %+v", n)
	}
}
