package metalbond

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"mbbgp/bridge"
	"mbbgp/wire"
)

// reads is a connection of which each read returns one of the chunks.
type reads struct {
	pipe
	chunks [][]byte
}

func (r *reads) Read(p []byte) (int, error) {
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	if r.chunks[0] = r.chunks[0][n:]; len(r.chunks[0]) == 0 {
		r.chunks = r.chunks[1:]
	}
	return n, nil
}

// witness is a party that writes down what it is given, and how many KEEPALIVEs
// were taken by then.
type witness struct {
	session *session
	seen    []string
}

func (w *witness) established(*session) {}

func (w *witness) updates(row []bridge.Edit) {
	w.note("updates %d", len(row))
}

func (w *witness) subscribe(_ *session, vni uint32) error {
	w.note("subscribe %d", vni)
	return nil
}

func (w *witness) unsubscribe(_ *session, vni uint32) error {
	w.note("unsubscribe %d", vni)
	return nil
}

func (w *witness) note(format string, args ...any) {
	w.seen = append(w.seen, fmt.Sprintf(format, args...)+fmt.Sprintf(" after %d", w.session.owed))
}

func TestRowEndsWhereNothingMoreCameAndBeforeOtherMessages(t *testing.T) {
	update := Encode(nil, false, 23, prefix(1), hop1)
	mapped := bytes.Clone(update)
	copy(mapped[len(mapped)-16:], net.ParseIP("192.0.2.1")) // IPv4-mapped: refused
	n := func(n int) []byte { return bytes.Repeat(update, n) }
	pulse, ask, end := wire.AppendKeepalive(nil), wire.AppendSubscribe(nil, 7), wire.AppendUnsubscribe(nil, 7)
	chunk := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, row := range []struct {
		name string
		read [][]byte
		want []string
	}{
		{"one alone", [][]byte{n(1)}, []string{"updates 1 after 0"}},
		{"those of one read", [][]byte{n(5), n(3)}, []string{"updates 5 after 0", "updates 3 after 0"}},
		{"a message in two reads", [][]byte{chunk(n(2), update[:9]), update[9:]}, []string{"updates 2 after 0", "updates 1 after 0"}},
		{"a header in two reads", [][]byte{chunk(n(2), update[:3]), update[3:]}, []string{"updates 2 after 0", "updates 1 after 0"}},
		{"KEEPALIVEs", [][]byte{chunk(n(2), pulse, n(3), pulse, pulse, n(1))},
			[]string{"updates 2 after 0", "updates 3 after 1", "updates 1 after 3"}},
		{"subscriptions", [][]byte{chunk(n(2), ask, n(3), end, n(1))},
			[]string{"updates 2 after 0", "subscribe 7 after 0", "updates 3 after 0", "unsubscribe 7 after 0", "updates 1 after 0"}},
		{"what is refused", [][]byte{chunk(n(2), mapped, n(1))}, []string{"updates 2 after 0", "updates 1 after 0"}},
		{"an error", [][]byte{chunk(n(2), []byte{1, 0, 2, 5, 8, 0xff}, n(1))}, []string{"updates 2 after 0"}},
		{"a bad header", [][]byte{chunk(n(2), []byte{9}, n(1))}, []string{"updates 2 after 0"}},
		{"many", [][]byte{n(50), n(50)}, []string{"updates 50 after 0", "updates 50 after 0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &witness{}
			log := newWorld(t).log
			w.session = newSession(&session{conn: &reads{chunks: row.read}, party: w, paces: new(paces), log: log, count: new(counters)})
			if err := w.session.hear(); err == nil {
				t.Error("no error at the end")
			}
			if !slices.Equal(w.seen, row.want) {
				t.Errorf("got  %q\nwant %q", w.seen, row.want)
			}
		})
	}
}

func TestKeepaliveIsAnsweredWhenAllThatCameBeforeItIsInTheTable(t *testing.T) {
	w := newWorld(t)
	p := dial(t, w.serve(nil)).greet()
	for _, n := range []int{1, rowLength - 1, rowLength, rowLength + 1, 5*rowLength + 7} {
		for _, remove := range []bool{false, true} {
			var frames []byte
			for i := range n {
				frames = Encode(frames, remove, 23, prefix(i), hop1)
				frames = Encode(frames, remove, 42, prefix(i), hop1)
			}
			p.write(wire.AppendKeepalive(frames))
			p.want(keepalive)
			want := n
			if remove {
				want = 0
			}
			if a, b := w.table.Stats(23).NextHops, w.table.Stats(42).NextHops; a != want || b != want {
				t.Fatalf("%d and %d routes when the answer came, want %d", a, b, want)
			}
		}
	}
}
