package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// message is one that was received.
type message struct {
	kind, flags    uint16
	sequence, port uint32
	body           []byte
}

// take takes the first message off b.
func take(b []byte) (m message, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, errMalformed
	}
	length := uint64(binary.NativeEndian.Uint32(b))
	if length < unix.SizeofNlMsghdr || length > uint64(len(b)) {
		return m, nil, errMalformed
	}
	m = message{
		kind:     binary.NativeEndian.Uint16(b[4:]),
		flags:    binary.NativeEndian.Uint16(b[6:]),
		sequence: binary.NativeEndian.Uint32(b[8:]),
		port:     binary.NativeEndian.Uint32(b[12:]),
		body:     b[unix.SizeofNlMsghdr:length],
	}
	return m, b[min(align(int(length)), len(b)):], nil
}

// receive reads what the kernel has sent to a socket, without waiting for it:
// unix.EAGAIN if there is nothing, unix.ENOBUFS once if something was lost.
func receive(fd int, buf []byte) ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n > len(buf):
			return nil, unix.ENOBUFS // cut off is as good as lost
		}
		if a, ok := from.(*unix.SockaddrNetlink); ok && a.Pid != 0 {
			continue // of another process, which nobody asked
		}
		return buf[:n], nil
	}
}
