package rib

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestReadersThatReadOnlyWhenWokenMissNothing lets writers and readers loose on
// one VNI. Each writer has its own origins, so that a model of it can be kept
// without a lock.
func TestReadersThatReadOnlyWhenWokenMissNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, most := range []int{3, 50, 100_000} {
		concurrent(t, most)
	}
}

const (
	writers      = 3
	writerSteps  = 4000
	wokenReaders = 12
)

func concurrent(t *testing.T, maxTombstones int) {
	w := newWorld(Options{Encode: frame, MaxTombstones: maxTombstones, page: 10 * frameRoom, paged: 40 * frameRoom, pagedPerRoute: 1})
	models := make([]*model, writers)
	var writing, reading sync.WaitGroup
	for i := range writers {
		o := w.origin(Source(i))
		models[i] = newModel()
		writing.Go(func() { write(w.table, models[i], o, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	quit := make(chan struct{})
	for i := range wokenReaders {
		o := ReaderOptions{One: i%3 == 0}
		if i%4 == 1 {
			o.Except = []Origin{w.origins[len(w.origins)-1-i%writers]}
		}
		awake := make(chan struct{}, 1)
		o.Wake = func() {
			select {
			case awake <- struct{}{}:
			default:
			}
		}
		x := watch(w.table, 1, o, i%2 == 0, 1+i)
		w.watchers = append(w.watchers, x)
		reading.Go(func() { x.readWhen(awake, quit) })
	}
	writing.Wait()
	version := w.table.Stats(1).Version
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); w.behind(); {
		select {
		case <-tick.C:
		case <-deadline:
			close(quit)
			t.Fatalf("nobody woke all readers: %+v\n%s", w.table.Stats(1), w.dump(version))
		}
	}
	close(quit)
	reading.Wait()
	for _, m := range models {
		for s, pref := range m.said {
			w.model.add(s.o, Route{s.vni, s.p, s.nh, pref})
		}
	}
	// In which order next hops of several writers came the models do not say.
	for p := range w.model.live(1) {
		for i, info := range w.table.Lookup(1, p) {
			w.model.born[route{1, p, info.NextHop}] = i
		}
	}
	w.finish(t)
}

func (w *world) behind() bool {
	return slices.ContainsFunc(w.watchers, func(x *watcher) bool { return x.Behind() > 0 })
}

func (w *world) dump(version uint64) (s string) {
	for _, x := range w.watchers {
		x.v.mu.Lock()
		s += x.state(version)
		x.v.mu.Unlock()
	}
	return s
}

// readWhen reads to the end at first, and then whenever woken.
func (w *watcher) readWhen(awake, quit chan struct{}) {
	for {
		for more := true; more; {
			_, more = w.read()
		}
		select {
		case <-awake:
		case <-quit:
			return
		}
	}
}

// write says and unsays until its time is over.
func write(t *Table, m *model, o Origin, rng *rand.Rand) {
	for range writerSteps {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(40))}), 32)
		nh := NextHop{Target: netip.AddrFrom16([16]byte{0xfd, 15: byte(rng.IntN(5))})}
		switch rng.IntN(10) {
		case 0, 1, 2:
			r := Route{1, p, nh, Native}
			t.Add(o, r)
			m.add(o, r)
		case 3, 4:
			t.Remove(o, 1, p, nh)
			m.remove(o, route{1, p, nh})
		case 5, 6:
			t.Replace(o, 1, p, []NextHop{nh}, Redistributed)
			m.replace(o, 1, p, []NextHop{nh}, Redistributed)
		case 7, 8:
			e := t.Edit(o, 1)
			for i := range 20 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i * 2)}), 32)
				if rng.IntN(2) == 0 {
					e.Add(p, nh, Native)
					m.add(o, Route{1, p, nh, Native})
				} else {
					e.Remove(p, nh)
					m.remove(o, route{1, p, nh})
				}
			}
			e.Done()
		default:
			if rng.IntN(200) == 0 {
				t.Flush(o)
				m.flush(o, func(route) bool { return true })
			}
		}
	}
}

func TestFlushLetsReadersIn(t *testing.T) {
	const routes = 200_000
	table, o := filled(routes, prefix4)
	r := table.NewReader(1, ReaderOptions{})
	defer r.Close()
	readAll(r, make([]byte, 32<<10))
	flushed := make(chan struct{})
	go func() {
		table.Flush(o)
		close(flushed)
	}()
	between := 0
	for done := false; !done; {
		select {
		case <-flushed:
			done = true
		default:
		}
		if n := table.Count(o); n > 0 && n < routes {
			if r.ReadFrames(make([]byte, frameRoom)); table.CountVNI(o, 1) > 0 {
				between++
			}
		}
	}
	if between == 0 {
		t.Error("nobody could read before all was withdrawn")
	}
}

func TestWakeIsNotCalledAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	table, o := filled(1, prefix4)
	for i := range 300 {
		var mu sync.Mutex
		closed := false
		var list []*Reader
		for range 20 {
			r := table.NewReader(1, ReaderOptions{Wake: func() {
				mu.Lock()
				defer mu.Unlock()
				if closed {
					t.Error("woken after Close")
				}
			}})
			readAll(r, make([]byte, 32<<10))
			list = append(list, r)
		}
		table.Add(o, Route{1, prefix4(i + 1), target(1), Native})
		closeAll(list)
		mu.Lock()
		closed = true
		mu.Unlock()
	}
}
