package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// talkPort is where the other end of a Talk listens.
const talkPort = "7001"

// patience is how long an exchange may take.
const patience = time.Minute

// Talk is a TCP connection over which one end says something small, again and
// again, and the other one repeats it.
type Talk struct {
	t         testing.TB
	exchanges atomic.Int64
	conn      net.Conn
	over      chan error
}

// Talk connects to an address of another node.
func (n *Node) Talk(to *Node, address string) *Talk {
	n.t.Helper()
	at := net.JoinHostPort(address, talkPort)
	l, err := to.Listen("tcp", at)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k := &Talk{t: n.t, over: make(chan error, 1)}
	if k.conn, err = n.Dial(ctx, "tcp", at); err != nil {
		n.t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		n.t.Fatal(err)
	}
	_ = l.Close()
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		defer other.Close()
		_, _ = io.Copy(other, other) // until the first end closes
	}()
	go func() {
		err := k.run()
		_ = k.conn.Close()
		<-echoed
		k.over <- err
	}()
	return k
}

// run talks until the connection is closed for writing, or fails.
func (k *Talk) run() error {
	word := []byte("are you there?")
	for {
		_ = k.conn.SetDeadline(time.Now().Add(patience))
		if _, err := k.conn.Write(word); err != nil {
			return err
		}
		if _, err := io.ReadFull(k.conn, make([]byte, len(word))); err != nil {
			return err
		}
		k.exchanges.Add(1)
		time.Sleep(5 * time.Millisecond) // so that it is a connection at rest most of the time
	}
}

// Wait waits for another exchange.
func (k *Talk) Wait() {
	k.t.Helper()
	before := k.exchanges.Load()
	Eventually(k.t, patience, "an exchange over TCP", func() error {
		select {
		case err := <-k.over:
			k.over <- err
			return fmt.Errorf("the connection is over: %w", err)
		default:
		}
		if k.exchanges.Load() < before+2 { // one of them was not under way before
			return fmt.Errorf("none since the %d-th", before)
		}
		return nil
	})
}

// End waits for another exchange, closes the connection and returns how many
// exchanges there were.
func (k *Talk) End() int64 {
	k.t.Helper()
	k.Wait()
	_ = k.conn.Close()
	<-k.over
	return k.exchanges.Load()
}
