package rib

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Most readers of a VNI are told the same. So the frames of a pass are kept in
// pages for a while, and only the first reader that comes there encodes: 50
// readers of the same changes take 0.01 us a frame and reader instead of 0.12.
//
// For that, passes have to begin and end at the same versions. A reader that
// begins one where another reader began goes to the same target, as long as the
// two versions are remembered as a stride. Strides hang together, so readers
// that are a little apart walk the same ones. Who is before the oldest of them
// goes to the end of the last one by itself, and then walks on with the others:
// in that pass flaps are nothing.
//
// A page is for all readers with the same options but for Except. Who hides an
// origin that is the only one of a next hop in it, reads that stretch without
// it; so does a parked reader. A page that was given up is made again for those
// who come later.
//
// A stride keeps tombstones and ghosts for its target as a pass under way does,
// since who reads its pages stands there afterwards. All strides are forgotten
// when every reader has read everything.
type pages struct {
	v     *vni
	total *atomic.Int64 // bytes of pages in the table

	mu      sync.Mutex
	strides []*stride // guarded by mu, oldest first
	kept    []*page   // guarded by mu, those with frames, oldest first
	bytes   int       // guarded by mu, of kept
	view    view      // guarded by mu; of the page that is made, like what follows
	frames  []byte
	ends    []uint16
}

const (
	pageLength  = 32<<10 - 1 // bytes of a page; an end has 15 bits
	mostStrides = 1024
	mostPaged   = 4 << 20  // bytes of pages of one VNI, or if that is more:
	fullPaged   = 64 << 20 // bytes of pages of all VNIs; beyond, a VNI keeps few

	// A dump to 200 readers takes 0.12 us a frame if they keep a quarter of it
	// and spread over more, and 0.05 if they keep most.
	pagedPerRoute = 32 // bytes, a quarter of what the table takes
)

// stride is a pass that is shared.
type stride struct {
	seen, target uint64 // versions
	dropped      bool   // guarded by pages.mu, like what follows
	kept         int    // pages
	chains       []chain
}

// chain are the pages of a stride for one kind of readers.
type chain struct {
	kind  kind
	first *page
}

// kind is what readers have in common that share pages.
type kind struct {
	one     bool
	sources SourceSet
}

// page holds the frames of a stretch of a pass. Only next and frames change.
type page struct {
	of     *stride
	next   *page    // guarded by pages.mu
	frames []byte   // guarded by pages.mu; nil if there are none or they were given up
	ends   []uint16 // where each frame ends; groupEnd marks the last of a prefix
	soles  []Origin // only origins of next hops whose being there or not the frames tell, in order
	until  uint64   // version of the last slot
	slot   int      // behind it, in its era
	era    uint32
	last   bool // of the pass
	long   bool // it stands for one prefix whose frames are too long
}

const groupEnd = 1 << 15

// serves reports whether the page holds what the reader is to be told.
func (p *page) serves(r *Reader, frames []byte) bool {
	if p.long || len(p.ends) > 0 && frames == nil {
		return false
	}
	for _, o := range r.except {
		if _, found := slices.BinarySearch(p.soles, o); found && o != 0 {
			return false
		}
	}
	return true
}

// stride returns the stride that begins at a version, nil if there is none, and
// the version to go to. It makes one for readers that are as far as the last one
// goes, and for those that have read nothing yet. v.mu is held, shared.
func (s *pages) stride(seen uint64) (x *stride, target uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.strides) - 1; i >= 0; i-- {
		if s.strides[i].seen == seen {
			return s.strides[i], s.strides[i].target
		}
	}
	target = s.v.version
	if n := len(s.strides); n == 0 {
		s.v.passing.Add(1)
	} else if last := s.strides[n-1].target; last > seen {
		if target = last; seen > 0 {
			return nil, target
		}
	}
	if target == s.v.version {
		s.v.target.Store(target)
	}
	x = &stride{seen: seen, target: target}
	if s.strides = append(s.strides, x); len(s.strides) > mostStrides {
		s.drop(0)
	}
	return x, target
}

// drop forgets a stride.
func (s *pages) drop(i int) {
	s.strides[i].dropped = true
	s.strides = slices.Delete(s.strides, i, i+1)
}

// targets returns the targets of all strides, in order.
func (s *pages) targets() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := make([]uint64, len(s.strides))
	for i, x := range s.strides {
		versions[i] = x.target
	}
	return ordered(versions)
}

// leave forgets the strides that end before a version, or there.
func (s *pages) leave(version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(s.strides)-1 && s.strides[n].target <= version; n++ {
		s.strides[n].dropped = true
	}
	if n == 0 {
		return
	}
	s.strides = slices.Delete(s.strides, 0, n)
	s.kept = slices.DeleteFunc(s.kept, func(p *page) bool {
		if p.of.dropped {
			s.drain(p)
		}
		return p.of.dropped
	})
}

// forget forgets all strides and their pages.
func (s *pages) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.strides) == 0 {
		return
	}
	for _, x := range s.strides {
		x.dropped = true
	}
	s.strides, s.frames, s.ends = nil, nil, nil
	s.giveUp(0)
	s.v.passing.Add(-1)
}

// giveUp gives the oldest pages up until so many bytes are left. Strides of
// which nothing is left are forgotten.
func (s *pages) giveUp(bytes int) {
	n := 0
	for ; s.bytes > bytes && n < len(s.kept); n++ {
		p := s.kept[n]
		s.drain(p)
		if p.of.kept--; p.of.kept == 0 && len(s.strides) > 1 {
			if i := slices.Index(s.strides, p.of); i >= 0 {
				s.drop(i)
			}
		}
	}
	if s.kept = slices.Delete(s.kept, 0, n); len(s.kept) == 0 {
		s.kept = nil
	}
}

// drain takes the frames of a page.
func (s *pages) drain(p *page) {
	s.bytes -= len(p.frames)
	s.total.Add(-int64(len(p.frames)))
	p.frames = nil
}

// after returns the page of a stride that follows on another one, or the first
// one if that is nil, with its frames, making it if need be. It returns nil if the
// stride is forgotten. v.mu is held, shared.
func (s *pages) after(x *stride, k kind, before *page) (p *page, frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.dropped {
		return nil, nil
	}
	link := x.link(k, before)
	switch p = *link; {
	case p == nil:
		p = s.make(x, k, before, x.target)
		*link = p
		s.keep(p)
	case p.frames == nil && len(p.ends) > 0: // it was given up
		if again := s.make(x, k, before, p.until); slices.Equal(again.ends, p.ends) {
			p.frames = again.frames
			s.keep(p)
		}
	}
	return p, p.frames
}

// link returns where the page that follows on another one is linked.
func (x *stride) link(k kind, before *page) **page {
	if before != nil {
		return &before.next
	}
	for i := range x.chains {
		if x.chains[i].kind == k {
			return &x.chains[i].first
		}
	}
	x.chains = append(x.chains, chain{kind: k})
	return &x.chains[len(x.chains)-1].first
}

// make makes the page of a stride behind another one, to a version at the most.
// A prefix whose frames are longer than a page has one of its own without frames.
func (s *pages) make(x *stride, k kind, before *page, most uint64) *page {
	v := s.v
	p := &page{of: x, until: x.seen, era: v.log.era}
	if before != nil {
		p.until, p.slot = before.until, before.slot
	}
	if before == nil || before.era != p.era {
		p.slot = v.after(p.until)
	}
	s.view = view{v: v, options: ReaderOptions{One: k.one, Sources: k.sources}, noting: true, soles: s.view.soles[:0], diff: s.view.diff}
	s.frames, s.ends = s.frames[:0], s.ends[:0]
	p.last = true
	slots, budget := v.log.slots, lookedAt
	for ; p.slot < len(slots); p.slot++ {
		entry, end := v.at(slots[p.slot], x.target)
		if end {
			break
		}
		if budget--; budget < 0 {
			p.last = false
			break
		}
		if entry == 0 {
			continue
		}
		if v.changed(slots[p.slot]) > most {
			break
		}
		fits := s.encode(entry, x)
		if !fits && len(s.ends) > 0 {
			p.last = false
			break
		}
		p.until = v.changed(slots[p.slot])
		if !fits {
			p.long, p.last = true, false
			p.slot++
			break
		}
	}
	p.frames, p.ends = slices.Clone(s.frames), slices.Clone(s.ends)
	slices.Sort(s.view.soles)
	p.soles = slices.Clone(slices.Compact(s.view.soles))
	return p
}

// encode adds what a stride says of an entry. It returns false, and has added
// nothing, if there is no room.
func (s *pages) encode(entry uint32, x *stride) bool {
	w, d := &s.view, &s.view.diff
	e := s.v.entries.at(entry)
	if e.oldest == e.newest && e.oldest != 0 {
		return s.encodeOne(e, s.v.records.at(e.oldest), x)
	}
	soles := len(w.soles)
	w.compare(e, x.seen, x.target)
	d.split()
	if len(d.gone)+len(d.come) == 0 {
		return true
	}
	length, ends, p := len(s.frames), len(s.ends), d.prefix()
	for k := range len(d.gone) + len(d.come) {
		if len(s.frames)+frameRoom > s.v.options.page {
			s.frames, s.ends, w.soles = s.frames[:length], s.ends[:ends], w.soles[:soles]
			return false
		}
		s.frames = w.encode(s.frames, p, k)
		s.ends = append(s.ends, uint16(len(s.frames)))
	}
	s.ends[len(s.ends)-1] |= groupEnd
	return true
}

// encodeOne is encode for an entry of one record, as most are: 60 ns instead of
// 95.
func (s *pages) encodeOne(e *entry, r *record, x *stride) bool {
	old, now := r.at(x.seen), r.at(x.target)
	if old == now || s.view.hides(r) {
		return true
	}
	if len(s.frames)+frameRoom > s.v.options.page {
		return false
	}
	s.view.note(r.sole)
	s.frames = s.v.options.Encode(s.frames, old, s.v.number, e.prefix(), s.v.hops.at(r.hop).NextHop)
	s.ends = append(s.ends, uint16(len(s.frames))|groupEnd)
	return true
}

// keep notes a new page and gives old ones up for it.
func (s *pages) keep(p *page) {
	if len(p.frames) == 0 {
		return
	}
	p.of.kept++
	s.kept = append(s.kept, p)
	s.bytes += len(p.frames)
	most := max(s.v.options.paged, s.v.options.pagedPerRoute*s.v.live)
	if s.total.Add(int64(len(p.frames))) > fullPaged {
		most /= 16
	}
	s.giveUp(max(most, len(p.frames)))
}
