package bridge

// Routes whose packets go through this gateway have the gateway as next hop in
// MetalBond, whatever BGP says. Where they go on from here is what a second
// table keeps, the fabric table: the same prefixes in the same VNIs, said by
// the same senders at the same preference, by what BGP offers.

import (
	"mbbgp/config"
	"mbbgp/rib"
)

// newFabric returns the fabric table, nil if no VNI has a kernel table. It
// notes which networks are in it: those that have a table, and those whose
// routes are leaked into such a one.
func (b *Bridge) newFabric(cfg *config.Config) *rib.Table {
	if cfg.Kernel == nil {
		return nil
	}
	var table *rib.Table
	for i := range cfg.VNIs {
		c := &cfg.VNIs[i]
		if c.Table == 0 {
			continue
		}
		if table == nil {
			table = rib.New(rib.Options{})
		}
		b.networks[rib.VNI(c.VNI)].forwards = true
		for _, from := range c.ImportFrom {
			if n := b.networks[rib.VNI(from)]; n != nil {
				n.forwards = true
			}
		}
	}
	return table
}

// Fabric is the table of where packets go that come to this gateway. It is nil
// if no VNI has a kernel table. Of a prefix it has what BGP offers:
//
//	VXLAN    Target is the VTEP, MAC its Router's MAC, Label the VNI on the wire
//	MPLS     Target is the BGP next hop, Label the label
//	unicast  Target is the BGP next hop
//
// and without a target, preference rib.Relayed, for aggregates that BGP is told
// of: packets that nothing more specific takes are discarded.
func (b *Bridge) Fabric() *rib.Table { return b.fabric }

// Label returns the MPLS label with which packets of a VNI come to this
// gateway, 0 if it has none.
func (b *Bridge) Label(vni rib.VNI) uint32 {
	if n := b.networks[vni]; n != nil && n.encapsulation == config.EncapMPLS {
		return n.label
	}
	return 0
}
