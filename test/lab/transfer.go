package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// transferPort is where the receiver of a Transfer listens.
const transferPort = "7000"

// Transfer sends bytes over TCP to an address of another node. It returns an
// error if they do not arrive, as they were sent, in the time given.
func (n *Node) Transfer(to *Node, address string, size int, within time.Duration) error {
	at := net.JoinHostPort(address, transferPort)
	l, err := to.Listen("tcp", at)
	if err != nil {
		return err
	}
	defer l.Close()
	type result struct {
		sum []byte
		err error
	}
	received := make(chan result, 1)
	deadline := time.Now().Add(within)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- result{err: err}
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(deadline)
		sum := sha256.New()
		_, err = io.Copy(sum, conn)
		received <- result{sum.Sum(nil), err}
	}()
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	conn, err := n.Dial(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline)
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	if _, err := conn.Write(data); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	r := <-received
	want := sha256.Sum256(data)
	if r.err == nil && !bytes.Equal(r.sum, want[:]) {
		r.err = fmt.Errorf("other bytes than were sent arrived at %s", at)
	}
	return r.err
}

// Send sends one packet each to ports of an address: a UDP datagram, or with
// "tcp" the first packet of a connection.
func (n *Node) Send(network, address string, ports ...int) error {
	for _, port := range ports {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := n.Dial(ctx, network, net.JoinHostPort(address, strconv.Itoa(port)))
		cancel()
		switch {
		case err == nil && network == "udp":
			_, err = conn.Write([]byte("x"))
			conn.Close()
		case err == nil:
			conn.Close()
		case network == "tcp":
			err = nil // nobody listens, or nobody answers
		}
		if err != nil {
			return err
		}
	}
	return nil
}
