package rtnl

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const listenBuffer = 8 << 20

// Listener receives what changes in the kernel. Next is for one goroutine at a
// time.
type Listener struct {
	file    *os.File
	conn    syscall.RawConn
	buf     []byte
	pending []byte // messages in buf that were not decoded yet
}

// Listen opens a socket in the network namespace of the calling thread that
// hears the multicast groups (unix.RTNLGRP_*). What is caused by requests of the
// ports in ignore is not heard: a filter in the kernel drops it. What the kernel
// does on its own is, even if such a request is the reason.
func Listen(ignore []uint32, groups ...uint32) (*Listener, error) {
	fd, _, err := open(unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := listen(fd, ignore, groups); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "rtnetlink")
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Listener{file: file, conn: conn, buf: make([]byte, receiveSize)}, nil
}

func listen(fd int, ignore, groups []uint32) error {
	if _, err := grow(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, listenBuffer); err != nil {
		return err
	}
	if len(ignore) > 0 { // before the first group is joined
		filter := ignorePorts(ignore)
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			return os.NewSyscallError("netlink filter", err)
		}
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
			return os.NewSyscallError("netlink group", err)
		}
	}
	return nil
}

// ignorePorts is a program (classic BPF) that drops what has one of the ports in
// the header (nlmsg_pid). It sees the first header only, but the kernel sends
// every event on its own: several messages at once are answers.
func ignorePorts(ports []uint32) []unix.SockFilter {
	const portAt = 12
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: portAt}}
	for _, port := range ports {
		// BPF loads in network byte order what is in that of the machine.
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], port)
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: binary.BigEndian.Uint32(b[:])},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff})
}

// Close ends Next, too.
func (l *Listener) Close() error { return l.file.Close() }

// Next waits for the next event, which is the caller's. After OverrunEvent all
// that changes is heard again. After Close the error is os.ErrClosed.
func (l *Listener) Next() (*Event, error) {
	for {
		for len(l.pending) > 0 {
			m, rest, err := take(l.pending)
			l.pending = rest
			e := new(Event)
			ok := false
			if err == nil {
				ok, err = e.decode(m)
			}
			if err != nil {
				return &Event{Kind: OverrunEvent}, nil // not understood is as good as lost
			}
			if ok {
				return e, nil
			}
		}
		var received error
		err := l.conn.Read(func(fd uintptr) bool {
			l.pending, received = receive(int(fd), l.buf)
			if received == unix.ENOBUFS {
				received = drain(int(fd), l.buf)
			}
			return received != unix.EAGAIN
		})
		switch {
		case err != nil: // there is no deadline
			return nil, os.ErrClosed
		case received == unix.ENOBUFS:
			return &Event{Kind: OverrunEvent}, nil
		case received != nil:
			return nil, os.NewSyscallError("netlink receive", received)
		}
	}
}

// drain throws away what a socket holds after a loss, and returns unix.ENOBUFS if
// that went well. Until it is empty the kernel drops further events, and does not
// say so again: who looks at everything must not begin before.
func drain(fd int, buf []byte) error {
	for {
		switch _, err := receive(fd, buf); err {
		case nil, unix.ENOBUFS:
		case unix.EAGAIN:
			return unix.ENOBUFS
		default:
			return err
		}
	}
}
