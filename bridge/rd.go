package bridge

// A route distinguisher names one path of a VNI's prefixes: path n of every
// prefix of a VNI has the VNI's n-th distinguisher, so that all paths survive
// route reflectors, which keep one of each (RD, prefix). They are type 1,
// router-id:index (RFC 4364 section 4.2).
//
// The index of path 0 of a VNI that fits into 16 bits is, if it is free, the
// VNI itself, so that people recognise it. Others begin at a hash of VNI and
// path.

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// slots is how many paths of a prefix have a distinguisher of their own.
const slots = 4096

// maxIndex is the largest index of a type 1 route distinguisher.
const maxIndex = 0xffff

// distinguishers assigns route distinguishers.
type distinguishers struct {
	router  netip.Addr
	indexes *numbering

	mu    sync.RWMutex
	fixed map[rib.VNI]RD // guarded by mu; of path 0, from the configuration
}

// newDistinguishers assigns path 0 of every VNI that has routes with a route
// distinguisher. The error is about cfg.
func newDistinguishers(cfg *config.Config, log logrus.FieldLogger) (*distinguishers, error) {
	d := &distinguishers{
		router: cfg.RouterID,
		indexes: &numbering{
			what: "route distinguishers", key: "indexes", log: log,
			first: 1, last: maxIndex, slots: slots,
			prefer: preferredIndex, start: hashedIndex,
		},
	}
	if cfg.StateDirectory != "" {
		d.indexes.path = filepath.Join(cfg.StateDirectory, "rd.json")
	}
	want, err := d.want(cfg)
	if err != nil {
		return nil, err
	}
	d.fixed = want.fixed
	return d, d.indexes.open(want.demand)
}

// wantedRDs are what the configuration says of route distinguishers.
type wantedRDs struct {
	fixed map[rib.VNI]RD
	demand
}

// want returns what a configuration says.
func (d *distinguishers) want(cfg *config.Config) (wantedRDs, error) {
	w := wantedRDs{map[rib.VNI]RD{}, newDemand()}
	owner := map[RD]rib.VNI{}
	for _, v := range cfg.VNIs {
		vni := rib.VNI(v.VNI)
		if v.Family == config.VNIFamilyUnicast {
			continue
		}
		w.configured[vni] = true
		if v.RD == (RD{}) {
			w.auto = append(w.auto, vni)
			continue
		}
		if other, taken := owner[v.RD]; taken {
			return w, fmt.Errorf("vni %d and vni %d have the same route distinguisher %v", other, vni, v.RD)
		}
		owner[v.RD] = vni
		w.fixed[vni] = v.RD
		if index, own := d.index(v.RD); own {
			w.reserved[index] = vni
		}
	}
	return w, nil
}

// assign makes w what the configuration says. With an error it is as it was.
func (d *distinguishers) assign(w wantedRDs) error {
	if err := d.indexes.assign(w.demand); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fixed = w.fixed
	return nil
}

// fixedRD returns the RD of path 0 of a VNI if the configuration says it.
func (d *distinguishers) fixedRD(vni rib.VNI) (RD, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rd, ok := d.fixed[vni]
	return rd, ok
}

// index returns the index of a type 1 RD of this router.
func (d *distinguishers) index(rd RD) (uint32, bool) {
	index := uint16(rd[6])<<8 | uint16(rd[7])
	return uint32(index), rd == config.NewRD(d.router, index)
}

// get returns the RD of a path, assigning it if need be; false if none is left.
func (d *distinguishers) get(vni rib.VNI, path int) (RD, bool) {
	if rd, ok := d.fixedRD(vni); ok && path == 0 {
		return rd, true
	}
	index, ok := d.indexes.get(vni, path)
	if !ok {
		return RD{}, false
	}
	return config.NewRD(d.router, uint16(index)), true
}

// list returns the RDs of a VNI by path, zero ones where there is none.
func (d *distinguishers) list(vni rib.VNI) []RD {
	indexes := d.indexes.list(vni)
	rds := make([]RD, max(1, len(indexes)))
	for path, index := range indexes {
		if index != 0 {
			rds[path] = config.NewRD(d.router, uint16(index))
		}
	}
	if rd, ok := d.fixedRD(vni); ok {
		rds[0] = rd
	}
	return rds
}

func preferredIndex(vni rib.VNI) uint32 {
	if vni > maxIndex {
		return 0
	}
	return uint32(vni)
}

func hashedIndex(vni rib.VNI, path int) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte{byte(vni >> 24), byte(vni >> 16), byte(vni >> 8), byte(vni), byte(path)})
	if high := byte(path >> 8); high != 0 {
		_, _ = h.Write([]byte{high})
	}
	return h.Sum32()%maxIndex + 1
}
