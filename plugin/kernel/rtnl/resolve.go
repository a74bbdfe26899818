package rtnl

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Resolve asks the kernel how it would send to each of the addresses, and writes
// the answers to out, which is as long as addrs. The kernel decides by its rules
// and tables as for packets of its own without mark and device, such as those
// that it encapsulates. A link-local address is looked for on the link of its
// zone.
func (c *Conn) Resolve(addrs []netip.Addr, out []Resolution) error {
	c.batch.Reset()
	for i, a := range addrs {
		out[i] = Resolution{}
		c.batch.added(appendLookup(c.batch.b, a.Unmap()))
	}
	objects := map[uint32][]int{} // by next hop object: numbers of addresses
	var r Route
	err := c.exchange(&c.batch, routeCost, func(i int, m message) error {
		if m.kind != unix.RTM_NEWROUTE {
			return nil // a refusal: not reachable
		}
		if _, err := r.decode(m.body); err != nil {
			return err
		}
		switch r.Type {
		case unix.RTN_UNICAST, unix.RTN_LOCAL:
		default:
			return nil
		}
		out[i] = Resolution{Reachable: true, Local: r.Type == unix.RTN_LOCAL, Default: r.Prefix.Bits() == 0}
		if r.NextHopID != 0 {
			objects[r.NextHopID] = append(objects[r.NextHopID], i)
		} else if len(r.Hops) > 0 {
			h := r.Hops[aliveHop(m.body)]
			out[i].Device, out[i].Gateway, out[i].Encap = h.Device, h.Gateway, h.Encap.Kind
		}
		return nil
	})
	for id, users := range objects {
		if err != nil {
			break
		}
		var hop Hop
		if hop, err = c.hopOf(id); err == nil {
			for _, i := range users {
				out[i].Device, out[i].Gateway, out[i].Encap = hop.Device, hop.Gateway, hop.Encap.Kind
				out[i].Reachable = hop.Device != 0
			}
		}
	}
	if err != nil {
		return fmt.Errorf("route lookup: %w", err)
	}
	return nil
}

// Match returns the route by which the kernel would send to an address, as
// Resolve asks for it. It is the zero Route if there is none.
func (c *Conn) Match(a netip.Addr) (Route, error) {
	c.batch.Reset()
	c.batch.added(appendLookup(c.batch.b, a.Unmap()))
	var r Route
	err := c.exchange(&c.batch, routeCost, func(_ int, m message) error {
		if m.kind != unix.RTM_NEWROUTE {
			return nil
		}
		_, err := r.decode(m.body)
		return err
	})
	if err != nil {
		return Route{}, fmt.Errorf("route lookup: %w", err)
	}
	return r, nil
}

// aliveHop returns the number of the first hop of a route whose link works, and 0
// if none does. body is a message that was decoded.
func aliveHop(body []byte) int {
	for b := body[unix.SizeofRtMsg:]; len(b) > 0; {
		kind, v, rest, _ := next(b)
		b = rest
		if kind != unix.RTA_MULTIPATH {
			continue
		}
		for n := 0; len(v) > 0; n++ {
			if v[2]&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) == 0 {
				return n
			}
			v = v[min(align(int(binary.NativeEndian.Uint16(v))), len(v)):]
		}
	}
	return 0
}

// appendLookup appends the question for the route that matches an address.
func appendLookup(b []byte, a netip.Addr) []byte {
	start := len(b)
	b = begin(b, unix.RTM_GETROUTE, unix.NLM_F_REQUEST)
	family := uint8(unix.AF_INET6)
	if a.Is4() {
		family = unix.AF_INET
	}
	b = append(b, family, uint8(a.BitLen()), 0, 0, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, unix.RTM_F_FIB_MATCH)
	b = appendAddr(b, unix.RTA_DST, a)
	if zone := a.Zone(); zone != "" {
		b = appendUint32(b, unix.RTA_OIF, linkOf(zone))
	}
	return end(b, start)
}

// noLink is an interface index that no link has: nothing is reachable there.
const noLink = 1<<31 - 1

// linkOf returns the interface index of a zone, noLink if there is none.
func linkOf(zone string) uint32 {
	link, err := net.InterfaceByName(zone)
	if err != nil {
		return noLink
	}
	return uint32(link.Index)
}

// hopOf returns the hop of a next hop object, the first one of a group. It is
// the zero Hop if there is none, as in a blackhole.
func (c *Conn) hopOf(id uint32) (Hop, error) {
	for {
		n := NextHop{ID: id}
		c.batch.Reset()
		c.batch.added(n.append(c.batch.b, unix.RTM_GETNEXTHOP, unix.NLM_F_REQUEST))
		n = NextHop{}
		err := c.exchange(&c.batch, routeCost, func(_ int, m message) error {
			if m.kind != unix.RTM_NEWNEXTHOP {
				return nil
			}
			return n.decode(m.body)
		})
		if err != nil || len(n.Group) == 0 {
			return n.Hop, err
		}
		id = n.Group[0].ID // is not a group
	}
}
