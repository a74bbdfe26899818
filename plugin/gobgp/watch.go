package gobgp

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
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
	ctx       context.Context // over: nothing goes on any more
	to        sink
	decode    *decoder
	multipath *multipath                  // nil if one path of each NLRI is in use
	keeping   map[netip.Addr]bool         // has gone, and some of its routes stay
	agreed    map[netip.Addr][]FamilyInfo // in all sessions with it
	reset     func(neighbor netip.Addr)   // ends a session
	sweep     atomic.Pointer[sweeper]     // of GoBGP's tables; nil if there is none

	mu         sync.Mutex
	configured map[netip.Addr]bool // guarded by mu
	described  map[string]string   // guarded by mu; by neighbour address and by peer group
}

func newWatcher(ctx context.Context, s *setup, to sink, m *multipath, reset func(netip.Addr)) *watcher {
	w := &watcher{
		ctx:       ctx,
		to:        to,
		decode:    newDecoder(),
		multipath: m,
		keeping:   make(map[netip.Addr]bool),
		agreed:    make(map[netip.Addr][]FamilyInfo),
		reset:     reset,
	}
	w.know(s)
	return w
}

// know makes the neighbours those of a setup.
func (w *watcher) know(s *setup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.configured, w.described = make(map[netip.Addr]bool), make(map[string]string)
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
}

// best takes changes of best paths. A withdrawn path still has attributes, and
// a path of ours has no neighbour.
func (w *watcher) best(paths []*apiutil.Path, _ time.Time) {
	if w.ctx.Err() != nil {
		return
	}
	var several []identified
	for _, p := range paths {
		if sweep := w.sweep.Load(); sweep != nil && p.Family == bgp.RF_RTC_UC {
			sweep.keep(p)
		}
		if !p.PeerAddress.IsValid() {
			w.own(p)
			continue
		}
		u, why, ok := w.decode.update(p)
		if why != skipNothing {
			w.to.skipped(why)
		}
		switch {
		case !ok:
		case w.multipath != nil:
			several = append(several, identified{u, p.RemoteID})
		default:
			w.to.update(u)
		}
	}
	if w.multipath != nil {
		w.multipath.change(w.to, several)
	}
}

// own takes a path of ours that has become the best one. Where it may have
// taken the place of a neighbour's, that is over: GoBGP says nothing any more
// about paths that are not best, unless several can be. With a route
// distinguisher, nobody else has our NLRIs.
func (w *watcher) own(p *apiutil.Path) {
	w.to.skipped(skipOwn)
	if w.multipath != nil || p.Withdrawal || p.Family != bgp.RF_IPv4_UC && p.Family != bgp.RF_IPv6_UC {
		return
	}
	hidden := *p
	hidden.Withdrawal = true
	if u, _, ok := w.decode.update(&hidden); ok {
		w.to.update(u)
	}
}

func (w *watcher) endOfRIB(p *apiutil.Path, _ time.Time) {
	if f, ok := familyOf(p.Family); ok && w.ctx.Err() == nil {
		w.to.endOfRIB(p.PeerAddress, f)
	}
}

func (w *watcher) session(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	p := &e.Peer
	if e.Type == apiutil.PEER_EVENT_END_OF_INIT || !p.State.NeighborAddress.IsValid() ||
		p.State.NeighborAddress == absentee || w.ctx.Err() != nil {
		return
	}
	c := change{
		at:       at,
		neighbor: p.State.NeighborAddress,
		state:    stateOf(p.State.SessionState),
		asn:      p.State.PeerASN,
		localASN: p.Conf.LocalASN,
	}
	c.dynamic = p.Conf.PeerGroup != "" && !w.isConfigured(c.neighbor)
	c.described = w.describe(c.neighbor.String())
	if c.dynamic {
		c.described = w.describe(p.Conf.PeerGroup)
	}
	switch c.state {
	case Idle:
		w.idle(&c, e)
	case Established:
		c.routerID = p.State.RouterID
		c.families, c.restart = negotiated(p.State.LocalCap, p.State.RemoteCap)
		if w.keeping[c.neighbor] && !sameRestart(w.agreed[c.neighbor], c.families) {
			w.reset(c.neighbor)
		}
		delete(w.keeping, c.neighbor)
		w.agreed[c.neighbor] = agree(w.agreed[c.neighbor], c.families)
	}
	if c.gone {
		delete(w.agreed, c.neighbor)
		delete(w.keeping, c.neighbor)
	}
	w.to.session(c)
}

// agree adds what was agreed in a new session to what was before: GoBGP does not
// forget that a neighbour took part in graceful restart, and keeps the routes
// of a session in which it did not.
func agree(before, now []FamilyInfo) []FamilyInfo {
	list := slices.Clone(now)
	for _, b := range before {
		i := slices.IndexFunc(list, func(f FamilyInfo) bool { return f.Family == b.Family })
		if i < 0 {
			list = append(list, b)
			continue
		}
		list[i].GracefulRestart = list[i].GracefulRestart || b.GracefulRestart
		list[i].LongLived = max(list[i].LongLived, b.LongLived)
	}
	return list
}

// sameRestart reports whether a neighbour that is back takes part in graceful
// restart with all families that it had before. Of the others the routes must
// go (RFC 4724 section 4.2), but GoBGP waits for an End-of-RIB, which does not
// come. So then the session is ended once more, without grace.
func sameRestart(before, now []FamilyInfo) bool {
	for _, f := range before {
		if f.GracefulRestart && !slices.ContainsFunc(now, func(n FamilyInfo) bool { return n.Family == f.Family && n.GracefulRestart }) {
			return false
		}
	}
	return true
}

// idle finds out what a session that is over leaves behind. GoBGP forgets a
// dynamic neighbour with the last of its routes, but not one with long-lived
// ones.
func (w *watcher) idle(c *change, e *apiutil.WatchEventMessage_PeerEvent) {
	s := &e.Peer.State
	switch s.DisconnectReason {
	case api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		c.kept, w.keeping[c.neighbor] = keptRestart, true
	case api.PeerState_DISCONNECT_REASON_RESTART_TIMER_EXPIRED:
		if slices.ContainsFunc(w.agreed[c.neighbor], func(f FamilyInfo) bool { return f.LongLived > 0 }) {
			c.kept = keptLongLived
		} else {
			delete(w.keeping, c.neighbor)
		}
	}
	c.gone = c.dynamic && !w.keeping[c.neighbor]
	// GoBGP has a reason for every change but the one that it was told to make.
	if e.Type == apiutil.PEER_EVENT_STATE && s.DisconnectMessage == "" &&
		s.DisconnectReason == api.PeerState_DISCONNECT_REASON_UNSPECIFIED {
		c.gone = true
	}
	if s.DisconnectReason != api.PeerState_DISCONNECT_REASON_INVALID_MSG &&
		s.DisconnectReason != api.PeerState_DISCONNECT_REASON_BAD_PEER_AS {
		c.reason = s.DisconnectMessage // the others were told as failed, and better
	}
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
// section 8), in our order, with what the neighbour can do in each, and how
// long it wants its routes kept over a restart.
func negotiated(local, remote []bgp.ParameterCapabilityInterface) (list []FamilyInfo, restart time.Duration) {
	ours, theirs := readCapabilities(local), readCapabilities(remote)
	for i, f := range families {
		if !ours.families[f] || !theirs.families[f] {
			continue
		}
		info := FamilyInfo{
			Family:          config.Family(i),
			AddPathReceive:  ours.addPath[f]&bgp.BGP_ADD_PATH_RECEIVE != 0 && theirs.addPath[f]&bgp.BGP_ADD_PATH_SEND != 0,
			AddPathSend:     ours.addPath[f]&bgp.BGP_ADD_PATH_SEND != 0 && theirs.addPath[f]&bgp.BGP_ADD_PATH_RECEIVE != 0,
			ExtendedNextHop: f.Afi() == bgp.AFI_IP && theirs.nextHop6[f],
		}
		if ours.restart && theirs.restarting[f] {
			info.GracefulRestart, restart = true, theirs.restartTime
		}
		if ours.longLived {
			info.LongLived = theirs.longLivedTime[f]
		}
		list = append(list, info)
	}
	return list, restart
}

// capabilities is what one end of a session announced.
type capabilities struct {
	families      map[bgp.Family]bool
	addPath       map[bgp.Family]bgp.BGPAddPathMode
	nextHop6      map[bgp.Family]bool // IPv6 next hops of IPv4 routes
	restart       bool
	restartTime   time.Duration
	restarting    map[bgp.Family]bool // wants its routes kept
	longLived     bool
	longLivedTime map[bgp.Family]time.Duration
}

func readCapabilities(list []bgp.ParameterCapabilityInterface) capabilities {
	c := capabilities{
		families:      make(map[bgp.Family]bool),
		addPath:       make(map[bgp.Family]bgp.BGPAddPathMode),
		nextHop6:      make(map[bgp.Family]bool),
		restarting:    make(map[bgp.Family]bool),
		longLivedTime: make(map[bgp.Family]time.Duration),
	}
	for _, one := range list {
		switch t := one.(type) {
		case *bgp.CapMultiProtocol:
			c.families[t.CapValue] = true
		case *bgp.CapAddPath:
			for _, f := range t.Tuples {
				c.addPath[f.Family] = f.Mode
			}
		case *bgp.CapExtendedNexthop:
			for _, f := range t.Tuples {
				if f.NexthopAFI == bgp.AFI_IP6 {
					c.nextHop6[bgp.NewFamily(f.NLRIAFI, uint8(f.NLRISAFI))] = true
				}
			}
		case *bgp.CapGracefulRestart:
			c.restart, c.restartTime = true, time.Duration(t.Time)*time.Second
			for _, f := range t.Tuples {
				c.restarting[bgp.NewFamily(f.AFI, f.SAFI)] = true
			}
		case *bgp.CapLongLivedGracefulRestart:
			c.longLived = true
			for _, f := range t.Tuples {
				c.longLivedTime[bgp.NewFamily(f.AFI, f.SAFI)] = time.Duration(f.RestartTime) * time.Second
			}
		}
	}
	if len(c.families) == 0 {
		c.families[bgp.RF_IPv4_UC] = true // RFC 4760 section 8
	}
	return c
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0) }
