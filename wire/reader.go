package wire

import "io"

// A Reader holds one buffer. Most sessions are idle most of the time, so it
// begins small, large enough for the longest message; a read that fills it
// makes room for many messages a system call, and a row of small reads gives
// that room back.
const (
	smallBuffer = 2 << 10  // bytes
	largeBuffer = 32 << 10 // bytes
	calmReads   = 16       // small reads in a row after which a large buffer goes
	emptyReads  = 100      // reads in a row without bytes and without error, as in bufio
)

// Reader cuts a stream into messages, however the stream is split. It is for
// one goroutine.
type Reader struct {
	r      io.Reader
	buf    []byte
	start  int   // first byte not yet returned
	end    int   // behind the last byte read
	offset int64 // of buf[0] in the stream
	calm   int   // small reads in a row
	grow   bool  // the last read filled the buffer
	err    error // came with the last bytes; told once they are used up
	bad    *Malformed
}

// NewReader returns a Reader of r. It reads nothing yet.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: r, buf: make([]byte, smallBuffer)}
}

// Next returns the next message. The payload is valid until the next call.
//
// At the end of the stream the error is io.EOF between two messages and
// io.ErrUnexpectedEOF inside one. A bad header is a *Malformed, told as soon as
// its offending byte is there, and told again by every later call. Any other
// error is the stream's own; after one that passes (a deadline) Next may be
// called again and loses nothing.
func (r *Reader) Next() (Message, error) {
	for {
		if r.bad != nil {
			return Message{}, r.bad
		}
		b := r.buf[r.start:r.end]
		if len(b) > 0 {
			if r.bad = r.checkHeader(b); r.bad != nil {
				return Message{}, r.bad
			}
		}
		if len(b) >= HeaderLen {
			if n := frameLen(b); len(b) >= n {
				r.start += n
				return Message{Type: Type(b[3]), Payload: b[HeaderLen:n:n]}, nil
			}
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return Message{}, err
		}
	}
}

// Ready reports whether Next has something to return without reading.
func (r *Reader) Ready() bool {
	b := r.buf[r.start:r.end]
	return r.bad != nil || len(b) >= HeaderLen && len(b) >= frameLen(b)
}

// frameLen returns how long the message is whose header b begins with.
func frameLen(b []byte) int { return HeaderLen + (int(b[1])<<8 | int(b[2])) }

// Buffered returns how many bytes have been read and not yet returned.
func (r *Reader) Buffered() int { return r.end - r.start }

// checkHeader looks at as much of a header as there is.
func (r *Reader) checkHeader(b []byte) *Malformed {
	if b[0] != Version {
		return r.badHeader("version", 0, int(b[0]), "1")
	}
	if len(b) < 3 {
		return nil
	}
	if n := int(b[1])<<8 | int(b[2]); n > MaxPayload {
		return r.badHeader("length", 1, n, "0 to 1188 bytes")
	}
	if len(b) < HeaderLen {
		return nil
	}
	if t := Type(b[3]); t < TypeHello || t > TypeUpdate {
		return r.badHeader("type", 3, int(t), "1 to 5")
	}
	return nil
}

func (r *Reader) badHeader(field string, at, value int, allowed string) *Malformed {
	return &Malformed{0, field, r.offset + int64(r.start+at), number(uint64(value)), allowed}
}

// fill reads once into the buffer. It returns an error only if no byte came.
func (r *Reader) fill() error {
	if err := r.err; err != nil {
		r.err = nil
		return err
	}
	r.makeRoom()
	for range emptyReads {
		n, err := r.r.Read(r.buf[r.end:])
		if n == 0 && err == nil {
			continue
		}
		if n == 0 {
			return err
		}
		r.grow = r.end+n == len(r.buf)
		if r.grow || n > smallBuffer/2 {
			r.calm = 0
		} else {
			r.calm++
		}
		r.end += n
		r.err = err
		return nil
	}
	return io.ErrNoProgress
}

// makeRoom moves what is left, less than one message, to the front of a buffer
// of the right size.
func (r *Reader) makeRoom() {
	size := len(r.buf)
	switch {
	case r.grow:
		size = largeBuffer
	case r.calm >= calmReads:
		size = smallBuffer
	}
	to := r.buf
	if size != len(to) {
		to = make([]byte, size)
	}
	n := copy(to, r.buf[r.start:r.end])
	r.buf = to
	r.offset += int64(r.start)
	r.start, r.end, r.grow = 0, n, false
}
