package bridge

// What has to be remembered of every imported route is where it was put, to
// take it from there when it goes or changes. Nearly all routes of one sender
// were put into the same VNIs with the same next hop; that, a standing, is kept
// once, and a route is its key and the number of its standing: 16 bytes for
// IPv4, 28 for IPv6, without pointers.
//
// Routes of one neighbour, RD, kind, Ethernet tag and path share an origin in
// the table. Of those no two have the same prefix (MACIP: see macip.go), so that
// the table's Replace is exactly BGP's implicit withdraw.

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"mbbgp/rib"
)

// group is the part of an NLRI that many share.
type group struct {
	kind NLRIKind
	rd   RD
	tag  uint32
	path uint32
}

// String returns the group for people: kind and route distinguisher, and what
// else there is.
func (x group) String() string {
	s := x.kind.String()
	if x.rd != (RD{}) {
		s += " " + x.rd.String()
	}
	if x.tag != 0 {
		s += fmt.Sprintf(" tag %d", x.tag)
	}
	if x.path != 0 {
		s += fmt.Sprintf(" path %d", x.path)
	}
	return s
}

// sender is a neighbour's routes of one group, an origin in the table.
type sender struct {
	neighbor  *neighbor
	group     uint32
	origin    rib.Origin
	fabric    rib.Origin // the same in the fabric table; 0 if there is none
	standings int        // of it
	last      uint32     // of these, that was found last; 0: none
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
	hash   uint64  // of sender and places
	next   uint32  // of the same hash; 0: none
}

// standings keeps each standing once. Number 0 is none: not imported.
type standings struct {
	table   *rib.Table
	fabric  *rib.Table // nil: none
	ranks   ranks
	all     []standing
	free    []uint32
	seed    maphash.Seed
	numbers map[uint64]uint32 // by hash; more of the same are chained by next
	senders map[senderKey]*sender
	groups  map[group]uint32 // never 0
	members map[uint32]int   // senders of a group
	names   map[uint32]group
	next    uint32
	key     []byte // scratch
}

func newStandings(t, fabric *rib.Table, log logrus.FieldLogger) standings {
	return standings{
		table:   t,
		fabric:  fabric,
		ranks:   newRanks(log),
		all:     make([]standing, 1),
		seed:    maphash.MakeSeed(),
		numbers: map[uint64]uint32{},
		senders: map[senderKey]*sender{},
		groups:  map[group]uint32{},
		members: map[uint32]int{},
		names:   map[uint32]group{},
	}
}

// at returns a standing; that of 0 has no places.
func (s *standings) at(number uint32) *standing { return &s.all[number] }

// groupOf returns the number of the group of an NLRI, that of its next standing
// if it gets one; 0: nothing of the group was imported.
func (s *standings) groupOf(n *NLRI, next uint32) uint32 {
	if next != 0 {
		return s.all[next].sender.group
	}
	return s.groups[groupOf(n)]
}

// find returns the number of the standing of places that n says in group x,
// making it if it is new. It is forgotten unless hold follows. What a new one
// does to the ranks is to be applied before it is used (ranks.shifts).
func (s *standings) find(n *neighbor, x group, places []place) uint32 {
	from := s.sender(n, x)
	if from.last != 0 && slices.Equal(s.all[from.last].places, places) {
		return from.last
	}
	s.key = binary.BigEndian.AppendUint32(s.key[:0], uint32(from.origin))
	for i := range places {
		s.key = appendPlace(s.key, &places[i])
	}
	hash := maphash.Bytes(s.seed, s.key)
	number := s.numbers[hash]
	for number != 0 && (s.all[number].sender != from || !slices.Equal(s.all[number].places, places)) {
		number = s.all[number].next
	}
	if number == 0 {
		number = s.add(standing{sender: from, places: slices.Clone(places), hash: hash, next: s.numbers[hash]})
	}
	from.last = number
	return number
}

// appendPlace appends to b what is hashed of a place.
func appendPlace(b []byte, p *place) []byte {
	target := p.hop.Target.As16()
	b = binary.BigEndian.AppendUint32(b, uint32(p.network.vni))
	b = append(b, target[:]...)
	b = append(b, byte(p.hop.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(p.hop.TargetVNI))
	b = binary.BigEndian.AppendUint16(b, p.hop.NATFrom)
	b = binary.BigEndian.AppendUint16(b, p.hop.NATTo)
	if p.via.Target.IsValid() {
		target = p.via.Target.As16()
		b = append(b, target[:]...)
		b = append(b, p.via.MAC[:]...)
		b = binary.BigEndian.AppendUint32(b, p.via.Label)
	}
	return p.rank.append(b)
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
	s.numbers[x.hash] = number
	x.sender.standings++
	for i := range x.places {
		s.ranks.hold(x.places[i].rank)
	}
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
		info := rib.OriginInfo{Source: rib.BGP, Name: fmt.Sprintf("%v %v", n.address, x)}
		from.origin = s.table.NewOrigin(info)
		if s.fabric != nil {
			from.fabric = s.fabric.NewOrigin(info)
		}
		s.senders[key] = from
		s.members[number]++
	}
	return from
}

// unchain takes a standing out of the chain of its hash.
func (s *standings) unchain(number uint32) {
	x := &s.all[number]
	first := s.numbers[x.hash]
	switch {
	case first != number:
		for s.all[first].next != number {
			first = s.all[first].next
		}
		s.all[first].next = x.next
	case x.next != 0:
		s.numbers[x.hash] = x.next
	default:
		delete(s.numbers, x.hash)
	}
}

// ranked returns, by standing, the turns of the ranks that it has, each once.
func (s *standings) ranked(turn map[rank]int) [][]int {
	all := make([][]int, len(s.all))
	for number := range s.all {
		for _, p := range s.all[number].places {
			if i, ok := turn[p.rank]; ok && !slices.Contains(all[number], i) {
				all[number] = append(all[number], i)
			}
		}
	}
	return all
}

// stale returns how many routes are LLGR_STALE.
func (s *standings) stale() (n int) {
	for i := range s.all {
		if x := &s.all[i]; len(x.places) > 0 && x.places[0].rank.stale {
			n += x.routes
		}
	}
	return n
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
	for i := range x.places {
		s.ranks.drop(x.places[i].rank)
	}
	s.unchain(number)
	if from.last == number {
		from.last = 0
	}
	*x = standing{}
	s.free = append(s.free, number)
	if from.standings--; from.standings > 0 {
		return
	}
	s.table.Release(from.origin)
	if s.fabric != nil {
		s.fabric.Release(from.fabric)
	}
	delete(s.senders, senderKey{from.neighbor.address, from.group})
	if s.members[from.group]--; s.members[from.group] == 0 {
		delete(s.members, from.group)
		delete(s.groups, s.names[from.group])
		delete(s.names, from.group)
	}
}
