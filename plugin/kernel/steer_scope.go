package kernel

// Packets are steered in their VNI only. Which one that is the interface says
// that they come in by: the VRF device, which they pass after the interface
// proper, or without a VRF the VNI's own devices. The VNI of the main table has
// all interfaces that are no other VNI's.

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/rib"
)

// scope is the packets of a VNI.
type scope struct {
	vni        rib.VNI
	interfaces []string // that its packets come in by
	main       bool     // or by any that is in no other scope
}

// newScopes returns those of all VNIs that have a table.
func newScopes(cfg *config.Config) (list []scope) {
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		if v.Table == 0 {
			continue
		}
		c := scope{vni: rib.VNI(v.VNI)}
		switch {
		case v.VRF != "":
			c.interfaces = []string{v.VRF}
		case v.Table == mainTable:
			c.main = true
		default:
			c.interfaces = ownDevices(v)
		}
		list = append(list, c)
	}
	return list
}

// ownDevices returns the devices that only packets of the VNI come in by.
func ownDevices(v *config.VNI) (names []string) {
	for _, name := range []string{v.VXLANDevice, v.DecapDevice} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// scope returns that of a VNI, nil if it has no table.
func (s *steering) scope(vni rib.VNI) *scope {
	for i := range s.scopes {
		if s.scopes[i].vni == vni {
			return &s.scopes[i]
		}
	}
	return nil
}

// The maps from destinations to chains, by the length of an address.
const (
	byInterface4, byInterface6 = "nat4", "nat6"           // interface and address
	byAddress4, byAddress6     = "main_nat4", "main_nat6" // address, of the main table
	otherInterfaces            = "other_interfaces"       // that are not the main table's
)

// addScopes adds what leads packets to the chains of addresses.
func (s *steering) addScopes(t *transaction) {
	const chain = "steer"
	t.base(chain, nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle)
	t.rule(chain, setMark(s.cfg.Kernel.MarkShift, noMark))
	protocols := t.anonymous(nftables.Set{KeyType: nftables.TypeInetProto},
		nftables.SetElement{Key: []byte{unix.IPPROTO_TCP}}, nftables.SetElement{Key: []byte{unix.IPPROTO_UDP}})
	t.rule(chain, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: protocols.Name, SetID: protocols.ID, Invert: true},
	}, verdict(expr.VerdictAccept, ""))

	for _, m := range []struct {
		name string
		key  []nftables.SetDatatype
	}{
		{byInterface4, []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIPAddr}},
		{byInterface6, []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIP6Addr}},
		{byAddress4, []nftables.SetDatatype{nftables.TypeIPAddr}},
		{byAddress6, []nftables.SetDatatype{nftables.TypeIP6Addr}},
	} {
		key, concatenated := m.key[0], len(m.key) > 1
		if concatenated {
			key = nftables.MustConcatSetType(m.key...)
		}
		t.set(nftables.Set{Name: m.name, IsMap: true, Concatenation: concatenated, KeyType: key, DataType: nftables.TypeVerdict})
	}
	t.rule(chain, ipv4(), iifname(), destination4(12), vmap(t.nft.sets[byInterface4], 8))
	t.rule(chain, ipv6(), iifname(), destination6(12), vmap(t.nft.sets[byInterface6], 8))

	main := slices.IndexFunc(s.scopes, func(c scope) bool { return c.main })
	if main < 0 {
		return
	}
	t.set(nftables.Set{Name: otherInterfaces, KeyType: nftables.TypeIFName})
	for i := range s.cfg.VNIs {
		v := &s.cfg.VNIs[i]
		if v.Table == 0 || rib.VNI(v.VNI) == s.scopes[main].vni {
			continue
		}
		names := ownDevices(v)
		if v.VRF != "" {
			names = append(names, v.VRF)
		}
		for _, name := range names {
			t.add(otherInterfaces, nftables.SetElement{Key: ifname(name)})
		}
	}
	t.rule(chain, iifname(), in(t.nft.sets[otherInterfaces], 8), verdict(expr.VerdictAccept, ""))
	t.rule(chain, ipv4(), destination4(8), vmap(t.nft.sets[byAddress4], 8))
	t.rule(chain, ipv6(), destination6(8), vmap(t.nft.sets[byAddress6], 8))
}

// eachElement adds or drops the elements that lead to the chain of an address.
func (s *steering) eachElement(at natAddress, do func(set string, list ...nftables.SetElement)) {
	byInterface, byAddress := byInterface6, byAddress6
	if at.addr.Is4() {
		byInterface, byAddress = byInterface4, byAddress4
	}
	to := &expr.Verdict{Kind: expr.VerdictGoto, Chain: at.chain()}
	addr := at.addr.AsSlice()
	if s.scope(at.vni).main {
		do(byAddress, nftables.SetElement{Key: addr, VerdictData: to})
	}
	for _, name := range s.scope(at.vni).interfaces {
		do(byInterface, nftables.SetElement{Key: append(ifname(name), addr...), VerdictData: to})
	}
}
