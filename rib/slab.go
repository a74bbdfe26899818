package rib

import "math/bits"

// slab keeps values of one type in chunks and names them by number, so that
// what refers to a value takes 4 bytes, and the garbage collector has nothing
// to follow: a million routes are some ten thousand objects to it. Numbers
// begin at 1; 0 names nothing. A chunk that has emptied is given back.
//
// A chunk holds nothing but its items, since 64 of an entry, a record or a
// claim are, to 5 percent, of a size that Go has a size class for: 3072, 2560
// (of 2688) and 1280 bytes.
type slab[T any] struct {
	chunks []*[chunkLength]T // nil: given back
	free   []uint64          // a bit for each free item of a chunk
	spare  []uint32          // every chunk that has room, and some that were given back
	vacant []uint32          // places in chunks without a chunk
	length int
}

const chunkLength = 64

// at returns the value with a number.
func (s *slab[T]) at(n uint32) *T {
	n--
	return &s.chunks[n/chunkLength][n%chunkLength]
}

// add makes a value, zero, and returns its number.
func (s *slab[T]) add() uint32 {
	at := s.room()
	i := uint32(bits.TrailingZeros64(s.free[at]))
	s.free[at] &^= 1 << i
	s.length++
	if s.free[at] == 0 {
		s.spare = s.spare[:len(s.spare)-1]
	}
	return at*chunkLength + i + 1
}

// room returns a chunk with room, which is the last one in spare.
func (s *slab[T]) room() uint32 {
	for len(s.spare) > 0 {
		at := s.spare[len(s.spare)-1]
		if s.chunks[at] != nil {
			return at
		}
		s.spare = s.spare[:len(s.spare)-1] // given back since
	}
	at := uint32(len(s.chunks))
	if n := len(s.vacant); n > 0 {
		at = s.vacant[n-1]
		s.vacant = s.vacant[:n-1]
	} else {
		s.chunks, s.free = append(s.chunks, nil), append(s.free, 0)
	}
	s.chunks[at], s.free[at] = new([chunkLength]T), ^uint64(0)
	s.spare = append(s.spare, at)
	return at
}

// remove frees a number.
func (s *slab[T]) remove(n uint32) {
	var zero T
	*s.at(n) = zero
	n--
	at := n / chunkLength
	if s.free[at] == 0 {
		s.spare = append(s.spare, at)
	}
	s.free[at] |= 1 << (n % chunkLength)
	s.length--
	switch {
	case s.length == 0:
		*s = slab[T]{}
	case s.free[at] == ^uint64(0):
		s.chunks[at] = nil
		s.vacant = append(s.vacant, at)
	}
}
