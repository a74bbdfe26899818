package metalbond

import (
	"errors"
	"fmt"
	"sync"

	"mbbgp/bridge"
	"mbbgp/wire"
)

// A read of the connection may bring hundreds of UPDATEs. They go to the table
// in rows, which took 0.55 us for each, from the read to the table, where one by
// one they took 0.9 (BenchmarkHear). A row ends where there is nothing more to be
// had without waiting, so an UPDATE that comes alone does not wait for others; and
// in front of any other message, so that what was said before it is in the table
// when that is answered.

// rowLength is how many UPDATEs a row has at most. The readers of a VNI wait
// while one is put into the table, for some tenth of a millisecond.
const rowLength = 256

// row is what was heard and is not in the table yet.
type row struct {
	edits  *[rowLength]bridge.Edit // nil: none; a session has them only in between
	length int
	limit  int // at most rowLength; 0: that
}

var rows = sync.Pool{New: func() any { return new([rowLength]bridge.Edit) }}

func (s *session) takeUpdate(payload []byte) error {
	s.updates.Add(1)
	u, err := wire.ParseUpdate(payload)
	if err != nil {
		return s.mistaken(err)
	}
	r := &s.row
	if r.edits == nil {
		r.edits = rows.Get().(*[rowLength]bridge.Edit)
	}
	set(&r.edits[r.length], &u)
	if r.length++; r.length == rowLength || r.length == r.limit {
		s.handOver()
	}
	return nil
}

// mistaken returns the error of an UPDATE if it is one to end the session for.
func (s *session) mistaken(err error) error {
	var invalid *wire.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	s.handOver()
	s.refuse(invalid.Reason, invalid)
	return nil
}

// handOver gives the row to the party.
func (s *session) handOver() {
	r := &s.row
	if r.length == 0 {
		return
	}
	edits := r.edits[:r.length]
	s.party.updates(edits)
	for i := range edits {
		if x := &edits[i]; x.Refused != nil {
			s.refuse(string(x.Refused.Reason), fmt.Errorf("vni %d, %v via %v: %w", x.VNI, x.Prefix, x.NextHop, x.Refused))
		}
	}
	clear(edits)
	rows.Put(r.edits)
	r.edits, r.length = nil, 0
}
