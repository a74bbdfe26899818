package metalbond

import (
	"errors"
	"fmt"
	"sync/atomic"

	"mbbgp/bridge"
	"mbbgp/rib"
	"mbbgp/wire"
)

// hypervisor is the party of a server's session: a client of ours.
type hypervisor struct {
	server  *Server
	channel atomic.Pointer[bridge.Channel] // nil before the session is established
	heard   map[rib.VNI]struct{}           // VNIs that it announced in; the hearing goroutine's
}

func (h *hypervisor) established(s *session) {
	h.channel.Store(h.server.options.Bridge.Open(rib.Client, s.peer))
}

// close withdraws what the client said and returns how much it was.
func (h *hypervisor) close() int {
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

func (h *hypervisor) update(s *session, u wire.Update) error {
	vni, p, nh := route(u)
	channel := h.channel.Load()
	if u.Remove {
		channel.Withdraw(vni, p, nh)
		return nil
	}
	if h.server.options.OnAnnounce != nil {
		h.announces(vni)
	}
	if err := channel.Announce(vni, p, nh); err != nil {
		s.refuse(refusal(err), fmt.Errorf("vni %d, %v via %v: %w", vni, p, nh, err))
	}
	return nil
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

// refusal returns the stable label of what the bridge refused.
func refusal(err error) string {
	var r *bridge.Refusal
	if errors.As(err, &r) {
		return string(r.Reason)
	}
	return "refused"
}

// subscribe begins to tell a VNI. A second SUBSCRIBE of it says nothing new.
func (h *hypervisor) subscribe(s *session, number uint32) error {
	vni := rib.VNI(number)
	options := rib.ReaderOptions{Except: h.channel.Load().Origins()}
	ok := s.out.open(vni, h.server.options.MaxSubscriptions, func(wake func()) *rib.Reader {
		if one := h.server.options.OneNextHop; one != nil {
			options.One = one(vni)
		}
		if h.server.options.OnSubscribe != nil {
			h.server.options.OnSubscribe(vni)
		}
		options.Wake = wake
		return h.server.options.Bridge.Table().NewReader(vni, options)
	})
	if !ok {
		return fmt.Errorf("SUBSCRIBE to vni %d: a session may have %d subscriptions", vni, h.server.options.MaxSubscriptions)
	}
	return nil
}

// unsubscribe stops to tell a VNI. Nothing is withdrawn, in either direction.
func (h *hypervisor) unsubscribe(s *session, vni uint32) error {
	s.out.close(rib.VNI(vni))
	return nil
}
