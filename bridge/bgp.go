package bridge

import (
	"net/netip"
	"sync"

	"mbbgp/config"
	"mbbgp/rib"
)

// BGP is the border between the BGP speaker and the table. Its two directions
// share nothing but the policy: what comes in waits for nothing that goes out.
type BGP struct {
	// Refresh asks the speaker to import all its best paths once more: a limit
	// that had refused routes has room again. It is set before the first
	// Import, called without locks, and must not block.
	Refresh func()

	bridge      *Bridge
	local       netip.Addr           // VTEP: BGP next hop of what goes through this gateway
	mac         MAC                  // Router's MAC
	domain      ExtendedCommunity    // Site-of-Origin; zero: none
	origins     [1]ExtendedCommunity // domain, as exports share it
	domainID    config.DomainID      // in D-PATH; zero: none
	losslessASN uint32               // global administrator of lossless communities
	nextHops    nextHops             // of VPN and unicast routes through this gateway
	index       targetIndex
	limits      neighborLimits
	rds         *distinguishers // nil without BGP
	labels      *labels         // nil without BGP
	contest     *contest        // nil if no two VNIs export the same NLRI
	memberships *memberships    // nil if route target membership is not spoken
	discards    rib.Origin      // of aggregates, in the fabric table; 0 if there is none

	exporting sync.Mutex // held by Export
	handovers handovers  // to it

	mu           sync.Mutex
	routes       routes                   // guarded by mu
	standings    standings                // guarded by mu
	neighbors    map[netip.Addr]*neighbor // guarded by mu
	refused      map[Reason]uint64        // guarded by mu; of routes as a whole
	macs         map[key6]MAC             // guarded by mu; of type 2 routes in use
	shadows      map[key6][]shadow        // guarded by mu; type 2 routes behind those
	originations originations             // guarded by mu
	decision     decision                 // guarded by mu; scratch of Import
	hop          [1]rib.NextHop           // guarded by mu; scratch of place
	refresh      bool                     // guarded by mu; call Refresh after this batch
}

// neighbor is what is known of who sends routes.
type neighbor struct {
	address netip.Addr
	limit
	ended map[Family]bool // End-of-RIB was seen
}

// neighborLimits finds the maximum of prefixes of a neighbour.
type neighborLimits struct {
	fixed   map[netip.Addr]int
	dynamic []config.DynamicNeighbor
}

// of returns the maximum for an address; 0 is none. Of dynamic neighbours the
// longest prefix decides.
func (l *neighborLimits) of(address netip.Addr) int {
	if n, ok := l.fixed[address]; ok {
		return n
	}
	n, bits := 0, -1
	for _, d := range l.dynamic {
		if d.Prefix.Contains(address.WithZone("")) && d.Prefix.Bits() > bits {
			n, bits = d.MaxPrefixes, d.Prefix.Bits()
		}
	}
	return n
}

func newBGP(b *Bridge, cfg *config.Config) (*BGP, error) {
	networks := b.current().sorted
	g := &BGP{
		memberships: newMemberships(cfg),
		contest:     newContest(networks),
		bridge:      b,
		local:       cfg.VXLAN.Local,
		mac:         cfg.VXLAN.RouterMAC,
		domain:      cfg.Domain,
		origins:     [1]ExtendedCommunity{cfg.Domain},
		domainID:    cfg.DomainID,
		index:       newTargetIndex(networks),
		routes:      newRoutes(),
		standings:   newStandings(b.table, b.fabric, b.log),
		neighbors:   map[netip.Addr]*neighbor{},
		macs:        map[key6]MAC{},
		shadows:     map[key6][]shadow{},
		refused:     map[Reason]uint64{},
		decision:    decision{final: true},
	}
	if b.fabric != nil {
		g.discards = b.fabric.NewOrigin(rib.OriginInfo{Source: rib.Static, Name: "aggregates"})
	}
	for _, n := range networks {
		n.in.Max = n.imports.MaxPrefixes
	}
	if g.originations = newOriginations(b, cfg); cfg.BGP == nil {
		return g, nil
	}
	var err error
	g.losslessASN = cfg.BGP.LosslessASN
	g.nextHops = newNextHops(cfg.BGP.NextHops)
	g.limits = newNeighborLimits(cfg.BGP)
	if g.labels, err = newLabels(cfg, b.log); err != nil {
		return nil, err
	}
	all := g.labels.all()
	for _, n := range networks {
		n.label = n.exportLabel(all)
	}
	g.rds, err = newDistinguishers(cfg, b.log)
	return g, err
}

// neighbor returns what is known of a neighbour, making it known.
func (g *BGP) neighbor(address netip.Addr) *neighbor {
	n := g.neighbors[address]
	if n == nil {
		n = &neighbor{address: address, ended: map[Family]bool{}}
		n.Max = g.limits.of(address)
		g.neighbors[address] = n
	}
	return n
}

// EndOfRIB notes that a neighbour has said all it has of a family (RFC 4724
// section 2). Forget takes the note back.
func (g *BGP) EndOfRIB(address netip.Addr, family Family) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.neighbor(address).ended[family] = true
}
