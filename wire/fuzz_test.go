package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"mbbgp/wire/internal/pb"
)

// FuzzReader holds: any bytes in any split never panic, end with the same error
// as unsplit, and what parses encodes and parses to the same.
func FuzzReader(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(bytes.Join(c.frames, nil), uint64(1), uint16(7))
	}
	for _, tt := range malformed {
		if tt.message == 0 {
			f.Add(unhex(f, tt.bytes...), uint64(2), uint16(1))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, piece uint16) {
		whole := NewReader(bytes.NewReader(stream))
		split := NewReader(&splitReader{stream, rand.New(rand.NewPCG(seed, 0)), 1 + int(piece)})
		for {
			m, err := whole.Next()
			n, errSplit := split.Next()
			if err != nil || errSplit != nil {
				if err == nil || errSplit == nil || err.Error() != errSplit.Error() {
					t.Fatalf("whole: %v\nsplit: %v", err, errSplit)
				}
				var bad *Malformed
				if !errors.As(err, &bad) && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatalf("an error that nobody expects: %v", err)
				}
				return
			}
			if m.Type != n.Type || !bytes.Equal(m.Payload, n.Payload) {
				t.Fatalf("whole: %v %x\nsplit: %v %x", m.Type, m.Payload, n.Type, n.Payload)
			}
			body, err := parse(m)
			if err != nil {
				continue
			}
			again, err := NewReader(bytes.NewReader(appendBody(nil, body))).Next()
			if err != nil || again.Type != m.Type {
				t.Fatalf("%v %+v encodes to what does not read: %v", m.Type, body, err)
			}
			if got, err := parse(again); err != nil || got != body {
				t.Fatalf("got  %+v, %v\nwant %+v", got, err, body)
			}
		}
	})
}

// FuzzParseUpdate holds: what is accepted encodes to bytes that mean the same,
// and generated code finds the same meaning; what generated code cannot read
// is malformed; and the quick way of reading reads the same as the other.
func FuzzParseUpdate(f *testing.F) {
	for _, tt := range messages {
		f.Add(unhex(f, tt.bytes...)[HeaderLen:])
	}
	for _, tt := range variations {
		f.Add(unhex(f, tt.payload...))
	}
	for _, tt := range malformed {
		if tt.message != 0 {
			f.Add(unhex(f, tt.bytes...))
		}
	}
	for _, tt := range invalid {
		f.Add(unhex(f, tt.payload...))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		agree(t, payload)
		u, err := ParseUpdate(payload)
		var bad *Malformed
		if errors.As(err, &bad) {
			if bad.Offset < 0 || bad.Offset > int64(len(payload)) || bad.Error() == "" {
				t.Fatalf("%x: %v", payload, bad)
			}
			return
		}
		var m pb.Update
		if err := proto.Unmarshal(payload, &m); err != nil {
			t.Fatalf("%x: generated code says %v", payload, err)
		}
		sameVerdict(t, payload, &m)
		if err != nil {
			return
		}
		frame := AppendUpdate(nil, u)
		if len(frame) > MaxUpdateLen {
			t.Fatalf("%+v is %d bytes", u, len(frame))
		}
		if got, err := ParseUpdate(frame[HeaderLen:]); err != nil || got != u {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, u)
		}
	})
}
