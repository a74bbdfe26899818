package rib

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Each row says what is done, and what a reader that had read all before is
// told by then, as "-1" for a withdrawal and "+2" for an announcement of next
// hops 1 and 2, in their order.
func TestWhatAReaderIsTold(t *testing.T) {
	p := prefix4(1)
	type step func(t *Table, a, b Origin)
	add := func(first bool, hop int, pref Preference) step {
		return func(t *Table, a, b Origin) {
			t.Add(pick(first, a, b), Route{1, p, target(hop), pref})
		}
	}
	remove := func(first bool, hop int) step {
		return func(t *Table, a, b Origin) { t.Remove(pick(first, a, b), 1, p, target(hop)) }
	}
	const a, b = true, false
	onlyA := func(a, _ Origin) ReaderOptions { return ReaderOptions{Except: []Origin{a}} }
	anyone := func(_, _ Origin) ReaderOptions { return ReaderOptions{} }
	one := func(_, _ Origin) ReaderOptions { return ReaderOptions{One: true} }
	clients := func(_, _ Origin) ReaderOptions { return ReaderOptions{Sources: Sources(Client)} }
	rows := []struct {
		name   string
		reader func(a, b Origin) ReaderOptions
		before []step
		then   []step
		told   string
	}{
		{"a second announcement of a next hop is nothing to third parties", anyone,
			[]step{add(a, 1, Native)}, []step{add(b, 1, Native)}, ""},
		{"a second announcement is told to the session that announced first", onlyA,
			[]step{add(a, 1, Native)}, []step{add(b, 1, Native)}, "+1"},
		{"what only the session announces any more is withdrawn from it", onlyA,
			[]step{add(a, 1, Native), add(b, 1, Native)}, []step{remove(b, 1)}, "-1"},
		{"the first of two announcements withdrawn is nothing to anybody", anyone,
			[]step{add(a, 1, Native), add(b, 1, Native)}, []step{remove(a, 1)}, ""},
		{"native hides redistributed", anyone,
			[]step{add(a, 1, Redistributed)}, []step{add(b, 2, Native)}, "-1+2"},
		{"redistributed comes back when native goes", anyone,
			[]step{add(a, 1, Redistributed), add(b, 2, Native)}, []step{remove(b, 2)}, "-2+1"},
		{"redistributed behind native is not told", anyone,
			[]step{add(a, 1, Native)}, []step{add(b, 2, Redistributed)}, ""},
		{"a next hop that becomes redistributed gives way", anyone,
			[]step{add(a, 1, Native), add(b, 2, Redistributed)}, []step{add(a, 1, Redistributed)}, "+2"},
		{"a flap between two reads is nothing", anyone,
			[]step{add(a, 1, Native)}, []step{remove(a, 1), add(a, 1, Native)}, ""},
		{"what came and went between two reads is nothing", anyone,
			nil, []step{add(a, 1, Native), remove(a, 1)}, ""},
		{"with one next hop the last that came is told", one,
			[]step{add(a, 1, Native)}, []step{add(b, 2, Native)}, "-1+2"},
		{"with one next hop a second announcement does not make it the last", one,
			[]step{add(a, 1, Native), add(a, 2, Native)}, []step{add(b, 1, Native)}, ""},
		{"with one next hop the one before comes back", one,
			[]step{add(a, 1, Native), add(b, 2, Native)}, []step{remove(b, 2)}, "-2+1"},
		{"the source is that of the best announcement", clients,
			[]step{add(a, 1, Redistributed)}, []step{add(b, 1, Native)}, "-1"},
		{"of equal announcements the lower source counts", clients,
			[]step{add(b, 1, Native)}, []step{add(a, 1, Native)}, "+1"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			table := New(Options{Encode: frame})
			first := table.NewOrigin(OriginInfo{Source: Client})
			second := table.NewOrigin(OriginInfo{Source: Server})
			for _, do := range row.before {
				do(table, first, second)
			}
			r := table.NewReader(1, row.reader(first, second))
			defer r.Close()
			readAll(r, make([]byte, 1000))
			for _, do := range row.then {
				do(table, first, second)
			}
			if got := words(r, p); got != row.told {
				t.Errorf("told %q, want %q", got, row.told)
			}
		})
	}
}

func pick(first bool, a, b Origin) Origin {
	if first {
		return a
	}
	return b
}

// words reads to the end and says what was told of p.
func words(r *Reader, p netip.Prefix) string {
	var s strings.Builder
	buf := make([]byte, 1000)
	for more := true; more; {
		var n int
		n, _, more = r.ReadFrames(buf)
		for rest := buf[:n]; len(rest) > 0; {
			var remove bool
			var at route
			if rest, remove, at = unframe(rest); at.p == p {
				s.WriteByte("+-"[flag(remove)])
				s.WriteByte('0' + at.nh.Target.As16()[15])
			}
		}
	}
	return s.String()
}

func TestAPrefixOfThousandsOfNextHopsIsToldInParts(t *testing.T) {
	const hops = 4000
	table := New(Options{Encode: frame})
	o, p := table.NewOrigin(OriginInfo{}), prefix4(1)
	x := watch(table, 1, ReaderOptions{}, true, 7)
	defer x.Close()
	var nhs []NextHop
	for i := range hops {
		nhs = append(nhs, target(i))
	}
	for _, said := range [][]NextHop{nhs, nhs[1:], nhs[hops/2:], slices.Concat(nhs[:10], nhs[hops-10:]), nil} {
		table.Replace(o, 1, p, said, Native)
		x.catchUp()
		if x.wrong != nil || len(x.told[p]) != len(said) {
			t.Fatalf("told of %d next hops of %d, %v", len(x.told[p]), len(said), x.wrong)
		}
	}
}

func TestFramesFillTheLengthOfTheBufferNotItsCapacity(t *testing.T) {
	table := New(Options{Encode: frame})
	o := table.NewOrigin(OriginInfo{})
	for i := range 100 {
		table.Add(o, Route{1, prefix4(i), target(1), Native})
	}
	r := table.NewReader(1, ReaderOptions{})
	defer r.Close()
	for _, length := range []int{frameRoom, 3 * frameRoom} {
		if n, _, more := r.ReadFrames(make([]byte, 100*frameRoom)[:length]); n == 0 || n > length || !more {
			t.Errorf("%d bytes in a buffer of %d, more %v", n, length, more)
		}
	}
}

// A read that goes on with a pass ends with it: what changed behind it is told
// by the next one.
func TestReadTellsOfAPrefixOnce(t *testing.T) {
	table := New(Options{})
	o := table.NewOrigin(OriginInfo{Source: Client})
	const vni = 1
	for i := range 10 {
		table.Add(o, Route{VNI: vni, Prefix: prefix4(i), NextHop: target(1), Preference: Native})
	}
	r := table.NewReader(vni, ReaderOptions{})
	defer r.Close()
	if n, more := r.ReadChanges(make([]Change, 3)); n != 3 || !more {
		t.Fatalf("read %d, more: %t", n, more)
	}
	table.Add(o, Route{VNI: vni, Prefix: prefix4(8), NextHop: target(2), Preference: Native})
	buf := make([]Change, 100)
	told := 3
	for more := true; more; {
		var n int
		n, more = r.ReadChanges(buf)
		seen := map[netip.Prefix]bool{}
		for _, c := range buf[:n] {
			if seen[c.Prefix] {
				t.Errorf("told of %v twice in one read", c.Prefix)
			}
			seen[c.Prefix] = true
		}
		told += n
	}
	if told != 11 {
		t.Errorf("told of %d changes, want 11", told)
	}
}
