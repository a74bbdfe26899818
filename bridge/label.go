package bridge

import (
	"fmt"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// newLabels returns the MPLS label of each VNI that has one: that of the
// configuration, or one of mpls.labels. Of those a VNI gets the one at its
// number, modulo the size of the range, or the next free one. The error is
// about cfg.
func newLabels(cfg *config.Config, log logrus.FieldLogger) (map[rib.VNI]uint32, error) {
	r := cfg.MPLS.Labels
	preferred := func(vni rib.VNI) uint32 { return r.First + uint32(vni)%(r.Last-r.First+1) }
	n := &numbering{
		what: "MPLS labels", key: "labels", log: log,
		first: r.First, last: r.Last, slots: 1,
		prefer: preferred, start: func(vni rib.VNI, _ int) uint32 { return preferred(vni) },
		configured: map[rib.VNI]bool{}, reserved: map[uint32]bool{},
	}
	labels, owner := map[rib.VNI]uint32{}, map[uint32]rib.VNI{}
	var auto []rib.VNI
	for _, v := range cfg.VNIs {
		vni := rib.VNI(v.VNI)
		switch {
		case v.Encapsulation != config.EncapMPLS:
			continue
		case v.Label == 0 && r == (config.LabelRange{}):
			return nil, fmt.Errorf("vni %d needs a label, or a range mpls.labels that it can have one of", vni)
		case v.Label == 0:
			n.configured[vni] = true
			auto = append(auto, vni)
			continue
		}
		if other, taken := owner[v.Label]; taken {
			return nil, fmt.Errorf("vni %d and vni %d have the same label %d", other, vni, v.Label)
		}
		owner[v.Label], labels[vni] = vni, v.Label
		n.reserved[v.Label] = true
	}
	if len(auto) == 0 {
		return labels, nil
	}
	if cfg.StateDirectory != "" {
		n.path = filepath.Join(cfg.StateDirectory, "labels.json")
	}
	if err := n.open(auto); err != nil {
		return nil, err
	}
	for _, vni := range auto {
		labels[vni], _ = n.get(vni, 0)
	}
	return labels, nil
}
