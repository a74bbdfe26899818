package gobgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// forwarding has a VNI of each kind whose packets go through the gateway: 200
// of VXLAN, 300 of MPLS, 400 of unicast.
func forwarding(t *testing.T) *config.Config {
	t.Helper()
	cfg := &config.Config{
		RouterID: addr("192.0.2.1"), ASN: 65001, VXLAN: config.VXLAN{Local: addr("192.0.2.1")}, BGP: &config.BGP{}, Kernel: &config.Kernel{},
	}
	targets := config.Import{Targets: []config.TargetMatch{{Target: target("65000:1")}}}
	cfg.VNIs = []config.VNI{
		{VNI: 200, Table: 200, Gateway: addr("2001:db8:f::200"), Import: targets},
		{VNI: 300, Table: 300, Gateway: addr("2001:db8:f::300"), Import: targets,
			Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Label: 300},
		{VNI: 400, Table: 400, Gateway: addr("2001:db8:f::400"),
			Import: config.Import{Prefixes: []config.PrefixRule{{Allow: true, Prefix: netip.MustParsePrefix("0.0.0.0/0"), LE: 32}, {Allow: true, Prefix: netip.MustParsePrefix("::/0"), LE: 128}}},
			Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone},
	}
	return cfg
}

// received makes the path of an UPDATE with these path attributes and, of IPv4
// unicast, NLRI.
func received(t *testing.T, attributes, nlri, neighbor string) *apiutil.Path {
	t.Helper()
	attrs, routes := octets(attributes), octets(nlri)
	body := append([]byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}, append(attrs, routes...)...)
	u := new(bgp.BGPUpdate)
	if err := u.DecodeFromBytes(body); err != nil {
		t.Fatal(err)
	}
	p := &apiutil.Path{Family: bgp.RF_IPv4_UC, Attrs: u.PathAttributes, PeerAddress: addr(neighbor)}
	if len(u.NLRI) > 0 {
		p.Nlri = u.NLRI[0].NLRI
	}
	for _, a := range u.PathAttributes {
		if reach, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
			p.Family, p.Nlri = bgp.NewFamily(reach.AFI, reach.SAFI), reach.Value[0].NLRI
		}
	}
	return p
}

// TestNextHopsReachTheFabricTable takes UPDATEs with next hops of every length
// from the wire to where the kernel reads them.
func TestNextHopsReachTheFabricTable(t *testing.T) {
	const (
		routeTarget = "0002 fde8 00000001 "
		vpnTarget   = "c010 08 " + routeTarget
		vxlan       = "c010 18 " + routeTarget + "030c 00000000 0008 " + "0603 020000000009 "
		rd          = "0001 c0000209 0002 "
		zeroRD      = "0000000000000000 "
		global      = "20010db8000000000000000000000009 "
		local       = "fe800000000000000000000000000009 "
		mapped      = "00000000000000000000ffffc6336409 "
		none        = "00000000000000000000000000000000 "
		// Route type 5, length, RD, ESI, Ethernet tag, prefix, gateway, label 5000.
		type5  = "05 22 " + rd + "00000000000000000000 00000000 10 0a010000 00000000 001388"
		vpnv4  = "68 000101 " + rd + "0a01"
		vpnv6  = "88 000101 " + rd + "20010db80077"
		ipv6   = "30 20010db80077"
		ipv4   = "10 0a01"
		p4, p6 = "10.1.0.0/16", "2001:db8:77::/48"
	)
	for _, row := range []struct {
		name             string
		attributes, nlri string
		neighbor         string
		vni              rib.VNI
		prefix, want     string
	}{
		{"type 5, IPv4 VTEP", "900e 002d 0019 46 04 c6336409 00 " + type5 + vxlan, "", "192.0.2.9",
			200, p4, "198.51.100.9 (mac 02:00:00:00:00:09) (label 5000)"},
		{"type 5, IPv6 VTEP", "900e 0039 0019 46 10 " + global + "00 " + type5 + vxlan, "", "192.0.2.9",
			200, p4, "2001:db8::9 (mac 02:00:00:00:00:09) (label 5000)"},
		{"VPNv4", "900e 001f 0001 80 0c " + zeroRD + "c6336409 00 " + vpnv4 + vpnTarget, "", "192.0.2.9",
			300, p4, "198.51.100.9 (label 16)"},
		{"VPNv4, IPv6 next hop (RFC 8950)", "900e 002b 0001 80 18 " + zeroRD + global + "00 " + vpnv4 + vpnTarget, "", "192.0.2.9",
			300, p4, "2001:db8::9 (label 16)"},
		{"VPNv6, IPv4-mapped next hop (RFC 4659)", "900e 002f 0002 80 18 " + zeroRD + mapped + "00 " + vpnv6 + vpnTarget, "", "192.0.2.9",
			300, p6, "198.51.100.9 (label 16)"},
		{"VPNv6, global and link-local next hop", "900e 0047 0002 80 30 " + zeroRD + global + zeroRD + local + "00 " + vpnv6 + vpnTarget, "", "192.0.2.9",
			300, p6, "2001:db8::9 (label 16)"},
		{"IPv4", "4003 04 c6336409", ipv4, "192.0.2.9",
			400, p4, "198.51.100.9"},
		{"IPv4, IPv6 next hop (RFC 8950)", "900e 0018 0001 01 10 " + global + "00 " + ipv4, "", "192.0.2.9",
			400, p4, "2001:db8::9"},
		{"IPv4, link-local next hop", "900e 0018 0001 01 10 " + local + "00 " + ipv4, "", "fe80::9%eth0",
			400, p4, "fe80::9%eth0"},
		{"IPv6", "900e 001c 0002 01 10 " + global + "00 " + ipv6, "", "192.0.2.9",
			400, p6, "2001:db8::9"},
		{"IPv6, global and link-local next hop", "900e 002c 0002 01 20 " + global + local + "00 " + ipv6, "", "fe80::9%eth0",
			400, p6, "2001:db8::9"},
		{"IPv6, link-local next hop twice", "900e 002c 0002 01 20 " + local + local + "00 " + ipv6, "", "fe80::9%eth0",
			400, p6, "fe80::9%eth0"},
		{"IPv6, link-local next hop alone", "900e 002c 0002 01 20 " + none + local + "00 " + ipv6, "", "fe80::9%eth0",
			400, p6, "fe80::9%eth0"},
		{"IPv6, IPv4-mapped next hop", "900e 001c 0002 01 10 " + mapped + "00 " + ipv6, "", "192.0.2.9",
			400, p6, "198.51.100.9"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, err := bridge.New(forwarding(t), rib.New(rib.Options{}), quiet())
			if err != nil {
				t.Fatal(err)
			}
			u, why, ok := newDecoder().update(received(t, row.attributes, row.nlri, row.neighbor))
			if !ok || u.Withdraw {
				t.Fatalf("not read: %v", why)
			}
			b.BGP().Import([]bridge.Update{u})
			list := b.Fabric().Lookup(row.vni, netip.MustParsePrefix(row.prefix))
			if len(list) != 1 || list[0].NextHop.String() != row.want {
				t.Errorf("the fabric table has %v, want %s; %+v", list, row.want, b.BGP().ExplainImport(u))
			}
		})
	}
}
