package rib

// Dumped reports whether the reader was shown all that there was when its first
// read began: what it is shown from then on has changed since. It is for who
// reads, and false until then for a VNI that has never had a route.
func (r *Reader) Dumped() bool { return r.seen > 0 }
