package rib

import (
	"cmp"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Options are fixed for the life of a table.
type Options struct {
	// Encode appends the frame that announces, or with remove withdraws, a
	// next hop of a prefix. Nil if no reader uses ReadFrames.
	Encode func(dst []byte, remove bool, vni VNI, p netip.Prefix, nh NextHop) []byte

	// MaxTombstones bounds, per VNI, how many withdrawn next hops are kept for
	// readers that have not read of the withdrawal yet; 0 means the default.
	// Beyond, readers are parked, as long as their notes are not many times as
	// much; if they are, more tombstones stay.
	MaxTombstones int

	// Bytes of a page, and of all pages of a VNI; 0 means the default.
	page, paged, pagedPerRoute int
}

const defaultTombstones = 1 << 20

// Table keeps the routes of every VNI. All methods may be called at the same
// time from any goroutine.
type Table struct {
	options Options
	origins origins
	paged   atomic.Int64 // bytes of pages

	mu   sync.RWMutex
	vnis map[VNI]*vni // guarded by mu
}

// New returns an empty table.
func New(o Options) *Table {
	if o.MaxTombstones <= 0 {
		o.MaxTombstones = defaultTombstones
	}
	o.page, o.paged = cmp.Or(o.page, pageLength), cmp.Or(o.paged, mostPaged)
	o.pagedPerRoute = cmp.Or(o.pagedPerRoute, pagedPerRoute)
	return &Table{options: o, vnis: map[VNI]*vni{}, origins: origins{byID: map[Origin]*originState{}}}
}

// lock returns a VNI's table, locked, making it if need be.
func (t *Table) lock(number VNI) *vni {
	for {
		v := t.get(number)
		if v == nil {
			t.mu.Lock()
			if v = t.vnis[number]; v == nil {
				v = newVNI(t, number)
				t.vnis[number] = v
			}
			t.mu.Unlock()
		}
		v.mu.Lock()
		if !v.dead {
			return v
		}
		v.mu.Unlock()
	}
}

func (t *Table) get(number VNI) *vni {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.vnis[number]
}

// unlock unlocks a VNI's table, and drops it if it holds nothing.
func (t *Table) unlock(v *vni) {
	empty := v.empty()
	v.mu.Unlock()
	if !empty {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.empty() && !v.dead {
		v.dead = true
		delete(t.vnis, v.number)
	}
}

func (v *vni) empty() bool { return v.entries.length == 0 && len(v.readers) == 0 }

// Add says that o announces r. It reports whether that is news: o had not
// announced this next hop, or with another preference.
func (t *Table) Add(o Origin, r Route) (changed bool) {
	e := t.Edit(o, r.VNI)
	defer e.Done()
	return e.Add(r.Prefix, r.NextHop, r.Preference)
}

// Remove takes back what o announced. It reports whether o had announced it.
func (t *Table) Remove(o Origin, number VNI, p netip.Prefix, nh NextHop) (changed bool) {
	if t.get(number) == nil {
		return false
	}
	e := t.Edit(o, number)
	defer e.Done()
	return e.Remove(p, nh)
}

// Replace makes nhs, with the preference pref, all that o announces of p. No
// next hops withdraw the prefix. This is BGP's implicit withdraw.
func (t *Table) Replace(o Origin, number VNI, p netip.Prefix, nhs []NextHop, pref Preference) (changed bool) {
	if len(nhs) == 0 && t.get(number) == nil {
		return false
	}
	e := t.Edit(o, number)
	defer e.Done()
	return e.Replace(p, nhs, pref)
}
