package rib

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// The figures of the table. Those with readers keep the table small, so that
// 4000 of them can be set up: what a change costs must not depend on them.

const benchPrefixes = 256

func prefix4(i int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(i)+10<<24)
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

func prefix6(i int) netip.Prefix {
	a := [16]byte{0x20, 1, 0xd, 0xb8}
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}

func target(i int) NextHop {
	a := [16]byte{0xfd}
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return NextHop{Target: netip.AddrFrom16(a)}
}

// plainFrame is as long as a MetalBond UPDATE and takes no time.
func plainFrame(dst []byte, _ bool, _ VNI, p netip.Prefix, nh NextHop) []byte {
	var f [49]byte
	a, t := p.Addr().As16(), nh.Target.As16()
	copy(f[4:], a[:])
	copy(f[20:], t[:])
	return append(dst, f[:]...)
}

func filled(n int, prefix func(int) netip.Prefix) (*Table, Origin) {
	return fill(New(Options{Encode: plainFrame}), n, prefix)
}

func fill(t *Table, n int, prefix func(int) netip.Prefix) (*Table, Origin) {
	o := t.NewOrigin(OriginInfo{})
	for i := range n {
		t.Add(o, Route{1, prefix(i), target(i % 64), Native})
	}
	return t, o
}

// readAll reads frames until there are no more.
func readAll(r *Reader, buf []byte) (read int) {
	for {
		n, _, more := r.ReadFrames(buf)
		read += n
		if !more {
			return read
		}
	}
}

// crowd opens readers that have read everything, or, stuck, nothing.
func crowd(t *Table, n int, wake func(), stuck bool) (list []*Reader) {
	buf := make([]byte, 32<<10)
	for range n {
		r := t.NewReader(1, ReaderOptions{Wake: wake})
		if !stuck {
			readAll(r, buf)
		}
		list = append(list, r)
	}
	return list
}

func closeAll(list []*Reader) {
	for _, r := range list {
		r.Close()
	}
}

// withCrowds runs a benchmark with many kinds and numbers of readers.
func withCrowds(b *testing.B, run func(b *testing.B, t *Table, o Origin)) {
	kinds := []struct {
		name  string
		wake  func()
		stuck bool
	}{{"asleep", nil, false}, {"woken", func() {}, false}, {"stuck", nil, true}}
	for _, k := range kinds {
		for _, n := range []int{0, 1, 100, 4000} {
			if n == 0 && k.name != "asleep" {
				continue
			}
			b.Run(fmt.Sprintf("%s=%d", k.name, n), func(b *testing.B) {
				t, o := filled(benchPrefixes, prefix4)
				list := crowd(t, n, k.wake, k.stuck)
				b.ReportAllocs()
				run(b, t, o)
				b.StopTimer()
				closeAll(list)
			})
		}
	}
}

// BenchmarkAdd announces a prefix that is new.
func BenchmarkAdd(b *testing.B) {
	withCrowds(b, func(b *testing.B, t *Table, o Origin) {
		for i := benchPrefixes; b.Loop(); i++ {
			t.Add(o, Route{1, prefix4(i), target(i % 64), Native})
		}
	})
}

// BenchmarkFlap withdraws and announces prefixes: two changes.
func BenchmarkFlap(b *testing.B) {
	withCrowds(b, func(b *testing.B, t *Table, o Origin) {
		for i := 0; b.Loop(); i++ {
			p, nh := prefix4(i%benchPrefixes), target(i%64)
			t.Remove(o, 1, p, nh)
			t.Add(o, Route{1, p, nh, Native})
		}
	})
}

// BenchmarkRemove withdraws prefixes.
func BenchmarkRemove(b *testing.B) {
	for _, n := range []int{0, 1, 100, 4000} {
		b.Run(fmt.Sprintf("asleep=%d", n), func(b *testing.B) {
			t, o := filled(b.N, prefix4)
			list := crowd(t, min(n, 1), nil, false)
			for range n - 1 { // asleep, too, but without having read it all
				r := t.NewReader(1, ReaderOptions{})
				r.seen, r.pin, r.reached = r.v.version, r.v.version, r.v.version
				r.ReadFrames(make([]byte, frameRoom))
				list = append(list, r)
			}
			b.ResetTimer()
			for i := range b.N {
				t.Remove(o, 1, prefix4(i), target(i%64))
			}
			b.StopTimer()
			closeAll(list)
		})
	}
}

// BenchmarkAgain announces what is announced.
func BenchmarkAgain(b *testing.B) {
	t, o := filled(benchPrefixes, prefix4)
	for i := 0; b.Loop(); i++ {
		t.Add(o, Route{1, prefix4(i % benchPrefixes), target(i % benchPrefixes % 64), Native})
	}
}

// BenchmarkReplace moves prefixes to another next hop.
func BenchmarkReplace(b *testing.B) {
	t, o := filled(benchPrefixes, prefix4)
	closing := crowd(t, 1, nil, false)
	b.ReportAllocs()
	nhs := make([]NextHop, 1)
	for i := 0; b.Loop(); i++ {
		nhs[0] = target((i + i/benchPrefixes + 1) % 64)
		t.Replace(o, 1, prefix4(i%benchPrefixes), nhs, Native)
	}
	b.StopTimer()
	closeAll(closing)
}

// BenchmarkDump reads the whole table, per route.
func BenchmarkDump(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		t, _ := filled(n, prefix4)
		b.Run(fmt.Sprintf("frames/routes=%d", n), func(b *testing.B) {
			buf := make([]byte, 32<<10)
			b.ReportAllocs()
			defer perItem(b, (b.N+n-1)/n*n)
			for range (b.N + n - 1) / n {
				r := t.NewReader(1, ReaderOptions{})
				if got := readAll(r, buf); got != n*49 {
					b.Fatal("read ", got)
				}
				r.Close()
			}
		})
		b.Run(fmt.Sprintf("changes/routes=%d", n), func(b *testing.B) {
			buf := make([]Change, 512)
			b.ReportAllocs()
			defer perItem(b, (b.N+n-1)/n*n)
			for range (b.N + n - 1) / n {
				r := t.NewReader(1, ReaderOptions{})
				for more := true; more; {
					_, more = r.ReadChanges(buf)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkFanOut changes 512 prefixes and lets all readers read them, per
// frame delivered.
func BenchmarkFanOut(b *testing.B) {
	const changes = 512
	for _, n := range []int{1, 100, 4000} {
		b.Run(fmt.Sprintf("readers=%d", n), func(b *testing.B) {
			t, o := filled(changes, prefix4)
			list := crowd(t, n, nil, false)
			buf := make([]byte, 32<<10)
			b.ReportAllocs()
			b.ResetTimer()
			frames, nhs := 0, make([]NextHop, 1)
			for round := 0; frames < b.N; round++ {
				nhs[0] = target(64 + round%2)
				for i := range changes {
					t.Replace(o, 1, prefix4(i), nhs, Native)
				}
				for _, r := range list {
					frames += readAll(r, buf) / 49
				}
			}
			b.StopTimer()
			perItem(b, frames)
			closeAll(list)
		})
	}
}

// perItem reports the time for each of n items, of which there were at least
// b.N.
func perItem(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/op")
}

// BenchmarkFlush withdraws a million routes of one origin, per route.
func BenchmarkFlush(b *testing.B) {
	t, o := filled(million, prefix4)
	list := crowd(t, 1, nil, false)
	begin := time.Now()
	if n := t.Flush(o); n != million {
		b.Fatal(n)
	}
	b.ReportMetric(float64(time.Since(begin).Nanoseconds())/million, "ns/route")
	b.ReportMetric(0, "ns/op") // however often it ran
	closeAll(list)
}

const million = 1_000_000

// BenchmarkMemory weighs a million routes, and a further origin that says the
// same of all of them.
func BenchmarkMemory(b *testing.B) {
	b.Run("ipv4", func(b *testing.B) { weigh(b, prefix4) })
	b.Run("ipv6", func(b *testing.B) { weigh(b, prefix6) })
}

func weigh(b *testing.B, prefix func(int) netip.Prefix) {
	empty := heap()
	t, _ := filled(million, prefix)
	one := heap()
	o := t.NewOrigin(OriginInfo{})
	for i := range million {
		t.Add(o, Route{1, prefix(i), target(i % 64), Native})
	}
	two := heap()
	b.ReportMetric(float64(one.HeapAlloc-empty.HeapAlloc)/million, "B/route")
	b.ReportMetric(float64(one.HeapInuse-empty.HeapInuse)/million, "inuse-B/route")
	b.ReportMetric(float64(one.Sys)/million, "sys-B/route") // all of the process
	b.ReportMetric(float64(two.HeapAlloc-one.HeapAlloc)/million, "B/origin")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(t)
}

func heap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
