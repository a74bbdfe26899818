package gobgp

import (
	"context"
	"net/netip"
	"sync"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"

	"mbbgp/bridge"
	"mbbgp/config"
)

// What gobgpd says goes through here to the bridge, and a note of each route
// stays, with the number of the link that it was said on. When a link is lost
// the notes are all that is left. On the next one the table is read again and
// says what is still there. The rest goes at once where the session with the
// neighbour is still the same one; if it is not, gobgpd was away itself and
// has to hear its neighbours first, so the rest has until hold is over, as
// with graceful restart (RFC 4724 section 4.2).

// hearing is what was heard of one gobgpd, over all links.
type hearing struct {
	hold  time.Duration
	own   func(*apipb.Path) bool
	wants map[config.Family]bool

	mu       sync.Mutex
	to       sink                     // guarded by mu; told with it held
	closed   bool                     // guarded by mu; nothing is told any more
	link     *link                    // guarded by mu; the present one, nil if there is none
	number   uint32                   // guarded by mu; of the present link
	over     uint32                   // guarded by mu; what links before this one said is not waited for any more
	in       *incoming                // guarded by mu
	decode   *decoder                 // guarded by mu
	notes    map[bridge.NLRI]note     // guarded by mu
	touched  map[bridge.NLRI]struct{} // guarded by mu; changed since the table is being read; nil: it is not
	sessions map[netip.Addr]heard     // guarded by mu
}

// note is that a route was said.
type note struct {
	neighbor netip.Addr
	link     uint32
}

// heard is what is known of a neighbour's session.
type heard struct {
	change
	link uint32 // that said it
	up   int64  // when it was established, Unix seconds of gobgpd; 0 if it is not
	same bool   // it was established on the link before, and is the same session now
	// An End-of-RIB that has no event is told the second time that it is seen:
	// the first time, what came before it may be under way yet.
	seen, ended map[config.Family]bool
	await       time.Time // how long it makes sense to look for them
}

// awaitEnd is how long after a session came up its End-of-RIBs are looked for.
const awaitEnd = 5 * time.Minute

func newHearing(to sink, hold time.Duration, wanted []config.Family, own func(*apipb.Path) bool) *hearing {
	h := &hearing{
		to:       to,
		hold:     hold,
		own:      own,
		wants:    make(map[config.Family]bool),
		decode:   newDecoder(),
		notes:    make(map[bridge.NLRI]note),
		sessions: make(map[netip.Addr]heard),
	}
	for _, f := range wanted {
		h.wants[f] = true
	}
	return h
}

// close ends the hearing: what was heard stays as it is.
func (h *hearing) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// attach begins to hear over a link. Until complete is called the table is
// being read, and what events say wins.
func (h *hearing) attach(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link, h.in = l, newIncoming(l.routerID)
	h.touched = make(map[bridge.NLRI]struct{})
}

// lost notes that the link is gone, and with it what is known of sessions.
func (h *hearing) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.number++
	h.link, h.touched = nil, nil
	for address, s := range h.sessions {
		if s.state == Established {
			s.change = change{
				at: time.Now(), neighbor: address, asn: s.asn, localASN: s.localASN,
				described: s.described, reason: "gobgpd lost",
			}
			h.to.session(s.change)
		}
		s.same = false
		h.sessions[address] = s
	}
	before := h.number
	time.AfterFunc(h.hold, func() { h.expire(before) })
}

// expire withdraws what was not said since the link of that number, and takes
// leave of the neighbours that were not named since.
func (h *hearing) expire(before uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = max(h.over, before)
	h.drop(func(_ bridge.NLRI, n note) bool { return n.link < before })
	h.takeLeave()
}

// takeLeave ends what is known of the neighbours that are not waited for any
// more. Without a link, and before it has named those that are there, nobody
// knows which these are.
func (h *hearing) takeLeave() {
	if h.link == nil || h.touched != nil || h.closed {
		return
	}
	for address, s := range h.sessions {
		if s.link < h.over {
			delete(h.sessions, address)
			h.to.session(change{at: time.Now(), neighbor: address, asn: s.asn, localASN: s.localASN, gone: true})
		}
	}
}

// complete ends the reading of the table.
func (h *hearing) complete() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.touched = nil
	h.drop(func(_ bridge.NLRI, n note) bool { return n.link < h.number && h.sessions[n.neighbor].same })
	h.takeLeave()
}

// drop withdraws the routes that gone picks.
func (h *hearing) drop(gone func(bridge.NLRI, note) bool) {
	if h.closed {
		return
	}
	for nlri, n := range h.notes {
		if gone(nlri, n) {
			delete(h.notes, nlri)
			h.to.update(bridge.Update{Withdraw: true, NLRI: nlri, Neighbor: n.neighbor})
		}
	}
}

// event takes an event of gobgpd's.
func (h *hearing) event(ctx context.Context, e *apipb.WatchEventResponse) {
	if p := e.GetPeer(); p != nil {
		h.peer(ctx, p.GetPeer())
		return
	}
	var last bridge.NLRI
	for _, p := range e.GetTable().GetPaths() {
		last = h.changed(p, last)
	}
}

// changed takes a change of the best path. With multipath there are several of
// one NLRI, the best one first; last is the NLRI that was announced before.
func (h *hearing) changed(p *apipb.Path, last bridge.NLRI) bridge.NLRI {
	family, known := familyFromAPI(p.Family)
	if !known || !h.wants[family] {
		return last
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return last
	}
	if p.Nlri == nil && len(p.NlriBinary) == 0 {
		if neighbor, err := netip.ParseAddr(p.NeighborIp); err == nil {
			h.endOfRIB(neighbor, family)
		}
		return last
	}
	if h.own(p) {
		h.to.skipped(skipOwn)
		if p.IsWithdraw || family != config.FamilyIPv4 && family != config.FamilyIPv6 {
			return last
		}
		// A neighbour's path that it took the place of is over: gobgpd says
		// nothing about paths that are not best. Where there is a route
		// distinguisher, nobody else has our NLRIs.
		p.IsWithdraw = true
	}
	u, ok := h.update(p)
	if !ok || !u.Withdraw && u.NLRI == last {
		return last
	}
	if h.touched != nil {
		h.touched[u.NLRI] = struct{}{}
	}
	h.tell(u)
	if u.Withdraw {
		return bridge.NLRI{}
	}
	return u.NLRI
}

// listed takes a best path of the table.
func (h *hearing) listed(p *apipb.Path) {
	family, known := familyFromAPI(p.Family)
	if !known || !h.wants[family] {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	u, ok := h.update(p)
	if _, newer := h.touched[u.NLRI]; ok && !newer {
		h.tell(u)
	}
}

// update makes an update of a path, if it is one for the bridge.
func (h *hearing) update(p *apipb.Path) (bridge.Update, bool) {
	path, err := h.in.path(p)
	if err != nil {
		h.to.skipped(whySkipped(err))
		return bridge.Update{}, false
	}
	u, why, ok := h.decode.update(path)
	if why != skipNothing {
		h.to.skipped(why)
	}
	return u, ok
}

func (h *hearing) tell(u bridge.Update) {
	if u.Withdraw {
		if _, said := h.notes[u.NLRI]; !said {
			return
		}
		delete(h.notes, u.NLRI)
	} else {
		h.notes[u.NLRI] = note{neighbor: u.Neighbor, link: h.number}
	}
	h.to.update(u)
}

// endOfRIB takes the End-of-RIB of a neighbour: what it has not said again is
// gone.
func (h *hearing) endOfRIB(neighbor netip.Addr, family config.Family) {
	s, ok := h.sessions[neighbor]
	if !ok || s.state != Established || s.ended[family] {
		return
	}
	s.ended[family] = true
	h.drop(func(nlri bridge.NLRI, n note) bool {
		return n.neighbor == neighbor && n.link < h.number && familyOfNLRI(nlri) == family
	})
	h.to.endOfRIB(neighbor, family)
}

// ends looks for End-of-RIBs that gobgpd has no events of.
func (h *hearing) ends(ctx context.Context) {
	var waiting []netip.Addr
	h.mu.Lock()
	l := h.link
	for address, s := range h.sessions {
		if s.state == Established && len(s.ended) < len(s.families) && time.Now().Before(s.await) {
			waiting = append(waiting, address)
		}
	}
	h.mu.Unlock()
	for _, address := range waiting {
		full, err := l.peer(ctx, address.String())
		if err != nil {
			return // the link is lost
		}
		h.mu.Lock()
		if s := h.sessions[address]; !h.closed && s.state == Established && s.up == uptimeFromAPI(full) {
			for _, f := range endsFromAPI(full) {
				if s.seen[f] {
					h.endOfRIB(address, f)
				}
				s.seen[f] = true
			}
		}
		h.mu.Unlock()
	}
}

// peer takes a change of a session. Events say little, so gobgpd is asked for
// the rest where that is of interest.
func (h *hearing) peer(ctx context.Context, p *apipb.Peer) {
	neighbor, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
	if err != nil {
		return
	}
	now := heard{change: change{
		at:       time.Now(),
		neighbor: neighbor,
		state:    stateFromAPI(p.State.SessionState),
		asn:      p.State.PeerAsn,
		localASN: p.State.LocalAsn,
	}}
	h.mu.Lock()
	was, l := h.sessions[neighbor], h.link
	h.mu.Unlock()
	now.described = was.described
	if now.state == Idle || now.state == Established {
		full, err := l.peer(ctx, p.State.NeighborAddress)
		if err != nil {
			return // the link is lost
		}
		now.gone = full == nil
		now.described = full.GetConf().GetDescription()
		if now.state == Established {
			now.routerID, _ = netip.ParseAddr(p.State.RouterId)
			now.families, now.restart = negotiated(capabilitiesFromAPI(full.GetState().GetLocalCap()), capabilitiesFromAPI(full.GetState().GetRemoteCap()))
			now.up = uptimeFromAPI(full)
			now.same = was.up != 0 && was.up == now.up
			now.seen, now.ended = make(map[config.Family]bool), make(map[config.Family]bool)
			now.await = time.Now().Add(awaitEnd)
			if now.up != 0 {
				now.at = unixTime(now.up)
			}
		}
	}
	if was.state == Established && now.state != Established {
		now.reason = "see the log of gobgpd"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	now.link = h.number
	if h.sessions[neighbor] = now; now.gone {
		delete(h.sessions, neighbor)
	}
	h.to.session(now.change)
}
