package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"mbbgp/wire"
)

// Bare is the floor under every MetalBond server: it speaks the handshake and
// writes the bytes of all UPDATEs that it hears, as they are, to all who
// subscribe to whatever. It keeps no routes, looks at no UPDATE, echoes what a
// client said, and never forgets: who subscribes late hears all that was ever
// said. What a real server uses more than this, it uses for being one.
type Bare struct {
	listener int
	poll     *poller
	clients  map[int]*bareClient
	buf      []byte
	log      []byte // of all UPDATEs
	write    int    // bytes of one write
}

type bareClient struct {
	fd         int
	stream     scanner
	subscribed bool
	at         int // in the log
	owed       []byte
	waits      bool // for its socket to be writable
}

// NewBare returns a bare server that listens. It writes at most so many bytes
// at a time.
func NewBare(listen netip.AddrPort, write int) (*Bare, error) {
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		return nil, err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	b := &Bare{listener: fd, poll: p, clients: make(map[int]*bareClient), buf: make([]byte, readBuffer), write: write}
	return b, p.add(fd, unix.EPOLLIN)
}

// Run serves until ctx is done.
func (b *Bare) Run(ctx context.Context) error {
	defer b.poll.close()
	defer unix.Close(b.listener)
	for ctx.Err() == nil {
		events, err := b.poll.wait(tickLength)
		if err != nil {
			return err
		}
		heard := len(b.log)
		for _, e := range events {
			if err := b.serve(e); err != nil {
				return err
			}
		}
		if len(b.log) > heard {
			b.tell()
		}
	}
	for fd := range b.clients {
		_ = unix.Close(fd)
	}
	return nil
}

func (b *Bare) serve(e unix.EpollEvent) error {
	if int(e.Fd) == b.listener {
		return b.accept()
	}
	c := b.clients[int(e.Fd)]
	if c == nil {
		return nil
	}
	var err error
	if e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		err = b.hear(c)
	}
	if err == nil {
		err = b.say(c)
	}
	if err != nil {
		delete(b.clients, c.fd)
		_ = unix.Close(c.fd)
	}
	return nil
}

func (b *Bare) accept() error {
	fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		if again(err) || errors.Is(err, unix.ECONNABORTED) {
			return nil
		}
		return fmt.Errorf("accept: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	b.clients[fd] = &bareClient{fd: fd}
	return b.poll.add(fd, unix.EPOLLIN)
}

func (b *Bare) hear(c *bareClient) error {
	n, err := unix.Read(c.fd, c.stream.room(b.buf))
	switch {
	case again(err):
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	return c.stream.scan(b.buf, n, func(t wire.Type, payload []byte) error {
		switch t {
		case wire.TypeUpdate:
			b.log = append(b.log, wire.Version, byte(len(payload)>>8), byte(len(payload)), byte(t))
			b.log = append(b.log, payload...)
		case wire.TypeHello:
			c.owed = wire.AppendHello(c.owed, wire.Hello{Keepalive: 5, IsServer: true})
		case wire.TypeKeepalive:
			c.owed = wire.AppendKeepalive(c.owed)
		case wire.TypeSubscribe:
			c.subscribed = true
		}
		return nil
	})
}

// tell writes to all who are not waiting for their sockets.
func (b *Bare) tell() {
	for _, c := range b.clients {
		if c.subscribed && !c.waits {
			_ = b.say(c) // what is wrong with it, the next event shows
		}
	}
}

// say writes what the socket takes: the log, and answers where an UPDATE is whole.
func (b *Bare) say(c *bareClient) error {
	if !c.subscribed || c.at == len(b.log) {
		if len(c.owed) > 0 {
			if _, err := unix.Write(c.fd, c.owed); err != nil {
				return err
			}
			c.owed = c.owed[:0]
		}
	}
	for c.subscribed && c.at < len(b.log) {
		n, err := unix.Write(c.fd, b.log[c.at:min(c.at+b.write, len(b.log))])
		if again(err) {
			return b.await(c, true)
		}
		if err != nil {
			return err
		}
		c.at += n
	}
	return b.await(c, false)
}

func (b *Bare) await(c *bareClient, writable bool) error {
	if c.waits == writable {
		return nil
	}
	c.waits = writable
	events := uint32(unix.EPOLLIN)
	if writable {
		events |= unix.EPOLLOUT
	}
	return b.poll.change(c.fd, events)
}

// Address returns where the server listens.
func (b *Bare) Address() netip.AddrPort {
	at, err := unix.Getsockname(b.listener)
	if err != nil {
		return netip.AddrPort{}
	}
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(at.Addr), uint16(at.Port))
	}
	return netip.AddrPort{}
}
