package metalbond

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mbbgp/bridge"
	"mbbgp/rib"
)

// hypervisor is the party of a server's session: a client of ours. The hearing
// goroutine and a reload of the configuration change what it says and reads, one
// at a time.
type hypervisor struct {
	server  *Server
	channel atomic.Pointer[bridge.Channel] // nil before the session is established

	mu       sync.Mutex
	rights   *rights              // guarded by mu
	heard    map[rib.VNI]struct{} // guarded by mu; VNIs that it announced in
	reads    map[rib.VNI]struct{} // guarded by mu; VNIs that it subscribed to
	refused  refusals             // guarded by mu
	unread   map[rib.VNI]struct{} // guarded by mu; VNIs that it may not subscribe to, and would
	throttle throttle             // the hearing goroutine's
	session  *session             // set once, when it is established
}

func newHypervisor(s *Server) *hypervisor {
	return &hypervisor{server: s, rights: newRights(nil, netip.Addr{}), refused: refusals{all: &s.remembered}}
}

func (h *hypervisor) established(s *session) {
	h.server.settled(s)
	c := h.server.options.Bridge.Open(rib.Client, s.peer)
	h.mu.Lock()
	c.Limit(h.rights.entry.MaxRoutes)
	h.session = s
	h.channel.Store(c)
	s.limitRow(h.rights.entry.UpdateRate)
	h.mu.Unlock()
	settings := h.server.current()
	h.entitle(&settings) // there may have been a reload since it was admitted
}

// close ends the subscriptions, withdraws what the client said and returns how
// much it was.
func (h *hypervisor) close() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for vni := range h.reads {
		h.server.subscribed.end(vni)
	}
	h.reads, h.unread = nil, nil
	h.refused.clear()
	if c := h.channel.Load(); c != nil {
		return c.Close()
	}
	return 0
}

// routes returns how much the client says at the moment.
func (h *hypervisor) routes() int {
	if c := h.channel.Load(); c != nil {
		return c.Count()
	}
	return 0
}

// updates puts into the table what the client may say. Who says too much at a
// time waits behind it.
func (h *hypervisor) updates(row []bridge.Edit) {
	h.mu.Lock()
	rate := h.rights.entry.UpdateRate
	h.apply(row)
	h.mu.Unlock()
	if h.session.limitRow(rate); rate > 0 {
		h.session.hold(h.throttle.spend(len(row), rate, time.Now()))
	}
}

// apply puts into the table what the client may say, and remembers what not. mu
// is held.
func (h *hypervisor) apply(row []bridge.Edit) {
	if !h.rights.unlimited {
		for i := range row {
			if x := &row[i]; !x.Remove {
				x.Refused = h.rights.refuses(x.VNI, x.Prefix, x.NextHop)
			}
		}
	}
	if h.server.options.OnAnnounce != nil {
		for i := range row {
			if x := &row[i]; !x.Remove && x.Refused == nil {
				h.announces(x.VNI)
			}
		}
	}
	h.channel.Load().Apply(row)
	for i := range row {
		h.refused.note(&row[i])
	}
}

func (h *hypervisor) announces(vni rib.VNI) {
	if _, known := h.heard[vni]; known {
		return
	}
	if h.heard == nil {
		h.heard = make(map[rib.VNI]struct{})
	}
	h.heard[vni] = struct{}{}
	h.server.options.OnAnnounce(vni)
}

// subscribe begins to tell a VNI, if the client may read it. A second SUBSCRIBE
// of it says nothing new.
func (h *hypervisor) subscribe(s *session, number uint32) error {
	vni := rib.VNI(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rights.reads(vni) {
		return h.read(s, vni)
	}
	if h.unread == nil {
		h.unread = make(map[rib.VNI]struct{})
	}
	if _, known := h.unread[vni]; !known && len(h.unread) >= h.server.options.MaxSubscriptions {
		return tooManySubscriptions(vni, h.server.options.MaxSubscriptions)
	}
	h.unread[vni] = struct{}{}
	s.refuse(string(reasonSubscribe), fmt.Errorf("this client may not subscribe to vni %d", vni))
	return nil
}

// read begins to tell a VNI. mu is held.
func (h *hypervisor) read(s *session, vni rib.VNI) error {
	options := rib.ReaderOptions{Except: h.channel.Load().Origins()}
	ok := s.out.open(vni, h.server.options.MaxSubscriptions, func(wake func()) *rib.Reader {
		if one := h.server.options.OneNextHop; one != nil {
			options.One = one(vni)
		}
		h.begin(vni)
		options.Wake = wake
		return h.server.options.Bridge.Table().NewReader(vni, options)
	})
	if !ok {
		return tooManySubscriptions(vni, h.server.options.MaxSubscriptions)
	}
	return nil
}

func tooManySubscriptions(vni rib.VNI, most int) error {
	return fmt.Errorf("SUBSCRIBE to vni %d: a session may have %d subscriptions", vni, most)
}

func (h *hypervisor) begin(vni rib.VNI) {
	if h.reads == nil {
		h.reads = make(map[rib.VNI]struct{})
	}
	h.reads[vni] = struct{}{}
	h.server.subscribed.begin(vni)
}

// unsubscribe stops to tell a VNI. Nothing is withdrawn, in either direction.
func (h *hypervisor) unsubscribe(s *session, number uint32) error {
	vni := rib.VNI(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unread, vni)
	s.out.close(vni)
	if _, read := h.reads[vni]; read {
		delete(h.reads, vni)
		h.server.subscribed.end(vni)
	}
	return nil
}

// subscribed counts the sessions that read each VNI.
type subscribed struct {
	tell func(vni rib.VNI, on bool) // may be nil

	mu       sync.Mutex      // held while tell runs: what it says is in order
	sessions map[rib.VNI]int // guarded by mu
}

func (s *subscribed) begin(vni rib.VNI) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[vni]++
	if s.sessions[vni] == 1 && s.tell != nil {
		s.tell(vni, true)
	}
}

func (s *subscribed) end(vni rib.VNI) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[vni]--
	if s.sessions[vni] > 0 {
		return
	}
	delete(s.sessions, vni)
	if s.tell != nil {
		s.tell(vni, false)
	}
}
