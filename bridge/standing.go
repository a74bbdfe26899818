package bridge

// What has to be remembered of every imported route is where it was put, to
// take it from there when it goes or changes. Nearly all routes of one sender
// were put into the same VNIs with the same next hop; that, a standing, is kept
// once, and a route is its key and the number of its standing: 16 bytes for
// IPv4, 28 for IPv6, without pointers.
//
// Routes of one neighbour, RD, kind and Ethernet tag share an origin in the
// table. Of those no two have the same prefix (MACIP: see macip.go), so that
// the table's Replace is exactly BGP's implicit withdraw.

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/rib"
)

// group is the part of an NLRI that many share.
type group struct {
	kind NLRIKind
	rd   RD
	tag  uint32
}

// sender is a neighbour's routes of one group, an origin in the table.
type sender struct {
	neighbor  *neighbor
	group     uint32
	origin    rib.Origin
	standings int // of it
}

type senderKey struct {
	neighbor netip.Addr
	group    uint32
}

// standing is who said a route and where it was put.
type standing struct {
	sender *sender
	places []place // not empty, by ascending VNI
	routes int     // that have it
	key    string
}

// standings keeps each standing once. Number 0 is none: not imported.
type standings struct {
	table   *rib.Table
	all     []standing
	free    []uint32
	numbers map[string]uint32
	senders map[senderKey]*sender
	groups  map[group]uint32 // never 0
	members map[uint32]int   // senders of a group
	names   map[uint32]group
	next    uint32
	last    uint32 // found last
	key     []byte
}

func newStandings(t *rib.Table) standings {
	return standings{
		table:   t,
		all:     make([]standing, 1),
		numbers: map[string]uint32{},
		senders: map[senderKey]*sender{},
		groups:  map[group]uint32{},
		members: map[uint32]int{},
		names:   map[uint32]group{},
	}
}

// at returns a standing; that of 0 has no places.
func (s *standings) at(number uint32) *standing { return &s.all[number] }

// find returns the number of the standing of places that n says in group x,
// making it if it is new. It is forgotten unless hold follows.
func (s *standings) find(n *neighbor, x group, places []place) uint32 {
	if l := &s.all[s.last]; l.sender != nil && l.sender.neighbor == n &&
		s.names[l.sender.group] == x && slices.Equal(l.places, places) {
		return s.last
	}
	from := s.sender(n, x)
	s.key = binary.BigEndian.AppendUint32(s.key[:0], uint32(from.origin))
	for i := range places {
		s.key = appendPlace(s.key, &places[i])
	}
	number, ok := s.numbers[string(s.key)]
	if !ok {
		number = s.add(standing{sender: from, places: slices.Clone(places), key: string(s.key)})
	}
	s.last = number
	return number
}

func appendPlace(b []byte, p *place) []byte {
	target := p.hop.Target.As16()
	b = binary.BigEndian.AppendUint32(b, uint32(p.network.vni))
	b = append(b, target[:]...)
	b = append(b, byte(p.hop.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(p.hop.TargetVNI))
	b = binary.BigEndian.AppendUint16(b, p.hop.NATFrom)
	return binary.BigEndian.AppendUint16(b, p.hop.NATTo)
}

func (s *standings) add(x standing) uint32 {
	var number uint32
	if last := len(s.free) - 1; last >= 0 {
		number, s.free = s.free[last], s.free[:last]
		s.all[number] = x
	} else {
		number = uint32(len(s.all))
		s.all = append(s.all, x)
	}
	s.numbers[x.key] = number
	x.sender.standings++
	return number
}

// sender returns the sender of a neighbour's group, making it if it is new.
func (s *standings) sender(n *neighbor, x group) *sender {
	number := s.groups[x]
	if number == 0 {
		s.next++
		number = s.next
		s.groups[x] = number
		s.names[number] = x
	}
	key := senderKey{n.address, number}
	from := s.senders[key]
	if from == nil {
		from = &sender{neighbor: n, group: number}
		from.origin = s.table.NewOrigin(rib.OriginInfo{
			Source: rib.BGP,
			Name:   fmt.Sprintf("%v %v %v", n.address, x.kind, x.rd),
		})
		s.senders[key] = from
		s.members[number]++
	}
	return from
}

// hold notes that one more route has the standing.
func (s *standings) hold(number uint32) { s.all[number].routes++ }

// drop notes that one route less has the standing, and forgets what nobody
// has any more.
func (s *standings) drop(number uint32) {
	x := &s.all[number]
	if x.routes--; x.routes > 0 {
		return
	}
	from := x.sender
	delete(s.numbers, x.key)
	*x = standing{}
	s.free = append(s.free, number)
	if from.standings--; from.standings > 0 {
		return
	}
	s.table.Release(from.origin)
	delete(s.senders, senderKey{from.neighbor.address, from.group})
	if s.members[from.group]--; s.members[from.group] == 0 {
		delete(s.members, from.group)
		delete(s.groups, s.names[from.group])
		delete(s.names, from.group)
	}
}
