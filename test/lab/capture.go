package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Capture records the IPv6 packets of a segment.
type Capture struct {
	socket *os.File
	done   chan struct{} // closed when nothing more is recorded

	mu      sync.Mutex
	packets []Packet // guarded by mu
}

// Packet is what an IPv6 packet says of its way.
type Packet struct {
	At                 time.Time // when it was recorded
	Src, Dst           netip.Addr
	Segments           []netip.Addr // of a segment routing header (RFC 8754); nil: it has none
	InnerSrc, InnerDst netip.Addr   // of the IPv4 or IPv6 packet inside; invalid: there is none
	Protocol           uint8        // of that packet
	Port               uint16       // destination port of that packet; 0: neither UDP nor TCP
}

// Addresses returns all addresses in the packet.
func (p Packet) Addresses() []netip.Addr {
	list := append([]netip.Addr{p.Src, p.Dst}, p.Segments...)
	if p.InnerSrc.IsValid() {
		list = append(list, p.InnerSrc, p.InnerDst)
	}
	return list
}

// Capture records every packet that crosses the segment until the test ends.
func (l *Lab) Capture() *Capture {
	l.t.Helper()
	c := &Capture{done: make(chan struct{})}
	err := l.hub.inside(func() error {
		lan, err := net.InterfaceByName("lan")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.socket = os.NewFile(uintptr(fd), "capture")
		// A bridge shows what it forwards to who is promiscuous.
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(lan.Index), Type: unix.PACKET_MR_PROMISC})
		return errors.Join(err, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_IPV6), Ifindex: lan.Index}))
	})
	if err != nil {
		l.t.Fatal("capture: ", err)
	}
	go c.record()
	l.t.Cleanup(func() {
		c.socket.Close()
		<-c.done
	})
	return c
}

// bigEndian returns the number whose bytes in memory are those of n on the wire.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

func (c *Capture) record() {
	defer close(c.done)
	buf := make([]byte, 1<<16)
	for {
		n, err := c.socket.Read(buf)
		if err != nil {
			return
		}
		if p, ok := parsePacket(buf[:n]); ok {
			c.mu.Lock()
			p.At = time.Now()
			c.packets = append(c.packets, p)
			c.mu.Unlock()
		}
	}
}

// Forget drops what was recorded so far.
func (c *Capture) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets = nil
}

// Packets returns what was recorded so far.
func (c *Capture) Packets() []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.packets[:len(c.packets):len(c.packets)]
}

// parsePacket reads an IPv6 packet: its header, a segment routing header behind
// it, and the header of a packet inside.
func parsePacket(b []byte) (p Packet, ok bool) {
	const header = 40 // RFC 8200 section 3
	if len(b) < header {
		return p, false
	}
	next, payload := b[6], b[header:]
	p.Src, p.Dst = address(b[8:24]), address(b[24:40])
	if next == unix.IPPROTO_ROUTING && len(payload) >= 8 {
		size := 8 + 8*int(payload[1])
		last := int(payload[4]) // index of the last entry of the segment list
		if len(payload) < size || size < 8+16*(last+1) {
			return p, false
		}
		for i := range last + 1 {
			p.Segments = append(p.Segments, address(payload[8+16*i:][:16]))
		}
		next, payload = payload[0], payload[size:]
	}
	switch {
	case next == unix.IPPROTO_IPIP && len(payload) >= 20:
		p.InnerSrc, p.InnerDst, p.Protocol = address(payload[12:16]), address(payload[16:20]), payload[9]
		payload = payload[min(4*int(payload[0]&0xf), len(payload)):]
	case next == unix.IPPROTO_IPV6 && len(payload) >= header:
		p.InnerSrc, p.InnerDst, p.Protocol = address(payload[8:24]), address(payload[24:40]), payload[6]
		payload = payload[header:]
	}
	if (p.Protocol == unix.IPPROTO_UDP || p.Protocol == unix.IPPROTO_TCP) && len(payload) >= 4 {
		p.Port = binary.BigEndian.Uint16(payload[2:])
	}
	return p, true
}

// address reads an address of 4 or 16 bytes.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
