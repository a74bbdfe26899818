package gobgp

import (
	"github.com/osrg/gobgp/v4/pkg/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// GoBGP's own metrics, bgp_* and fsm_loop_*: what is made for the metrics of a
// gobgpd finds them here, too. They have one series a neighbour, or one for each
// of its families.
//
// To know how many routes a neighbour is sent, GoBGP goes through its table once
// for each neighbour and family, asks the policies of each route, and answers
// nobody meanwhile. So bgp_* are there only as long as that is little; ours do
// not need GoBGP's tables.

// mostCounted bounds the routes that are gone through for bgp_*, those of each
// neighbour counted by themselves: 0.1 to 0.3 s.
const mostCounted = 50_000

var collectorUp = prometheus.NewDesc("mbbgp_gobgp_collector_up",
	"1 while GoBGP's own metrics bgp_* are told beside these; 0 before BGP runs, and while its tables are so large that to count routes by neighbor would hold it up.",
	nil, nil)

// collector tells GoBGP's metrics.
type collector struct {
	speaker *Speaker
	engine  *embedded
	most    int
}

// Collector returns the metrics that GoBGP keeps by itself; nil if it runs in
// another process.
func (s *Speaker) Collector() prometheus.Collector {
	if e, ok := s.engine.(*embedded); ok {
		return &collector{speaker: s, engine: e, most: mostCounted}
	}
	return nil
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- collectorUp
	c.engine.timings.Describe(to)
	metrics.NewBgpCollector(nil).Describe(to)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.engine.timings.Collect(to)
	neighbors := c.speaker.Neighbors()
	c.engine.mu.RLock() // BGP is not stopped meanwhile
	defer c.engine.mu.RUnlock()
	up := 0.0
	if c.engine.server != nil && c.engine.sweep != nil && c.cost(neighbors) <= c.most {
		up = 1
		metrics.NewBgpCollector(c.engine.server).Collect(to)
	}
	to <- prometheus.MustNewConstMetric(collectorUp, prometheus.GaugeValue, up)
}

// cost is how many routes GoBGP goes through to count what it sends.
func (c *collector) cost(neighbors []NeighborInfo) (routes int) {
	for _, n := range neighbors {
		for _, f := range n.Families {
			routes += c.engine.sweep.size(families[f.Family])
		}
	}
	return routes
}
