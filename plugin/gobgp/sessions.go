package gobgp

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
)

// sessions is what is known of the neighbours, from events alone.
type sessions struct {
	log logrus.FieldLogger

	mu    sync.Mutex
	known map[netip.Addr]*session // guarded by mu
	over  bool                    // guarded by mu; we are stopping: sessions that end are no news
}

// session is a neighbour, and what was agreed when it was last established.
type session struct {
	NeighborInfo
	families []FamilyInfo
	restart  time.Duration
}

func newSessions(log logrus.FieldLogger) *sessions {
	return &sessions{log: log, known: make(map[netip.Addr]*session)}
}

// change takes a change of a session's state, and logs it if a person would
// want to know: up, down, or a new reason why it does not come up.
func (s *sessions) change(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.known[c.neighbor]
	if n == nil {
		n = &session{NeighborInfo: NeighborInfo{Address: c.neighbor}}
		s.known[c.neighbor] = n
	}
	was, said := n.State, n.LastError
	n.ASN, n.LocalASN, n.Description, n.Dynamic = c.asn, c.localASN, c.described, c.dynamic
	n.State, n.RouterID, n.Families, n.Restart = c.state, c.routerID, nil, 0
	n.keep(c, was)
	if c.reason != "" && !s.over {
		n.LastError = c.reason
	}
	log := s.log.WithFields(logrus.Fields{"neighbor": c.neighbor, "asn": c.asn})
	switch {
	case c.state == Established:
		n.Families, n.Restart = slices.Clone(c.families), c.restart
		if was != Established {
			n.Since = c.at
			n.Ups++
			log.WithField("families", names(c.families)).Info("BGP session up")
		}
	case was == Established:
		n.Since = time.Time{}
		if !s.over {
			log.WithField("reason", c.reason).Warn("BGP session down")
		}
	case c.reason != "" && c.reason != said && !s.over:
		log.WithField("reason", c.reason).Warn("BGP session failed")
	}
	if c.gone {
		delete(s.known, c.neighbor)
	}
}

// keep notes which routes stay when a session ends, and for how long.
func (n *session) keep(c change, was State) {
	switch {
	case c.state == Established:
		n.families, n.restart = c.families, c.restart
		for i := range n.Stale {
			n.Stale[i].Until = time.Time{}
		}
	case was == Established || c.kept == keptLongLived:
		n.Stale = nil
		for _, f := range n.families {
			switch {
			case c.kept == keptRestart && f.GracefulRestart:
				n.Stale = append(n.Stale, StaleInfo{Family: f.Family, Until: c.at.Add(n.restart)})
			case c.kept == keptLongLived && f.LongLived > 0:
				n.Stale = append(n.Stale, StaleInfo{Family: f.Family, LongLived: true, Until: c.at.Add(f.LongLived)})
			}
		}
	}
}

// current returns what is still stale at now.
func current(list []StaleInfo, now time.Time) []StaleInfo {
	var kept []StaleInfo
	for _, s := range list {
		if s.Until.IsZero() || s.Until.After(now) {
			kept = append(kept, s)
		}
	}
	return kept
}

func names(families []FamilyInfo) []config.Family {
	list := make([]config.Family, len(families))
	for i, f := range families {
		list[i] = f.Family
	}
	return list
}

// failed takes a reason why a session does not come up.
func (s *sessions) failed(neighbor netip.Addr, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.known[neighbor]
	if n == nil || n.State == Established || n.LastError == reason || s.over {
		return
	}
	n.LastError = reason
	s.log.WithFields(logrus.Fields{"neighbor": neighbor, "asn": n.ASN, "reason": reason}).Warn("BGP session failed")
}

// overdue says which configured neighbours were never there and why nothing is
// known: GoBGP has no event for a connection that it cannot open.
func (s *sessions) overdue() {
	for _, n := range s.list() {
		if n.Dynamic || n.Ups > 0 || n.LastError != "" || n.State == Established {
			continue
		}
		s.log.WithFields(logrus.Fields{"neighbor": n.Address, "asn": n.ASN, "state": n.State}).
			Warn("no BGP session yet, is the neighbor reachable?")
	}
}

// endOfRIB notes that a neighbour has sent its table of a family.
func (s *sessions) endOfRIB(neighbor netip.Addr, family config.Family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.known[neighbor]
	if n == nil {
		return
	}
	all := true
	for i := range n.Families {
		f := &n.Families[i]
		f.EndOfRIB = f.EndOfRIB || f.Family == family
		all = all && (f.EndOfRIB || !f.GracefulRestart)
	}
	if all {
		n.Stale = nil
	}
}

// count adds what goes to the bridge to its neighbours.
func (s *sessions) count(updates []bridge.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n *session
	for i := range updates {
		u := &updates[i]
		if n == nil || n.Address != u.Neighbor {
			if n = s.known[u.Neighbor]; n == nil {
				continue
			}
		}
		if u.Withdraw {
			n.Withdrawals++
		} else {
			n.Updates++
		}
	}
}

// stopping makes what follows no news.
func (s *sessions) stopping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// list returns all neighbours, sorted by address.
func (s *sessions) list() []NeighborInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]NeighborInfo, 0, len(s.known))
	now := time.Now()
	for _, n := range s.known {
		c := n.NeighborInfo
		c.Families, c.Stale = slices.Clone(n.Families), current(n.Stale, now)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b NeighborInfo) int { return a.Address.Compare(b.Address) })
	return list
}
