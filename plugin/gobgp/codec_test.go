package gobgp

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"pgregory.net/rapid"

	"mbbgp/bridge"
)

// send puts a path into an UPDATE as GoBGP does, and returns what a neighbour
// reads out of it.
func send(p *apiutil.Path) (*apiutil.Path, error) {
	attrs := []bgp.PathAttributeInterface{bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{
		bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{goldenASN}),
	})}
	for _, a := range p.Attrs {
		if hop, ok := a.(*bgp.PathAttributeNextHop); ok {
			reach, err := bgp.NewPathAttributeMpReachNLRI(p.Family, []bgp.PathNLRI{{NLRI: p.Nlri}}, hop.Value)
			if err != nil {
				return nil, err
			}
			a = reach
		}
		attrs = append(attrs, a)
	}
	raw, err := bgp.NewBGPUpdateMessage(nil, attrs, nil).Serialize()
	if err != nil {
		return nil, err
	}
	m, err := bgp.ParseBGPMessage(raw)
	if err != nil {
		return nil, err
	}
	received := &apiutil.Path{Family: p.Family, Attrs: m.Body.(*bgp.BGPUpdate).PathAttributes}
	for _, a := range received.Attrs {
		if reach, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
			received.Nlri = reach.Value[0].NLRI
		}
	}
	return received, nil
}

func anyAddr(t *rapid.T, label string) netip.Addr {
	if rapid.Bool().Draw(t, label+" is IPv4") {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, label)
		b[0] |= 1 // not unspecified
		return netip.AddrFrom4([4]byte(b))
	}
	b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)
	b[0] |= 0x20 // neither unspecified nor IPv4-mapped
	return netip.AddrFrom16([16]byte(b))
}

func anyPrefix(t *rapid.T) netip.Prefix {
	a := anyAddr(t, "prefix")
	p := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
	if p.Addr().Is4In6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return p
}

// anyCommunity draws an extended community of one of the types that carry
// targets and sites.
func anyCommunity(subType byte) *rapid.Generator[bridge.ExtendedCommunity] {
	return rapid.Custom(func(t *rapid.T) bridge.ExtendedCommunity {
		c := bridge.ExtendedCommunity{rapid.SampledFrom([]byte{0, 1, 2}).Draw(t, "type"), subType}
		copy(c[2:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "value"))
		return c
	})
}

func anyRD(t *rapid.T) bridge.RD {
	rd := bridge.RD{0, rapid.SampledFrom([]byte{0, 1, 2}).Draw(t, "RD type")}
	copy(rd[2:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "RD"))
	return rd
}

func anyUpdate(t *rapid.T) bridge.Update {
	number := rapid.Uint32()
	u := bridge.Update{NLRI: bridge.NLRI{
		Kind:   rapid.SampledFrom([]bridge.NLRIKind{bridge.IPPrefix, bridge.VPN, bridge.Unicast}).Draw(t, "kind"),
		Prefix: anyPrefix(t),
	}}
	a := &bridge.Attributes{
		NextHop:      anyAddr(t, "next hop"),
		SiteOfOrigin: rapid.SliceOfN(anyCommunity(3), 0, 3).Draw(t, "sites"),
		Communities:  rapid.SliceOfN(number, 0, 3).Draw(t, "communities"),
		LocalPref:    rapid.Ptr(number, true).Draw(t, "local preference"),
		MED:          rapid.Ptr(number, true).Draw(t, "MED"),
		ASPathLength: 1,
	}
	for _, l := range rapid.SliceOfN(rapid.SliceOfN(number, 3, 3), 0, 3).Draw(t, "large") {
		a.Large = append(a.Large, [3]uint32(l))
	}
	u.Attributes = a
	if u.NLRI.Kind == bridge.Unicast {
		return u
	}
	u.NLRI.RD = anyRD(t)
	for _, rt := range rapid.SliceOfN(anyCommunity(2), 0, 3).Draw(t, "targets") {
		a.RouteTargets = append(a.RouteTargets, bridge.RouteTarget(rt))
	}
	u.Label = rapid.Uint32Range(0, maxLabel).Draw(t, "label")
	if u.NLRI.Kind == bridge.IPPrefix {
		u.Label = rapid.Uint32Range(0, maxLabelEVPN).Draw(t, "label")
		u.NLRI.EthernetTag = number.Draw(t, "Ethernet tag")
		a.Encapsulation = rapid.SampledFrom([]uint16{0, bridge.TunnelVXLAN, bridge.TunnelIPinIP}).Draw(t, "tunnel")
		a.RouterMAC = bridge.MAC(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "MAC"))
	}
	for range rapid.SampledFrom([]int{0, 0, 1, 3, 300}).Draw(t, "domains") {
		var d bridge.Domain
		copy(d.ID[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "domain"))
		a.DPath = append(a.DPath, d)
	}
	if rapid.Bool().Draw(t, "SRv6") {
		sid := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "SID")
		sid[0] |= 0x20
		s := rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "structure")
		a.SRv6 = bridge.SRv6{
			SID:       netip.AddrFrom16([16]byte(sid)),
			Behavior:  rapid.Uint16().Draw(t, "behaviour"),
			Flags:     rapid.Byte().Draw(t, "flags"),
			Structure: bridge.SIDStructure{Block: s[0], Node: s[1], Function: s[2], Argument: s[3], TranspositionLength: s[4], TranspositionOffset: s[5]},
		}
	}
	return u
}

func TestAnyUpdateArrivesAsItWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, d := newEncoder(goldenASN), newDecoder()
		for range 2 { // with empty caches and with full ones
			u := anyUpdate(t)
			p, err := e.path(&u, 0)
			if err != nil {
				t.Fatal(err)
			}
			received, err := send(p)
			if err != nil {
				t.Fatal(err)
			}
			got, why, ok := d.update(received)
			if !ok || why != skipNothing {
				t.Fatalf("skip %d, %v", why, ok)
			}
			if diff := cmp.Diff(u, got, compareAddr, comparePrefix, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("update (-sent +received):\n%s", diff)
			}
		}
	})
}

// What decoders share must be equal in everything.
func TestDifferentAttributesAreNotShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDecoder()
		first, second := *anyUpdate(t).Attributes, *anyUpdate(t).Attributes
		// Equal but for one field, most of the time.
		if i := rapid.IntRange(0, reflect.TypeFor[bridge.Attributes]().NumField()).Draw(t, "field"); i < reflect.TypeFor[bridge.Attributes]().NumField() {
			field := reflect.ValueOf(second).Field(i)
			second = first
			reflect.ValueOf(&second).Elem().Field(i).Set(field)
		}
		equal := cmp.Equal(first, second, compareAddr, cmpopts.EquateEmpty())
		if shared := d.share(&first) == d.share(&second); shared != equal {
			t.Fatalf("shared %v, equal %v: %+v %+v", shared, equal, first, second)
		}
	})
}

func FuzzDPath(f *testing.F) {
	f.Add(octets("01 00000001 0002 00"))
	f.Add(octets("02 0000fde9 0002 00 00000001 0003 46 01 00000001 0002 80"))
	f.Add(octets("00"))
	f.Add(octets("ff 00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path, err := parseDPath(raw)
		if err != nil {
			return
		}
		if len(path) == 0 || len(raw) < len(path)*domainOctets+1 {
			t.Fatalf("%d domains of %d octets", len(path), len(raw))
		}
		again, err := parseDPath(appendDPath(nil, path))
		if err != nil || !cmp.Equal(path, again) {
			t.Errorf("%v became %v: %v", path, again, err)
		}
	})
}

func FuzzPrefixSID(f *testing.F) {
	for _, tt := range goldenAttributes {
		if raw := octets(tt.raw[len(tt.raw)-1]); raw[1] == byte(bgp.BGP_ATTR_TYPE_PREFIX_SID) {
			f.Add(raw[3:])
		}
	}
	f.Add(octets("06 0001 00 05 0001 00"))
	f.Add(octets("05 0026 00 02 0001 00 01 001e 00 20010db8000100020000000000000003 00 0014 00 02 0001 00 00 00 00 00 00 00"))
	f.Fuzz(func(t *testing.T, value []byte) {
		p := new(bgp.PathAttributePrefixSID)
		if len(value) > 255 || p.DecodeFromBytes(append([]byte{0xc0, 40, byte(len(value))}, value...)) != nil {
			return
		}
		s, ok := parsePrefixSID(p)
		if !ok || !s.SID.IsValid() {
			if s != (bridge.SRv6{}) {
				t.Errorf("no SID, and yet %+v", s)
			}
			return
		}
		made, err := prefixSID(s)
		if err != nil {
			return // IPv4-mapped: nobody is told of it
		}
		raw, err := made.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := parsePrefixSID(parseAttr(t, raw).(*bgp.PathAttributePrefixSID)); again != s || !ok {
			t.Errorf("%+v became %+v", s, again)
		}
	})
}

// FuzzUpdate reads UPDATEs as they may come from any neighbour.
func FuzzUpdate(f *testing.F) {
	e := newEncoder(goldenASN)
	for _, tt := range goldenNLRIs {
		for _, a := range goldenAttributes {
			u := bridge.Update{NLRI: tt.nlri, Label: tt.label, Attributes: &a.a}
			if !a.a.NextHop.IsValid() {
				u.Attributes.NextHop = addr("192.0.2.1")
			}
			if p, err := e.path(&u, 0); err == nil {
				raw, err := bgp.NewBGPUpdateMessage(nil, append(p.Attrs, must(bgp.NewPathAttributeMpReachNLRI(p.Family, []bgp.PathNLRI{{NLRI: p.Nlri}}, u.Attributes.NextHop))), nil).Body.Serialize()
				if err != nil {
					f.Fatal(err)
				}
				f.Add(raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(bgp.BGPUpdate)
		_ = m.DecodeFromBytes(raw)
		d := newDecoder()
		for _, a := range m.PathAttributes {
			reach, ok := a.(*bgp.PathAttributeMpReachNLRI)
			if !ok {
				continue
			}
			for _, n := range reach.Value {
				checkRead(t, d, &apiutil.Path{Nlri: n.NLRI, Attrs: m.PathAttributes})
			}
		}
		for _, n := range m.NLRI {
			checkRead(t, d, &apiutil.Path{Nlri: n.NLRI, Attrs: m.PathAttributes})
		}
	})
}

func must(a *bgp.PathAttributeMpReachNLRI, err error) bgp.PathAttributeInterface {
	if err != nil {
		panic(err)
	}
	return a
}

// checkRead proves that a path is an announcement with all that it needs, a
// withdrawal, or nothing.
func checkRead(t *testing.T, d *decoder, p *apiutil.Path) {
	t.Helper()
	u, why, ok := d.update(p)
	switch {
	case !ok:
		if why == skipNothing || u != (bridge.Update{}) {
			t.Errorf("nothing for no reason: %+v", u)
		}
	case u.Withdraw != (u.Attributes == nil) || u.Withdraw != (why == skipMalformed):
		t.Errorf("%+v, skip %d", u, why)
	case !u.Withdraw && (!u.Attributes.NextHop.IsValid() || u.Attributes.NextHop.Is4In6()):
		t.Errorf("next hop %v", u.Attributes.NextHop)
	case u.NLRI.Prefix.IsValid() && u.NLRI.Prefix != u.NLRI.Prefix.Masked():
		t.Errorf("prefix %v", u.NLRI.Prefix)
	case u.NLRI.Kind == bridge.VPN && u.Label > maxLabel, u.Label > maxLabelEVPN:
		t.Errorf("label %s", hex.EncodeToString([]byte{byte(u.Label >> 24), byte(u.Label >> 16), byte(u.Label >> 8), byte(u.Label)}))
	}
}

// BenchmarkCodec makes and reads paths that share their attributes.
func BenchmarkCodec(b *testing.B) {
	service := &bridge.Attributes{
		NextHop: addr("2001:db8::7"), RouteTargets: []bridge.RouteTarget{target("65000:200")},
		SRv6: bridge.SRv6{SID: addr("2001:db8::7"), Behavior: bridge.EndDT46},
	}
	kinds := []struct {
		name string
		kind bridge.NLRIKind
		a    *bridge.Attributes
	}{{"EVPN", bridge.IPPrefix, vxlan("192.0.2.1")}, {"VPN", bridge.VPN, service}, {"unicast", bridge.Unicast, vxlan("192.0.2.1")}}
	for _, k := range kinds {
		routes := many(maxBatch, "192.0.2.1:1", k.a)
		for i := range routes {
			routes[i].NLRI.Kind = k.kind
		}
		e := newEncoder(goldenASN)
		b.Run(k.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := e.path(&routes[i%maxBatch], 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(k.name+"/decode", func(b *testing.B) {
			paths := make([]*apiutil.Path, maxBatch)
			for i := range routes {
				var err error
				if paths[i], err = e.path(&routes[i], 0); err != nil {
					b.Fatal(err)
				}
			}
			d := newDecoder()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, ok := d.update(paths[i%maxBatch]); !ok {
					b.Fatal("not read")
				}
			}
		})
	}
}
