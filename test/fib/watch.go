package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watch counts what the kernel says of changed routes and next hop objects.
type watch struct {
	fd       int
	done     chan struct{} // closed when nothing more is counted
	added    atomic.Int64  // routes, new or replaced
	removed  atomic.Int64  // routes
	nexthops atomic.Int64  // of all kinds
	last     atomic.Int64  // when the last one came, in Unix nanoseconds
	lost     atomic.Bool   // notices
}

// newWatch starts to count.
func newWatch() (*watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	w := &watch{fd: fd, done: make(chan struct{})}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP} {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<29),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listening to the kernel: %w", err)
	}
	return w, nil
}

// run counts until the context ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	defer unix.Close(w.fd)
	buf := make([]byte, 1<<16)
	for ctx.Err() == nil {
		n, err := unix.Read(w.fd, buf)
		switch err {
		case nil:
			w.count(buf[:n])
		case unix.EAGAIN, unix.EINTR:
		default: // ENOBUFS
			w.lost.Store(true)
		}
	}
}

func (w *watch) count(b []byte) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.RTM_NEWROUTE:
			w.added.Add(1)
		case unix.RTM_DELROUTE:
			w.removed.Add(1)
		case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
			w.nexthops.Add(1)
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	w.last.Store(time.Now().UnixNano())
}

// reset counts from zero again.
func (w *watch) reset() {
	w.added.Store(0)
	w.removed.Store(0)
	w.nexthops.Store(0)
}

// wait waits until a counter is at want and returns when it got there.
func (w *watch) wait(ctx context.Context, what string, counter *atomic.Int64, want int) (time.Time, error) {
	for {
		switch n := int(counter.Load()); {
		case w.lost.Load():
			return time.Time{}, errors.New("the kernel's notices came faster than they were read")
		case n >= want:
			return time.Unix(0, w.last.Load()), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w with %d of %d routes %s", ctx.Err(), counter.Load(), want, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
