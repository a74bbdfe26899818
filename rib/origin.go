package rib

import (
	"slices"
	"sync"
	"sync/atomic"
)

// origins are all that may announce.
type origins struct {
	mu   sync.RWMutex
	last Origin                  // guarded by mu; numbers are not used twice
	byID map[Origin]*originState // guarded by mu
}

type originState struct {
	info  OriginInfo
	count atomic.Int64 // claims

	mu       sync.Mutex
	released bool             // guarded by mu; has claims nowhere new
	vnis     map[VNI]struct{} // guarded by mu; where it has claims
}

// enter notes that the origin has claims in a VNI, whose lock is held. It
// returns false if the origin was released meanwhile.
func (o *originState) enter(n VNI) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.released {
		return false
	}
	if o.vnis == nil {
		o.vnis = map[VNI]struct{}{}
	}
	o.vnis[n] = struct{}{}
	return true
}

func (o *originState) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released = true
}

func (o *originState) leave(n VNI) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.vnis, n)
}

func (o *originState) list() []VNI {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]VNI, 0, len(o.vnis))
	for n := range o.vnis {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func (o *origins) get(id Origin) *originState {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.byID[id]
}

// NewOrigin makes an origin.
func (t *Table) NewOrigin(info OriginInfo) Origin {
	o := &t.origins
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	o.byID[o.last] = &originState{info: info}
	return o.last
}

// Origin returns what NewOrigin was told, false if o was released or never was.
func (t *Table) Origin(o Origin) (OriginInfo, bool) {
	s := t.origins.get(o)
	if s == nil {
		return OriginInfo{}, false
	}
	return s.info, true
}

// flushBatch is how many next hops are withdrawn before others have the lock.
const flushBatch = 1024

// Flush withdraws all that o announces and returns how many next hops that
// were. o may announce again.
func (t *Table) Flush(o Origin) (n int) {
	s := t.origins.get(o)
	if s == nil {
		return 0
	}
	for _, number := range s.list() {
		n += t.FlushVNI(o, number)
	}
	return n
}

// FlushVNI withdraws all that o announces in one VNI and returns how many next
// hops that were.
func (t *Table) FlushVNI(o Origin, number VNI) (n int) {
	for {
		some := t.flushSome(o, number)
		n += some
		if some < flushBatch {
			return n
		}
	}
}

func (t *Table) flushSome(o Origin, number VNI) (n int) {
	if t.get(number) == nil {
		return 0
	}
	e := t.Edit(o, number)
	defer e.Done()
	return e.flush(flushBatch)
}

// Release withdraws all that o announces and forgets o.
func (t *Table) Release(o Origin) {
	if s := t.origins.get(o); s != nil {
		s.release() // an Add under way comes before the Flush, or too late
	}
	t.Flush(o)
	t.origins.mu.Lock()
	defer t.origins.mu.Unlock()
	delete(t.origins.byID, o)
}

// Count returns how many next hops o announces.
func (t *Table) Count(o Origin) int {
	if s := t.origins.get(o); s != nil {
		return int(s.count.Load())
	}
	return 0
}

// CountVNI returns how many next hops o announces in one VNI.
func (t *Table) CountVNI(o Origin, number VNI) int {
	v := t.get(number)
	if v == nil {
		return 0
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if s := v.said[o]; s != nil {
		return s.count
	}
	return 0
}
