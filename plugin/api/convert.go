package api

// What the process knows in its own types becomes messages here.

import (
	"net/netip"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// text returns an address for a message, "" for none.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// messages makes a message of each element of a list.
func messages[T, M any](list []T, make func(*T) *M) []*M {
	var all []*M
	for i := range list {
		all = append(all, make(&list[i]))
	}
	return all
}

func numbers(list []rib.VNI) []uint32 {
	var all []uint32
	for _, vni := range list {
		all = append(all, uint32(vni))
	}
	return all
}

func nextHopMessage(h rib.NextHop) *pb.NextHop {
	return &pb.NextHop{Target: text(h.Target), TargetVni: uint32(h.TargetVNI), Type: h.Type.String(), NatFrom: uint32(h.NATFrom), NatTo: uint32(h.NATTo)}
}

func routeMessage(vni rib.VNI, r *rib.RouteInfo) *pb.Route {
	m := &pb.Route{Vni: uint32(vni), Prefix: r.Prefix.String(), NextHop: nextHopMessage(r.NextHop), Visible: r.Visible}
	for _, c := range r.Claims {
		m.Claims = append(m.Claims, &pb.Claim{Source: c.Source.String(), Name: c.Name, Preference: uint32(c.Preference)})
	}
	return m
}

func changeMessage(vni rib.VNI, c *rib.Change) *pb.RouteChange {
	m := &pb.RouteChange{Vni: uint32(vni), Prefix: c.Prefix.String()}
	for _, p := range c.New {
		m.NextHops = append(m.NextHops, &pb.Path{NextHop: nextHopMessage(p.NextHop), Source: p.Source.String(), Preference: uint32(p.Preference)})
	}
	return m
}

func sessionMessage(s *Session) *pb.Peer {
	m := &pb.Peer{
		Protocol: "metalbond", Role: role(*s), Peer: s.Name, State: s.State, Established: s.Established, Since: stamp(s.Since),
		Routes: uint32(s.Routes), Held: uint32(s.Held), Behind: s.Behind, Pace: uint32(s.Pace), Vnis: numbers(s.VNIs),
		FramesIn: s.FramesIn, FramesOut: s.FramesOut, LastError: s.LastError,
	}
	for _, n := range s.Refused {
		m.Refused += n
	}
	return m
}

// peerMessage is a neighbor among all peers.
func peerMessage(n *Neighbor) *pb.Peer {
	m := &pb.Peer{
		Protocol: "bgp", Role: "external", Peer: n.Address.String(), State: n.State, Established: n.Established(), Since: stamp(n.Since),
		Routes: uint32(n.Routes), Refused: n.Refused, FramesIn: n.Updates + n.Withdrawals, LastError: n.LastError,
	}
	if n.ASN == n.LocalASN {
		m.Role = "internal"
	}
	return m
}

func neighborMessage(n *Neighbor) *pb.Neighbor {
	m := &pb.Neighbor{
		Address: n.Address.String(), Asn: n.ASN, LocalAsn: n.LocalASN, RouterId: text(n.RouterID), Description: n.Description,
		Dynamic: n.Dynamic, State: n.State, Since: stamp(n.Since), Sessions: n.Sessions, LastError: n.LastError,
		Routes: uint32(n.Routes), MaxRoutes: uint32(n.MaxRoutes), Refused: n.Refused, Updates: n.Updates, Withdrawals: n.Withdrawals,
		RestartSeconds: uint32(n.Restart),
	}
	for _, f := range n.Families {
		m.Families = append(m.Families, &pb.NeighborFamily{
			Family: f.Family, EndOfRib: f.EndOfRIB, AddPathReceive: f.AddPathReceive, AddPathSend: f.AddPathSend,
			ExtendedNextHop: f.ExtendedNextHop, GracefulRestart: f.GracefulRestart, LongLivedSeconds: uint32(f.LongLived),
		})
	}
	for _, f := range n.Stale {
		m.Stale = append(m.Stale, &pb.StaleFamily{Family: f.Family, LongLived: f.LongLived, Until: stamp(f.Until)})
	}
	return m
}

func ruleMessage(r *PolicyRule) *pb.PolicyRule {
	return &pb.PolicyRule{
		Vni: uint32(r.VNI), Direction: r.Direction, Name: r.Name, When: r.When, Set: r.Set, Then: r.Then, Matched: r.Matched, Refused: r.Refused,
	}
}

func verdictMessage(v *Verdict) *pb.Verdict {
	return &pb.Verdict{Accepted: v.Accepted, NextHop: v.NextHop, Via: v.Via, Reason: v.Reason, Detail: v.Detail}
}

func pathMessage(x *ExplainedBGP) *pb.BGPPath {
	return &pb.BGPPath{
		Kind: x.Kind, Nlri: x.NLRI, Prefix: x.Prefix.String(), Neighbor: text(x.Neighbor), Best: x.Best, Stale: x.Stale, Since: stamp(x.Since),
		NextHop: text(x.NextHop), Label: x.Label, Sid: text(x.SID), RouteTargets: x.RouteTargets, SiteOfOrigin: x.SiteOfOrigin,
		Communities: x.Communities, LargeCommunities: x.LargeCommunities, DPath: x.DPath,
		LocalPreference: x.LocalPreference, Med: x.MED, Import: messages(x.Import, verdictMessage),
	}
}

func explainedHopMessage(x *ExplainedHop) *pb.ExplainedNextHop {
	m := &pb.ExplainedNextHop{
		NextHop: &pb.NextHop{Target: text(x.Target), TargetVni: uint32(x.TargetVNI), Type: x.Type, NatFrom: uint32(x.NATFrom), NatTo: uint32(x.NATTo)},
		Visible: x.Visible,
		Export:  verdictMessage(&x.Export),
	}
	for _, c := range x.Claims {
		m.Claims = append(m.Claims, &pb.Claim{Source: c.Source, Name: c.Name, Preference: uint32(c.Preference)})
	}
	return m
}

func explanationMessage(e *Explanation) *pb.ExplainResponse {
	m := &pb.ExplainResponse{
		Vni: uint32(e.VNI), Prefix: e.Prefix.String(), Configured: e.Configured, NotAsked: e.NotAsked, Prefer: e.Prefer,
		NextHops: messages(e.NextHops, explainedHopMessage), Paths: messages(e.Paths, pathMessage),
	}
	if o := e.Originated; o != nil {
		m.Originated = &pb.Originated{Present: o.Present, Offers: uint32(o.Offers)}
	}
	if a := e.Aggregate; a != nil {
		m.Aggregate = &pb.Aggregate{Exported: a.Exported, Contributors: uint32(a.Contributors)}
	}
	if k := e.Kernel; k != nil {
		m.Kernel = &pb.KernelRoute{Table: k.Table, Installed: k.Installed, Problem: k.Problem, NextHops: messages(k.NextHops, kernelHopMessage)}
	}
	return m
}

func kernelHopMessage(h *KernelNextHop) *pb.KernelNextHop {
	return &pb.KernelNextHop{
		Kind: h.Kind, Target: text(h.Target), Vni: uint32(h.VNI), RouterMac: h.RouterMAC, Label: h.Label, Id: h.ID,
		Routes: uint32(h.Routes), Reachable: h.Reachable, Device: h.Device, Gateway: text(h.Gateway),
	}
}

func kernelMessage(k *Kernel) *pb.GetKernelResponse {
	c := &k.Counters
	return &pb.GetKernelResponse{
		Synced: k.Synced, Since: stamp(k.Since), Swept: k.Swept, NextHopObjects: k.NextHopObjects,
		Tables: messages(k.Tables, func(t *KernelTable) *pb.KernelTable {
			return &pb.KernelTable{
				Vni: uint32(t.VNI), Table: t.Table, Vrf: t.VRF, Routes: uint32(t.Routes), Unclaimed: uint32(t.Unclaimed), Pending: uint32(t.Pending),
				Conflicts: uint32(t.Conflicts), SteeredRanges: uint32(t.Steered), Contested: uint32(t.Contested), SourceDropped: t.Dropped, LastError: t.LastError,
			}
		}),
		NextHops: messages(k.NextHops, kernelHopMessage),
		Devices: messages(k.Devices, func(d *KernelDevice) *pb.KernelDevice {
			return &pb.KernelDevice{Name: d.Name, Kind: d.Kind, Vni: uint32(d.VNI), Ours: d.Ours, Ok: d.OK, Problem: d.Problem}
		}),
		Counters: &pb.KernelCounters{
			Installed: c.Installed, Removed: c.Removed, NextHops: c.NextHops, Restored: c.Restored, Swept: c.Swept,
			Failed: c.Failed, Resyncs: c.Resyncs, ScanSeconds: c.ScanLasted,
		},
	}
}

// vniMessage is a VNI by what the table holds of it and, if it is configured, by
// what else there is to say.
func vniMessage(vni rib.VNI, s rib.Stats, v *VNI) *pb.VNI {
	m := &pb.VNI{
		Vni: uint32(vni), Prefixes: uint32(s.Prefixes), NextHops: uint32(s.NextHops), Readers: uint32(s.Readers), Changes: s.Version,
	}
	if v != nil {
		m.Configured, m.Name, m.Family, m.Encapsulation = true, v.Name, v.Family, v.Encapsulation
		m.Gateway, m.Table, m.Imported, m.Exported = text(v.Gateway), v.Table, uint32(v.Imported), uint32(v.Exported)
		m.Prefer = v.Prefer
	}
	return m
}
