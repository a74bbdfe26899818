package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// decode reads a message of a multicast group. ok means that it is an event of
// one of the kinds.
func (e *Event) decode(m message) (ok bool, err error) {
	*e = Event{Port: m.port}
	switch m.kind {
	case unix.RTM_DELROUTE, unix.RTM_DELNEXTHOP, unix.RTM_DELLINK, unix.RTM_DELRULE, unix.RTM_DELNEIGH, unix.RTM_DELADDR:
		e.Removed = true
	}
	if len(m.body) == 0 {
		return false, errMalformed
	}
	family := m.body[0]
	switch m.kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		e.Kind = RouteEvent
		switch family {
		case unix.AF_INET, unix.AF_INET6:
		case unix.AF_MPLS:
			e.Kind = LabelEvent
			return e.Label.decode(m.body)
		default:
			return false, nil
		}
		cloned, err := e.Route.decode(m.body)
		return !cloned, err
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		e.Kind = NextHopEvent
		return true, e.NextHop.decode(m.body)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		e.Kind = LinkEvent
		if family != unix.AF_UNSPEC {
			return false, nil // a bridge says what is one of its ports
		}
		return true, e.Link.decode(m.body)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		e.Kind, e.Family = RuleEvent, family
		return true, nil
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		e.Kind, e.Family = NeighborEvent, family
		return true, e.decodeDevice(m.body, unix.SizeofNdMsg)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		e.Kind, e.Family = AddressEvent, family
		return true, e.decodeDevice(m.body, unix.SizeofIfAddrmsg)
	}
	return false, nil
}

// decodeDevice reads the interface index, which struct ndmsg and struct
// ifaddrmsg have at the same place.
func (e *Event) decodeDevice(b []byte, size int) error {
	if len(b) < size {
		return errMalformed
	}
	e.Device = int(int32(binary.NativeEndian.Uint32(b[4:])))
	return nil
}
