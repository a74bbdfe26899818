package bridge

import (
	"bytes"
	"slices"
	"sort"

	"mbbgp/config"
)

// targetIndex finds the networks that import a route target.
type targetIndex struct {
	exact map[RouteTarget][]*network
	any   map[uint32][]*network // by number, whatever the administrator
}

func newTargetIndex(networks []*network) targetIndex {
	x := targetIndex{exact: map[RouteTarget][]*network{}, any: map[uint32][]*network{}}
	for _, n := range networks {
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

// Targets are what some VNI imports, sorted: what a route must carry one of.
// Those of automatic route targets match every administrator.
func (g *BGP) Targets() []config.TargetMatch {
	var all []config.TargetMatch
	for _, n := range g.bridge.sorted {
		all = append(all, n.imports.Targets...)
	}
	slices.SortFunc(all, func(a, b config.TargetMatch) int {
		if a.Any != b.Any {
			if b.Any {
				return -1
			}
			return 1
		}
		if a.Any {
			return int(int64(a.Number) - int64(b.Number))
		}
		return bytes.Compare(a.Target[:], b.Target[:])
	})
	return slices.Compact(all)
}

// RouteTargets are the exact ones of Targets.
func (g *BGP) RouteTargets() []RouteTarget {
	var exact []RouteTarget
	for _, m := range g.Targets() {
		if !m.Any {
			exact = append(exact, m.Target)
		}
	}
	return exact
}
