package rib

// ReaderOptions say what a reader is shown.
type ReaderOptions struct {
	// Wake is called when there is something to read, once after each read
	// that reported no more. It must not block.
	Wake func()

	// Except hides next hops that nobody but these origins, at most two,
	// announces: what a session said is not echoed to it. 0 is ignored.
	Except []Origin

	// One shows, of the visible Standard next hops of a prefix, only the one
	// of the highest preference that came last.
	One bool

	// Sources shows only next hops of these sources; 0 shows all.
	Sources SourceSet
}

// SourceSet is a set of sources.
type SourceSet uint8

// Sources returns the set of the given sources.
func Sources(list ...Source) SourceSet {
	var s SourceSet
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

// Has reports whether s holds x.
func (s SourceSet) Has(x Source) bool { return s&(1<<x) != 0 }

// Reader is a cursor into one VNI.
type Reader struct{}

// NewReader opens a reader that stands before everything: its first reads are
// the dump of the VNI.
func (t *Table) NewReader(vni VNI, o ReaderOptions) *Reader { return &Reader{} }

// ReadFrames fills buf with whole frames. Of one prefix, withdrawals come
// before announcements. When more is false the reader has caught up and Wake
// will be called. buf must have room for a frame (80 bytes); a prefix whose
// frames do not all fit is continued by the next read.
func (r *Reader) ReadFrames(buf []byte) (n int, more bool) { return 0, false }

// ReadChanges fills buf with the next changes, one a prefix.
func (r *Reader) ReadChanges(buf []Change) (n int, more bool) { return 0, false }

// Behind returns how many changes of the VNI the reader has not seen.
func (r *Reader) Behind() uint64 { return 0 }

// Close ends the reader. Wake may be running, or be called once more, while
// Close runs; not after.
func (r *Reader) Close() {}
