package rib

// hops gives each next hop a number. A table has few distinct ones, each used
// by many routes. A next hop is forgotten with the last record or memo that
// names it.
type hops struct {
	numbers map[NextHop]uint32
	most    int // length of numbers since it was made
	slab    slab[hop]
	last    uint32 // that was found; who announces says the same again and again
}

type hop struct {
	NextHop
	uses int
}

// find returns the number of nh, 0 if it has none. It must not run twice at once.
func (h *hops) find(nh NextHop) uint32 {
	if h.last == 0 || h.at(h.last).NextHop != nh {
		h.last = h.numbers[nh]
	}
	return h.last
}

func (h *hops) at(n uint32) *hop { return h.slab.at(n) }

// use notes one more user of nh, which find has found to be n, and returns its
// number.
func (h *hops) use(nh NextHop, n uint32) uint32 {
	if n == 0 {
		if h.numbers == nil {
			h.numbers = make(map[NextHop]uint32)
		}
		n = h.slab.add()
		h.at(n).NextHop = nh
		h.numbers[nh] = n
		h.most = max(h.most, len(h.numbers))
	}
	h.at(n).uses++
	return n
}

func (h *hops) drop(n uint32) {
	x := h.at(n)
	if x.uses--; x.uses > 0 {
		return
	}
	if h.last == n {
		h.last = 0
	}
	delete(h.numbers, x.NextHop)
	h.numbers, h.most = shrunk(h.numbers, h.most)
	h.slab.remove(n)
}

const keptMap = 1024 // entries; a map that was never larger is never made anew

// shrunk returns m, or a smaller copy if m was made for far more than it holds:
// a Go map does not shrink.
func shrunk[K comparable](m map[K]uint32, most int) (map[K]uint32, int) {
	if most <= keptMap || len(m) > most/4 {
		return m, most
	}
	if len(m) == 0 {
		return nil, 0
	}
	small := make(map[K]uint32, len(m))
	for k, n := range m {
		small[k] = n
	}
	return small, len(small)
}
