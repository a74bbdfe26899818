package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"mbbgp/config"
)

// Graceful restart has two sides (RFC 4724). As a helper we keep the routes of
// a neighbour that is gone for the time that it asked for, and with long-lived
// graceful restart (RFC 9494) longer, marked and as the last choice. GoBGP does
// that: its table does not change when the neighbour goes, so the bridge hears
// nothing.
//
// With a restart time the neighbours keep ours, over our own restart. We say in
// our OPEN that we have restarted, and an End-of-RIB says which of the old
// routes are good no longer. But it is MetalBond clients that fill our table,
// and they have to come back first. So for half the restart time after our start
// nothing is announced, only received, and the neighbours forward by the old
// routes meanwhile; this is the deferral of route selection of RFC 4724 section
// 4.1. GoBGP counts from when a session is up, and ends it early when all
// neighbours have sent their End-of-RIB. The absentee prevents that: a neighbour
// that never comes.
//
// Dynamic neighbours are not told that we have restarted, GoBGP does not do it;
// they drop our old routes when we are back. And at the end of the deferral GoBGP
// sends an End-of-RIB of every family that is configured; a neighbour that does
// not have all of them may end the session over that, once.

// absentee is an address in the prefix of which nothing ever comes (RFC 6666).
// Should something do, it is refused: the neighbour is shut down.
var absentee = netip.MustParseAddr("100::4:7:2:4")

// gracefulRestart returns what GoBGP is told. Without the capability neighbours
// send no End-of-RIB, so helpers announce it too, and name no family in it:
// nobody keeps their routes when they are gone.
func gracefulRestart(g *config.GracefulRestart) *api.GracefulRestart {
	r := &api.GracefulRestart{Enabled: true, HelperOnly: true, LonglivedEnabled: g.LongLived > 0}
	if g.Mode == config.GracefulRestartFull {
		r.HelperOnly = false
		r.RestartTime = uint32(seconds(g.Time))
		r.LocalRestarting = true
		r.DeferralTime = uint32(seconds(deferral(g.Time)))
	}
	return r
}

// deferral returns how long after a start neighbours hear nothing of us that
// keep our routes for the time restart: in whole seconds, as GoBGP counts.
func deferral(restart time.Duration) time.Duration {
	return max(restart/2, time.Second).Truncate(time.Second)
}

// awaitClients adds the absentee, before any neighbour is there. It goes when
// ctx is over, or after the deferral.
func (s *setup) awaitClients(ctx context.Context, b *server.BgpServer) error {
	if s.deferral == 0 {
		return nil
	}
	peer := &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: absentee.String(), PeerAsn: s.asn, AdminDown: true, Description: "holds back what we announce after a start"},
		GracefulRestart: &api.GracefulRestart{Enabled: true},
		AfiSafis: []*api.AfiSafi{{
			Config:            &api.AfiSafiConfig{Family: apiFamily(bgp.RF_EVPN), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		}},
	}
	if err := b.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
		return fmt.Errorf("hold back announcements: %w", err)
	}
	return nil
}

// letGo removes the absentee after the deferral, or leaves it when ctx is over.
// Somebody may have removed it through the API before; another error there is
// not.
func (s *setup) letGo(ctx context.Context, b *server.BgpServer) {
	if s.deferral == 0 {
		return
	}
	wait := time.NewTimer(s.deferral)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
		_ = b.DeletePeer(ctx, &api.DeletePeerRequest{Address: absentee.String()})
	}
}
