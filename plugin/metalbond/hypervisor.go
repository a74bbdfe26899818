package metalbond

import (
	"fmt"
	"sync"
	"sync/atomic"

	"mbbgp/bridge"
	"mbbgp/rib"
)

// hypervisor is the party of a server's session: a client of ours.
type hypervisor struct {
	server  *Server
	channel atomic.Pointer[bridge.Channel] // nil before the session is established
	heard   map[rib.VNI]struct{}           // VNIs that it announced in; the hearing goroutine's
	reads   map[rib.VNI]struct{}           // VNIs that it subscribed to; the hearing goroutine's
}

func (h *hypervisor) established(s *session) {
	h.channel.Store(h.server.options.Bridge.Open(rib.Client, s.peer))
}

// close ends the subscriptions, withdraws what the client said and returns how
// much it was.
func (h *hypervisor) close() int {
	for vni := range h.reads {
		h.server.subscribed.end(vni)
	}
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

func (h *hypervisor) updates(row []bridge.Edit) {
	if h.server.options.OnAnnounce != nil {
		for i := range row {
			if !row[i].Remove {
				h.announces(row[i].VNI)
			}
		}
	}
	h.channel.Load().Apply(row)
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

// subscribe begins to tell a VNI. A second SUBSCRIBE of it says nothing new.
func (h *hypervisor) subscribe(s *session, number uint32) error {
	vni := rib.VNI(number)
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
		return fmt.Errorf("SUBSCRIBE to vni %d: a session may have %d subscriptions", vni, h.server.options.MaxSubscriptions)
	}
	return nil
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
