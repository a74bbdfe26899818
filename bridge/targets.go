package bridge

import (
	"slices"
	"sort"

	"mbbgp/config"
)

// targetIndex finds the networks that import a route: by its targets, or those
// of unicast.
type targetIndex struct {
	exact   map[RouteTarget][]*network
	any     map[uint32][]*network // by number, whatever the administrator
	unicast []*network            // by ascending VNI
}

func newTargetIndex(networks []*network) targetIndex {
	x := targetIndex{exact: map[RouteTarget][]*network{}, any: map[uint32][]*network{}}
	for _, n := range networks {
		if n.family == config.VNIFamilyUnicast {
			x.unicast = append(x.unicast, n)
			continue
		}
		for _, m := range n.imports.Targets {
			if m.Any {
				x.any[m.Number] = append(x.any[m.Number], n)
			} else {
				x.exact[m.Target] = append(x.exact[m.Target], n)
			}
		}
	}
	return x
}

// find appends the networks that import any of the targets to dst, each once,
// by ascending VNI.
func (x *targetIndex) find(dst []*network, targets []RouteTarget) []*network {
	for _, t := range targets {
		dst = append(dst, x.exact[t]...)
		if number, ok := t.Number(); ok {
			dst = append(dst, x.any[number]...)
		}
	}
	if len(dst) > 1 {
		sort.Slice(dst, func(i, j int) bool { return dst[i].vni < dst[j].vni })
		dst = slices.Compact(dst)
	}
	return dst
}
