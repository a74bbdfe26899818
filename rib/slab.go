package rib

// slab keeps values of one type in chunks and names them by number, so that
// what refers to a value takes 4 bytes, and the garbage collector has nothing
// to follow: a million routes are a few thousand objects to it. Numbers begin
// at 1; 0 names nothing. A chunk that has emptied is given back.
type slab[T any] struct {
	chunks []*chunk[T]
	spare  []uint32 // chunks that had room when they were put here
	vacant []uint32 // places in chunks without a chunk
	length int
}

const chunkLength = 64

type chunk[T any] struct {
	items  [chunkLength]T
	next   [chunkLength]uint8 // after an item that is free: the next one
	free   uint8              // the first free item, chunkLength if there is none
	used   uint8
	listed bool // in spare
}

// at returns the value with a number.
func (s *slab[T]) at(n uint32) *T {
	n--
	return &s.chunks[n/chunkLength].items[n%chunkLength]
}

// add makes a value, zero, and returns its number.
func (s *slab[T]) add() uint32 {
	at := s.room()
	c := s.chunks[at]
	i := c.free
	c.free = c.next[i]
	c.used++
	s.length++
	if c.used == chunkLength {
		c.listed = false
		s.spare = s.spare[:len(s.spare)-1]
	}
	return at*chunkLength + uint32(i) + 1
}

// room returns a chunk with room, which is the last one in spare.
func (s *slab[T]) room() uint32 {
	for len(s.spare) > 0 {
		at := s.spare[len(s.spare)-1]
		if s.chunks[at] != nil && s.chunks[at].listed {
			return at
		}
		s.spare = s.spare[:len(s.spare)-1] // given back since
	}
	c := &chunk[T]{listed: true}
	for i := range c.next {
		c.next[i] = uint8(i + 1)
	}
	var at uint32
	if n := len(s.vacant); n > 0 {
		at = s.vacant[n-1]
		s.vacant = s.vacant[:n-1]
		s.chunks[at] = c
	} else {
		at = uint32(len(s.chunks))
		s.chunks = append(s.chunks, c)
	}
	s.spare = append(s.spare, at)
	return at
}

// remove frees a number.
func (s *slab[T]) remove(n uint32) {
	n--
	at, i := n/chunkLength, uint8(n%chunkLength)
	c := s.chunks[at]
	var zero T
	c.items[i] = zero
	c.next[i], c.free = c.free, i
	c.used--
	s.length--
	switch {
	case c.used == 0 && s.length > 0:
		s.chunks[at] = nil
		s.vacant = append(s.vacant, at)
	case s.length == 0:
		*s = slab[T]{}
	case !c.listed:
		c.listed = true
		s.spare = append(s.spare, at)
	}
}
