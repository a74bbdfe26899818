package rib

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// frame is the test's own encoding, which can be decoded and is between 40 and
// 80 bytes long.
func frame(dst []byte, remove bool, vni VNI, p netip.Prefix, nh NextHop) []byte {
	start := len(dst)
	address, target := p.Addr().As16(), nh.Target.As16()
	v4 := p.Addr().Is4()
	dst = append(dst, 0, flag(remove), flag(v4), byte(p.Bits()), byte(nh.Type))
	dst = append(dst, address[:]...)
	dst = append(dst, target[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(vni))
	dst = binary.BigEndian.AppendUint32(dst, uint32(nh.TargetVNI))
	dst = binary.BigEndian.AppendUint16(dst, nh.NATFrom)
	dst = binary.BigEndian.AppendUint16(dst, nh.NATTo)
	dst = append(dst, make([]byte, int(target[15])*7%31)...)
	dst[start] = byte(len(dst) - start)
	return dst
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// unframe decodes the first frame.
func unframe(b []byte) (rest []byte, remove bool, at route) {
	address := netip.AddrFrom16([16]byte(b[5:21]))
	if b[2] == 1 {
		address = address.Unmap()
	}
	at = route{
		vni: VNI(binary.BigEndian.Uint32(b[37:])),
		p:   netip.PrefixFrom(address, int(b[3])),
		nh: NextHop{
			Target:    netip.AddrFrom16([16]byte(b[21:37])),
			TargetVNI: VNI(binary.BigEndian.Uint32(b[41:])),
			Type:      NextHopType(b[4]),
			NATFrom:   binary.BigEndian.Uint16(b[45:]),
			NATTo:     binary.BigEndian.Uint16(b[47:]),
		},
	}
	return b[b[0]:], b[1] == 1, at
}

// watcher reads and keeps what it was told, and notes the first thing that it
// should not have been told.
type watcher struct {
	*Reader
	vni     VNI
	frames  bool   // it reads frames, not changes
	buf     []byte // for frames
	changes []Change

	told    map[netip.Prefix][]Path // of frames only the next hop
	added   map[netip.Prefix]bool   // announced in this pass
	ordered bool                    // see readOnly
	wrong   error
}

func watch(t *Table, vni VNI, o ReaderOptions, frames bool, room int) *watcher {
	return &watcher{
		Reader:  t.NewReader(vni, o),
		vni:     vni,
		frames:  frames,
		buf:     make([]byte, frameRoom*room),
		changes: make([]Change, room),
		told:    map[netip.Prefix][]Path{},
		added:   map[netip.Prefix]bool{},
	}
}

func (w *watcher) complain(format string, args ...any) {
	if w.wrong == nil {
		w.wrong = fmt.Errorf(format, args...)
	}
}

// read reads once.
func (w *watcher) read() (n int, more bool) {
	if w.frames {
		n, _, more = w.ReadFrames(w.buf)
		for rest := w.buf[:n]; len(rest) > 0; {
			var remove bool
			var at route
			rest, remove, at = unframe(rest)
			w.hear(remove, at)
		}
		return n, more
	}
	n, more = w.ReadChanges(w.changes)
	for i := range w.changes[:n] {
		w.see(&w.changes[i])
	}
	return n, more
}

func (w *watcher) hear(remove bool, at route) {
	known := w.told[at.p]
	i := slices.IndexFunc(known, func(p Path) bool { return p.NextHop == at.nh })
	switch {
	case at.vni != w.vni:
		w.complain("told of VNI %d", at.vni)
	case remove && i < 0:
		w.complain("withdrawn but never told: %v %v", at.p, at.nh)
	case remove && w.ordered && w.added[at.p]:
		w.complain("withdrawn after an announcement: %v %v", at.p, at.nh)
	case remove:
		w.told[at.p] = slices.Delete(known, i, i+1)
		if len(known) == 1 {
			delete(w.told, at.p)
		}
	case i >= 0:
		w.complain("told twice: %v %v", at.p, at.nh)
	default:
		w.told[at.p] = append(known, Path{NextHop: at.nh})
		w.added[at.p] = true
		if w.options.One {
			w.onlyOne(at.p)
		}
	}
}

func (w *watcher) onlyOne(p netip.Prefix) {
	n := 0
	for _, x := range w.told[p] {
		if x.NextHop.Type == Standard {
			n++
		}
	}
	if n > 1 {
		w.complain("told %d Standard next hops of %v at once", n, p)
	}
}

func samePaths(a, b []Path) bool {
	for _, p := range a {
		if !slices.Contains(b, p) {
			return false
		}
	}
	return len(a) == len(b)
}

func (w *watcher) see(c *Change) {
	if !samePaths(c.Old, w.told[c.Prefix]) {
		w.complain("%v: old is %v, told was %v", c.Prefix, c.Old, w.told[c.Prefix])
	}
	if samePaths(c.Old, c.New) {
		w.complain("%v: nothing changed: %v", c.Prefix, c.New)
	}
	w.told[c.Prefix] = slices.Clone(c.New)
	if len(c.New) == 0 {
		delete(w.told, c.Prefix)
	}
}

// readOnly reads once while nobody writes. If all of the read is of one pass
// it can be said that nothing is withdrawn of a prefix after an announcement;
// the next pass may.
func (w *watcher) readOnly() (n int, more bool) {
	switch now := w.v.version; {
	case !w.rest.empty() && !w.passing && w.seen == now:
	case !w.rest.empty():
		w.ordered = false
	case !w.passing && len(w.owed.list) == 0:
		clear(w.added)
		w.ordered = w.nextTarget() == now
	default:
		w.ordered = w.passing && w.target == now
	}
	n, more = w.read()
	if !w.ordered {
		clear(w.added)
	}
	return n, more
}

// nextTarget returns the target of the pass that is next.
func (w *watcher) nextTarget() uint64 {
	strides := w.v.pages.strides
	if i := slices.IndexFunc(strides, func(x *stride) bool { return x.seen == w.seen }); i >= 0 {
		return strides[i].target
	}
	if n := len(strides); n > 0 && strides[n-1].target > w.seen {
		return strides[n-1].target
	}
	return w.v.version
}

// catchUp reads until there is no more.
func (w *watcher) catchUp() {
	for more := true; more; {
		_, more = w.readOnly()
	}
}

// state describes the cursor. The lock of the VNI is held.
func (w *watcher) state(version uint64) string {
	return fmt.Sprintf("%+v: seen %d of %d, passing %v to %d, reached %d, pins %d and %d, owed %d, later %d\n",
		w.options, w.seen, version, w.passing, w.target, w.reached, w.pin, w.targetPin, len(w.owed.list), len(w.later.list))
}

// differs says how what was told differs from what is to be shown.
func (w *watcher) differs(shown map[netip.Prefix][]Path) error {
	if w.wrong != nil {
		return w.wrong
	}
	for p, paths := range shown {
		if !w.knows(p, paths) {
			return fmt.Errorf("%v: told %v, but it is %v", p, w.told[p], paths)
		}
	}
	for p := range w.told {
		if _, ok := shown[p]; !ok {
			return fmt.Errorf("%v: told %v, but it is gone", p, w.told[p])
		}
	}
	return nil
}

func (w *watcher) knows(p netip.Prefix, paths []Path) bool {
	if !w.frames {
		return samePaths(w.told[p], paths)
	}
	if len(w.told[p]) != len(paths) {
		return false
	}
	for _, path := range paths {
		if !slices.Contains(w.told[p], Path{NextHop: path.NextHop}) {
			return false
		}
	}
	return true
}
