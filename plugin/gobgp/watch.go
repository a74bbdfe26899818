package gobgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/config"
)

// GoBGP's watcher has a queue without bound and one event per path; each event
// is taken out at once and goes on as a value of ours.

// watcher turns GoBGP's events into calls of a sink. GoBGP calls it from one
// goroutine.
type watcher struct {
	ctx        context.Context // over: nothing goes on any more
	to         sink
	decode     *decoder
	configured map[netip.Addr]bool
	described  map[string]string // by neighbour address and by peer group
}

func newWatcher(ctx context.Context, s *setup, to sink) *watcher {
	w := &watcher{
		ctx:        ctx,
		to:         to,
		decode:     newDecoder(),
		configured: make(map[netip.Addr]bool),
		described:  make(map[string]string),
	}
	for _, p := range s.peers {
		if a, err := netip.ParseAddr(p.Conf.NeighborAddress); err == nil {
			w.configured[a] = true
		}
		w.described[p.Conf.NeighborAddress] = p.Conf.Description
	}
	for _, g := range s.groups {
		w.described[g.Conf.PeerGroupName] = g.Conf.Description
	}
	if s.file != nil {
		for _, n := range s.file.Neighbors {
			w.configured[n.State.NeighborAddress] = true
			w.described[n.State.NeighborAddress.String()] = n.Config.Description
		}
		for _, g := range s.file.PeerGroups {
			w.described[g.Config.PeerGroupName] = g.Config.Description
		}
	}
	return w
}

// best takes changes of best paths. A withdrawn path still has attributes, and
// a path of ours has no neighbour.
func (w *watcher) best(paths []*apiutil.Path, _ time.Time) {
	if w.ctx.Err() != nil {
		return
	}
	for _, p := range paths {
		if !p.PeerAddress.IsValid() {
			w.to.skipped(skipOwn)
			continue
		}
		u, why, ok := w.decode.update(p)
		if why != skipNothing {
			w.to.skipped(why)
		}
		if ok {
			w.to.update(u)
		}
	}
}

func (w *watcher) endOfRIB(p *apiutil.Path, _ time.Time) {
	if f, ok := familyOf(p.Family); ok && w.ctx.Err() == nil {
		w.to.endOfRIB(p.PeerAddress, f)
	}
}

func (w *watcher) session(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	p := &e.Peer
	if e.Type == apiutil.PEER_EVENT_END_OF_INIT || !p.State.NeighborAddress.IsValid() || w.ctx.Err() != nil {
		return
	}
	c := change{
		at:       at,
		neighbor: p.State.NeighborAddress,
		state:    stateOf(p.State.SessionState),
		asn:      p.State.PeerASN,
		localASN: p.Conf.LocalASN,
	}
	c.dynamic = p.Conf.PeerGroup != "" && !w.configured[c.neighbor]
	c.described = w.described[c.neighbor.String()]
	if c.dynamic {
		c.described = w.described[p.Conf.PeerGroup]
	}
	// GoBGP has a reason for every change but the one that it was told to make.
	deleted := e.Type == apiutil.PEER_EVENT_STATE && p.State.DisconnectMessage == "" &&
		p.State.DisconnectReason == api.PeerState_DISCONNECT_REASON_UNSPECIFIED
	switch c.state {
	case Idle:
		c.gone = deleted || c.dynamic
		if p.State.DisconnectReason != api.PeerState_DISCONNECT_REASON_INVALID_MSG &&
			p.State.DisconnectReason != api.PeerState_DISCONNECT_REASON_BAD_PEER_AS {
			c.reason = p.State.DisconnectMessage // the others were told as failed, and better
		}
	case Established:
		c.routerID = p.State.RouterID
		c.families = negotiated(p.State.LocalCap, p.State.RemoteCap)
	}
	w.to.session(c)
}

func stateOf(s bgp.FSMState) State {
	switch s {
	case bgp.BGP_FSM_CONNECT:
		return Connect
	case bgp.BGP_FSM_ACTIVE:
		return Active
	case bgp.BGP_FSM_OPENSENT:
		return OpenSent
	case bgp.BGP_FSM_OPENCONFIRM:
		return OpenConfirm
	case bgp.BGP_FSM_ESTABLISHED:
		return Established
	}
	return Idle
}

// negotiated returns the families that both ends announced (RFC 4760
// section 8), in our order.
func negotiated(local, remote []bgp.ParameterCapabilityInterface) []config.Family {
	ours, theirs := announced(local), announced(remote)
	var list []config.Family
	for i, f := range families {
		if ours[f] && theirs[f] {
			list = append(list, config.Family(i))
		}
	}
	return list
}

func announced(caps []bgp.ParameterCapabilityInterface) map[bgp.Family]bool {
	set := make(map[bgp.Family]bool)
	for _, c := range caps {
		if m, ok := c.(*bgp.CapMultiProtocol); ok {
			set[m.CapValue] = true
		}
	}
	if len(set) == 0 {
		set[bgp.RF_IPv4_UC] = true
	}
	return set
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0) }
