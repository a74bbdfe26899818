package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// link is the cable between a hypervisor and the bridge: a relay on loopback
// that passes bytes on until it is cut. Cutting resets the connections, so
// that neither end can say goodbye, and refuses new ones.
type link struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn // guarded by mu
}

// newLink returns a link to a TCP address, with its own address at the near end.
func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return &link{listener: l, to: to}, nil
}

// address is the near end: what the hypervisor connects to.
func (l *link) address() string { return l.listener.Addr().String() }

// run passes bytes on until ctx ends.
func (l *link) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.sever)()
	var relays sync.WaitGroup
	defer relays.Wait()
	for {
		near, err := l.listener.Accept()
		if err != nil {
			l.sever()
			return nil // it was cut
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil || !l.keep(near, far) {
			_ = near.Close()
			continue
		}
		relays.Go(func() { pass(near, far) })
		relays.Go(func() { pass(far, near) })
	}
}

// pass copies one direction and closes both ends after it.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // how a connection ended does not matter here
	_ = to.Close()
	_ = from.Close()
}

// keep remembers connections for sever. It reports false if that has been.
func (l *link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	l.conns = append(l.conns, conns...)
	return true
}

// sever cuts the link for good.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	_ = l.listener.Close()
	for _, c := range l.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset instead of an orderly end
		}
		_ = c.Close()
	}
	l.conns = nil
}
