package metalbond

// A reload that changes what clients may do changes it for those that are
// connected, and no session of another client notices. What a client may not
// announce any more goes; what it was refused and may now comes, as far as it is
// remembered: a client whose refused routes are too many for that has its session
// ended, so that it says everything again. So has one that reads a VNI that it
// may not any more: only that makes it forget what it was told. A limit that is
// lowered takes nothing back.

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// Reconfigure makes Keepalive, Pace, Clients, RefuseUnlisted, MaxConnections,
// MaxPerSource and the files of TLS, and nothing else, those of options.
// Keepalive, pace and files are for sessions that begin from now on.
func (s *Server) Reconfigure(options ServerOptions) {
	options.Log = s.options.Log
	s.mu.Lock()
	s.settings = newServerSettings(&options)
	settings := s.settings
	sessions := slices.Clone(s.sessions)
	s.mu.Unlock()
	concerned := make(map[rib.Origin]*hypervisor)
	for _, x := range sessions {
		if h := x.party.(*hypervisor); h.entitle(&settings) {
			concerned[h.channel.Load().Origins()[0]] = h
		}
	}
	s.withdrawRefused(concerned)
	for _, h := range concerned {
		h.reconsider(func(_ rib.Route, reason bridge.Reason) bool { return true }, true)
	}
}

var (
	errRight     = errors.New("it may not read a VNI any more that it reads; it is told everything else when it is back")
	errForgotten = errors.New("its rights have changed, and more of its routes were refused than are remembered; it says them again when it is back")
)

// entitle gives a session the rights of the settings, and reports whether they
// are others than before.
func (h *hypervisor) entitle(settings *serverSettings) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x, channel := h.session, h.channel.Load()
	if channel == nil {
		return false // it gets them with the handshake, or has them of a moment ago
	}
	entry := settings.clients.ClientFor(x.address.Addr(), x.names)
	if entry == nil && settings.refuseUnlisted {
		x.fail(errUnlisted)
		return false
	}
	now := newRights(entry, x.address.Addr())
	if h.rights.same(now) {
		return false
	}
	was := h.rights
	h.rights = now
	channel.Limit(now.entry.MaxRoutes)
	if now.entry.UpdateRate > 0 && was.entry.UpdateRate == 0 {
		if err := x.conn.narrow(); err != nil {
			x.fail(err)
		}
	}
	for vni := range h.reads {
		if !now.reads(vni) {
			x.fail(fmt.Errorf("vni %d: %w", vni, errRight))
			return false
		}
	}
	for vni := range h.unread {
		if now.reads(vni) {
			delete(h.unread, vni)
			if err := h.read(x, vni); err != nil {
				x.fail(err)
			}
		}
	}
	return true
}

// same reports whether two clients of one address may do the same.
func (r *rights) same(other *rights) bool {
	mine, its := r.entry, other.entry
	for _, e := range []*config.MetalBondClient{&mine, &its} { // those are of sessions to come
		e.Pace, e.Source, e.Certificate = config.Pace{}, its.Source, its.Certificate
	}
	return reflect.DeepEqual(mine, its)
}

// withdrawRefused takes out of the tables what sessions say and may not any
// more.
func (s *Server) withdrawRefused(concerned map[rib.Origin]*hypervisor) {
	if len(concerned) == 0 {
		return
	}
	type saying struct {
		by    *hypervisor
		route rib.Route
	}
	table := s.options.Bridge.Table()
	for _, vni := range table.VNIs() {
		var over []saying
		table.Walk(vni, func(r rib.RouteInfo) bool {
			for _, c := range r.Claims {
				if h := concerned[c.Origin]; h != nil && h.refuses(vni, r) {
					over = append(over, saying{h, rib.Route{VNI: vni, Prefix: r.Prefix, NextHop: r.NextHop}})
				}
			}
			return true
		})
		for _, x := range over {
			x.by.takeBack(x.route)
		}
	}
}

func (h *hypervisor) refuses(vni rib.VNI, r rib.RouteInfo) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rights.refuses(vni, r.Prefix, r.NextHop) != nil
}

// takeBack withdraws a route that the client may not announce any more.
func (h *hypervisor) takeBack(r rib.Route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	why := h.rights.refuses(r.VNI, r.Prefix, r.NextHop)
	if why != nil && h.channel.Load().Withdraw(r.VNI, r.Prefix, r.NextHop) {
		h.refused.add(r, why.Reason)
		h.session.refuse(string(why.Reason), fmt.Errorf("vni %d, %v via %v: %w", r.VNI, r.Prefix, r.NextHop, why))
	}
}

// retryPeriod is how often routes are tried again that a limit has refused.
const retryPeriod = 10 * time.Second

// retry tries them until ctx is done.
func (s *Server) retry(ctx context.Context) {
	tick := time.NewTicker(retryPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.remembered.Load() == 0 {
			continue
		}
		s.mu.Lock()
		sessions := slices.Clone(s.sessions)
		s.mu.Unlock()
		for _, x := range sessions {
			x.party.(*hypervisor).reconsider(func(r rib.Route, reason bridge.Reason) bool { return forRoom(reason) }, false)
		}
	}
}

// reconsider puts refused routes into the table for which want holds and that
// nothing speaks against any more. With all, a client of which some are forgotten
// has to say them again.
func (h *hypervisor) reconsider(want func(rib.Route, bridge.Reason) bool, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channel.Load()
	if c == nil {
		return
	}
	if all && h.refused.forgotten {
		h.session.fail(errForgotten)
		return
	}
	for {
		row := h.refused.some(rowLength, func(r rib.Route, reason bridge.Reason) bool {
			return want(r, reason) && h.rights.refuses(r.VNI, r.Prefix, r.NextHop) == nil && c.Room(r.VNI)
		})
		if len(row) == 0 {
			return
		}
		before := len(h.refused.routes)
		h.apply(row)
		if len(h.refused.routes) == before {
			return
		}
	}
}
