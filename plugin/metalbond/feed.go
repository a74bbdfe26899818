package metalbond

import (
	"sync"

	"mbbgp/rib"
	"mbbgp/wire"
)

// feeds are what a session has to tell: readers of the table, of which those
// that have something to say stand in a queue, and SUBSCRIBEs. Nothing is
// queued but the reader itself: what it will say is read when it can be sent.
//
// A feed's lock is taken before the table's, and mu last: the table may wake a
// feed with its own lock held.
type feeds struct {
	signal func() // there is something to send; must not block

	mu          sync.Mutex
	byVNI       map[rib.VNI]*feed // guarded by mu
	first, last *feed             // guarded by mu; the queue
	asks        []rib.VNI         // guarded by mu; SUBSCRIBEs to send
}

// feed is the reader of one VNI.
type feed struct {
	vni    rib.VNI
	next   *feed // guarded by feeds.mu
	queued bool  // guarded by feeds.mu

	mu     sync.Mutex
	reader *rib.Reader // guarded by mu; nil: not reading
}

// open begins to read a VNI, unless that is being done. It returns false if
// that would be more than limit VNIs.
func (f *feeds) open(vni rib.VNI, limit int, read func(wake func()) *rib.Reader) bool {
	f.mu.Lock()
	x := f.byVNI[vni]
	if x == nil {
		if len(f.byVNI) >= limit {
			f.mu.Unlock()
			return false
		}
		if f.byVNI == nil {
			f.byVNI = make(map[rib.VNI]*feed)
		}
		x = &feed{vni: vni}
		f.byVNI[vni] = x
	}
	f.mu.Unlock()

	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reader == nil {
		f.mu.Lock()
		f.byVNI[vni] = x // forget may have been quicker
		f.mu.Unlock()
		x.reader = read(func() { f.push(x) })
		f.push(x)
	}
	return true
}

// close ends the reading of a VNI. It must not run at the same time as open. A
// feed in the queue is forgotten when its turn comes.
func (f *feeds) close(vni rib.VNI) {
	f.mu.Lock()
	x := f.byVNI[vni]
	f.mu.Unlock()
	if x == nil {
		return
	}
	x.stop()
	f.forget(x)
}

// forget drops a feed that does not read and is not in the queue.
func (f *feeds) forget(x *feed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if x.reader == nil && !x.queued && f.byVNI[x.vni] == x {
		delete(f.byVNI, x.vni)
	}
}

// closeAll ends all reading.
func (f *feeds) closeAll() {
	for _, x := range f.all() {
		x.stop()
	}
}

func (x *feed) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reader != nil {
		x.reader.Close()
		x.reader = nil
	}
}

// ask queues a SUBSCRIBE.
func (f *feeds) ask(vnis ...rib.VNI) {
	f.mu.Lock()
	f.asks = append(f.asks, vnis...)
	f.mu.Unlock()
	f.signal()
}

// waiting reports whether there is something to send.
func (f *feeds) waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first != nil || len(f.asks) > 0
}

// asking reports whether there are SUBSCRIBEs to send.
func (f *feeds) asking() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asks) > 0
}

// fill fills buf with whole frames, SUBSCRIBEs first, then a turn of each
// reader in the queue, and returns their length and number.
func (f *feeds) fill(buf []byte) (n, frames int) {
	n, frames = f.fillAsks(buf)
	for len(buf)-n >= frameRoom {
		x := f.pop()
		if x == nil {
			break
		}
		m, count, more := x.read(buf[n:])
		n, frames = n+m, frames+count
		if m == 0 && !more {
			f.forget(x) // if it was closed
		}
		if more {
			f.push(x)
			if m == 0 {
				break
			}
		}
	}
	return n, frames
}

func (x *feed) read(buf []byte) (n, frames int, more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reader == nil {
		return 0, 0, false
	}
	return x.reader.ReadFrames(buf)
}

func (f *feeds) fillAsks(buf []byte) (n, frames int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := buf[:0]
	for len(f.asks) > 0 && len(buf)-len(out) >= subscribeLength {
		out = wire.AppendSubscribe(out, uint32(f.asks[0]))
		f.asks = f.asks[1:]
		frames++
	}
	if len(f.asks) == 0 {
		f.asks = nil
	}
	return len(out), frames
}

// push puts a feed at the end of the queue, unless it is in it.
func (f *feeds) push(x *feed) {
	f.mu.Lock()
	if x.queued {
		f.mu.Unlock()
		return
	}
	x.queued = true
	if f.last == nil {
		f.first = x
	} else {
		f.last.next = x
	}
	f.last = x
	f.mu.Unlock()
	f.signal()
}

func (f *feeds) pop() *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.first
	if x == nil {
		return nil
	}
	f.first, x.next, x.queued = x.next, nil, false
	if f.first == nil {
		f.last = nil
	}
	return x
}

func (f *feeds) all() []*feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*feed, 0, len(f.byVNI))
	for _, x := range f.byVNI {
		list = append(list, x)
	}
	return list
}

// behind returns which VNIs are read, and how many changes of them are unread.
func (f *feeds) behind() (vnis []rib.VNI, changes uint64) {
	for _, x := range f.all() {
		x.mu.Lock()
		if x.reader != nil {
			vnis = append(vnis, x.vni)
			changes += x.reader.Behind()
		}
		x.mu.Unlock()
	}
	return vnis, changes
}
