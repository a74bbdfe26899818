package bridge

import (
	"maps"
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// BGPStats are the figures of the BGP side at one moment. They are collected
// when asked for and belong to the caller.
type BGPStats struct {
	Routes    int               // imported NLRIs
	Stale     int               // of these, LLGR_STALE ones (RFC 9494)
	Ranks     RankStats         // of imported NLRIs
	Refused   map[Reason]uint64 // announcements refused before a VNI was asked
	VNIs      []VNIStats        // by VNI
	Neighbors []NeighborStats   // by address
}

// VNIStats are the figures of one configured VNI.
type VNIStats struct {
	VNI        rib.VNI
	Imported   ImportStats
	Originated []OriginationStats // in the order of the configuration
	Exported   ExportStats
	Fabric     int        // next hops in the fabric table
	Table      LimitStats // prefixes in the table, against MetalBond announcements
}

// ImportStats are the figures of the import into one VNI.
type ImportStats struct {
	Routes   int               // NLRIs
	Prefixes LimitStats        // that they are of; Used is kept only if there is a maximum
	Refused  map[Reason]uint64 // announcements refused
	Rules    []RuleStats       // in their order
}

// NeighborStats are the figures of one neighbour.
type NeighborStats struct {
	Neighbor netip.Addr
	Routes   LimitStats // imported NLRIs
	Ended    []Family   // whose End-of-RIB was seen
}

// Stats returns the figures of the BGP side.
func (g *BGP) Stats() BGPStats {
	var s BGPStats
	g.mu.Lock()
	s.Routes = g.routes.len()
	s.Stale = g.standings.stale()
	s.Ranks = g.standings.ranks.stats()
	s.Refused = maps.Clone(g.refused)
	networks := g.bridge.current().sorted
	for _, n := range networks {
		s.VNIs = append(s.VNIs, VNIStats{VNI: n.vni, Imported: ImportStats{
			Routes: n.in.routes, Prefixes: n.in.LimitStats, Refused: maps.Clone(n.in.refused),
		}, Originated: g.originations.stats(n)})
	}
	for _, n := range g.neighbors {
		s.Neighbors = append(s.Neighbors, NeighborStats{
			Neighbor: n.address, Routes: n.LimitStats, Ended: slices.Sorted(maps.Keys(n.ended)),
		})
	}
	g.mu.Unlock()
	slices.SortFunc(s.Neighbors, func(a, b NeighborStats) int { return a.Neighbor.Compare(b.Neighbor) })
	for i, n := range networks {
		v := &s.VNIs[i]
		v.Imported.Rules = n.importPolicy.stats()
		v.Exported = n.exportStats()
		v.Table = n.admitted.stats(g.bridge, n.vni)
		if n.forwards {
			v.Fabric = g.bridge.fabric.Stats(n.vni).NextHops
		}
		if g.rds != nil && n.exported() && n.kind() != Unicast {
			v.Exported.RDs = g.rds.list(n.vni)
		}
	}
	return s
}

// CountVNI is the number of next hops that c announces in one VNI.
func (c *Channel) CountVNI(vni rib.VNI) int { return c.bridge.table.CountVNI(c.origin, vni) }
