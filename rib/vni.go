package rib

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// vni is the table of one VNI. Writers take its lock, readers share it for one
// batch at a time.
type vni struct {
	number  VNI
	options *Options

	mu      sync.RWMutex
	dead    bool   // guarded by mu, like all that follows
	version uint64 // of the last change
	index   index
	log     changeLog
	entries slab[entry]
	records slab[record]
	claims  slab[claim]
	hops    hops
	said    map[Origin]*saying
	readers []*Reader
	graves  []uint32        // tombstones
	swept   int             // how many were left after the last sweep
	crowded int             // do not park before there are so many
	noted   int             // memos and their sights, of all readers
	editing uint32          // the entry of the edit under way is not forgotten
	live    int             // live records
	sources [Leaked + 1]int // live records by source
	known   int             // entries with a live record
	current atomic.Int64    // readers that have read everything
	passing atomic.Int64    // readers in the middle of a pass
	target  atomic.Uint64   // the highest of a pass under way, or of one before

	bell  bell
	pages pages
}

func newVNI(t *Table, number VNI) *vni {
	v := &vni{number: number, options: &t.options}
	v.pages.v, v.pages.total = v, &t.paged
	return v
}

// saying is what an origin says in a VNI: the claims, newest first.
type saying struct {
	newest uint32
	count  int
	owner  *originState
}

// find returns the entry of a prefix, 0 if there is none.
func (v *vni) find(p netip.Prefix) uint32 { return v.entryOf(newKey(p)) }

func (v *vni) entryOf(k key) uint32 { return v.index.get(&v.entries, k) }

// liveRecord returns the live record of a next hop, 0 if there is none.
func (v *vni) liveRecord(n, hop uint32) uint32 {
	if n == 0 || hop == 0 {
		return 0
	}
	for at := v.entries.at(n).oldest; at != 0; {
		r := v.records.at(at)
		if r.hop == hop && r.removed == 0 {
			return at
		}
		at = r.next
	}
	return 0
}

// edit is one change of one prefix: what is said and unsaid in it has one
// version.
type edit struct {
	*Editor
	key   key
	entry uint32
	moved bool // the entry has the version of this edit
}

func (e *Editor) edit(k key) edit {
	e.v.editing = e.v.entryOf(k)
	return edit{Editor: e, key: k, entry: e.v.editing}
}

func (e *Editor) editEntry(n uint32) edit {
	e.v.editing = n
	return edit{Editor: e, key: e.v.entries.at(n).key, entry: n}
}

// touch gives the entry the next version, making it if need be.
func (x *edit) touch() {
	if x.moved {
		return
	}
	x.moved = true
	v := x.v
	v.version++
	v.current.Store(0)
	if x.entry == 0 {
		x.entry = v.entries.add()
		v.editing = x.entry
		v.entries.at(x.entry).key = x.key
		v.index.add(x.key, x.entry)
	} else if e := v.entries.at(x.entry); v.passing.Load() > 0 && e.changed <= v.target.Load() {
		v.log.haunt(e, x.entry, v.version)
	} else {
		v.log.clear(e.slot)
	}
	e := v.entries.at(x.entry)
	e.slot = v.log.append(x.entry)
	e.changed = v.version
}

// begin makes a live record, behind the one that it follows on: the records of
// an entry stand in the order in which their next hops came, however often what
// is said of one changes. 0 is the newest.
func (x *edit) begin(follows, hop, claims uint32, s summary) {
	v := x.v
	n := v.records.add()
	*v.records.at(n) = record{added: v.version, entry: x.entry, hop: hop, claims: claims,
		sole: s.sole, preference: s.preference, source: s.source, kind: v.hops.at(hop).Type}
	e := v.entries.at(x.entry)
	if follows == 0 {
		follows = e.newest
	}
	if follows == 0 {
		e.oldest = n
	} else {
		v.records.at(n).next = v.records.at(follows).next
		v.records.at(follows).next = n
	}
	if follows == e.newest {
		e.newest = n
	}
	for c := claims; c != 0; {
		k := v.claims.at(c)
		if c = k.follows(); c == 0 {
			k.next = lastClaim | n
		}
	}
	v.live++
	v.sources[s.source]++
	if e.live++; e.live == 1 {
		v.known++
	}
}

// end makes a live record a tombstone, or frees it if no reader has seen it.
func (x *edit) end(n uint32) {
	v := x.v
	r := v.records.at(n)
	r.removed, r.claims = v.version, 0
	v.live--
	v.sources[r.source]--
	if e := v.entries.at(r.entry); e.live == 1 {
		e.live = 0
		v.known--
	} else {
		e.live--
	}
	if r.added == r.removed || len(v.readers) == 0 {
		v.free(n)
		return
	}
	v.graves = append(v.graves, n)
}

// settle gives a record what its claims come to now.
func (x *edit) settle(n uint32) {
	v := x.v
	r := v.records.at(n)
	if r.claims == 0 {
		x.touch()
		x.end(n)
		return
	}
	s := v.summarize(r.claims)
	if s == r.summary() {
		return
	}
	x.touch()
	if r.added == v.version {
		v.sources[r.source]--
		v.sources[s.source]++
		r.sole, r.preference, r.source = s.sole, s.preference, s.source
		return
	}
	hop, claims := r.hop, r.claims
	v.hops.at(hop).uses++
	x.begin(n, hop, claims, s)
	x.end(n)
}

// say adds a claim. It reports whether that is news.
func (x *edit) say(nh NextHop, pref Preference) bool {
	v := x.v
	hop := v.hops.find(nh)
	n := v.liveRecord(x.entry, hop)
	if n != 0 {
		for c := v.records.at(n).claims; c != 0; {
			k := v.claims.at(c)
			if k.origin == x.id {
				if k.preference == pref {
					return false
				}
				k.preference = pref
				x.settle(n)
				return true
			}
			c = k.follows()
		}
	}
	c := x.claim(pref)
	if c == 0 {
		return false
	}
	if n == 0 {
		x.touch()
		x.begin(0, v.hops.use(nh, hop), c, summary{x.id, pref, x.origin.info.Source})
		return true
	}
	r := v.records.at(n)
	v.claims.at(c).next, r.claims = r.claims, c
	x.settle(n)
	return true
}

// claim makes a claim that is on no record yet. It returns 0 if the origin was
// released.
func (e *Editor) claim(pref Preference) uint32 {
	v, s := e.v, e.says()
	if s == nil {
		if !e.origin.enter(v.number) {
			return 0
		}
		if v.said == nil {
			v.said = map[Origin]*saying{}
		}
		s = &saying{owner: e.origin}
		v.said[e.id], e.saying = s, s
	}
	c := v.claims.add()
	*v.claims.at(c) = claim{origin: e.id, next: lastClaim, older: s.newest, preference: pref, source: e.origin.info.Source}
	if s.newest != 0 {
		v.claims.at(s.newest).newer = c
	}
	s.newest = c
	s.count++
	e.origin.count.Add(1)
	return c
}

// unsay takes the claim of the origin off a live record. It reports whether
// there was one.
func (x *edit) unsay(n uint32) bool {
	v := x.v
	r := v.records.at(n)
	for at := &r.claims; *at&lastClaim == 0; {
		c := *at
		k := v.claims.at(c)
		if k.origin != x.id {
			at = &k.next
			continue
		}
		*at = k.next
		if r.claims&lastClaim != 0 {
			r.claims = 0
		}
		s := x.says()
		if k.newer == 0 {
			s.newest = k.older
		} else {
			v.claims.at(k.newer).older = k.older
		}
		if k.older != 0 {
			v.claims.at(k.older).newer = k.newer
		}
		v.claims.remove(c)
		s.owner.count.Add(-1)
		if s.count--; s.count == 0 {
			delete(v.said, x.id)
			x.saying = nil
			s.owner.leave(v.number)
		}
		x.settle(n)
		return true
	}
	return false
}

// done ends an edit.
func (x *edit) done() {
	v := x.v
	v.editing = 0
	if !x.moved {
		return
	}
	v.forget(x.entry)
	if patience := spared + len(v.readers); len(v.graves) > 2*v.swept+patience || len(v.log.haunted) > 2*v.log.swept+patience {
		v.sweep()
	}
	if len(v.graves) > max(v.options.MaxTombstones, v.crowded) {
		v.park()
	}
	if v.log.loose() {
		v.tighten()
	}
	x.rings = true
}

// free frees a tombstone, and its entry if it was the last record.
func (v *vni) free(n uint32) {
	r := v.records.at(n)
	e := v.entries.at(r.entry)
	var before uint32
	for at := e.oldest; at != n; at = v.records.at(at).next {
		before = at
	}
	if before == 0 {
		e.oldest = r.next
	} else {
		v.records.at(before).next = r.next
	}
	if e.newest == n {
		e.newest = before
	}
	owner := r.entry
	v.hops.drop(r.hop)
	v.records.remove(n)
	v.forget(owner)
}

// forget drops an entry that nothing refers to any more.
func (v *vni) forget(n uint32) {
	e := v.entries.at(n)
	if e.oldest != 0 || e.ghosts != 0 || n == v.editing {
		return
	}
	v.log.clear(e.slot)
	v.index.remove(e.key, n)
	v.entries.remove(n)
}
