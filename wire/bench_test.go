package wire

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"mbbgp/wire/internal/pb"
)

// Ours and generated protobuf code side by side: the same UPDATE, 36 and 64
// bytes with its header.

func benchmarkUpdates(b *testing.B, run func(b *testing.B, frame []byte, u Update)) {
	for _, row := range []struct {
		name string
		at   int
	}{{"IPv4", 6}, {"IPv6-NAT", 7}} {
		b.Run(row.name, func(b *testing.B) {
			frame := unhex(b, messages[row.at].bytes...)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			run(b, frame, messages[row.at].body.(Update))
		})
	}
}

func BenchmarkAppendUpdate(b *testing.B) {
	benchmarkUpdates(b, func(b *testing.B, _ []byte, u Update) {
		buf := make([]byte, 0, MaxUpdateLen)
		for b.Loop() {
			buf = AppendUpdate(buf[:0], u)
		}
	})
}

func BenchmarkAppendUpdateGenerated(b *testing.B) {
	benchmarkUpdates(b, func(b *testing.B, _ []byte, u Update) {
		buf := make([]byte, 0, MaxUpdateLen)
		for b.Loop() {
			m := toGenerated(u)
			n := proto.Size(m)
			buf = append(buf[:0], Version, byte(n>>8), byte(n), byte(TypeUpdate))
			var err error
			if buf, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(buf, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseUpdate(b *testing.B) {
	benchmarkUpdates(b, func(b *testing.B, frame []byte, u Update) {
		for b.Loop() {
			got, err := ParseUpdate(frame[HeaderLen:])
			if err != nil || got != u {
				b.Fatal(got, err)
			}
		}
	})
}

func BenchmarkParseUpdateGenerated(b *testing.B) {
	benchmarkUpdates(b, func(b *testing.B, frame []byte, u Update) {
		for b.Loop() {
			var m pb.Update
			if err := proto.Unmarshal(frame[HeaderLen:], &m); err != nil {
				b.Fatal(err)
			}
			if got, ok := fromGenerated(&m); !ok || got != u {
				b.Fatal(got)
			}
		}
	})
}

func BenchmarkRefuseUpdate(b *testing.B) {
	payload := unhex(b, vni, "1a 08 12 04 0a001700 18 21", nextHop)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseUpdate(payload); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkReader cuts a stream that never ends and parses what it finds.
func BenchmarkReader(b *testing.B) {
	benchmarkUpdates(b, func(b *testing.B, frame []byte, u Update) {
		r := NewReader(&repeat{b: frame})
		for b.Loop() {
			m, err := r.Next()
			if err != nil || len(m.Payload) != len(frame)-HeaderLen {
				b.Fatal(err)
			}
		}
	})
}
