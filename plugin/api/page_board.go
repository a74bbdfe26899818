package api

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "mbbgp/plugin/api/v1"
)

// maxRows is how many rows of a list the page gets. What needs attention comes
// first, so that it is among them.
const maxRows = 500

// list is the first rows of a list, and how many there are.
type list struct {
	Total int               `json:"total"`
	Bad   int               `json:"bad"` // of the total: not as they should be
	Rows  []json.RawMessage `json:"rows"`
}

// listOf returns the first of some messages, those that are not as they should
// be before the others, each by name.
func listOf[M proto.Message](all []M, bad func(M) bool, compare func(a, b M) int) list {
	rank := func(m M) int {
		if bad(m) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b M) int { return cmp.Or(rank(a)-rank(b), compare(a, b)) })
	l := list{Total: len(all), Rows: []json.RawMessage{}}
	for i, m := range all {
		if bad(m) {
			l.Bad++
		}
		if i < maxRows {
			l.Rows = append(l.Rows, JSON(m))
		}
	}
	return l
}

// sections returns the board.
func (s *State) sections() []section {
	never := func(*pb.VNI) bool { return false }
	all := []section{
		{name: "status", data: JSON(s.statusMessage())},
		{name: "problems", data: encoded(listProblems(s.problems()))},
		{name: "vnis", data: encoded(listOf(s.vniMessages(nil).GetVnis(), never, func(a, b *pb.VNI) int { return cmp.Compare(a.GetVni(), b.GetVni()) }))},
		{name: "redistribution", data: encoded(s.redistribution())},
	}
	if s.Sessions != nil {
		all = append(all, section{name: "sessions", data: encoded(s.sessionList())})
	}
	if s.Neighbors != nil {
		l := listOf(messages(s.Neighbors(), neighborMessage),
			func(n *pb.Neighbor) bool { return n.GetSince() == nil },
			func(a, b *pb.Neighbor) int { return strings.Compare(a.GetAddress(), b.GetAddress()) })
		all = append(all, section{name: "neighbors", data: encoded(l)})
	}
	if s.Policy != nil {
		l := listOf(messages(s.Policy(), ruleMessage), func(*pb.PolicyRule) bool { return false }, func(_, _ *pb.PolicyRule) int { return 0 })
		all = append(all, section{name: "policy", data: encoded(l)})
	}
	if s.Kernel != nil {
		k := s.Kernel()
		all = append(all, section{name: "kernel", data: encoded(kernelSections(kernelMessage(&k)))})
	}
	return all
}

// sessionList is the MetalBond sessions without how many messages passed: that
// changes all the time, and with it would everything be sent again.
func (s *State) sessionList() list {
	all := messages(s.Sessions(), sessionMessage)
	for _, m := range all {
		m.FramesIn, m.FramesOut = 0, 0
	}
	return listOf(all,
		func(m *pb.Peer) bool { return !m.GetEstablished() },
		func(a, b *pb.Peer) int {
			return cmp.Or(-strings.Compare(a.GetRole(), b.GetRole()), strings.Compare(a.GetPeer(), b.GetPeer()))
		})
}

// kernelPart is the kernel's side, with lists that are not longer than others.
type kernelPart struct {
	State    json.RawMessage `json:"state"` // without the lists
	Tables   list            `json:"tables"`
	NextHops list            `json:"nextHops"`
	Devices  list            `json:"devices"`
}

func kernelSections(k *pb.GetKernelResponse) kernelPart {
	part := kernelPart{
		Tables: listOf(k.GetTables(),
			func(t *pb.KernelTable) bool {
				return t.GetPending() > 0 || t.GetConflicts() > 0 || t.GetContested() > 0
			},
			func(a, b *pb.KernelTable) int { return cmp.Compare(a.GetVni(), b.GetVni()) }),
		NextHops: listOf(k.GetNextHops(),
			func(h *pb.KernelNextHop) bool { return !h.GetReachable() && h.GetTarget() != "" },
			func(a, b *pb.KernelNextHop) int {
				return cmp.Or(strings.Compare(a.GetKind(), b.GetKind()), strings.Compare(a.GetTarget(), b.GetTarget()), cmp.Compare(a.GetVni(), b.GetVni()))
			}),
		Devices: listOf(k.GetDevices(),
			func(d *pb.KernelDevice) bool { return !d.GetOk() },
			func(a, b *pb.KernelDevice) int {
				return cmp.Or(strings.Compare(a.GetKind(), b.GetKind()), strings.Compare(a.GetName(), b.GetName()))
			}),
	}
	k.Tables, k.NextHops, k.Devices = nil, nil, nil
	part.State = JSON(k)
	return part
}
