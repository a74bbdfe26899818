package gobgp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
)

// A hostile neighbour announces a route, and then the same route in an UPDATE
// in which something is broken. All of it is made of octets here: no encoder
// would write what these say.

// victim is the route, in parts that a case can spoil.
type victim struct {
	family     bgp.Family
	attributes []byte // behind ORIGIN, AS_PATH and the route target
	nextHop    []byte
	nlri       []byte
}

// fate is what becomes of the route when its broken UPDATE was heard.
type fate uint8

const (
	goes  fate = iota // it is withdrawn, and the session stays (RFC 7606)
	stays             // what is broken is left out (attribute discard), or of no use to us
	ends              // so does the session: where an NLRI ends cannot be known
)

func (f fate) String() string { return [...]string{"goes", "stays", "ends the session"}[f] }

const (
	optional   = byte(bgp.BGP_ATTR_FLAG_OPTIONAL)
	transitive = byte(bgp.BGP_ATTR_FLAG_OPTIONAL | bgp.BGP_ATTR_FLAG_TRANSITIVE)
	wellKnown  = byte(bgp.BGP_ATTR_FLAG_TRANSITIVE)
	long       = byte(bgp.BGP_ATTR_FLAG_EXTENDED_LENGTH)
)

// join puts bytes, strings and slices of bytes behind each other.
func join(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case byte:
			b = append(b, p)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// attribute returns a path attribute of this type.
func attribute(flags byte, typ bgp.BGPAttrType, parts ...any) []byte {
	value := join(parts...)
	length := binary.BigEndian.AppendUint16(nil, uint16(len(value)))
	return join(flags|long, byte(typ), length, value)
}

// tlv returns a TLV of the Prefix-SID, which have two octets of length.
func tlv(typ int, parts ...any) []byte {
	value := join(parts...)
	return join(typ, binary.BigEndian.AppendUint16(nil, uint16(len(value))), value)
}

func (v *victim) update() []byte {
	attributes := join(
		attribute(wellKnown, bgp.BGP_ATTR_TYPE_ORIGIN, 0),
		attribute(wellKnown, bgp.BGP_ATTR_TYPE_AS_PATH, 2, 1, 0, 0, 0xfd, 0xe8),
		attribute(transitive, bgp.BGP_ATTR_TYPE_EXTENDED_COMMUNITIES, 0, 2, 0xfd, 0xe8, 0, 0, 0, 200),
		v.attributes,
		attribute(optional, bgp.BGP_ATTR_TYPE_MP_REACH_NLRI, afi(v.family), len(v.nextHop), v.nextHop, 0, v.nlri))
	body := join(0, 0, binary.BigEndian.AppendUint16(nil, uint16(len(attributes))), attributes)
	length := binary.BigEndian.AppendUint16(nil, uint16(bgp.BGP_HEADER_LENGTH+len(body)))
	return join(bytes.Repeat([]byte{0xff}, 16), length, byte(bgp.BGP_MSG_UPDATE), body)
}

func afi(f bgp.Family) []byte {
	return append(binary.BigEndian.AppendUint16(nil, f.Afi()), f.Safi())
}

var (
	octetsRD    = join(0, 0, 0xfd, 0xe8, 0, 0, 0, 9) // 65000:9
	octetsLabel = join(0, 1, 1)                      // 16, at the bottom of the stack
	octetsESI   = make([]byte, 10)
	octetsHop   = join(192, 0, 2, 9)
	octetsSID   = join(0x20, 0x01, 0x0d, 0xb8, make([]byte, 11), 9)
)

// newVictim returns the n-th route of a family, and how the bridge knows it;
// the bridge does not know flow specifications and memberships of others.
func newVictim(f bgp.Family, n int) (v victim, key bridge.NLRI) {
	prefix4, prefix6 := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(n)}), 24), netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, byte(n)}), 48)
	four, six := prefix4.Addr().AsSlice()[:3], prefix6.Addr().AsSlice()[:6]
	v = victim{family: f, nextHop: octetsHop}
	rd := distinguisher("65000:9")
	switch f {
	case bgp.RF_EVPN:
		v.nlri = join(5, 34, octetsRD, octetsESI, 0, 0, 0, 0, 24, four, 0, 0, 0, 0, 0, 0, 0, 200)
		key = bridge.NLRI{Kind: bridge.IPPrefix, RD: rd, Prefix: prefix4}
	case bgp.RF_IPv4_VPN:
		v.nlri = join(24+64+24, octetsLabel, octetsRD, four)
		v.nextHop = join(make([]byte, 8), octetsHop)
		key = bridge.NLRI{Kind: bridge.VPN, RD: rd, Prefix: prefix4}
	case bgp.RF_IPv6_VPN:
		v.nlri = join(24+64+48, octetsLabel, octetsRD, six)
		v.nextHop = join(make([]byte, 8), octetsSID)
		key = bridge.NLRI{Kind: bridge.VPN, RD: rd, Prefix: prefix6}
	case bgp.RF_IPv4_UC:
		v.nlri = join(24, four)
		key = bridge.NLRI{Kind: bridge.Unicast, Prefix: prefix4}
	case bgp.RF_IPv6_UC:
		v.nlri, v.nextHop = join(48, six), octetsSID
		key = bridge.NLRI{Kind: bridge.Unicast, Prefix: prefix6}
	case bgp.RF_FS_IPv4_UC:
		v.nlri, v.nextHop = join(8, 1, 24, four, 3, 0x81, 6), nil
	case bgp.RF_RTC_UC:
		v.nlri = join(96, 0, 0, 0xfd, 0xe8, 0, 2, 0xfd, 0xe8, 0, 0, 0, byte(n))
	}
	return v, key
}

type hostileCase struct {
	name   string
	family bgp.Family
	spoil  func(*victim)
	want   fate
}

// withAttribute spoils a route by an attribute beside the others.
func withAttribute(flags byte, typ bgp.BGPAttrType, parts ...any) func(*victim) {
	return func(v *victim) { v.attributes = attribute(flags, typ, parts...) }
}

func withSID(parts ...any) func(*victim) {
	return withAttribute(transitive, bgp.BGP_ATTR_TYPE_PREFIX_SID, parts...)
}

func withDPath(parts ...any) func(*victim) { return withAttribute(transitive, attrDPath, parts...) }

func withNLRI(parts ...any) func(*victim) { return func(v *victim) { v.nlri = join(parts...) } }

func withNextHop(n int) func(*victim) { return func(v *victim) { v.nextHop = make([]byte, n) } }

// withoutNegotiation puts a path identifier (RFC 7911) where none is expected.
func withoutNegotiation(v *victim) { v.nlri = join(0, 0, 0, 7, v.nlri) }

// hostileCases are what a hostile neighbour does. The NLRIs that withNLRI has
// are of no victim, or cannot be read. A Prefix-SID that GoBGP cannot read is
// left out, so the route is one without SID then.
func hostileCases() []hostileCase {
	information := join(0, octetsSID, 0, 0, 20, 0)
	structure := tlv(1, 48, 16, 16, 0, 16, 64)
	domain := join(0, 0, 0, 1, 0, 1, 70)
	return []hostileCase{
		{"Prefix-SID of no octets", bgp.RF_IPv4_VPN, withSID(), stays},
		{"Prefix-SID of one octet", bgp.RF_IPv4_VPN, withSID(5), stays},
		{"service longer than its attribute", bgp.RF_IPv4_VPN, withSID(5, 0, 99, 0), stays},
		{"service of no octets", bgp.RF_IPv4_VPN, withSID(tlv(5)), stays},
		{"service without SID", bgp.RF_IPv4_VPN, withSID(tlv(5, 0)), goes},
		{"SID of three octets", bgp.RF_IPv4_VPN, withSID(tlv(5, 0, tlv(1, 0, 1, 2, 3))), stays},
		{"SID longer than its service", bgp.RF_IPv4_VPN, withSID(tlv(5, 0, 1, 0, 99, information)), stays},
		{"structure of three octets", bgp.RF_IPv4_VPN, withSID(tlv(5, 0, tlv(1, information, tlv(1, 48, 16, 16)))), stays},
		{"structure longer than its SID", bgp.RF_IPv4_VPN, withSID(tlv(5, 0, tlv(1, information, 1, 0, 99, 48))), stays},
		{"unknown TLVs on all levels", bgp.RF_IPv4_VPN, withSID(tlv(77, 1), tlv(5, 0, tlv(9, 1), tlv(1, information, tlv(7, 1), structure))), stays},
		{"two Prefix-SIDs", bgp.RF_IPv4_VPN, func(v *victim) {
			withSID(tlv(5, 0, tlv(1, information, structure)))(v)
			v.attributes = append(v.attributes, v.attributes...)
		}, stays},
		{"Prefix-SID of zeros", bgp.RF_IPv6_VPN, withSID(make([]byte, 3000)), stays},

		{"D-PATH of no octets", bgp.RF_EVPN, withDPath(), goes},
		{"D-PATH segment of no domains", bgp.RF_EVPN, withDPath(0), goes},
		{"D-PATH segment that is cut off", bgp.RF_IPv4_VPN, withDPath(2, domain, 1, 2, 3), goes},
		{"D-PATH with an octet behind it", bgp.RF_IPv4_VPN, withDPath(1, domain, 9), goes},
		{"D-PATH of a unicast route", bgp.RF_IPv4_UC, withDPath(1, domain), goes},
		{"D-PATH that is not transitive", bgp.RF_EVPN, withAttribute(optional, attrDPath, 1, domain), goes},
		{"two D-PATHs", bgp.RF_EVPN, func(v *victim) {
			withDPath(1, domain)(v)
			v.attributes = append(v.attributes, v.attributes...)
		}, stays},

		{"two labels", bgp.RF_IPv4_VPN, func(v *victim) { v.nlri = join(24+int(v.nlri[0]), 0, 1, 0, v.nlri[1:]) }, stays},
		{"label that is read out of the route distinguisher", bgp.RF_IPv4_VPN, withNLRI(64+24, octetsRD, 10, 9, 0), stays},
		{"labels without the bottom of the stack", bgp.RF_IPv4_VPN, withNLRI(5*24, bytes.Repeat([]byte{0, 1, 0}, 5)), ends},
		{"labels up to the longest NLRI", bgp.RF_IPv4_VPN, withNLRI(255, bytes.Repeat([]byte{0, 1, 0}, 11)), ends},
		{"33 bits of an IPv4 prefix", bgp.RF_IPv4_VPN, withNLRI(24+64+33, octetsLabel, octetsRD, 10, 9, 0, 0, 0), ends},
		{"129 bits of an IPv6 prefix", bgp.RF_IPv6_VPN, withNLRI(24+64+129, octetsLabel, octetsRD, octetsSID, 0), ends},
		{"VPN NLRI that is cut off", bgp.RF_IPv6_VPN, withNLRI(24+64+128, octetsLabel, octetsRD, 1), ends},
		{"route distinguisher of type 9", bgp.RF_IPv4_VPN, withNLRI(24+64+24, octetsLabel, 0, 9, 1, 2, 3, 4, 5, 6, 10, 9, 0), stays},
		{"33 bits of an IPv4 route", bgp.RF_IPv4_UC, withNLRI(33, 10, 9, 0, 0, 0), ends},
		{"129 bits of an IPv6 route", bgp.RF_IPv6_UC, withNLRI(129, octetsSID, 0), ends},

		{"type 5 of no octets", bgp.RF_EVPN, withNLRI(5, 0), ends},
		{"type 5 of 33 octets", bgp.RF_EVPN, withNLRI(5, 33, octetsRD, make([]byte, 25)), ends},
		{"type 5 of 33 bits", bgp.RF_EVPN, withNLRI(5, 34, octetsRD, octetsESI, 0, 0, 0, 0, 33, make([]byte, 11)), ends},
		{"type 2 of 17 bits of address", bgp.RF_EVPN, withNLRI(2, 33, octetsRD, octetsESI, 0, 0, 0, 0, 48, make([]byte, 6), 17, 0, 0, 0), ends},
		{"type 2 that is cut off", bgp.RF_EVPN, withNLRI(2, 9, octetsRD, 1), ends},
		{"type 99", bgp.RF_EVPN, withNLRI(99, 3, 1, 2, 3), ends}, // GoBGP knows types 1 to 5 only

		{"flow longer than its attribute", bgp.RF_FS_IPv4_UC, withNLRI(99, 1, 24), ends},
		{"flow of a long length that is cut off", bgp.RF_FS_IPv4_UC, withNLRI(0xf0), ends},
		{"flow of no octets", bgp.RF_FS_IPv4_UC, withNLRI(0), ends},
		{"flow of an unknown component", bgp.RF_FS_IPv4_UC, withNLRI(2, 200, 1), stays},
		{"flow with a list without end", bgp.RF_FS_IPv4_UC, withNLRI(3, 3, 0x01, 6), stays},
		{"flow to 33 bits", bgp.RF_FS_IPv4_UC, withNLRI(7, 1, 33, 10, 9, 0, 0, 0), stays},

		{"membership of 31 bits", bgp.RF_RTC_UC, withNLRI(31, 0, 0, 0xfd, 0xe8), ends},
		{"membership of 97 bits", bgp.RF_RTC_UC, withNLRI(97, make([]byte, 13)), ends},
		{"membership that is cut off", bgp.RF_RTC_UC, withNLRI(96, 0, 0), ends},
		{"membership of an AS", bgp.RF_RTC_UC, withNLRI(32, 0, 0, 0xfd, 0xe8), stays},
		{"membership of a part of a target", bgp.RF_RTC_UC, withNLRI(40, 0, 0, 0xfd, 0xe8, 0), stays},
		{"membership of what is no target", bgp.RF_RTC_UC, withNLRI(96, 0, 0, 0xfd, 0xe8, 0xff, 0xff, 1, 2, 3, 4, 5, 6), stays},

		{"path identifier of a VPN route", bgp.RF_IPv4_VPN, withoutNegotiation, ends},
		{"path identifier of a type 5", bgp.RF_EVPN, withoutNegotiation, ends},
		{"next hop of no octets", bgp.RF_IPv4_VPN, withNextHop(0), ends},
		{"next hop of 3 octets", bgp.RF_EVPN, withNextHop(3), ends},
		{"next hop of 17 octets", bgp.RF_IPv6_VPN, withNextHop(17), ends},
		{"next hop of 255 octets", bgp.RF_IPv6_UC, withNextHop(255), ends},
	}
}

// TestHostileNeighborDisturbsNobody lets every case be a neighbour of its own.
// All are neighbours of one speaker, beside a friendly one that goes on to
// exchange routes.
func TestHostileNeighborDisturbsNobody(t *testing.T) {
	parallel(t)
	all := []config.Family{config.FamilyEVPN, config.FamilyVPNv4, config.FamilyVPNv6, config.FamilyIPv4, config.FamilyIPv6, config.FamilyRTC, config.FamilyFlowSpec4}
	var caps []bgp.ParameterCapabilityInterface
	for _, f := range all {
		caps = append(caps, bgp.NewCapMultiProtocol(families[f]))
	}
	cases := hostileCases()
	addrs := addresses(2 + len(cases))
	cfg, friend := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
	meet(cfg, friend, func(toB, toA *config.Neighbor) {
		// Without rtc: with it, and no membership, nothing would be sent.
		toA.Families = slices.DeleteFunc(slices.Clone(all), func(f config.Family) bool { return f == config.FamilyRTC })
		toB.Families = toA.Families
	})
	for _, a := range addrs[2:] {
		cfg.BGP.Neighbors = append(cfg.BGP.Neighbors, config.Neighbor{Address: a, Passive: true, Peering: config.Peering{
			ASN: 65000, Families: all, Timers: timers(),
		}})
	}
	h, f := start(t, cfg), start(t, friend)
	settle(t, h, f)
	f.up(t)
	t.Run("cases", func(t *testing.T) {
		for i, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				parallel(t)
				hostile(t, h, f, &tt, i, connect(t, h, addrs[2+i], caps...), addrs[2+i])
			})
		}
	})
	if n := h.neighbor(addrs[1]); n.State != Established || n.Ups != 1 {
		t.Errorf("the friendly neighbour: %+v", n)
	}
	withdrawn := uint64(0)
	for _, tt := range cases {
		if tt.want == goes {
			withdrawn++
		}
	}
	if c := h.Counters(); c.Malformed < withdrawn {
		t.Errorf("%d malformed routes, want at least the %d that went", c.Malformed, withdrawn)
	}
	f.tell(t, prefixRoute("192.0.2.2:1", "198.51.100.0/24", 200, vxlan("192.0.2.2")))
	key := bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher("192.0.2.2:1"), Prefix: netip.MustParsePrefix("198.51.100.0/24")}
	eventually(t, "the friendly neighbour's route", func() bool { _, ok := h.get(key); return ok })
}

// hostile plays a case, of number n, over the session r with the neighbour from.
func hostile(t *testing.T, h, friend *host, tt *hostileCase, n int, r *raw, from netip.Addr) {
	v, key := newVictim(tt.family, n)
	known := key.Prefix.IsValid()
	has := func(of *host) bool { _, ok := of.get(key); return ok }
	r.write(v.update())
	if known {
		eventually(t, "the route", func() bool { return has(h) && has(friend) })
	}
	tt.spoil(&v)
	next, nextKey := typeFive(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(n)}), 24).String(), 7)
	after, err := update([]uint32{65000}, next).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	r.write(join(v.update(), after))
	got := ends
	eventually(t, "an answer", func() bool {
		if _, ok := h.get(nextKey); ok {
			got = stays
			return true
		}
		return h.neighbor(from).State != Established
	})
	if got == stays && known && !has(h) {
		got = goes
	}
	if got != tt.want {
		t.Errorf("the route %v, want that it %v; %s", got, tt.want, h.neighbor(from).LastError)
	}
	if got == ends && known {
		eventually(t, "no route", func() bool { return !has(h) && !has(friend) })
	}
}
