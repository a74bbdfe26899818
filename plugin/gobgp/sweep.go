package gobgp

import (
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"unsafe"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// GoBGP 4.8 keeps the entry of every prefix that was ever originated here and
// withdrawn, nearly 1 KB each: an entry is deleted only when the bitmap of its
// path numbers is empty, and only withdrawals that came from a neighbour clear
// their bit (Table.deleteDest and destination.Calculate). Where prefixes come
// and go, that grows for ever, and no call of GoBGP's helps. So after each
// batch of withdrawals the entries that have no path left are taken out of the
// table here, under the lock that GoBGP takes for every look at them. GoBGP
// makes a new entry if the prefix comes back.
//
// That needs fields that GoBGP does not export. If another version does not
// have them in this shape, newSweeper says so and the entries stay; they are
// counted either way.

// sweeper frees table entries without paths.
type sweeper struct {
	tables map[bgp.Family][]shard // of all families that the server has
	paths  []int                  // where an entry has its list of paths
}

type shard struct {
	mu      *sync.RWMutex
	entries reflect.Value // map of a hash to entries with this hash; guarded by mu
}

// newSweeper returns the sweeper of the server's tables. The server must have
// been started, and have been stopped before another start.
func newSweeper(s *server.BgpServer) (sw *sweeper, err error) {
	defer func() {
		if p := recover(); p != nil {
			sw, err = nil, fmt.Errorf("tables of another shape: %v", p)
		}
	}()
	sw = &sweeper{tables: make(map[bgp.Family][]shard)}
	tables := field(field(reflect.ValueOf(s).Elem(), "globalRib").Elem(), "tables")
	for _, f := range families {
		table := tables.MapIndex(reflect.ValueOf(f))
		if !table.IsValid() {
			continue
		}
		if sw.tables[f], err = shardsOf(table.Elem()); err != nil {
			return nil, err
		}
		entries := sw.tables[f][0].entries.Type()
		paths, ok := entries.Elem().Elem().Elem().FieldByName("knownPathList")
		if !ok || paths.Type.Kind() != reflect.Slice || entries.Key().Kind() != reflect.Uint64 {
			return nil, fmt.Errorf("tables of another shape: %v", entries)
		}
		if numbers, ok := entries.Elem().Elem().Elem().FieldByName("localIdMap"); !ok || !isBitmap(numbers.Type) {
			return nil, fmt.Errorf("tables of another shape: %v", entries)
		}
		sw.paths = paths.Index
	}
	return sw, nil
}

// isBitmap reports whether t points to what pin expects.
func isBitmap(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	bits, ok := t.Elem().FieldByName("bitmap")
	return ok && bits.Type == reflect.TypeFor[[]uint64]()
}

// shardsOf returns the shards of a table.
func shardsOf(table reflect.Value) ([]shard, error) {
	shards := field(field(table, "destinations").Elem(), "shards")
	if n := shards.Len(); n == 0 || n&(n-1) != 0 {
		return nil, fmt.Errorf("tables of another shape: %d shards", n)
	}
	list := make([]shard, shards.Len())
	for i := range list {
		sh := shards.Index(i).Elem()
		list[i] = shard{
			mu:      field(sh, "mu").Interface().(*sync.RWMutex),
			entries: field(sh, "mp"),
		}
	}
	return list, nil
}

// field returns a field as if it was exported.
func field(v reflect.Value, name string) reflect.Value {
	f := v.FieldByName(name)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

// size returns how many prefixes the server's table of a family has, but for the
// few whose hashes are the same.
func (sw *sweeper) size(f bgp.Family) (n int) {
	for _, sh := range sw.tables[f] {
		sh.mu.RLock()
		n += sh.entries.Len()
		sh.mu.RUnlock()
	}
	return n
}

// free deletes the entry of nlri if it has no path, and reports whether there
// is none now.
func (sw *sweeper) free(f bgp.Family, nlri bgp.NLRI) bool {
	shards := sw.tables[f]
	if len(shards) == 0 {
		return true
	}
	sh, key := find(shards, nlri)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.entries.MapIndex(key)
	if !list.IsValid() {
		return true
	}
	for i := range list.Len() {
		if list.Index(i).Elem().FieldByIndex(sw.paths).Len() > 0 {
			return false
		}
	}
	sh.entries.SetMapIndex(key, reflect.Value{})
	return true
}

// find returns the shard that the entry of nlri is in, and its key there.
func find(shards []shard, nlri bgp.NLRI) (*shard, reflect.Value) {
	hash := hashOf(nlri)
	sh := &shards[int(uint32(hash))&(len(shards)-1)]
	return sh, reflect.ValueOf(hash).Convert(sh.entries.Type().Key())
}

// hashOf returns GoBGP's key of an entry, a 64-bit FNV-1a hash of what tells
// NLRIs of the family apart.
func hashOf(nlri bgp.NLRI) uint64 {
	h := uint64(14695981039346656037)
	switch n := nlri.(type) {
	case *bgp.IPAddrPrefix:
		return hashPrefix(h, n.Prefix)
	case *bgp.LabeledVPNIPAddrPrefix:
		rd, _ := n.RD.Serialize()
		return hashPrefix(fnv1a(h, rd), n.Prefix)
	}
	return fnv1a(h, nlri.String())
}

func hashPrefix(h uint64, p netip.Prefix) uint64 {
	return fnv1a(fnv1a(h, p.Addr().AsSlice()), []byte{byte(p.Bits())})
}

func fnv1a[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
