package rib

import "sort"

// rest is what of a page is still to be told.
type rest struct {
	frames []byte
	ends   []uint16
	told   int // frames
}

func (r *rest) empty() bool { return r.told == len(r.ends) }

// from returns where the frame with a number begins.
func (r *rest) from(n int) int {
	if n == 0 {
		return 0
	}
	return int(r.ends[n-1] &^ groupEnd)
}

// take copies frames to dst, as many as fit. The frames of a prefix stay
// together, unless they are the first ones and there is no other way.
func (r *rest) take(dst []byte, first bool) (n, frames int) {
	begin, until := r.from(r.told), len(r.ends)
	if len(r.frames)-begin > len(dst) {
		until = r.cut(begin+len(dst), first)
	}
	n = copy(dst, r.frames[begin:r.from(until)])
	frames = until - r.told
	if r.told = until; r.empty() {
		*r = rest{}
	}
	return n, frames
}

// cut returns how many frames end before a place and can be told so far.
func (r *rest) cut(place int, first bool) int {
	fit := sort.Search(len(r.ends), func(i int) bool { return r.from(i+1) > place })
	for n := fit; n > r.told; n-- {
		if r.ends[n-1]&groupEnd != 0 {
			return n
		}
	}
	if first {
		return fit
	}
	return r.told
}
