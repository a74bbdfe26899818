package bridge

import (
	"math/bits"
	"slices"
)

// lookup finds elements of a list, however long it is.
type lookup[T comparable] struct {
	list  []T
	index map[T]struct{} // if there are more than a few
}

// few is how many elements are faster searched one by one.
const few = 16

// set makes l find the elements of list, which must not change meanwhile.
func (l *lookup[T]) set(list []T) {
	l.list = list
	if len(list) <= few {
		return
	}
	if l.index == nil {
		l.index = make(map[T]struct{}, len(list))
	}
	clear(l.index)
	for _, x := range list {
		l.index[x] = struct{}{}
	}
}

func (l *lookup[T]) has(x T) bool {
	if len(l.list) <= few {
		return slices.Contains(l.list, x)
	}
	_, ok := l.index[x]
	return ok
}

// indexes is a set of indexes of paths.
type indexes [slots / 64]uint64

func (x *indexes) set(paths []path) {
	*x = indexes{}
	x.reserve(paths)
}

// reserve adds those of paths.
func (x *indexes) reserve(paths []path) {
	for i := range paths {
		x.add(int(paths[i].index))
	}
}

func (x *indexes) add(index int) { x[index/64] |= 1 << (index % 64) }

// free returns the lowest index that is not in x, slots if there is none.
func (x *indexes) free() int {
	for i, word := range x {
		if word != ^uint64(0) {
			return i*64 + bits.TrailingZeros64(^word)
		}
	}
	return slots
}
