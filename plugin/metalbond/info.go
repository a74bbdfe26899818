package metalbond

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mbbgp/rib"
)

// State is how far a session has come.
type State uint8

// The states of a session. A server's connection starts at HelloWait.
const (
	Down          State = iota // client only: no connection, waiting for the next attempt
	Connecting                 // client only: TCP is under way
	HelloWait                  // waiting for the peer's HELLO
	KeepaliveWait              // waiting for the peer's first KEEPALIVE
	Established                // routes may pass
)

// String returns the name that logs, metrics and the command line use.
func (s State) String() string {
	switch s {
	case Down:
		return "down"
	case Connecting:
		return "connecting"
	case HelloWait:
		return "hello-wait"
	case KeepaliveWait:
		return "keepalive-wait"
	case Established:
		return "established"
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// SessionInfo describes a session at the moment of asking. Counters of a
// client's session count on over reconnects.
type SessionInfo struct {
	Server    bool           // the peer is a server, we are its client
	Peer      string         // as configured (a client's session), else the peer's address and port
	Address   netip.AddrPort // of the connection, not valid without one
	State     State
	Since     time.Time     // when the state was entered
	Keepalive time.Duration // negotiated; 0 before HELLO

	Subscriptions []rib.VNI // sorted; a client of ours: that it reads; a server: that we asked for
	Routes        int       // next hops that the peer says at the moment
	Told          bool      // a server has told a table to its end, in this session or one before
	Said          []int     // of these, by Subscriptions; a server's only
	Held          int       // next hops that a server said in earlier sessions, kept until it repeats them
	Behind        uint64    // changes of the table that the peer has not been sent

	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	Refused             map[string]uint64 // by reason; nil: none

	Pace      int    // bytes per second; 0: not limited
	LastError string // why the last connection of a client's session ended
}

// info describes the session, with the VNIs that it tells as subscriptions.
func (s *session) info() SessionInfo {
	vnis, behind := s.out.behind()
	slices.Sort(vnis)
	i := SessionInfo{
		Server:        s.toServer,
		Peer:          s.peer,
		Address:       s.address,
		Subscriptions: vnis,
		Behind:        behind,
	}
	s.mu.Lock()
	i.State, i.Since, i.Keepalive, i.Pace = s.state, s.since, s.keepalive, s.rate
	s.mu.Unlock()
	s.count.describe(&i)
	return i
}

func (c *counters) describe(i *SessionInfo) {
	i.FramesIn, i.FramesOut = c.framesIn.Load(), c.framesOut.Load()
	i.BytesIn, i.BytesOut = c.bytesIn.Load(), c.bytesOut.Load()
	i.Refused = c.refusals()
}
