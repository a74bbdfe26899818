package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
)

// splitReader hands out a stream in random pieces, empty ones too.
type splitReader struct {
	b   []byte
	rnd *rand.Rand
	max int // largest piece
}

func (s *splitReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b[:min(len(s.b), s.rnd.IntN(s.max+1))])
	s.b = s.b[n:]
	return n, nil
}

// drain reads to the end and encodes again what the payloads mean.
func drain(r *Reader) (again []byte, messages int, err error) {
	for {
		m, err := r.Next()
		if err != nil {
			return again, messages, err
		}
		body, err := parse(m)
		if err != nil {
			return again, messages, err
		}
		again = appendBody(again, body)
		messages++
	}
}

func TestMessagesAreFoundInAnySplitOfTheStream(t *testing.T) {
	var stream []byte
	for range 3 {
		for _, tt := range messages {
			stream = append(stream, unhex(t, tt.bytes...)...)
		}
	}
	for name, r := range map[string]io.Reader{
		"at once":             bytes.NewReader(stream),
		"byte by byte":        iotest.OneByteReader(bytes.NewReader(stream)),
		"halves":              iotest.HalfReader(bytes.NewReader(stream)),
		"data with the error": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		got, _, err := drain(NewReader(r))
		if err != io.EOF || !bytes.Equal(got, stream) {
			t.Errorf("%s: %v, %d of %d bytes", name, err, len(got), len(stream))
		}
	}
}

func TestAStreamCutOffInsideAMessageEndsUnexpectedly(t *testing.T) {
	frame := unhex(t, messages[6].bytes...)
	stream := append(AppendKeepalive(nil), frame...)
	for n := range len(stream) {
		want, count := io.ErrUnexpectedEOF, 1
		if n == 0 || n == HeaderLen {
			want = io.EOF
		}
		if n < HeaderLen {
			count = 0
		}
		_, messages, err := drain(NewReader(bytes.NewReader(stream[:n])))
		if err != want || messages != count {
			t.Errorf("after %d bytes: %d messages, %v", n, messages, err)
		}
	}
}

func TestTheLongestPayloadPasses(t *testing.T) {
	frame := append([]byte{Version, MaxPayload >> 8, MaxPayload & 0xff, byte(TypeKeepalive)}, make([]byte, MaxPayload)...)
	stream := bytes.Repeat(frame, 100)
	r := NewReader(&splitReader{stream, rand.New(rand.NewPCG(1, 2)), 5000})
	for i := range 100 {
		m, err := r.Next()
		if err != nil || len(m.Payload) != MaxPayload {
			t.Fatalf("message %d: %d bytes, %v", i, len(m.Payload), err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestNothingIsLostWhenADeadlinePasses(t *testing.T) {
	frame := unhex(t, messages[6].bytes...)
	var steps []any
	for _, b := range frame {
		steps = append(steps, []byte{b}, os.ErrDeadlineExceeded)
	}
	r := NewReader(&script{steps: steps})
	for range frame[1:] {
		if _, err := r.Next(); err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
	}
	m, err := r.Next()
	if err != nil || !bytes.Equal(m.Payload, frame[HeaderLen:]) {
		t.Fatalf("got %x, %v", m.Payload, err)
	}
}

// script plays reads: bytes, an error, or both one after the other in one read
// if the bytes are a string.
type script struct{ steps []any }

func (s *script) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	switch step := step.(type) {
	case []byte:
		return copy(p, step), nil
	case string:
		err := s.steps[0].(error)
		s.steps = s.steps[1:]
		return copy(p, step), err
	}
	return 0, step.(error)
}

func TestAnErrorThatComesWithBytesIsToldBehindThem(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(&script{steps: []any{"\x01\x00\x00\x02\x01\x00\x00\x02\x01", broken}})
	for range 2 {
		if m, err := r.Next(); err != nil || m.Type != TypeKeepalive {
			t.Fatal(m, err)
		}
	}
	if r.Buffered() != 1 {
		t.Errorf("%d bytes buffered, want the one of the next header", r.Buffered())
	}
	if _, err := r.Next(); err != broken {
		t.Error(err)
	}
}

func TestAStreamThatNeverDeliversIsGivenUp(t *testing.T) {
	r := NewReader(&splitReader{[]byte{1}, rand.New(rand.NewPCG(1, 2)), 0})
	if _, err := r.Next(); err != io.ErrNoProgress {
		t.Error(err)
	}
}

func TestABusySessionHasALargeBufferAndAnIdleOneASmall(t *testing.T) {
	update := unhex(t, messages[6].bytes...)
	r := NewReader(&repeat{b: update})
	for range 1000 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) != largeBuffer {
		t.Errorf("busy: %d bytes", len(r.buf))
	}
	left := update[r.r.(*repeat).at:]
	r.r = io.MultiReader(bytes.NewReader(left), iotest.OneByteReader(bytes.NewReader(bytes.Repeat(AppendKeepalive(nil), 20))))
	if _, _, err := drain(r); err != io.EOF {
		t.Fatal(err)
	}
	if len(r.buf) != smallBuffer {
		t.Errorf("idle: %d bytes", len(r.buf))
	}
}

// repeat is an endless stream of one frame that always fills the buffer.
type repeat struct {
	b  []byte
	at int
}

func (r *repeat) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], r.b[r.at:])
		n += c
		r.at = (r.at + c) % len(r.b)
	}
	return n, nil
}

func TestDecodingAnUpdateDoesNotAllocate(t *testing.T) {
	frame := unhex(t, messages[7].bytes...)
	r := NewReader(&repeat{b: frame})
	buf := make([]byte, 0, MaxUpdateLen)
	next := func() {
		m, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		u, err := ParseUpdate(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		buf = AppendUpdate(buf[:0], u)
	}
	for range 1000 {
		next() // the buffer grows
	}
	if n := testing.AllocsPerRun(10000, next); n != 0 {
		t.Errorf("%v allocations an update", n)
	}
}
