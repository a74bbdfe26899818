package rib

// hops gives each next hop a number. A table has few distinct ones, each used
// by many routes. A next hop is forgotten with the last record that names it.
type hops struct {
	numbers map[NextHop]uint32
	list    []hop // by number; 0 is unused
	vacant  []uint32
}

type hop struct {
	NextHop
	uses int
}

func (h *hops) find(nh NextHop) uint32 { return h.numbers[nh] }

// use returns the number of nh for one more user.
func (h *hops) use(nh NextHop) uint32 {
	n := h.numbers[nh]
	if n == 0 {
		if h.numbers == nil {
			h.numbers = make(map[NextHop]uint32)
			h.list = make([]hop, 1)
		}
		if k := len(h.vacant); k > 0 {
			n = h.vacant[k-1]
			h.vacant = h.vacant[:k-1]
		} else {
			n = uint32(len(h.list))
			h.list = append(h.list, hop{})
		}
		h.list[n] = hop{NextHop: nh}
		h.numbers[nh] = n
	}
	h.list[n].uses++
	return n
}

func (h *hops) drop(n uint32) {
	x := &h.list[n]
	if x.uses--; x.uses > 0 {
		return
	}
	delete(h.numbers, x.NextHop)
	*x = hop{}
	h.vacant = append(h.vacant, n)
	if len(h.numbers) == 0 {
		*h = hops{}
	}
}
