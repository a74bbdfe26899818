package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"mbbgp/wire"
)

// feeder is a MetalBond server of one client that costs next to nothing: the
// frames are made before anything is measured.
type feeder struct {
	listener net.Listener
	conn     net.Conn
}

// serve listens where clients of every way connect to.
func serve() (*feeder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:4711")
	return &feeder{listener: l}, err
}

func (f *feeder) close() {
	f.hangUp()
	_ = f.listener.Close()
}

// hangUp ends the session.
func (f *feeder) hangUp() {
	if f.conn != nil {
		_ = f.conn.Close()
		f.conn = nil
	}
}

// accept waits for a client's session and its subscription.
func (f *feeder) accept(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = f.listener.Close() })
	defer stop()
	conn, err := f.listener.Accept()
	if err != nil {
		return err
	}
	f.conn = conn
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	reader := wire.NewReader(conn)
	for subscribed := false; !subscribed; {
		m, err := reader.Next()
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		switch m.Type {
		case wire.TypeHello:
			_, err = conn.Write(wire.AppendHello(nil, wire.Hello{Keepalive: 60, IsServer: true}))
		case wire.TypeKeepalive:
			_, err = conn.Write(wire.AppendKeepalive(nil))
		case wire.TypeSubscribe:
			subscribed = true
		}
		if err != nil {
			return err
		}
	}
	_ = conn.SetDeadline(time.Time{})
	go func() { // keepalives are heard, and not answered within the minute that they have
		for {
			m, err := reader.Next()
			if err != nil {
				return
			}
			if m.Type == wire.TypeKeepalive {
				_, _ = conn.Write(wire.AppendKeepalive(nil))
			}
		}
	}()
	return nil
}

// send sends frames, in blocks that end with a message. The stock client reads
// no message that comes in two parts, and drops what lies unread for long: with
// slow, a block waits until the one before has been read.
func (f *feeder) send(ctx context.Context, blocks [][]byte, slow bool) error {
	for _, b := range blocks {
		for slow {
			unread, err := f.unread()
			if err != nil {
				return err
			}
			if !unread {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(100 * time.Microsecond)
		}
		if _, err := f.conn.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// unread reports whether something lies in the client's receive queue.
func (f *feeder) unread() (bool, error) {
	sockets, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, err
	}
	peer := f.conn.RemoteAddr().(*net.TCPAddr)
	for line := range strings.Lines(string(sockets)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", peer.Port)) {
			return !strings.HasSuffix(fields[4], ":00000000"), nil
		}
	}
	return false, fmt.Errorf("the client's socket, port %d, is gone", peer.Port)
}

// frames are blocks of frames for all routes. With moved, every route goes from
// its hypervisor to the next one.
func (f *fib) frames(remove, moved bool) (blocks [][]byte) {
	const size = 32 << 10
	var b []byte
	for i := range f.routes {
		u := wire.Update{Remove: remove, VNI: vni, Prefix: f.prefix(i), Target: target(f.hop(i))}
		next := target((f.hop(i) + 1) % f.nexthops)
		switch {
		case moved && !remove: // it goes, and comes
			u.Remove = true
			b = wire.AppendUpdate(b, u)
			u.Remove, u.Target = false, next
		case moved:
			u.Target = next
		}
		b = wire.AppendUpdate(b, u)
		if len(b) > size-1000 || i == f.routes-1 {
			blocks = append(blocks, b)
			b = nil
		}
	}
	return blocks
}
