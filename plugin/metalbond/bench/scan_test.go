package bench

import (
	"slices"
	"testing"

	"mbbgp/wire"
)

// However a stream is cut into reads, the same frames come out of it.
func TestFramesAreTheSameHoweverTheyAreRead(t *testing.T) {
	var stream []byte
	var want []string
	add := func(frame []byte) {
		stream = append(stream, frame...)
		want = append(want, string(frame[3:]))
	}
	add(wire.AppendHello(nil, wire.Hello{Keepalive: 5, IsServer: true}))
	for i := range 40 {
		add(wire.AppendUpdate(nil, small.Routes.update(i, i%3 == 0)))
		add(wire.AppendKeepalive(nil))
	}
	add(slices.Concat([]byte{wire.Version, wire.MaxPayload >> 8, wire.MaxPayload & 0xff, byte(wire.TypeUpdate)}, make([]byte, wire.MaxPayload)))

	buf := make([]byte, 4<<10)
	for length := 1; length <= len(stream); length += 1 + length/7 {
		var s scanner
		var got []string
		for rest := stream; len(rest) > 0; {
			n := copy(s.room(buf), rest[:min(length, len(rest))])
			rest = rest[n:]
			err := s.scan(buf, n, func(typ wire.Type, payload []byte) error {
				got = append(got, string(byte(typ))+string(payload))
				return nil
			})
			if err != nil {
				t.Fatalf("reads of %d bytes: %v", length, err)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("reads of %d bytes: %d frames, want %d", length, len(got), len(want))
		}
		if len(s.rest) > 0 {
			t.Errorf("reads of %d bytes: %d bytes are left over", length, len(s.rest))
		}
	}
}

func TestWhatIsNoFrameIsAnError(t *testing.T) {
	for name, stream := range map[string]string{
		"version":             "\x02\x00\x00\x02",
		"length":              "\x01\xff\xff\x05",
		"behind a good frame": "\x01\x00\x00\x02\x00\x00\x00\x02",
	} {
		var s scanner
		buf := make([]byte, 64)
		n := copy(s.room(buf), stream)
		if err := s.scan(buf, n, func(wire.Type, []byte) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	buf := make([]byte, 0, readBuffer)
	buf, n := small.Routes.say(0, 1<<20, false)(buf)
	var s scanner
	var d digest
	for b.Loop() {
		_ = s.scan(buf, len(buf), func(_ wire.Type, payload []byte) error {
			d.take(payload)
			return nil
		})
		s.rest = s.rest[:0]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/frame")
}
