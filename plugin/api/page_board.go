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

// sections returns the board. Everything is asked for once, so that what is said
// of it in two places is the same.
func (s *State) sections() []section {
	var (
		all   []section
		amiss []problem
		add   = func(name string, v any) { all = append(all, section{name: name, data: encoded(v)}) }
		never = func(*pb.VNI) bool { return false }
		rules = func(*pb.PolicyRule) bool { return false }
	)
	if s.Kernel != nil {
		k := s.Kernel()
		amiss = append(amiss, kernelProblems(&k)...)
		add("kernel", kernelSections(kernelMessage(&k)))
	}
	crossing := s.redistribution()
	amiss = append(amiss, prefixProblems(crossing)...)
	add("redistribution", crossing)
	if s.Neighbors != nil {
		list := s.Neighbors()
		for i := range list {
			amiss = append(amiss, neighborProblems(&list[i])...)
		}
		add("neighbors", listOf(messages(list, neighborMessage),
			func(n *pb.Neighbor) bool { return n.GetSince() == nil },
			func(a, b *pb.Neighbor) int { return strings.Compare(a.GetAddress(), b.GetAddress()) }))
	}
	if s.Sessions != nil {
		list := s.Sessions()
		for i := range list {
			amiss = append(amiss, sessionProblems(&list[i])...)
		}
		add("sessions", sessionList(list))
	}
	if s.Policy != nil {
		add("policy", listOf(messages(s.Policy(), ruleMessage), rules, func(_, _ *pb.PolicyRule) int { return 0 }))
	}
	add("vnis", listOf(s.vniMessages(nil).GetVnis(), never, func(a, b *pb.VNI) int { return cmp.Compare(a.GetVni(), b.GetVni()) }))
	add("problems", listProblems(amiss))
	add("status", json.RawMessage(JSON(s.statusMessage())))
	return all
}

// sessionList is the MetalBond sessions without how many messages passed: that
// changes all the time, and with it would everything be sent again.
func sessionList(sessions []Session) list {
	all := messages(sessions, sessionMessage)
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
