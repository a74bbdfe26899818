package main

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"mbbgp/bridge"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

// settle is how long a neighbor or server that does not come up keeps the
// process from being ready. After that, the others are worth serving.
const settle = time.Minute

// state is what the servers of metrics and of the API show of the daemon.
func (d *daemon) state() api.State {
	s := api.State{
		Version:   buildVersion(),
		Started:   d.begun,
		Table:     d.table,
		VNIs:      d.networks,
		Sessions:  d.sessions,
		Neighbors: d.neighbors,
		Counters:  d.counters,
		Ready:     d.conditions,
		Policy:    d.policy,
		Explain:   d.explain,
		Static:    d.static,
		Operator:  &d.operator,
	}
	if d.speaker != nil {
		s.Paths = d.paths
		if c := d.speaker.Collector(); c != nil {
			s.Collectors = append(s.Collectors, c)
		}
	}
	s.Migration = d.migration
	if d.kernel != nil {
		s.Kernel = d.kernelState
	}
	return s
}

// networks are the configured VNIs.
func (d *daemon) networks() []api.VNI {
	counted := make(map[rib.VNI]bridge.VNIStats)
	for _, v := range d.bridge.BGP().Stats().VNIs {
		counted[v.VNI] = v
	}
	var list []api.VNI
	vnis := d.vnis()
	for i := range vnis {
		v := &vnis[i]
		s := counted[rib.VNI(v.VNI)]
		list = append(list, api.VNI{
			VNI: rib.VNI(v.VNI), Name: v.Name, Family: v.Family.String(), Encapsulation: v.Encapsulation.String(),
			Gateway: v.Gateway, Table: v.Table, Imported: s.Imported.Routes, Exported: s.Exported.Routes,
			Prefer: d.bridge.Preferred(rib.VNI(v.VNI)).Prefer.String(),
		})
	}
	return list
}

func (d *daemon) sessions() []api.Session {
	var list []api.Session
	if d.server != nil {
		for _, s := range d.server.Sessions() {
			list = append(list, session(s))
		}
	}
	for _, s := range d.client.Sessions() {
		list = append(list, session(s))
	}
	return list
}

// session keeps of a client's name the address only: the port is another one
// at each connection.
func session(s metalbond.SessionInfo) api.Session {
	peer := s.Peer
	if !s.Server {
		if host, _, err := net.SplitHostPort(peer); err == nil {
			peer = host
		}
	}
	return api.Session{
		Peer:        peer,
		Name:        s.Peer,
		Server:      s.Server,
		State:       s.State.String(),
		Since:       s.Since,
		LastError:   s.LastError,
		VNIs:        s.Subscriptions,
		Said:        s.Said,
		Established: s.State == metalbond.Established,
		Keepalive:   s.Keepalive,
		Routes:      s.Routes,
		Held:        s.Held,
		Behind:      s.Behind,
		Pace:        s.Pace,
		FramesIn:    s.FramesIn,
		FramesOut:   s.FramesOut,
		BytesIn:     s.BytesIn,
		BytesOut:    s.BytesOut,
		Refused:     s.Refused,
	}
}

func (d *daemon) neighbors() []api.Neighbor {
	if d.speaker == nil {
		return nil
	}
	routes := make(map[netip.Addr]bridge.LimitStats)
	for _, n := range d.bridge.BGP().Stats().Neighbors {
		routes[n.Neighbor] = n.Routes
	}
	var list []api.Neighbor
	for _, n := range d.speaker.Neighbors() {
		list = append(list, neighbor(n, routes[n.Address]))
	}
	return list
}

func neighbor(n gobgp.NeighborInfo, routes bridge.LimitStats) api.Neighbor {
	a := api.Neighbor{
		Address:     n.Address,
		ASN:         n.ASN,
		LocalASN:    n.LocalASN,
		RouterID:    n.RouterID,
		Description: n.Description,
		Dynamic:     n.Dynamic,
		State:       n.State.String(),
		Since:       n.Since,
		Sessions:    n.Ups,
		LastError:   n.LastError,
		Routes:      routes.Used,
		MaxRoutes:   routes.Max,
		Refused:     routes.Refused,
		Updates:     n.Updates,
		Withdrawals: n.Withdrawals,
		Restart:     int(n.Restart / time.Second),
	}
	for _, f := range n.Families {
		a.Families = append(a.Families, api.NeighborFamily{
			Family:          f.Family.String(),
			EndOfRIB:        f.EndOfRIB,
			AddPathReceive:  f.AddPathReceive,
			AddPathSend:     f.AddPathSend,
			ExtendedNextHop: f.ExtendedNextHop,
			GracefulRestart: f.GracefulRestart,
			LongLived:       int(f.LongLived / time.Second),
		})
	}
	for _, f := range n.Stale {
		a.Stale = append(a.Stale, api.StaleFamily{Family: f.Family.String(), LongLived: f.LongLived, Until: f.Until})
	}
	return a
}

// conditions are what /readyz waits for: the listeners, and the first tables
// of those that we know by name.
func (d *daemon) conditions() []api.Condition {
	list := d.memory.conditions()
	if d.server != nil {
		list = append(list, api.Condition{Name: "metalbond-listener", OK: closed(d.listening)})
	}
	if d.speaker != nil {
		list = append(list, api.Condition{Name: "bgp-speaker", OK: closed(d.speaker.Ready())})
		for _, n := range d.speaker.Neighbors() {
			if !n.Dynamic {
				list = append(list, d.patient(neighborCondition(n)))
			}
		}
	}
	if d.kernel != nil {
		list = append(list, d.kernelCondition())
	}
	for _, s := range d.client.Sessions() {
		list = append(list, d.patient(serverCondition(s)))
	}
	return list
}

// serverCondition is met while there is a session and the first table is in.
func serverCondition(s metalbond.SessionInfo) api.Condition {
	c := api.Condition{Name: "metalbond-server " + s.Peer, Detail: s.State.String()}
	if s.State == metalbond.Established {
		if c.OK = s.Told; !c.OK {
			c.Detail = "established, its first table is not complete yet"
		}
	}
	return c
}

// neighborCondition is met once the neighbor has sent its first tables, or has
// been there and gone: then they are as much in as they are going to be.
func neighborCondition(n gobgp.NeighborInfo) api.Condition {
	c := api.Condition{Name: "bgp-neighbor " + n.Address.String(), Detail: n.State.String()}
	if n.State != gobgp.Established {
		c.OK = n.Ups > 0
		return c
	}
	for _, f := range n.Families {
		if !f.EndOfRIB {
			c.Detail = fmt.Sprintf("established, no End-of-RIB of %v yet", f.Family)
			return c
		}
	}
	c.OK = true
	return c
}

// patient lets a condition pass that was not met for long enough.
func (d *daemon) patient(c api.Condition) api.Condition {
	if !c.OK && time.Since(d.begun) > settle {
		c.OK = true
		c.Detail += ", not waited for any longer"
	}
	return c
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
