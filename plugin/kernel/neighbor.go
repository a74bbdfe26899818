package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// neighbor is a permanent entry of a device's neighbour table (AF_INET6: the MAC
// address of a gateway), or of its forwarding database (AF_BRIDGE: the VTEP that
// a MAC address is at).
type neighbor struct {
	family    uint8
	device    int // interface index
	mac       [6]byte
	addr      netip.Addr // gateway, or VTEP
	vni       uint32     // AF_BRIDGE: on the wire; 0: the device's
	protocol  uint8      // AF_INET6: whose it is (NDA_PROTOCOL); the forwarding database does not say
	permanent bool       // as read: somebody has set it; as wanted it always is
}

// neighborKey is what one device has one entry of.
type neighborKey struct {
	addr netip.Addr // AF_INET6
	mac  [6]byte    // AF_BRIDGE
}

func (n neighbor) key() neighborKey {
	if n.family == unix.AF_BRIDGE {
		return neighborKey{mac: n.mac}
	}
	return neighborKey{addr: n.addr}
}

// serves reports whether an entry that is there does what another one should.
func (n neighbor) serves(want neighbor) bool {
	return n.permanent && n.mac == want.mac && n.addr == want.addr && n.vni == want.vni
}

// String describes the entry in errors.
func (n neighbor) String() string {
	return fmt.Sprintf("%v at %v", n.addr.Unmap(), net.HardwareAddr(n.mac[:]))
}

// data returns the entry as netlink has it.
func (n neighbor) data() []nl.NetlinkRequestData {
	head := &netlink.Ndmsg{Family: n.family, Index: uint32(n.device), State: netlink.NUD_PERMANENT}
	data := []nl.NetlinkRequestData{
		head,
		nl.NewRtAttr(netlink.NDA_DST, n.addr.AsSlice()),
		nl.NewRtAttr(netlink.NDA_LLADDR, n.mac[:]),
	}
	if n.family == unix.AF_BRIDGE {
		head.Flags = netlink.NTF_SELF
	} else {
		data = append(data, nl.NewRtAttr(netlink.NDA_PROTOCOL, nl.Uint8Attr(n.protocol)))
	}
	if n.vni != 0 {
		data = append(data, nl.NewRtAttr(netlink.NDA_VNI, nl.Uint32Attr(n.vni)))
	}
	return data
}

// set makes an entry, in place of the one that there is.
func (s *sockets) set(n neighbor) error {
	if err := s.change(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, n.data()...); err != nil {
		return fmt.Errorf("VTEP %v: %w", n, err)
	}
	return nil
}

// unset removes an entry. One that is not there is fine.
func (s *sockets) unset(n neighbor) error {
	err := s.change(unix.RTM_DELNEIGH, 0, n.data()...)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing VTEP %v: %w", n, err)
	}
	return nil
}

// neighbors returns all entries of a device that name a MAC address and where
// it is. Those of a bridge that the device is a port of do not.
func (s *sockets) neighbors(device int) ([]neighbor, error) {
	table, err := s.dump(unix.RTM_GETNEIGH, &netlink.Ndmsg{Family: unix.AF_INET6},
		nl.NewRtAttr(netlink.NDA_IFINDEX, nl.Uint32Attr(uint32(device))))
	if err != nil {
		return nil, fmt.Errorf("reading the neighbours: %w", err)
	}
	forwarding, err := s.dump(unix.RTM_GETNEIGH, &netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(device)})
	if err != nil {
		return nil, fmt.Errorf("reading the forwarding database: %w", err)
	}
	var list []neighbor
	for _, m := range append(table, forwarding...) {
		n, err := decodeNeighbor(m)
		if err != nil {
			return nil, fmt.Errorf("reading the neighbours: %w", err)
		}
		if n.device == device && n.mac != [6]byte{} && n.addr.IsValid() {
			list = append(list, n)
		}
	}
	return list, nil
}

const sizeofNdmsg = 12

// decodeNeighbor reads a message without its header.
func decodeNeighbor(m []byte) (neighbor, error) {
	if len(m) < sizeofNdmsg {
		return neighbor{}, fmt.Errorf("a message of %d bytes", len(m))
	}
	n := neighbor{family: m[0], device: int(int32(binary.NativeEndian.Uint32(m[4:])))}
	n.permanent = binary.NativeEndian.Uint16(m[8:])&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0
	err := attributes(m[sizeofNdmsg:], func(kind uint16, v []byte) {
		switch {
		case kind == netlink.NDA_DST:
			n.addr, _ = netip.AddrFromSlice(v)
		case kind == netlink.NDA_LLADDR && len(v) == len(n.mac):
			n.mac = [6]byte(v)
		case kind == netlink.NDA_VNI && len(v) == 4:
			n.vni = binary.NativeEndian.Uint32(v)
		case kind == netlink.NDA_PROTOCOL && len(v) == 1:
			n.protocol = v[0]
		}
	})
	return n, err
}
