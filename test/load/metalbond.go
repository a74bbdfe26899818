package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"mbbgp/wire"
)

// client is a MetalBond client that costs next to nothing: it sends frames that
// it makes a block at a time, and counts what comes.
type client struct {
	conn   net.Conn
	reader *wire.Reader
	stop   chan struct{}

	mu  sync.Mutex // guards writes to conn
	buf []byte
}

const keepalive = 5 * time.Second

func connect(ctx context.Context, to netip.AddrPort) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, reader: wire.NewReader(conn), stop: make(chan struct{})}
	for _, step := range []struct {
		say  []byte
		want wire.Type
	}{
		{wire.AppendHello(nil, wire.Hello{Keepalive: uint32(keepalive / time.Second)}), wire.TypeHello},
		{wire.AppendKeepalive(nil), wire.TypeKeepalive},
	} {
		if _, err := conn.Write(step.say); err != nil {
			return nil, err
		}
		m, err := c.reader.Next()
		if err != nil {
			return nil, err
		}
		if m.Type != step.want {
			return nil, fmt.Errorf("%v said %v, want %v", to, m.Type, step.want)
		}
	}
	go c.stayAlive()
	return c, nil
}

func (c *client) close() {
	close(c.stop)
	_ = c.conn.Close()
}

func (c *client) stayAlive() {
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.write(wire.AppendKeepalive(nil)) != nil {
				return
			}
		case <-c.stop:
			return
		}
	}
}

func (c *client) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(b)
	return err
}

func (c *client) subscribe() error { return c.write(wire.AppendSubscribe(nil, vni)) }

// say announces or withdraws all routes.
func (c *client) say(l *load, announce bool) error {
	go func() { // the answers to keepalives
		for {
			if _, err := c.reader.Next(); err != nil {
				return
			}
		}
	}()
	for i := range l.routes {
		c.buf = wire.AppendUpdate(c.buf, wire.Update{
			Remove: !announce, VNI: vni, Prefix: prefix(i), Target: target(l.hop(i)),
		})
		if len(c.buf) > 60<<10 || i == l.routes-1 {
			if err := c.write(c.buf); err != nil {
				return err
			}
			c.buf = c.buf[:0]
		}
	}
	return nil
}

// hear reads until every route was announced or withdrawn, and checks that each
// was once and with its next hop.
func (c *client) hear(ctx context.Context, l *load, announce bool) error {
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Now()) })()
	seen := make([]bool, l.routes)
	for left := l.routes; left > 0; {
		m, err := c.reader.Next()
		if err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("with %d of %d routes left: %w", left, l.routes, err))
		}
		if m.Type != wire.TypeUpdate {
			continue
		}
		u, err := wire.ParseUpdate(m.Payload)
		if err != nil {
			return err
		}
		i, ok := index(u.Prefix, l.routes)
		switch {
		case u.Remove == announce:
			return fmt.Errorf("%v: remove is %t", u.Prefix, u.Remove)
		case !ok || seen[i]:
			return fmt.Errorf("%v came twice, or was never announced", u.Prefix)
		case u.Target != target(l.hop(i)):
			return fmt.Errorf("%v came with next hop %v", u.Prefix, u.Target)
		}
		seen[i] = true
		left--
	}
	return nil
}

func prefix(i int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

func index(p netip.Prefix, routes int) (int, bool) {
	if !p.Addr().Is4() || p.Bits() != 32 {
		return 0, false
	}
	a := p.Addr().As4()
	i := int(binary.BigEndian.Uint32(a[:])) - 10<<24
	return i, i >= 0 && i < routes
}

// target is the underlay address of a hypervisor.
func target(hop int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 6: byte(hop >> 8), 7: byte(hop), 15: 1})
}

// ready waits until the bridges say that they are.
func ready(ctx context.Context, list ...netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, a := range list {
		url := fmt.Sprintf("http://%v:%d/readyz", a, portHTTP)
		for {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			if answer, err := http.DefaultClient.Do(request); err == nil {
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					break
				}
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: not ready", url)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}
