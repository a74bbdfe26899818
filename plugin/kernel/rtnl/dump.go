package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxDumps is how often a dump is tried before it is given up as interrupted.
const maxDumps = 10

// RouteFilter says which routes are wanted. 0 means any.
type RouteFilter struct {
	Family   uint8 // AF_INET or AF_INET6
	Table    uint32
	Protocol uint8
	Type     uint8 // RTN_*
}

// Routes visits the routes of IPv4 and IPv6 that the filter says. The Route
// belongs to Routes and is another one at the next visit; an error of visit ends
// it and is returned. restart is called when the kernel says that the routes
// changed while they were read, and everything is visited again.
//
// Up to Linux 6.18 it never says so. If somebody adds IPv6 routes to a table while
// it is read, other routes of the table may be missed, or visited twice.
func (c *Conn) Routes(f RouteFilter, restart func(), visit func(*Route) error) error {
	families := []uint8{unix.AF_INET, unix.AF_INET6}
	if f.Family != 0 {
		families = []uint8{f.Family}
	}
	var r Route
	err := untilWhole(restart, func() (bool, error) {
		for _, family := range families {
			interrupted, err := c.dump(f.request(family), unix.RTM_NEWROUTE, func(b []byte) error {
				if len(b) == 0 || b[0] != family {
					return nil
				}
				cloned, err := r.decode(b)
				if err != nil || cloned || !f.wants(&r) {
					return err
				}
				return visit(&r)
			})
			if interrupted || err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: there is no such table
				return interrupted, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("dump of routes: %w", err)
	}
	return nil
}

// request is the request for a dump of a family. The kernel filters.
func (f RouteFilter) request(family uint8) []byte {
	b := begin(nil, unix.RTM_GETROUTE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = append(b, family, 0, 0, 0, 0, f.Protocol, 0, f.Type)
	b = binary.NativeEndian.AppendUint32(b, 0) // without RTM_F_CLONED: no cached results
	if f.Table != 0 {
		b = appendUint32(b, unix.RTA_TABLE, f.Table)
	}
	return end(b, 0)
}

// wants does what the kernel may not have done.
func (f RouteFilter) wants(r *Route) bool {
	return (f.Table == 0 || r.Table == f.Table) && (f.Protocol == 0 || r.Protocol == f.Protocol) && (f.Type == 0 || r.Type == f.Type)
}

// LabelRoutes visits the MPLS routes that LabelRoute can say; otherwise as
// Routes. A kernel without MPLS has none.
func (c *Conn) LabelRoutes(restart func(), visit func(*LabelRoute) error) error {
	var r LabelRoute
	request := RouteFilter{}.request(unix.AF_MPLS)
	err := untilWhole(restart, func() (bool, error) {
		return c.dump(request, unix.RTM_NEWROUTE, func(b []byte) error {
			ok, err := r.decode(b)
			if err != nil || !ok {
				return err
			}
			return visit(&r)
		})
	})
	if err != nil {
		return fmt.Errorf("dump of MPLS routes: %w", err)
	}
	return nil
}

// NextHops visits all next hop objects, as Routes does.
func (c *Conn) NextHops(restart func(), visit func(*NextHop) error) error {
	var n NextHop
	request := begin(nil, unix.RTM_GETNEXTHOP, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request = end(append(request, make([]byte, unix.SizeofNhmsg)...), 0)
	err := untilWhole(restart, func() (bool, error) {
		return c.dump(request, unix.RTM_NEWNEXTHOP, func(b []byte) error {
			if err := n.decode(b); err != nil {
				return err
			}
			return visit(&n)
		})
	})
	if err != nil {
		return fmt.Errorf("dump of next hop objects: %w", err)
	}
	return nil
}

// untilWhole repeats a dump that was interrupted.
func untilWhole(restart func(), dump func() (interrupted bool, err error)) error {
	for range maxDumps {
		interrupted, err := dump()
		if err != nil || !interrupted {
			return err
		}
		restart()
	}
	return ErrInterrupted
}

// dump sends a request and visits all answers of a kind, without their headers.
// It receives all there is even if it fails: the kernel carries out one dump of
// a socket at a time.
func (c *Conn) dump(request []byte, kind uint16, visit func(body []byte) error) (interrupted bool, err error) {
	sequence := c.sequence
	c.sequence++
	binary.NativeEndian.PutUint32(request[8:], sequence)
	if _, err := unix.Write(c.fd, request); err != nil {
		return false, os.NewSyscallError("send", err)
	}
	for {
		b, received := receive(c.fd, c.buf)
		switch received {
		case nil:
		case unix.ENOBUFS:
			err = ErrLost
			continue
		case unix.EAGAIN:
			return false, ErrLost
		default:
			return false, os.NewSyscallError("receive", received)
		}
		for len(b) > 0 {
			m, rest, malformed := take(b)
			if malformed != nil {
				err = malformed
				break
			}
			b = rest
			if m.sequence != sequence {
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			var refused *Error
			switch m.kind {
			case unix.NLMSG_DONE:
				refused = decodeDone(m)
			case unix.NLMSG_ERROR:
				refused, malformed = decodeError(m)
			case kind:
				if err == nil && !interrupted {
					err = visit(m.body)
				}
				continue
			default:
				continue
			}
			switch {
			case err != nil:
			case malformed != nil:
				err = malformed
			case refused != nil:
				err = refused
			}
			return interrupted && err == nil, err
		}
	}
}
