package bridge

// A route distinguisher names one path of a VNI's prefixes: path n of every
// prefix of a VNI has the VNI's n-th distinguisher, so that all paths survive
// route reflectors, which keep one of each (RD, prefix). They are type 1,
// router-id:index (RFC 4364 section 4.2), and must be unique among the VNIs of
// this router and stable: a changed one is a withdrawal and an announcement of
// everything.
//
// The index is, if it is free, the VNI itself for path 0 of a VNI that fits
// into 16 bits, so that people recognise it, and a hash of VNI and path
// otherwise; if it is taken, the next free one. Path 0 of all VNIs is assigned
// at the start, in order of VNI, the others when a prefix first has so many
// next hops. Which index a collision ends at therefore depends on what was
// there before; the state file keeps that over restarts.

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// slots is how many paths of a prefix have a distinguisher of their own.
const slots = 256

// distinguishers assigns route distinguishers.
type distinguishers struct {
	router netip.Addr
	path   string // state file; empty: none
	log    logrus.FieldLogger

	configured map[rib.VNI]bool

	mu      sync.Mutex
	fixed   map[rib.VNI]RD       // of path 0, from the configuration
	indexes map[rib.VNI][]uint16 // by path; 0: not assigned
	used    map[uint16]bool      // indexes and those of fixed
	changed bool                 // since the state file was written
	failed  bool                 // the last write did, and it was logged
}

// newDistinguishers reads the state and assigns path 0 of every VNI. An
// unreadable state is logged and ignored; the error is about cfg.
func newDistinguishers(cfg *config.Config, log logrus.FieldLogger) (*distinguishers, error) {
	d := &distinguishers{
		router:     cfg.RouterID,
		log:        log,
		configured: map[rib.VNI]bool{},
		fixed:      map[rib.VNI]RD{},
		indexes:    map[rib.VNI][]uint16{},
		used:       map[uint16]bool{},
	}
	owner := map[RD]rib.VNI{}
	var auto []rib.VNI
	for _, v := range cfg.VNIs {
		vni := rib.VNI(v.VNI)
		d.configured[vni] = true
		if v.RD == (RD{}) {
			auto = append(auto, vni)
			continue
		}
		if other, taken := owner[v.RD]; taken {
			return nil, fmt.Errorf("vni %d and vni %d have the same route distinguisher %v", other, vni, v.RD)
		}
		owner[v.RD] = vni
		d.fixed[vni] = v.RD
		if index, own := d.index(v.RD); own {
			d.used[index] = true
		}
	}
	if cfg.StateDirectory != "" {
		d.path = filepath.Join(cfg.StateDirectory, "rd.json")
		d.load()
	}
	slices.Sort(auto)
	for _, vni := range auto { // before any hash can take it
		if index := preferred(vni); index != 0 && d.at(vni, 0) == 0 && !d.used[index] {
			d.set(vni, 0, index)
		}
	}
	for _, vni := range auto {
		if d.at(vni, 0) == 0 && !d.assign(vni, 0) {
			return nil, fmt.Errorf("no route distinguisher is left for vni %d", vni)
		}
	}
	d.save()
	return d, nil
}

// index returns the index of a type 1 RD of this router.
func (d *distinguishers) index(rd RD) (uint16, bool) {
	index := uint16(rd[6])<<8 | uint16(rd[7])
	return index, rd == config.NewRD(d.router, index)
}

func (d *distinguishers) at(vni rib.VNI, path int) uint16 {
	if list := d.indexes[vni]; path < len(list) {
		return list[path]
	}
	return 0
}

// get returns the RD of a path, assigning it if need be; false if none is left.
func (d *distinguishers) get(vni rib.VNI, path int) (RD, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rd, ok := d.fixed[vni]; ok && path == 0 {
		return rd, true
	}
	if d.at(vni, path) == 0 && (path >= slots || !d.assign(vni, path)) {
		return RD{}, false
	}
	return config.NewRD(d.router, d.at(vni, path)), true
}

// list returns the RDs of a VNI by path, zero ones where there is none.
func (d *distinguishers) list(vni rib.VNI) []RD {
	d.mu.Lock()
	defer d.mu.Unlock()
	rds := make([]RD, max(1, len(d.indexes[vni])))
	for path, index := range d.indexes[vni] {
		if index != 0 {
			rds[path] = config.NewRD(d.router, index)
		}
	}
	if rd, ok := d.fixed[vni]; ok {
		rds[0] = rd
	}
	return rds
}

// preferred is the index of path 0 if it is free; 0: it has no preference.
func preferred(vni rib.VNI) uint16 {
	if vni > 0xffff {
		return 0
	}
	return uint16(vni)
}

// assign gives a path the first free index from its hash on. When there is
// none, VNIs that are no longer configured lose theirs.
func (d *distinguishers) assign(vni rib.VNI, path int) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte{byte(vni >> 24), byte(vni >> 16), byte(vni >> 8), byte(vni), byte(path)})
	first := h.Sum32() % 0xffff
	for i := range uint32(0xffff) {
		index := uint16((first+i)%0xffff) + 1
		if !d.used[index] {
			d.set(vni, path, index)
			return true
		}
	}
	return d.reclaim() && d.assign(vni, path)
}

// reclaim frees the indexes of VNIs that are not configured, and reports
// whether there were any.
func (d *distinguishers) reclaim() (freed bool) {
	for vni, list := range d.indexes {
		if d.configured[vni] {
			continue
		}
		for _, index := range list {
			if index != 0 {
				delete(d.used, index)
				freed = true
			}
		}
		delete(d.indexes, vni)
	}
	return freed
}

func (d *distinguishers) set(vni rib.VNI, path int, index uint16) {
	list := d.indexes[vni]
	for len(list) <= path {
		list = append(list, 0)
	}
	list[path] = index
	d.indexes[vni] = list
	d.used[index] = true
	d.changed = true
}

// rdState is the state file: for every VNI the indexes of its paths. VNIs that
// are no longer configured stay in it, in case they come back, until others
// need their indexes.
type rdState struct {
	Indexes map[string][]uint16 `json:"indexes"`
}

func (d *distinguishers) load() {
	data, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s rdState
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil {
		err = d.adopt(s)
	}
	if err != nil {
		d.log.WithError(err).WithField("file", d.path).Warn("route distinguishers of the last run are lost, new ones are assigned")
	}
}

// adopt takes over a whole state or, with an error, nothing of it. An index
// that the configuration has given away since is left out.
func (d *distinguishers) adopt(s rdState) error {
	indexes := map[rib.VNI][]uint16{}
	used := map[uint16]bool{}
	for text, list := range s.Indexes {
		vni, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is no VNI", text)
		}
		if len(list) > slots {
			return fmt.Errorf("vni %d has %d indexes, more than %d", vni, len(list), slots)
		}
		for path, index := range list {
			switch {
			case index == 0:
			case used[index]:
				return fmt.Errorf("index %d is there twice", index)
			case d.used[index]:
				list[path] = 0
			default:
				used[index] = true
			}
		}
		indexes[rib.VNI(vni)] = list
	}
	for index := range used {
		d.used[index] = true
	}
	d.indexes = indexes
	return nil
}

// save writes the state file if anything changed. It is called before a new
// distinguisher is used. A failure is logged once; the process goes on.
func (d *distinguishers) save() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.changed || d.path == "" {
		return
	}
	s := rdState{Indexes: map[string][]uint16{}}
	for vni, list := range d.indexes {
		s.Indexes[strconv.FormatUint(uint64(vni), 10)] = list
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err == nil {
		err = writeFile(d.path, append(data, '\n'))
	}
	switch {
	case err == nil:
		d.changed, d.failed = false, false
	case !d.failed:
		d.failed = true
		d.log.WithError(err).WithField("file", d.path).Warn("route distinguishers will not survive a restart")
	}
}

// writeFile replaces a file so that after a crash it is the old or the new one.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".rd-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = dir.Sync()
	if e := dir.Close(); err == nil {
		err = e
	}
	return err
}
