package bridge

import (
	"fmt"
	"maps"
	"path/filepath"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// labels are the MPLS labels of VNIs: those of the configuration, and those of
// mpls.labels. Of the range a VNI gets the label at its number, modulo the size
// of the range, or the next free one.
type labels struct {
	inRange *numbering

	mu   sync.Mutex
	want wantedLabels // guarded by mu
}

// wantedLabels are what the configuration says of labels.
type wantedLabels struct {
	fixed map[rib.VNI]uint32
	demand
}

// newLabels returns the labels of a configuration. The error is about cfg.
func newLabels(cfg *config.Config, log logrus.FieldLogger) (*labels, error) {
	r := cfg.MPLS.Labels
	preferred := func(vni rib.VNI) uint32 { return r.First + uint32(vni)%(r.Last-r.First+1) }
	l := &labels{inRange: &numbering{
		what: "MPLS labels", key: "labels", log: log,
		first: r.First, last: r.Last, slots: 1,
		prefer: preferred, start: func(vni rib.VNI, _ int) uint32 { return preferred(vni) },
	}}
	if cfg.StateDirectory != "" && r != (config.LabelRange{}) {
		l.inRange.path = filepath.Join(cfg.StateDirectory, "labels.json")
	}
	var err error
	if l.want, err = wantLabels(cfg); err != nil {
		return nil, err
	}
	return l, l.inRange.open(l.want.demand)
}

// wantLabels returns what a configuration says.
func wantLabels(cfg *config.Config) (wantedLabels, error) {
	w := wantedLabels{map[rib.VNI]uint32{}, newDemand()}
	owner := map[uint32]rib.VNI{}
	for _, v := range cfg.VNIs {
		vni := rib.VNI(v.VNI)
		switch {
		case v.Encapsulation != config.EncapMPLS:
			continue
		case v.Label == 0 && cfg.MPLS.Labels == (config.LabelRange{}):
			return w, fmt.Errorf("vni %d needs a label, or a range mpls.labels that it can have one of", vni)
		case v.Label == 0:
			w.configured[vni] = true
			w.auto = append(w.auto, vni)
			continue
		}
		if other, taken := owner[v.Label]; taken {
			return w, fmt.Errorf("vni %d and vni %d have the same label %d", other, vni, v.Label)
		}
		owner[v.Label], w.fixed[vni] = vni, v.Label
		w.reserved[v.Label] = vni
	}
	return w, nil
}

// assign makes w what the configuration says. With an error it is as it was.
func (l *labels) assign(w wantedLabels) error {
	if err := l.inRange.assign(w.demand); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want = w
	return nil
}

// all returns the labels by VNI.
func (l *labels) all() map[rib.VNI]uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.want.fixed)
	for _, vni := range l.want.auto {
		all[vni], _ = l.inRange.get(vni, 0)
	}
	return all
}
