package chaos

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"mbbgp/test/lab"
)

// A client that is subscribed, says that it is alive and never reads.

// What it says: HELLO with an interval of 1 s, KEEPALIVE, SUBSCRIBE to VNI 200.
var (
	hello     = []byte{1, 0, 2, 1, 0x08, 1}
	keepalive = []byte{1, 0, 0, 2}
	subscribe = []byte{1, 0, 3, 3, 0x08, 0xc8, 0x01}
)

// sloth lets such a client come to a server, or go again.
func (w *world) sloth(rnd *rand.Rand) action {
	s := pick(rnd, w.servers)
	if c := w.sloths[s]; c != nil {
		delete(w.sloths, s)
		return action{"a client of " + s.name + " that never reads goes", c.end}
	}
	c := &slowClient{}
	w.sloths[s] = c
	return action{"a client that never reads comes to " + s.name, func() {
		if err := c.begin(w.lazy, s.address); err != nil {
			w.story = append(w.story, "  in vain: "+err.Error())
		}
	}}
}

// slowClient is its connection.
type slowClient struct{ conn net.Conn }

// begin connects, establishes a session and keeps it up until the connection
// ends.
func (c *slowClient) begin(from *lab.Node, to string) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	if c.conn, err = from.Dial(ctx, "tcp", to); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	for _, step := range []struct {
		say    []byte
		answer int // bytes: of the server's HELLO, KEEPALIVE
	}{{hello, len(hello) + 2}, {keepalive, len(keepalive)}} {
		if _, err := c.conn.Write(step.say); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.conn, make([]byte, step.answer)); err != nil {
			return err
		}
	}
	_ = c.conn.SetDeadline(time.Time{})
	if _, err := c.conn.Write(subscribe); err != nil {
		return err
	}
	go func() {
		for {
			if _, err := c.conn.Write(keepalive); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	return nil
}

func (c *slowClient) end() {
	if c.conn != nil {
		c.conn.Close()
	}
}
