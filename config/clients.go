package config

// What a MetalBond client may do depends on who it is: on the address that it
// connects from or, with TLS, on the names in its certificate. An entry that
// names a certificate is closer than one that does not, a whole name closer than
// one with *, and then the longer source prefix.

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MetalBondClient is what one kind of clients gets and may do. What it may not
// costs the route, or the subscription, and not the session.
type MetalBondClient struct {
	Source      netip.Prefix   // source: where they connect from; required without certificate
	Certificate string         // certificate: name in their certificate, *.DOMAIN for all of one label below; default "": any, or none
	Pace        Pace           // pace: default metalbond.pace
	Subscribe   VNISet         // subscribe: VNIs that they may read; default vnis, or all
	Announce    VNISet         // announce: VNIs that they may announce in, target VNIs included; default vnis, or all
	Prefixes    []netip.Prefix // prefixes: overlay prefixes that they may announce, and what lies inside; default any
	NextHops    []NextHopScope // nexthops: where the next hops that they announce have to lie; default anywhere
	Types       []HopType      // types: of next hops that they may announce; default all
	MaxRoutes   int            // max-routes: next hops that one session may announce, 1 to 2147483647; default 0: no limit
	UpdateRate  int            // update-rate: UPDATEs per second that are read of one session, 1 to 1000000; default 0: no limit
}

// Restricted reports whether the entry says what clients may not do.
func (c *MetalBondClient) Restricted() bool {
	return !c.Subscribe.All() || !c.Announce.All() || c.Prefixes != nil || c.NextHops != nil || c.Types != nil
}

// ClientFor returns the entry of a client that connects from addr and whose
// certificate has the names; nil if there is none for it. An entry with a
// certificate is only for clients that have one.
func (m *MetalBond) ClientFor(addr netip.Addr, names []string) *MetalBondClient {
	addr = addr.Unmap().WithZone("")
	var found *MetalBondClient
	var best [2]int
	for i := range m.Clients {
		c := &m.Clients[i]
		if c.Source.IsValid() && !c.Source.Contains(addr) {
			continue
		}
		name := 0
		if c.Certificate != "" {
			if name = matchName(c.Certificate, names); name == 0 {
				continue
			}
		}
		closeness := [2]int{name, c.Source.Bits()} // -1 of no source
		if found == nil || slices.Compare(closeness[:], best[:]) > 0 {
			found, best = c, closeness
		}
	}
	return found
}

// matchName says how well one of the names is the one that a certificate must
// have: 0 not at all, 1 by *, 2 as a whole.
func matchName(want string, names []string) (best int) {
	for _, name := range names {
		name = strings.ToLower(name)
		if name == want {
			return 2
		}
		if domain, wild := strings.CutPrefix(want, "*"); wild {
			if label, rest, found := strings.Cut(name, "."); found && label != "" && "."+rest == domain {
				best = 1
			}
		}
	}
	return best
}

// VNISet is a set of VNIs: ranges in order, that neither touch nor overlap. nil
// is none.
type VNISet []VNIRange

// VNIRange is a range of VNIs, both ends included.
type VNIRange struct{ First, Last uint32 }

// AllVNIs is the set of all VNIs.
func AllVNIs() VNISet { return VNISet{{0, math.MaxUint32}} }

// All reports whether every VNI is in the set.
func (s VNISet) All() bool {
	return len(s) == 1 && s[0] == VNIRange{0, math.MaxUint32}
}

// Contains reports whether a VNI is in the set.
func (s VNISet) Contains(vni uint32) bool {
	_, found := slices.BinarySearchFunc(s, vni, func(r VNIRange, vni uint32) int {
		switch {
		case r.Last < vni:
			return -1
		case r.First > vni:
			return 1
		}
		return 0
	})
	return found
}

// ParseVNIRange reads "100" or "200-299".
func ParseVNIRange(s string) (VNIRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	first, err := strconv.ParseUint(low, 10, 32)
	last := first
	if isRange && err == nil {
		last, err = strconv.ParseUint(high, 10, 32)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return VNIRange{}, fmt.Errorf("%s is out of range (0 to %d)", show(s), uint32(math.MaxUint32))
	case err != nil:
		return VNIRange{}, fmt.Errorf("%s is not a VNI or a range of them, such as 200-299", show(s))
	case first > last:
		return VNIRange{}, fmt.Errorf("%s ends before it begins", show(s))
	}
	return VNIRange{uint32(first), uint32(last)}, nil
}

// String returns the text that ParseVNIRange reads.
func (r VNIRange) String() string {
	if r.First == r.Last {
		return strconv.FormatUint(uint64(r.First), 10)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// union makes a set of ranges.
func union(ranges []VNIRange) (s VNISet) {
	slices.SortFunc(ranges, func(a, b VNIRange) int { return slices.Compare([]uint32{a.First, a.Last}, []uint32{b.First, b.Last}) })
	for _, r := range ranges {
		if n := len(s); n > 0 && uint64(r.First) <= uint64(s[n-1].Last)+1 {
			s[n-1].Last = max(s[n-1].Last, r.Last)
			continue
		}
		s = append(s, r)
	}
	return s
}

// NextHopScope is where next hops may lie: in a prefix, or in that of the
// client's own address.
type NextHopScope struct {
	Prefix netip.Prefix // IPv6; not valid with Own
	Own    uint8        // own/N: the N bits of the address that the client connects from, 1 to 128
}

const ownScope = "own/"

// In returns the prefix that the scope is for a client with an address, not
// valid if there is none: own/N of a client that connects over IPv4.
func (s NextHopScope) In(client netip.Addr) netip.Prefix {
	if s.Own == 0 {
		return s.Prefix
	}
	if client = client.WithZone(""); !client.Is6() || client.Is4In6() {
		return netip.Prefix{}
	}
	p, _ := client.Prefix(int(s.Own))
	return p
}

// String returns the text that the file uses.
func (s NextHopScope) String() string {
	if s.Own != 0 {
		return ownScope + strconv.Itoa(int(s.Own))
	}
	return s.Prefix.String()
}

func (d *decoder) client(n *node, path string, pace Pace) MetalBondClient {
	c := MetalBondClient{Pace: pace}
	vnis, subscribe, announce := AllVNIs(), n.entry("subscribe"), n.entry("announce")
	d.mapping(n, path, "a mapping",
		field{"source", into(&c.Source, d.prefix)},
		field{"certificate", into(&c.Certificate, d.certificateName)},
		field{"pace", into(&c.Pace, d.pace)},
		field{"vnis", into(&vnis, d.vniSet)},
		field{"subscribe", into(&c.Subscribe, d.vniSet)},
		field{"announce", into(&c.Announce, d.vniSet)},
		field{"prefixes", into(&c.Prefixes, nonEmpty(d, "prefixes", d.prefix))},
		field{"nexthops", into(&c.NextHops, nonEmpty(d, "IPv6 prefixes", d.nextHopScope))},
		field{"types", into(&c.Types, d.hopTypes)},
		field{"max-routes", into(&c.MaxRoutes, d.maxPrefixes)},
		field{"update-rate", into(&c.UpdateRate, number[int](d, 1, maxUpdateRate))},
	)
	if subscribe == nil {
		c.Subscribe = slices.Clone(vnis)
	}
	if announce == nil {
		c.Announce = slices.Clone(vnis)
	}
	if len(c.Types) == len(hopTypeNames) {
		c.Types = nil
	}
	if n.entry("certificate") == nil {
		d.required(n, path, " without certificate", "source")
	}
	return c
}

const maxUpdateRate = 1_000_000

// The defaults of the limits of sessions. A region has thousands of hypervisors;
// behind one address there may be many in a lab, or behind a proxy.
const (
	DefaultMaxSessions          = 16384
	DefaultMaxSessionsPerSource = 1024
)

func (d *decoder) maxSessions(n *node, path string) int { return number[int](d, 1, 1<<20)(n, path) }

// unlistedNames are what happens to clients that no entry is for.
var unlistedNames = []string{"accept", "refuse"}

// vniSet reads a list of VNIs and ranges, all, or none.
func (d *decoder) vniSet(n *node, path string) VNISet {
	if n.kind == scalarNode {
		switch n.text {
		case "all":
			return AllVNIs()
		case "none":
			return nil
		}
	}
	const want = "a VNI or a range of them, such as 200-299"
	return union(nonEmpty(d, "VNIs such as [100, 200-299], all, or none", parsed(d, want, ParseVNIRange))(n, path))
}

// certificateName reads a name that certificates have: a DNS name, with * in
// place of its first label, an IP address or a URI.
func (d *decoder) certificateName(n *node, path string) string {
	name := strings.ToLower(d.name(n, path))
	if strings.Contains(strings.TrimPrefix(name, "*."), "*") || strings.HasPrefix(name, "*.") && strings.Contains(name, ":") {
		d.bad(n, path, "%s has a * that is not its first label, want a name such as hv1.example.net or *.example.net", show(name))
	}
	return name
}

func (d *decoder) nextHopScope(n *node, path string) (s NextHopScope) {
	bits, own := strings.CutPrefix(n.text, ownScope)
	if n.kind != scalarNode || !own {
		s.Prefix = d.prefix6(n, path)
		return s
	}
	length, err := strconv.ParseUint(bits, 10, 8)
	if err != nil || length < 1 || length > 128 {
		d.wrong(n, path, "own/LENGTH (1 to 128), the prefix of the client's own address")
	}
	s.Own = uint8(length)
	return s
}

// checkClients reports entries that are for the same clients, and gives
// unlisted-clients its default.
func (d *decoder) checkClients(n *node, path string, m *MetalBond) {
	if e := n.entry("clients"); e != nil {
		path := join(path, "clients")
		unique(d, e.value, path, "source", func(i int) (netip.Prefix, bool) {
			c := &m.Clients[i]
			return c.Source, c.Source.IsValid() && c.Certificate == ""
		})
		unique(d, e.value, path, "certificate", func(i int) (string, bool) {
			c := &m.Clients[i]
			if !c.Source.IsValid() {
				return c.Certificate, c.Certificate != ""
			}
			return c.Certificate + " from " + c.Source.String(), c.Certificate != ""
		})
	}
	if n.entry("unlisted-clients") == nil {
		m.RefuseUnlisted = slices.ContainsFunc(m.Clients, func(c MetalBondClient) bool { return c.Certificate != "" || c.Restricted() })
	}
}

func (w *writer) client(c *MetalBondClient) {
	if c.Source.IsValid() {
		w.text("source", c.Source.String())
	}
	w.optional("certificate", c.Certificate)
	w.text("pace", c.Pace.String())
	w.vniSet("subscribe", c.Subscribe)
	w.vniSet("announce", c.Announce)
	list(w, "prefixes", c.Prefixes, netip.Prefix.String)
	list(w, "nexthops", c.NextHops, NextHopScope.String)
	list(w, "types", c.Types, HopType.String)
	w.number("max-routes", uint64(c.MaxRoutes))
	w.number("update-rate", uint64(c.UpdateRate))
}

func (w *writer) vniSet(key string, s VNISet) {
	switch {
	case s.All():
		w.text(key, "all")
	case len(s) == 0:
		w.text(key, "none")
	default:
		list(w, key, s, VNIRange.String)
	}
}
