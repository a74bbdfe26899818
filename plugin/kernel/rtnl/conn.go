package rtnl

// The kernel works off every request within the system call that sends it, and
// a dump within those that receive it. So all answers are there at once, and
// nothing here ever waits for a message.
//
// Requests go without NLM_F_ACK, but for the last one of a send: refusals are
// reported anyway, and tell by their sequence numbers which request they are
// about. An answer takes memory of the receive buffer, so a send has only so
// many requests that all their refusals would fit.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

const (
	sendSize      = 32 << 10 // below 8 KiB and above 128 KiB a request costs more
	receiveSize   = 64 << 10 // the kernel fills 32 KiB at most
	sendBuffer    = 1 << 20
	receiveBuffer = 4 << 20

	// What an answer takes of the receive buffer at most (skb->truesize).
	refusalCost = 2 << 10
	routeCost   = 8 << 10
)

// Conn is an rtnetlink socket for requests. It is for one goroutine at a time.
type Conn struct {
	fd       int
	port     uint32
	sequence uint32 // of the next request
	sendMax  int    // bytes in one send
	received int    // size of the receive buffer
	buf      []byte
	batch    Batch // of requests for answers
}

// Dial opens a socket in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	fd, port, err := open(unix.SOCK_RAW | unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &Conn{fd: fd, port: port, sequence: 1, buf: make([]byte, receiveSize)}
	if err := c.configure(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

// open opens a socket that has a port.
func open(kind int) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, 0, os.NewSyscallError("netlink socket", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return 0, 0, os.NewSyscallError("netlink bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return 0, 0, os.NewSyscallError("netlink getsockname", err)
	}
	return fd, name.(*unix.SockaddrNetlink).Pid, nil
}

func (c *Conn) configure() error {
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, option, 1); err != nil {
			return os.NewSyscallError(fmt.Sprintf("netlink setsockopt %d", option), err)
		}
	}
	sent, err := grow(c.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	if err != nil {
		return err
	}
	c.received, err = grow(c.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
	if err != nil {
		return err
	}
	c.sendMax = min(sendSize, sent/2)
	return nil
}

// grow sets the size of a buffer as well as the process may: beyond the limits
// of the system (net.core.wmem_max, rmem_max) it needs CAP_NET_ADMIN. It returns
// what the buffer has now, as the kernel counts.
func grow(fd, force, option, size int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size); err != nil {
			return 0, os.NewSyscallError("netlink buffer", err)
		}
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	return got, os.NewSyscallError("netlink buffer", err)
}

// Close closes the socket.
func (c *Conn) Close() error { return os.NewSyscallError("netlink close", unix.Close(c.fd)) }

// Port is the netlink port id of the socket, which events name as their cause.
func (c *Conn) Port() uint32 { return c.port }

// Execute sends all requests of the batch in their order and returns those that
// the kernel refused, in order, too. An error means that it is not known what
// became of the requests: ErrLost, or the socket does not work.
func (c *Conn) Execute(b *Batch) ([]Refusal, error) {
	var refusals []Refusal
	err := c.exchange(b, refusalCost, func(request int, m message) error {
		if m.kind != unix.NLMSG_ERROR {
			return nil
		}
		refused, err := decodeError(m)
		if refused != nil {
			refusals = append(refusals, Refusal{Request: request, Err: refused})
		}
		return err
	})
	if err != nil {
		return refusals, fmt.Errorf("netlink requests: %w", err)
	}
	return refusals, nil
}

// SupportsNextHopObjects reports whether the kernel has next hop objects: Linux
// 5.3 and later.
func (c *Conn) SupportsNextHopObjects() bool {
	n := NextHop{ID: math.MaxUint32}
	c.batch.Reset()
	c.batch.added(n.append(c.batch.b, unix.RTM_GETNEXTHOP, unix.NLM_F_REQUEST))
	refusals, err := c.Execute(&c.batch)
	return err == nil && (len(refusals) == 0 || errors.Is(refusals[0].Err, unix.ENOENT))
}

// exchange sends the requests of a batch and hands every answer to a function,
// with the number of its request. cost is what an answer takes of the receive
// buffer at most.
func (c *Conn) exchange(b *Batch, cost int, answer func(request int, m message) error) error {
	for first, start := 0, 0; first < len(b.ends); {
		last := first
		for last+1 < len(b.ends) && b.ends[last+1]-start <= c.sendMax && (last+2-first)*cost <= c.received {
			last++
		}
		b.stamp(first, last, c.sequence)
		base := c.sequence
		c.sequence += uint32(last - first + 1)
		if _, err := unix.Write(c.fd, b.b[start:b.ends[last]]); err != nil {
			return os.NewSyscallError("send", err)
		}
		if err := c.answers(first, last, base, answer); err != nil {
			return err
		}
		first, start = last+1, b.ends[last]
	}
	return nil
}

// stamp gives the requests first to last their sequence numbers, and the last
// one the wish for an acknowledgement.
func (b *Batch) stamp(first, last int, sequence uint32) {
	start := 0
	if first > 0 {
		start = b.ends[first-1]
	}
	for i := first; i <= last; i++ {
		header := b.b[start : start+unix.SizeofNlMsghdr]
		flags := binary.NativeEndian.Uint16(header[6:]) &^ unix.NLM_F_ACK
		if i == last {
			flags |= unix.NLM_F_ACK
		}
		binary.NativeEndian.PutUint16(header[6:], flags)
		binary.NativeEndian.PutUint32(header[8:], sequence)
		sequence++
		start = b.ends[i]
	}
}

// answers receives up to the acknowledgement, or the refusal, of the last request.
func (c *Conn) answers(first, last int, base uint32, answer func(request int, m message) error) error {
	var lost bool
	for {
		b, err := receive(c.fd, c.buf)
		switch err {
		case nil:
		case unix.ENOBUFS:
			lost = true
			continue
		case unix.EAGAIN:
			return ErrLost
		default:
			return os.NewSyscallError("receive", err)
		}
		for len(b) > 0 {
			m, rest, err := take(b)
			if err != nil {
				return err
			}
			b = rest
			request := m.sequence - base
			if request > uint32(last-first) {
				continue // an answer to what was given up before
			}
			if err := answer(first+int(request), m); err != nil {
				return err
			}
			if m.kind != unix.NLMSG_ERROR || int(request) != last-first {
				continue
			}
			if lost {
				return ErrLost
			}
			return nil
		}
	}
}
