package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/rib"
)

// adopt finds what an earlier run left. Its ranges count, where nobody has said
// others, until sweep.
func (s *steering) adopt() error {
	if err := s.owners.adopt(); err != nil {
		return err
	}
	targets := map[string]netip.Addr{}
	for target, w := range s.owners.list {
		targets[ownerChain(w.index)] = target
	}
	conn, err := s.nft.dial(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	defer conn.CloseLasting()
	chains, err := s.nft.chains(conn)
	if err != nil {
		return err
	}
	for _, name := range chains {
		at, ok := parseChain(name)
		if !ok || s.scope(at.vni) == nil {
			continue
		}
		ranges, err := s.nft.ranges(conn, name, targets)
		if err != nil {
			return err
		}
		s.dirty[at] = true
		if !s.swept {
			s.earlier[at] = ranges
		}
	}
	return nil
}

// abandon removes all that an earlier run left if nothing was steered before the
// sweep.
func (s *steering) abandon() error {
	if s.adopted || !s.swept {
		return nil
	}
	rules, err := s.owners.tree.read()
	if err != nil {
		return err
	}
	conn, err := s.nft.dial()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	chains, err := s.nft.chains(conn)
	if err != nil && !lacksNFTables(err) {
		return err
	}
	if len(rules)+len(chains) > 0 {
		if err := s.remove(); err != nil {
			return err
		}
	}
	s.adopted = true
	return nil
}

// sweep gives up what an earlier run left and nobody has said, and returns how
// many addresses that concerns. It takes effect with the next apply.
func (s *steering) sweep() (swept int) {
	for at := range s.earlier {
		if parts, _ := divide(s.said[at], nil); !slices.Equal(parts, s.steered[at]) {
			s.dirty[at] = true
			swept++
		}
	}
	clear(s.earlier)
	s.swept = !s.cfg.Kernel.RoutesOnly // or it is the bridge's
	return swept
}

// parseChain is the reverse of natAddress.chain.
func parseChain(name string) (natAddress, bool) {
	digits, rest, ok := strings.Cut(strings.TrimPrefix(name, "vni"), "_")
	vni, err := strconv.ParseUint(digits, 10, 32)
	addr, err2 := netip.ParseAddr(rest)
	if err2 != nil {
		var b []byte
		b, err2 = hex.DecodeString(rest)
		addr, _ = netip.AddrFromSlice(b)
	}
	at := natAddress{rib.VNI(vni), addr}
	return at, ok && err == nil && err2 == nil && at.chain() == name
}

// ranges returns the port ranges of the chain of an address. targets are the
// owners by their chains.
func (n *nft) ranges(conn *nftables.Conn, chain string, targets map[string]netip.Addr) (list []portRange, err error) {
	rules, err := conn.GetRules(n.table, &nftables.Chain{Name: chain})
	if err != nil {
		return nil, fmt.Errorf("reading nftables' chain %s: %w", chain, err)
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			lookup, ok := e.(*expr.Lookup)
			if !ok {
				continue
			}
			elements, err := conn.GetSetElements(&nftables.Set{Table: n.table, Name: lookup.SetName})
			if err != nil {
				return nil, fmt.Errorf("reading nftables' map %s: %w", lookup.SetName, err)
			}
			list = append(list, ranges(elements, targets)...)
		}
	}
	return list, nil
}

// ranges makes port ranges of the elements of an interval map, where the end of
// one is an element of its own. Those with unknown targets are left out.
func ranges(elements []nftables.SetElement, targets map[string]netip.Addr) (list []portRange) {
	elements = slices.DeleteFunc(elements, func(e nftables.SetElement) bool { return len(e.Key) != 2 })
	slices.SortFunc(elements, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	for i, e := range elements {
		target, known := targets[chainOf(e.Val)]
		if e.IntervalEnd || !known {
			continue
		}
		r := portRange{from: binary.BigEndian.Uint16(e.Key), target: target}
		for _, next := range elements[i+1:] {
			if !bytes.Equal(next.Key, e.Key) {
				r.to = binary.BigEndian.Uint16(next.Key)
				break
			}
		}
		list = append(list, r)
	}
	return list
}

// chainOf returns the chain of a verdict as the kernel says it, "" if it is not
// one that leads to a chain.
func chainOf(verdict []byte) string {
	ad, err := netlink.NewAttributeDecoder(verdict)
	if err != nil {
		return ""
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_VERDICT_CHAIN {
			return ad.String()
		}
	}
	return ""
}
