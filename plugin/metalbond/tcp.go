package metalbond

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What metalbond's reader forces on whoever writes to it: it parses what one
// read of 65,535 bytes returned and keeps nothing over. So every read must end
// where a message ends, and there must never be that much to read. The second
// half is the gate's (see there), the first the kernel's:
//
// A send with MSG_EOR ends its socket buffer. Nothing that follows is ever put
// into the same segment, not even when segments are sent again. A send of whole
// messages that is no larger than one segment therefore arrives as a whole.
//
// TCP_NOTSENT_LOWAT of one byte makes the socket writable only while nothing
// waits to be sent, so what is urgent waits behind one segment at most. The
// wait is the runtime poller's and costs nothing. SO_SNDBUF bounds what a peer
// that does not read may cost in the kernel.
const (
	maxSegment = 32 << 10 // bytes in one write, where the segment allows it
	sendBuffer = 64 << 10 // bytes, as asked for; the kernel doubles that for its overhead
	readBuffer = 64 << 10 // likewise, of a peer that is read slowly
)

// transport is the connection of a session: TCP, or a pipe where a test holds
// the clock. What it has beside net.Conn is for one goroutine at a time.
type transport interface {
	net.Conn
	// ready waits until a send would start at once.
	ready() error
	// send writes whole messages, at most one segment, as a unit.
	send(p []byte) error
	// queued returns how many bytes the peer's kernel has not acknowledged.
	queued() (int, error)
	// look returns what is known of the way to the peer. It costs more than
	// queued: 1.5 us.
	look() (path, error)
	// narrow bounds what the kernel takes of a peer that is read slowly.
	narrow() error
	// gone reports whether the peer has ended the connection, whatever is still
	// to be read.
	gone() bool
}

// path is the way to a peer.
type path struct {
	segment   int           // bytes, the longest
	roundTrip time.Duration // the shortest
	sinceACK  time.Duration // since the peer acknowledged something, in ticks of up to 10 ms
	resent    uint32        // segments sent again so far
}

// tcpTransport is a transport over TCP.
type tcpTransport struct {
	*net.TCPConn
	raw syscall.RawConn

	// The arguments and results of the closures below, which are made once.
	out     []byte
	sent    int
	failure error
	info    *unix.TCPInfo

	pollFD, sendFD   func(fd uintptr) bool
	queuedFD, lookFD func(fd uintptr)
}

// newTCPTransport prepares a connection. Go has set TCP_NODELAY.
func newTCPTransport(conn *net.TCPConn) (*tcpTransport, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tcpTransport{TCPConn: conn, raw: raw}
	t.pollFD, t.sendFD, t.queuedFD, t.lookFD = t.poll, t.write, t.measure, t.inspect
	err = raw.Control(func(fd uintptr) {
		t.failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 1)
		if t.failure == nil {
			t.failure = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		}
	})
	if err == nil {
		err = t.failure
	}
	return t, err
}

func (t *tcpTransport) ready() error {
	t.failure = nil
	if err := t.raw.Write(t.pollFD); err != nil {
		return err
	}
	return t.failure
}

// poll reports whether the socket is writable or broken. Having looked is what
// arms the kernel's next event.
func (t *tcpTransport) poll(fd uintptr) bool {
	for {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		t.failure = err
		return n != 0 || err != nil
	}
}

func (t *tcpTransport) send(p []byte) error {
	t.out, t.sent, t.failure = p, 0, nil
	err := t.raw.Write(t.sendFD)
	t.out = nil
	if err != nil {
		return err
	}
	return t.failure
}

func (t *tcpTransport) write(fd uintptr) bool {
	for t.sent < len(t.out) {
		n, err := unix.SendmsgN(int(fd), t.out[t.sent:], nil, nil, unix.MSG_EOR|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil:
			t.failure = err
			return true
		case n == 0:
			t.failure = io.ErrUnexpectedEOF
			return true
		}
		t.sent += n
	}
	return true
}

func (t *tcpTransport) queued() (int, error) {
	if err := t.raw.Control(t.queuedFD); err != nil {
		return 0, err
	}
	return t.sent, t.failure
}

func (t *tcpTransport) measure(fd uintptr) {
	t.sent, t.failure = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
}

func (t *tcpTransport) look() (path, error) {
	if err := t.raw.Control(t.lookFD); err != nil {
		return path{}, err
	}
	if t.failure != nil {
		return path{}, t.failure
	}
	return path{
		segment:   int(t.info.Snd_mss),
		roundTrip: time.Duration(t.info.Min_rtt) * time.Microsecond,
		sinceACK:  time.Duration(t.info.Last_ack_recv) * time.Millisecond,
		resent:    t.info.Total_retrans,
	}, nil
}

func (t *tcpTransport) inspect(fd uintptr) {
	t.info, t.failure = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
}

func (t *tcpTransport) narrow() (err error) {
	failed := t.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer)
	})
	return errors.Join(failed, err)
}

func (t *tcpTransport) gone() (gone bool) {
	failed := t.raw.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds[:], 0)
		gone = err == nil && n > 0
	})
	return gone || failed != nil
}

// addressOf returns the address of a TCP peer without IPv4-mapping.
func addressOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}
