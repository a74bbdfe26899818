package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// step is one thing that happens in the demo: why it is of interest, how it is
// brought about, and what has to be seen of it at the far ends.
type step struct {
	what    string
	why     string
	do      func(context.Context) error
	observe []observation
}

// observation is something that has to be seen at a place.
type observation struct {
	place string
	want  string // what is waited for, for when it does not come
	see   func() (text string, ok bool)
	last  bool // looked at once, when everything else has been seen
}

// The two networks and their addresses, as in bridgeFile.
const (
	tenantA rib.VNI = 200 // vxlan
	tenantB rib.VNI = 300 // ip-in-ip

	vmA     = "10.1.0.7/32"       // on hypervisor-a
	vmA6    = "2001:db8:a::7/128" // the same machine
	vmA2    = "10.1.0.8/32"       // another one there
	natA    = "198.51.100.9/32"   // a NAT address that hypervisors share
	vmB     = "10.2.0.9/32"       // on hypervisor-b
	anycast = "10.9.0.1/32"       // on both
	subnet  = "192.168.5.0/24"    // in the fabric
	direct  = "192.168.6.0/24"    // in the fabric, in the other VNI

	hostA    = "2001:db8:1::a" // underlay addresses of the hypervisors
	hostB    = "2001:db8:1::b"
	leafHost = "2001:db8:2::5"   // where the leaf has its subnets
	vtep     = "192.0.2.1"       // the gateway, as the fabric sees it
	gateway  = "2001:db8:f::200" // where hypervisors send tenant-a's fabric traffic
)

func (d *demo) steps() []step {
	a, b, leaf := d.a.name, d.b.name, d.leaf.name
	standard := rib.NextHop{}
	nat := rib.NextHop{Type: rib.NAT, NATFrom: 1024, NATTo: 2047}
	return []step{{
		what: "The sessions come up",
		why:  "Hypervisors connect to the bridge, the bridge and the leaf speak BGP with the EVPN family.",
		do:   d.connect,
		observe: []observation{
			up(a, "MetalBond session with the bridge established", d.a.established),
			up(b, "MetalBond session with the bridge established", d.b.established),
			up(leaf, "BGP session AS 65000 - AS 65001 established", d.leaf.established),
		},
	}, {
		what: "A virtual machine starts on " + a,
		why:  "Other hypervisors reach it directly. The fabric gets EVPN type 5 routes that lead to the gateway.",
		do: func(context.Context) error {
			if err := d.a.announce(tenantA, vmA, standard); err != nil {
				return err
			}
			return d.a.announce(tenantA, vmA6, standard)
		},
		observe: []observation{
			d.hears(b, tenantA, vmA, hostA),
			d.hears(b, tenantA, vmA6, hostA),
			d.hears(leaf, tenantA, vmA, vtep),
			d.hears(leaf, tenantA, vmA6, vtep),
		},
	}, {
		what: "The leaf announces a subnet of the fabric",
		why:  "Hypervisors know nothing of BGP: they get the gateway's underlay address for VNI 200 as next hop.",
		do:   func(context.Context) error { return d.leaf.announce(tenantA, subnet) },
		observe: []observation{
			d.hears(a, tenantA, subnet, gateway),
			d.hears(b, tenantA, subnet, gateway),
		},
	}, {
		what: "A VNI that needs no gateway, and an address on both hypervisors",
		why:  "With ip-in-ip packets go straight to the next hop. Each path has an RD of its own, so route reflectors keep both.",
		do: func(context.Context) error {
			if err := d.b.announce(tenantA, vmB, standard); err != nil {
				return err
			}
			if err := d.a.announce(tenantB, anycast, standard); err != nil {
				return err
			}
			if err := d.b.announce(tenantB, anycast, standard); err != nil {
				return err
			}
			return d.leaf.announce(tenantB, direct)
		},
		observe: []observation{
			d.hears(leaf, tenantB, anycast, hostA),
			d.hears(leaf, tenantB, anycast, hostB),
			d.hears(a, tenantB, direct, leafHost),
			d.hears(b, tenantB, direct, leafHost),
			d.hears(leaf, tenantA, vmB, vtep),
			d.hears(a, tenantA, vmB, hostB),
		},
	}, {
		what: "What belongs to MetalBond stays there",
		why:  "A NAT port range means something to hypervisors only. The machine announced after it is proof that the bridge is past it.",
		do: func(context.Context) error {
			if err := d.a.announce(tenantA, natA, nat); err != nil {
				return err
			}
			return d.a.announce(tenantA, vmA2, standard)
		},
		observe: []observation{
			d.hears(b, tenantA, natA, hostA+"#nat#1024#2047"),
			d.hears(leaf, tenantA, vmA2, vtep),
			d.never(leaf, tenantA, natA),
		},
	}, {
		what: "Withdrawals, one each way",
		why:  "A route lives as long as somebody announces it.",
		do: func(context.Context) error {
			d.a.withdraw(tenantA, vmA, standard)
			d.leaf.withdraw(tenantA, subnet)
			return nil
		},
		observe: []observation{
			d.loses(b, tenantA, vmA),
			d.loses(leaf, tenantA, vmA),
			d.loses(a, tenantA, subnet),
			d.loses(b, tenantA, subnet),
		},
	}, {
		what: b + " dies",
		why:  "Its connection breaks without a word. All that it announced leaves; what " + a + " announces stays.",
		do: func(context.Context) error {
			d.b.link.sever()
			d.board.clear(b)
			return nil
		},
		observe: []observation{
			d.loses(leaf, tenantA, vmB),
			d.loses(a, tenantA, vmB),
			d.keeps(leaf, tenantB, anycast, hostA, 1),
			last(d.keeps(leaf, tenantA, vmA2, vtep, 1)),
			last(d.keeps(a, tenantB, direct, leafHost, 1)),
		},
	}}
}

// up waits for a session.
func up(place, text string, established func() bool) observation {
	return observation{place: place, want: text, see: func() (string, bool) { return text, established() }}
}

// hears waits until a place has a route with a next hop.
func (d *demo) hears(place string, vni rib.VNI, prefix, hop string) observation {
	p := netip.MustParsePrefix(prefix)
	return observation{
		place: place,
		want:  fmt.Sprintf("VNI %d  %s through %s", vni, prefix, hop),
		see: func() (string, bool) {
			found := d.board.heard(place, vni, p)
			i := slices.IndexFunc(found, func(x detail) bool { return x.hop == hop })
			if i < 0 {
				return "", false
			}
			return found[i].text, true
		},
	}
}

// loses waits until a place has no route to a prefix.
func (d *demo) loses(place string, vni rib.VNI, prefix string) observation {
	p := netip.MustParsePrefix(prefix)
	text := fmt.Sprintf("VNI %d  %s is gone", vni, prefix)
	return observation{place: place, want: text, see: func() (string, bool) {
		return text, len(d.board.heard(place, vni, p)) == 0
	}}
}

// keeps waits until exactly n routes to a prefix are left, one of them through
// hop.
func (d *demo) keeps(place string, vni rib.VNI, prefix, hop string, n int) observation {
	p := netip.MustParsePrefix(prefix)
	text := fmt.Sprintf("VNI %d  %s stays, through %s", vni, prefix, hop)
	return observation{place: place, want: text, see: func() (string, bool) {
		found := d.board.heard(place, vni, p)
		return text, len(found) == n && slices.ContainsFunc(found, func(x detail) bool { return x.hop == hop })
	}}
}

// never looks, at the end of a step, whether a place has not heard of a prefix.
func (d *demo) never(place string, vni rib.VNI, prefix string) observation {
	o := last(d.loses(place, vni, prefix))
	o.want = fmt.Sprintf("VNI %d  %s never comes", vni, prefix)
	see := o.see
	o.see = func() (string, bool) {
		_, ok := see()
		return o.want, ok
	}
	return o
}

// last makes an observation wait for all the others.
func last(o observation) observation {
	o.last = true
	return o
}
