package gobgp

import (
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// GoBGP 4.8 first queues its table for a neighbour that comes up, and then stores
// that the session is established (fsmHandler.loop). Who propagates a change
// between the two finds it not established and leaves the neighbour out: a route
// is missing there, or one that is withdrawn stays, until its prefix changes once
// more. A change of another neighbour's route waits for a lock as long as the
// table is read, and goes on just before the state is stored, so where others talk
// much a loss is likely; of what we originate, it takes a busy machine. A gobgpd
// of version 3 stores the state first.
//
// So the state is stored here, before the table is read: when GoBGP logs that a
// session is up, in the goroutine of the session. From then on a change is either
// in the table that is read, or waits for that and is queued behind it. Nothing is
// sent meanwhile, and what is queued early is said again by the table. Only the
// families of the session before must not count for it, so there are none until
// GoBGP stores those of this session, which it does before it reads the table.
//
// That needs fields that GoBGP does not export. If another version does not have
// them in this shape, changes may be lost, and each session that comes up warns.

// comeUp stores that the session with a neighbour is established. The caller must
// be the goroutine of the session. A neighbour that was removed meanwhile, and one
// that was added again and is not as far, is left alone.
func comeUp(s *server.BgpServer, neighbor netip.Addr) error {
	return peerOf(s, neighbor, func(peer reflect.Value) {
		fsm := field(peer, "fsm").Elem()
		mu := field(fsm, "lock").Addr().Interface().(*sync.Mutex) // held where GoBGP stores the families
		state := field(field(fsm, "state"), "val").Addr().Interface().(*atomic.Int32)
		families := field(fsm, "familyMap").Addr().Interface().(*atomic.Value)
		mu.Lock()
		defer mu.Unlock()
		if state.Load() == int32(bgp.BGP_FSM_OPENCONFIRM) {
			families.Store(make(map[bgp.Family]bgp.BGPAddPathMode))
			state.CompareAndSwap(int32(bgp.BGP_FSM_OPENCONFIRM), int32(bgp.BGP_FSM_ESTABLISHED))
		}
	})
}

// peerOf calls visit with what GoBGP has of a neighbour, if it has that one. It is
// not removed meanwhile.
func peerOf(s *server.BgpServer, neighbor netip.Addr, visit func(peer reflect.Value)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("neighbors of another shape: %v", p)
		}
	}()
	v := reflect.ValueOf(s).Elem()
	mu := field(field(v, "shared").Elem(), "mu").Addr().Interface().(*sync.RWMutex)
	mu.RLock()
	defer mu.RUnlock()
	if peer := field(v, "neighborMap").MapIndex(reflect.ValueOf(neighbor)); peer.IsValid() {
		visit(peer.Elem())
	}
	return nil
}
