package api

// Metrics are read from the state when they are scraped. Labels are peers,
// VNIs and a few fixed words; a prefix is never a label, so that the number of
// series follows the number of peers and VNIs, not of routes.

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mbbgp/rib"
)

// registry returns a registry with everything that /metrics shows.
func registry(s *State) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{state: s},
	)
	r.MustRegister(s.Collectors...)
	return r
}

// collector reads the state. It describes nothing beforehand: which counters
// there are is up to the packages that count.
type collector struct{ state *State }

func (c *collector) Describe(chan<- *prometheus.Desc) {}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	e := emitter{out}
	e.gauge("build_info", "The running version; the value is always 1.", 1, "version", c.state.Version)
	if c.state.Table != nil {
		for _, vni := range c.state.Table.VNIs() {
			e.vni(number(vni), c.state.Table.Stats(vni))
		}
	}
	if c.state.Sessions != nil {
		sessions := merge(c.state.Sessions())
		e.sessions(sessions)
		e.servers(sessions, c.state.Table)
	}
	if c.state.Neighbors != nil {
		for _, n := range c.state.Neighbors() {
			e.neighbor(n)
		}
	}
	if c.state.Kernel != nil {
		e.kernel(c.state.Kernel())
	}
	if c.state.Counters != nil {
		for _, n := range c.state.Counters() {
			e.counter(n)
		}
	}
	if c.state.Ready != nil {
		for _, r := range c.state.Ready() {
			e.gauge("ready", "1 if the condition that /readyz names is met.", truth(r.OK), "condition", r.Name)
		}
	}
}

// emitter writes metrics of this process.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) gauge(name, help string, v float64, labels ...string) {
	e.emit(prometheus.GaugeValue, name, help, v, labels)
}

func (e emitter) total(name, help string, v uint64, labels ...string) {
	e.emit(prometheus.CounterValue, name, help, float64(v), labels)
}

// emit writes one metric; labels are name, value, name, value.
func (e emitter) emit(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	names := make([]string, 0, len(labels)/2)
	values := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names = append(names, labels[i])
		values = append(values, labels[i+1])
	}
	desc := prometheus.NewDesc("mbbgp_"+name, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	e.out <- m
}

func (e emitter) vni(vni string, s rib.Stats) {
	e.gauge("vni_prefixes", "Prefixes of the VNI that have a next hop.", float64(s.Prefixes), "vni", vni)
	e.gauge("vni_nexthops", "Next hops of all prefixes of the VNI.", float64(s.NextHops), "vni", vni)
	e.gauge("vni_claims", "Announcements of the VNI's next hops; one that two peers announce counts twice.", float64(s.Claims), "vni", vni)
	e.gauge("vni_tombstones", "Withdrawn next hops kept for readers that have not read of it.", float64(s.Tombstones), "vni", vni)
	e.gauge("vni_parked_notes", "Prefixes and next hops noted for readers that are far behind.", float64(s.Parked), "vni", vni)
	e.gauge("vni_readers", "Readers of the VNI: subscribed sessions and the BGP speaker.", float64(s.Readers), "vni", vni)
	e.total("vni_changes_total", "Changes of the VNI's table.", s.Version, "vni", vni)
	for source, n := range s.Sources {
		e.gauge("vni_source_nexthops", "Next hops of the VNI by where they are from: static, client (a hypervisor), server, bgp, leaked (another VNI).", float64(n),
			"vni", vni, "source", rib.Source(source).String())
	}
}

func (e emitter) sessions(all []Session) {
	for _, s := range all {
		peer := []string{"peer", s.Peer, "role", role(s)}
		with := func(more ...string) []string { return append(peer[:len(peer):len(peer)], more...) }
		e.gauge("metalbond_session_up", "1 if a MetalBond session with the peer is established; role is the peer's.", truth(s.Established), peer...)
		e.gauge("metalbond_session_keepalive_seconds", "Keepalive interval agreed with the peer.", s.Keepalive.Seconds(), peer...)
		e.gauge("metalbond_session_routes", "Next hops that the peer announces.", float64(s.Routes), peer...)
		e.gauge("metalbond_session_held_routes", "Next hops that the peer announced in a session that was lost, kept until it repeats them.", float64(s.Held), peer...)
		e.gauge("metalbond_session_pace_bytes_per_second", "Most that is sent to the peer; 0 if there is no limit.", float64(s.Pace), peer...)
		e.gauge("metalbond_session_behind_changes", "Changes of the tables that the peer has not been sent.", float64(s.Behind), peer...)
		e.total("metalbond_session_messages_total", "MetalBond messages.", s.FramesIn, with("direction", "in")...)
		e.total("metalbond_session_messages_total", "MetalBond messages.", s.FramesOut, with("direction", "out")...)
		e.total("metalbond_session_bytes_total", "Bytes of MetalBond messages.", s.BytesIn, with("direction", "in")...)
		e.total("metalbond_session_bytes_total", "Bytes of MetalBond messages.", s.BytesOut, with("direction", "out")...)
		for reason, n := range s.Refused {
			e.total("metalbond_session_refused_total", "Routes of the peer that were refused.", n, with("reason", reason)...)
		}
	}
}

// servers tells the tables of MetalBond servers apart. A next hop that a server
// has told nobody else says but servers (bridge/own.go), so what one has not told
// of all that servers have is missing there.
func (e emitter) servers(all []Session, t table) {
	for _, s := range all {
		for i, told := range s.Said {
			labels := []string{"peer", s.Peer, "vni", number(s.VNIs[i])}
			missing := max(t.Stats(s.VNIs[i]).Sources[rib.Server]-told, 0) // the two were not counted at once
			e.gauge("metalbond_server_routes", "Next hops of the VNI that the MetalBond server has told, but for those that we say ourselves.", float64(told), labels...)
			e.gauge("metalbond_server_missing_routes", "Next hops of the VNI that other MetalBond servers have told and this one has not.", float64(missing), labels...)
		}
	}
}

func (e emitter) neighbor(n Neighbor) {
	address := n.Address.String()
	e.gauge("bgp_neighbor_up", "1 if the BGP session is established.", truth(n.Established()), "neighbor", address, "asn", strconv.FormatUint(uint64(n.ASN), 10))
	e.total("bgp_neighbor_sessions_total", "How often a session with the neighbor was established.", n.Sessions, "neighbor", address)
	e.gauge("bgp_neighbor_imported_routes", "Routes of the neighbor that the bridge imports.", float64(n.Routes), "neighbor", address)
	if n.MaxRoutes > 0 {
		e.gauge("bgp_neighbor_limit_routes", "Most routes of the neighbor that the bridge imports.", float64(n.MaxRoutes), "neighbor", address)
	}
	e.total("bgp_neighbor_updates_total", "Best paths of the neighbor that the bridge was given.", n.Updates, "neighbor", address)
	e.total("bgp_neighbor_withdrawals_total", "Withdrawals of the neighbor's paths that the bridge was given.", n.Withdrawals, "neighbor", address)
	for _, f := range n.Families {
		e.gauge("bgp_neighbor_end_of_rib", "1 once the neighbor has said that its first table is complete.", truth(f.EndOfRIB), "neighbor", address, "family", f.Family)
	}
	for _, f := range n.Stale {
		e.gauge("bgp_neighbor_stale", "1 while routes of the neighbor are kept that it has not confirmed since it was lost; long_lived says that its restart time is over.", 1,
			"neighbor", address, "family", f.Family, "long_lived", strconv.FormatBool(f.LongLived))
	}
}

func (e emitter) counter(c Counter) {
	kind := prometheus.CounterValue
	if c.Gauge {
		kind = prometheus.GaugeValue
	}
	labels := make([]string, 0, 2*len(c.Labels))
	for _, l := range c.Labels {
		labels = append(labels, l.Name, l.Value)
	}
	e.emit(kind, c.Name, c.Help, c.Value, labels)
}

// merge makes one session of those with the same peer and role: two agents
// on one host share an address, and a series must be unique.
func merge(all []Session) []Session {
	type key struct {
		peer   string
		server bool
	}
	at := make(map[key]int)
	var merged []Session
	for _, s := range all {
		i, ok := at[key{s.Peer, s.Server}]
		if !ok {
			at[key{s.Peer, s.Server}] = len(merged)
			refused := make(map[string]uint64, len(s.Refused))
			for reason, n := range s.Refused {
				refused[reason] = n
			}
			s.Refused = refused
			merged = append(merged, s)
			continue
		}
		m := &merged[i]
		m.Established = m.Established || s.Established
		m.Keepalive = max(m.Keepalive, s.Keepalive)
		m.Routes += s.Routes
		m.Held += s.Held
		m.Behind += s.Behind
		m.Pace = max(m.Pace, s.Pace)
		m.FramesIn += s.FramesIn
		m.FramesOut += s.FramesOut
		m.BytesIn += s.BytesIn
		m.BytesOut += s.BytesOut
		for reason, n := range s.Refused {
			m.Refused[reason] += n
		}
	}
	return merged
}

func role(s Session) string {
	if s.Server {
		return "server"
	}
	return "client"
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
