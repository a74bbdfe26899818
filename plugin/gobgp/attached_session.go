package gobgp

import (
	apipb "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/protobuf/types/known/anypb"

	"mbbgp/config"
)

// What gobgpd says of sessions, in terms of GoBGP v4.

func stateFromAPI(s apipb.PeerState_SessionState) State {
	switch s {
	case apipb.PeerState_CONNECT:
		return Connect
	case apipb.PeerState_ACTIVE:
		return Active
	case apipb.PeerState_OPENSENT:
		return OpenSent
	case apipb.PeerState_OPENCONFIRM:
		return OpenConfirm
	case apipb.PeerState_ESTABLISHED:
		return Established
	}
	return Idle
}

// uptimeFromAPI returns when a session was established, Unix seconds; 0 if it
// is not.
func uptimeFromAPI(p *apipb.Peer) int64 {
	return p.GetTimers().GetState().GetUptime().GetSeconds()
}

// endsFromAPI returns the families whose End-of-RIB a neighbour has sent.
func endsFromAPI(p *apipb.Peer) (list []config.Family) {
	for _, a := range p.GetAfiSafis() {
		f, known := familyFromAPI(a.GetConfig().GetFamily())
		if known && a.GetMpGracefulRestart().GetState().GetEndOfRibReceived() {
			list = append(list, f)
		}
	}
	return list
}

// capabilitiesFromAPI returns those capabilities of a list that say something
// of families.
func capabilitiesFromAPI(list []*anypb.Any) []bgp.ParameterCapabilityInterface {
	var caps []bgp.ParameterCapabilityInterface
	for _, message := range list {
		m, err := message.UnmarshalNew()
		if err != nil {
			continue
		}
		switch c := m.(type) {
		case *apipb.MultiProtocolCapability:
			caps = append(caps, bgp.NewCapMultiProtocol(familyV4(c.Family)))
		case *apipb.AddPathCapability:
			var tuples []*bgp.CapAddPathTuple
			for _, t := range c.Tuples {
				tuples = append(tuples, bgp.NewCapAddPathTuple(familyV4(t.Family), bgp.BGPAddPathMode(t.Mode)))
			}
			caps = append(caps, bgp.NewCapAddPath(tuples))
		case *apipb.ExtendedNexthopCapability:
			var tuples []*bgp.CapExtendedNexthopTuple
			for _, t := range c.Tuples {
				tuples = append(tuples, bgp.NewCapExtendedNexthopTuple(familyV4(t.NlriFamily), uint16(t.GetNexthopFamily().GetAfi())))
			}
			caps = append(caps, bgp.NewCapExtendedNexthop(tuples))
		case *apipb.GracefulRestartCapability:
			var tuples []*bgp.CapGracefulRestartTuple
			for _, t := range c.Tuples {
				tuples = append(tuples, bgp.NewCapGracefulRestartTuple(familyV4(t.Family), false))
			}
			caps = append(caps, bgp.NewCapGracefulRestart(false, false, uint16(c.Time), tuples))
		case *apipb.LongLivedGracefulRestartCapability:
			var tuples []*bgp.CapLongLivedGracefulRestartTuple
			for _, t := range c.Tuples {
				tuples = append(tuples, bgp.NewCapLongLivedGracefulRestartTuple(familyV4(t.Family), false, t.Time))
			}
			caps = append(caps, bgp.NewCapLongLivedGracefulRestart(tuples))
		}
	}
	return caps
}
