package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sockets are those for devices, addresses, rules and neighbours: the netlink
// library's, and one of our own for requests that it has no call for. Both stay
// in the network namespace of the thread that opened them.
type sockets struct {
	*netlink.Handle
	own  map[int]*nl.SocketHandle
	port uint32 // netlink port id of own
}

func openSockets() (*sockets, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	s := &sockets{Handle: h}
	if err := s.openOwn(); err != nil {
		h.Close()
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return s, nil
}

func (s *sockets) openOwn() error {
	own, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	s.own = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: own}}
	err = own.SetExtAck(true)
	if err == nil { // dumps are of one device
		err = unix.SetsockoptInt(own.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	}
	if err == nil {
		s.port, err = own.GetPid()
	}
	if err != nil {
		own.Close()
	}
	return err
}

func (s *sockets) close() {
	s.Handle.Close()
	s.own[unix.NETLINK_ROUTE].Close()
}

// request sends one request and returns the answers, those of a dump that was
// interrupted included.
func (s *sockets) request(kind uint16, flags int, data []nl.NetlinkRequestData) ([][]byte, error) {
	r := nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: kind, Flags: uint16(unix.NLM_F_REQUEST | flags)},
		Data:     data,
		Sockets:  s.own,
	}
	return r.Execute(unix.NETLINK_ROUTE, 0)
}

// change sends one request that changes something.
func (s *sockets) change(kind uint16, flags int, data ...nl.NetlinkRequestData) error {
	_, err := s.request(kind, flags|unix.NLM_F_ACK, data)
	return err
}

// dump asks for all of a kind that data describes.
func (s *sockets) dump(kind uint16, data ...nl.NetlinkRequestData) ([][]byte, error) {
	return uninterrupted(func() ([][]byte, error) { return s.request(kind, unix.NLM_F_DUMP, data) })
}

// uninterrupted returns what f has read, once nothing changed meanwhile.
func uninterrupted[T any](f func() ([]T, error)) (list []T, err error) {
	for range 10 {
		list, err = f()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, err
}

// links returns all network interfaces.
func (s *sockets) links() ([]netlink.Link, error) {
	list, err := uninterrupted(s.LinkList)
	if err != nil {
		return nil, fmt.Errorf("reading the devices: %w", err)
	}
	return list, nil
}

// rules returns the rules of both families.
func (s *sockets) rules() ([]netlink.Rule, error) {
	list, err := uninterrupted(func() ([]netlink.Rule, error) { return s.RuleList(unix.AF_UNSPEC) })
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	return list, nil
}

// localAddr is an IPv6 address of this machine.
type localAddr struct {
	addr     netip.Addr
	bits     uint8
	device   int   // interface index
	protocol uint8 // 0: none, or the kernel does not keep it (before Linux 5.18)
}

// ifaProtocol is IFA_PROTO.
const ifaProtocol = 11

// localAddrs returns all IPv6 addresses of this machine.
func (s *sockets) localAddrs() ([]localAddr, error) {
	list, err := s.dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_INET6))
	if err != nil {
		return nil, fmt.Errorf("reading the addresses: %w", err)
	}
	var addrs []localAddr
	for _, m := range list {
		if len(m) < unix.SizeofIfAddrmsg {
			continue
		}
		head := nl.DeserializeIfAddrmsg(m)
		a := localAddr{bits: head.Prefixlen, device: int(head.Index)}
		err := attributes(m[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
			switch addr, ok := netip.AddrFromSlice(v); {
			case kind == unix.IFA_LOCAL && ok, kind == unix.IFA_ADDRESS && ok && !a.addr.IsValid():
				a.addr = addr // IFA_ADDRESS is the other end's if there are both
			case kind == ifaProtocol && len(v) == 1:
				a.protocol = v[0]
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading the addresses: %w", err)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// changeAddr adds an address (RTM_NEWADDR) or removes it (RTM_DELADDR).
func (s *sockets) changeAddr(kind uint16, flags int, a localAddr) error {
	head := nl.NewIfAddrmsg(unix.AF_INET6)
	head.Prefixlen, head.Index, head.Flags = a.bits, uint32(a.device), unix.IFA_F_NODAD
	return s.change(kind, flags, head,
		nl.NewRtAttr(unix.IFA_LOCAL, a.addr.AsSlice()),
		nl.NewRtAttr(ifaProtocol, nl.Uint8Attr(a.protocol)))
}

// attributes shows the attributes in b.
func attributes(b []byte, show func(kind uint16, value []byte)) error {
	list, err := nl.ParseRouteAttr(b)
	for _, a := range list {
		show(a.Attr.Type, a.Value)
	}
	return err
}

func toIP(a netip.Addr) net.IP { return net.IP(a.AsSlice()) }

// sameIP reports whether ip is a, an IPv4 address in either form.
func sameIP(ip net.IP, a netip.Addr) bool {
	have, ok := netip.AddrFromSlice(ip)
	return ok && have.Unmap() == a.Unmap()
}
