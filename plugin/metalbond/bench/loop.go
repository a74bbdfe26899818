package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/wire"
)

// loop runs all clients. What it is for is written as a plain sequence: say
// this, run until that is so.
type loop struct {
	poll     *poller
	clients  []*client
	byFD     map[int]*client
	buf      []byte // what all clients read into
	now      time.Time
	moved    time.Time     // when an UPDATE last went out or came in
	patience time.Duration // without that
	tick     func()        // called now and then

	interval time.Duration // of KEEPALIVEs, as offered
	turn     int           // client that is next to send a KEEPALIVE
	turned   time.Time     // when turns were last taken

	opening  int  // clients that are not established
	speaking int  // clients that have more to say
	wanting  int  // clients that do not know what they are to know
	lost     int  // sessions that ended
	tolerant bool // a session that ends is only counted
	failure  error
}

const (
	readBuffer = 256 << 10
	tickLength = 100 * time.Millisecond
)

func newLoop(patience, keepalive time.Duration) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &loop{
		poll: p, byFD: make(map[int]*client), buf: make([]byte, readBuffer),
		now: time.Now(), turned: time.Now(), patience: patience, interval: keepalive, tick: func() {},
	}, nil
}

func (l *loop) close() {
	for _, c := range l.clients {
		if c.ended == nil {
			_ = unix.Close(c.fd)
		}
	}
	l.poll.close()
}

// connect opens a connection and sends HELLO. The rest of the handshake comes
// as the loop runs.
func (l *loop) connect(ctx context.Context, address, name string, pace Pace) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fd, err := takeSocket(conn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &client{loop: l, name: name, fd: fd, interval: l.interval, events: unix.EPOLLIN}
	if pace == PaceAuto {
		mss, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.segment = min(max(mss, 2*wire.MaxUpdateLen), chunkLength)
	}
	if err := l.poll.add(fd, unix.EPOLLIN); err != nil {
		return nil, err
	}
	l.clients = append(l.clients, c)
	l.byFD[fd] = c
	l.opening++
	hello := wire.AppendHello(nil, wire.Hello{Keepalive: uint32(l.interval / time.Second)})
	if err := c.tell(hello); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// takeSocket takes the socket out of Go's hands. Its poller would wake up for
// everything that comes.
func takeSocket(conn net.Conn) (int, error) {
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failure error
	err = raw.Control(func(old uintptr) {
		fd, failure = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, failure)
}

// end ends a session; why nil: we wish it.
func (l *loop) end(c *client, why error) {
	if c.ended != nil {
		return
	}
	c.ended = errors.New("ended")
	_ = unix.Close(c.fd)
	delete(l.byFD, c.fd)
	if c.state != established {
		l.opening--
	}
	if c.speech != nil {
		l.speaking--
	}
	if c.wants {
		l.wanting--
	}
	if why == nil {
		return
	}
	if errors.Is(why, io.EOF) {
		why = errors.New("closed by the server")
	}
	c.ended = fmt.Errorf("%s, after %d updates out and %d in: %w", c.name, c.said, c.heard, why)
	l.lost++
	if l.failure == nil {
		l.failure = c.ended
	}
}

// abort ends a session with a reset, as a machine that fails may.
func (l *loop) abort(c *client) error {
	err := unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	l.end(c, nil)
	return err
}

// run works until something is so. It fails if nothing moves for too long, or,
// unless the loop is tolerant, if a session ends.
func (l *loop) run(ctx context.Context, what string, until func() bool) error {
	l.now = time.Now()
	l.moved = l.now
	ticked := l.now
	for !until() {
		events, err := l.poll.wait(tickLength / 4)
		if err != nil {
			return err
		}
		l.now = time.Now()
		for _, e := range events {
			l.serve(e)
		}
		l.keepAlive()
		if l.now.Sub(ticked) >= tickLength {
			ticked = l.now
			l.tick()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case l.failure != nil && !l.tolerant:
			return l.failure
		case l.now.Sub(l.moved) > l.patience:
			return fmt.Errorf("%s: nothing came for %v: %s", what, l.patience, l.missing())
		}
	}
	return nil
}

// serve does what a socket is ready for.
func (l *loop) serve(e unix.EpollEvent) {
	c := l.byFD[int(e.Fd)]
	if c == nil {
		return // ended meanwhile
	}
	var err error
	if e.Events&unix.EPOLLOUT != 0 {
		err = c.write()
	}
	if err == nil && e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		err = c.hear(l.buf)
	}
	if err != nil {
		l.end(c, err)
	}
}

// keepAlive sends the KEEPALIVEs that are due: every client has its turn once
// in an interval, one after another, not all in the same moment.
func (l *loop) keepAlive() {
	if len(l.clients) == 0 {
		return
	}
	interval := l.interval
	if i := l.clients[0].interval; i > 0 {
		interval = i
	}
	share := interval / time.Duration(len(l.clients))
	for due := int(l.now.Sub(l.turned) / max(share, 1)); due > 0; due-- {
		l.turned = l.turned.Add(share)
		l.turn = (l.turn + 1) % len(l.clients)
		c := l.clients[l.turn]
		if c.ended != nil || c.state != established {
			continue
		}
		if err := c.keepalive(); err != nil {
			l.end(c, err)
		}
	}
}

// expect has a client wait until it knows something.
func (l *loop) expect(c *client, d digest) {
	if c.ended != nil {
		return
	}
	if !c.wants {
		c.wants = true
		l.wanting++
	}
	c.want, c.met = d, time.Time{}
	c.compare()
}

// missing says who waits for what.
func (l *loop) missing() string {
	for _, c := range l.clients {
		switch {
		case c.ended != nil:
		case c.state != established:
			return c.name + " is not established"
		case c.wants:
			return fmt.Sprintf("%s knows %d routes and should know %d, or has some wrong (%d updates heard; %d clients wait)",
				c.name, c.known.live, c.want.live, c.heard, l.wanting)
		case c.speech != nil:
			return fmt.Sprintf("%s has said %d updates, and %d of its %d KEEPALIVEs were answered", c.name, c.said, c.answered, c.asked)
		}
	}
	return "everybody has what it should have"
}
