package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is a table and the model of it, with readers.
type world struct {
	table    *Table
	model    *model
	origins  []Origin
	watchers []*watcher
}

const openReaders = 6

var (
	anyVNI        = rapid.Custom(func(t *rapid.T) VNI { return VNI(rapid.IntRange(1, 2).Draw(t, "vni")) })
	anyPreference = rapid.SampledFrom([]Preference{Redistributed, Native})
	anyPrefix     = rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := byte(rapid.IntRange(0, 3).Draw(t, "prefix"))
		if rapid.Bool().Draw(t, "v6") {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: n}), 128)
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32)
	})
	anyNextHop = rapid.Custom(func(t *rapid.T) NextHop {
		nh := NextHop{Target: netip.AddrFrom16([16]byte{0xfd, 15: byte(rapid.IntRange(1, 4).Draw(t, "target"))})}
		if rapid.IntRange(0, 3).Draw(t, "type") == 0 {
			nh.Type, nh.NATFrom, nh.NATTo = NAT, uint16(rapid.IntRange(1, 2).Draw(t, "port")), 2
		}
		return nh
	})
)

func newWorld(o Options) *world {
	w := &world{table: New(o), model: newModel()}
	for i := range 4 {
		w.origin(Source(i))
	}
	return w
}

func (w *world) origin(s Source) Origin {
	o := w.table.NewOrigin(OriginInfo{Source: s, Name: fmt.Sprint("origin ", len(w.origins))})
	w.origins = append(w.origins, o)
	w.model.sources[o] = s
	return o
}

func (w *world) anyOrigin(t *rapid.T) Origin { return rapid.SampledFrom(w.origins).Draw(t, "origin") }

func (w *world) add(t *rapid.T) {
	o := w.anyOrigin(t)
	r := Route{anyVNI.Draw(t, "vni"), anyPrefix.Draw(t, "prefix"), anyNextHop.Draw(t, "hop"), anyPreference.Draw(t, "preference")}
	if got, want := w.table.Add(o, r), w.model.add(o, r); got != want {
		t.Fatalf("Add(%d, %v) = %v", o, r, got)
	}
}

func (w *world) remove(t *rapid.T) {
	o := w.anyOrigin(t)
	r := route{anyVNI.Draw(t, "vni"), anyPrefix.Draw(t, "prefix"), anyNextHop.Draw(t, "hop")}
	if got, want := w.table.Remove(o, r.vni, r.p, r.nh), w.model.remove(o, r); got != want {
		t.Fatalf("Remove(%d, %v) = %v", o, r, got)
	}
}

func (w *world) replace(t *rapid.T) {
	o, vni, p := w.anyOrigin(t), anyVNI.Draw(t, "vni"), anyPrefix.Draw(t, "prefix")
	nhs, pref := rapid.SliceOfN(anyNextHop, 0, 3).Draw(t, "hops"), anyPreference.Draw(t, "preference")
	if got, want := w.table.Replace(o, vni, p, nhs, pref), w.model.replace(o, vni, p, nhs, pref); got != want {
		t.Fatalf("Replace(%d, %v, %v) = %v", o, p, nhs, got)
	}
}

// edit does several of these with one editor.
func (w *world) edit(t *rapid.T) {
	o, vni := w.anyOrigin(t), anyVNI.Draw(t, "vni")
	e := w.table.Edit(o, vni)
	defer e.Done()
	for range rapid.IntRange(0, 8).Draw(t, "length") {
		p, nh, pref := anyPrefix.Draw(t, "prefix"), anyNextHop.Draw(t, "hop"), anyPreference.Draw(t, "preference")
		at := route{vni, p, nh}
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0, 1:
			if got, want := e.Add(p, nh, pref), w.model.add(o, Route{vni, p, nh, pref}); got != want {
				t.Fatalf("Add(%v, %v) = %v", p, nh, got)
			}
		case 2:
			if got, want := e.Remove(p, nh), w.model.remove(o, at); got != want {
				t.Fatalf("Remove(%v, %v) = %v", p, nh, got)
			}
		default:
			nhs := rapid.SliceOfN(anyNextHop, 0, 3).Draw(t, "hops")
			if got, want := e.Replace(p, nhs, pref), w.model.replace(o, vni, p, nhs, pref); got != want {
				t.Fatalf("Replace(%v, %v) = %v", p, nhs, got)
			}
		}
		var want SourceSet
		for o := range w.model.claims(at) {
			want |= Sources(w.model.sources[o])
		}
		if got := e.Sources(p, nh); got != want {
			t.Fatalf("Sources(%v, %v) = %b, want %b", p, nh, got, want)
		}
	}
}

func (w *world) flush(t *rapid.T) {
	o := w.anyOrigin(t)
	if got, want := w.table.Flush(o), w.model.flush(o, func(route) bool { return true }); got != want {
		t.Fatalf("Flush(%d) = %d, want %d", o, got, want)
	}
}

func (w *world) flushVNI(t *rapid.T) {
	o, vni := w.anyOrigin(t), anyVNI.Draw(t, "vni")
	if got, want := w.table.FlushVNI(o, vni), w.model.flush(o, func(r route) bool { return r.vni == vni }); got != want {
		t.Fatalf("FlushVNI(%d, %d) = %d, want %d", o, vni, got, want)
	}
}

func (w *world) release(t *rapid.T) {
	i := rapid.IntRange(0, len(w.origins)-1).Draw(t, "origin")
	o := w.origins[i]
	w.table.Release(o)
	w.model.flush(o, func(route) bool { return true })
	if w.table.Add(o, Route{1, anyPrefix.Draw(t, "prefix"), anyNextHop.Draw(t, "hop"), Native}) {
		t.Fatalf("origin %d was released and announces", o)
	}
	w.origins = slices.Delete(w.origins, i, i+1)
	w.origin(w.model.sources[o])
}

func (w *world) open(t *rapid.T) {
	if len(w.watchers) == openReaders {
		t.Skip("enough readers")
	}
	o := ReaderOptions{
		Except: rapid.SliceOfNDistinct(rapid.SampledFrom(w.origins), 0, 2, rapid.ID).Draw(t, "except"),
		One:    rapid.Bool().Draw(t, "one"),
	}
	if rapid.Bool().Draw(t, "filter") {
		o.Sources = SourceSet(rapid.IntRange(1, 15).Draw(t, "sources"))
	}
	w.watchers = append(w.watchers, watch(w.table, anyVNI.Draw(t, "vni"), o,
		rapid.Bool().Draw(t, "frames"), rapid.IntRange(1, 4).Draw(t, "room")))
}

func (w *world) some(t *rapid.T) (int, *watcher) {
	if len(w.watchers) == 0 {
		t.Skip("no reader")
	}
	i := rapid.IntRange(0, len(w.watchers)-1).Draw(t, "reader")
	return i, w.watchers[i]
}

func (w *world) close(t *rapid.T) {
	i, x := w.some(t)
	x.Close()
	w.watchers = slices.Delete(w.watchers, i, i+1)
}

func (w *world) read(t *rapid.T) {
	_, x := w.some(t)
	x.readOnly()
}

func (w *world) catchUp(t *rapid.T) {
	_, x := w.some(t)
	x.catchUp()
	w.current(t, x)
}

// current checks that a reader that has read everything knows everything.
func (w *world) current(t fataler, x *watcher) {
	t.Helper()
	if err := x.differs(w.model.shown(x.vni, x.options)); err != nil {
		t.Fatalf("reader %+v: %v\n%v", x.options, err, w.model)
	}
	if x.Behind() != 0 {
		t.Fatalf("read everything and is %d behind", x.Behind())
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check holds after each step.
func (w *world) check(t *rapid.T) {
	for _, x := range w.watchers {
		if x.wrong != nil {
			t.Fatalf("reader %+v: %v", x.options, x.wrong)
		}
	}
	for _, o := range w.origins {
		if got, want := w.table.Count(o), w.model.count(o, func(route) bool { return true }); got != want {
			t.Fatalf("Count(%d) = %d, want %d", o, got, want)
		}
		if got, want := w.table.CountVNI(o, 1), w.model.count(o, func(r route) bool { return r.vni == 1 }); got != want {
			t.Fatalf("CountVNI(%d) = %d, want %d", o, got, want)
		}
	}
	for vni := VNI(1); vni <= 2; vni++ {
		w.inspect(t, vni)
	}
}

// inspect compares what can be asked of a VNI.
func (w *world) inspect(t *rapid.T, vni VNI) {
	live := w.model.live(vni)
	visible := w.model.shown(vni, ReaderOptions{})
	var want Stats
	for p, list := range live {
		want.Prefixes++
		want.NextHops += len(list)
		infos := w.table.Lookup(vni, p)
		if len(infos) != len(list) {
			t.Fatalf("Lookup(%d, %v) = %v, want %v", vni, p, infos, list)
		}
		if got := w.table.Visible(nil, vni, p); !slices.Equal(got, visible[p]) {
			t.Fatalf("Visible(%d, %v) = %v, want %v", vni, p, got, visible[p])
		}
		for i, info := range infos {
			path := list[i].path
			want.Sources[path.Source]++
			claims := w.model.claims(route{vni, p, path.NextHop})
			want.Claims += len(claims)
			if info.NextHop != path.NextHop || info.Visible != slices.Contains(visible[p], path) || len(info.Claims) != len(claims) {
				t.Fatalf("Lookup(%d, %v) = %v, want %v", vni, p, infos, list)
			}
			for _, c := range info.Claims {
				if pref, ok := claims[c.Origin]; !ok || pref != c.Preference || c.Source != w.model.sources[c.Origin] {
					t.Fatalf("Lookup(%d, %v) = %v, want claims %v", vni, p, infos, claims)
				}
			}
		}
	}
	got := w.table.Stats(vni)
	if got.Prefixes != want.Prefixes || got.NextHops != want.NextHops || got.Claims != want.Claims || got.Sources != want.Sources {
		t.Fatalf("Stats(%d) = %+v, want %+v", vni, got, want)
	}
	if most := max(w.table.options.MaxTombstones, 0); got.Tombstones > most {
		t.Fatalf("%d tombstones, at most %d are to be kept", got.Tombstones, most)
	}
	walked := 0
	w.table.Walk(vni, func(RouteInfo) bool { walked++; return true })
	if walked != want.NextHops {
		t.Fatalf("Walk visited %d next hops of %d", walked, want.NextHops)
	}
}

// finish lets every reader read to the end, withdraws everything, and lets
// them read to the end again.
func (w *world) finish(t fataler) {
	t.Helper()
	for range 2 {
		for _, x := range w.watchers {
			x.catchUp()
			w.current(t, x)
		}
		for _, o := range w.origins {
			w.table.Flush(o)
			w.model.flush(o, func(route) bool { return true })
		}
	}
	for _, x := range w.watchers {
		x.Close()
	}
	if left := w.table.VNIs(); len(left) != 0 {
		t.Fatalf("all is withdrawn and closed, but there are VNIs %v: %+v", left, w.table.Stats(left[0]))
	}
}

func TestEveryReaderIsToldExactlyWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(Options{
			Encode:        frame,
			MaxTombstones: rapid.SampledFrom([]int{1, 2, 3, 5, 1000}).Draw(t, "tombstones"),
			page:          rapid.SampledFrom([]int{0, frameRoom, 2 * frameRoom, 4 * frameRoom}).Draw(t, "page"),
			paged:         rapid.SampledFrom([]int{0, 1, 4 * frameRoom}).Draw(t, "paged"),
			pagedPerRoute: 1,
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": w.add, "add again": w.add, "add more": w.add, "remove": w.remove, "remove more": w.remove, "replace": w.replace,
			"edit": w.edit, "edit more": w.edit,
			"flush": w.flush, "flush a VNI": w.flushVNI, "release": w.release,
			"open": w.open, "open another": w.open, "close": w.close,
			"read": w.read, "read on": w.read, "read more": w.read, "read to the end": w.catchUp,
			"": w.check,
		})
		w.finish(t)
	})
}
