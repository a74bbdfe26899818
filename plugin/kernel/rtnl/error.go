package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrLost means that the kernel could not deliver its answers, for want of
// memory: which requests were refused is not known.
var ErrLost = errors.New("netlink answers were lost: what the kernel holds has to be read again")

// ErrInterrupted means that what was read changed while it was read, however
// often it was tried.
var ErrInterrupted = errors.New("netlink dump was interrupted by changes again and again")

// Error is the kernel's refusal.
type Error struct {
	Errno syscall.Errno
	Text  string // that the kernel gave as reason; "" if it gave none
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return fmt.Sprintf("%v: %s", e.Errno, e.Text)
}

// Unwrap returns the errno, for errors.Is(err, unix.EEXIST).
func (e *Error) Unwrap() error { return e.Errno }

// Refusal is a request of a batch that the kernel refused. The others were
// carried out.
type Refusal struct {
	Request int   // its number in the batch
	Err     error // an *Error
}

const sizeofErrno = 4

// decodeError reads NLMSG_ERROR without its header: the errno, the header of the
// request, the rest of the request unless NLM_F_CAPPED, and attributes if
// NLM_F_ACK_TLVS. It returns nil for an acknowledgement.
func decodeError(m message) (*Error, error) {
	b := m.body
	if len(b) < sizeofErrno+unix.SizeofNlMsghdr {
		return nil, errMalformed
	}
	errno := -int32(binary.NativeEndian.Uint32(b))
	if errno == 0 {
		return nil, nil
	}
	request := unix.SizeofNlMsghdr
	if m.flags&unix.NLM_F_CAPPED == 0 {
		request = int(binary.NativeEndian.Uint32(b[sizeofErrno:]))
	}
	e := &Error{Errno: syscall.Errno(errno)}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 && request >= 0 && sizeofErrno+request <= len(b) {
		e.Text = extAckText(b[min(sizeofErrno+align(request), len(b)):])
	}
	return e, nil
}

// decodeDone reads NLMSG_DONE without its header: the errno, and attributes if
// NLM_F_ACK_TLVS. It returns nil if the dump went well.
func decodeDone(m message) *Error {
	if len(m.body) < sizeofErrno {
		return nil
	}
	errno := -int32(binary.NativeEndian.Uint32(m.body))
	if errno <= 0 {
		return nil
	}
	e := &Error{Errno: syscall.Errno(errno)}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 {
		e.Text = extAckText(m.body[sizeofErrno:])
	}
	return e
}

// extAckText returns the text among the attributes of an error. One that cannot
// be read is as good as none.
func extAckText(b []byte) string {
	for len(b) > 0 {
		kind, v, rest, err := next(b)
		if err != nil {
			return ""
		}
		if kind == unix.NLMSGERR_ATTR_MSG {
			return unix.ByteSliceToString(v)
		}
		b = rest
	}
	return ""
}
