package api

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/rib"
)

// Static are the routes that an operator announces while the bridge runs. Those
// that are to be kept are in a file, from which they come back at the next start
// (static_file.go).
type Static struct {
	path      string // "": none can be kept
	channel   channel
	announced func(rib.VNI)
	log       logrus.FieldLogger

	mu     sync.Mutex
	routes map[staticKey]staticValue // guarded by mu; what channel has said
}

// channel is where static routes are said; *bridge.Channel is one.
type channel interface{ Apply([]bridge.Edit) }

// staticKey is a next hop of a prefix.
type staticKey struct {
	vni    rib.VNI
	prefix netip.Prefix
	hop    rib.NextHop
}

type staticValue struct {
	preference rib.Preference // 0: that of the bridge's rules
	keep       bool
}

// StaticOptions say where static routes go.
type StaticOptions struct {
	Path      string        // of the file of those that are kept; "": none can be
	Channel   channel       // what they are said through
	Announced func(rib.VNI) // called for each VNI that has one
	Log       logrus.FieldLogger
}

// NewStatic returns a set of routes that is empty until Load.
func NewStatic(o StaticOptions) *Static {
	return &Static{path: o.Path, channel: o.Channel, announced: o.Announced, log: o.Log, routes: map[staticKey]staticValue{}}
}

// errNotKept is what Announce says where routes cannot be kept.
var errNotKept = fmt.Errorf("routes cannot be kept: api.static-routes is off")

// announce says routes, all or none, and returns how many were not there or had
// another preference. The error is a *staticError if one of them is refused.
func (s *Static) announce(routes []staticRoute, keep bool) (changed int, err error) {
	if keep && s.path == "" {
		return 0, errNotKept
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := make(map[staticKey]staticValue, len(routes))
	edits := make([]bridge.Edit, 0, len(routes))
	for _, r := range routes {
		if old, there := s.routes[r.staticKey]; there {
			before[r.staticKey] = old
		}
		edits = append(edits, r.edit())
	}
	s.channel.Apply(edits)
	for i := range edits {
		if why := edits[i].Refused; why != nil {
			s.restore(routes, before)
			return 0, &staticError{index: i, problem: why.Error()}
		}
	}
	kept := false // those that are kept have changed
	for _, r := range routes {
		old, there := s.routes[r.staticKey]
		now := staticValue{r.preference, keep}
		if !there || old.preference != now.preference {
			changed++
		}
		kept = kept || old != now && (old.keep || keep)
		s.routes[r.staticKey] = now
		s.announced(r.vni)
	}
	if kept {
		err = s.save()
	}
	return changed, err
}

// restore puts back what there was before an attempt to announce routes.
func (s *Static) restore(routes []staticRoute, before map[staticKey]staticValue) {
	edits := make([]bridge.Edit, 0, len(routes))
	for _, r := range routes {
		old, there := before[r.staticKey]
		edit := staticRoute{r.staticKey, old.preference}.edit()
		edit.Remove = !there
		edits = append(edits, edit)
	}
	s.channel.Apply(edits)
}

// withdraw takes routes back and returns how many there were. One without target
// stands for all of its prefix.
func (s *Static) withdraw(routes []staticRoute) (withdrawn int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var edits []bridge.Edit
	kept := false
	take := func(k staticKey, v staticValue) {
		edit := staticRoute{staticKey: k}.edit()
		edit.Remove = true
		edits = append(edits, edit)
		kept = kept || v.keep
		delete(s.routes, k)
	}
	for _, r := range routes {
		if r.hop.Target.IsValid() {
			if v, there := s.routes[r.staticKey]; there {
				take(r.staticKey, v)
			}
			continue
		}
		for k, v := range s.routes {
			if k.vni == r.vni && k.prefix == r.prefix {
				take(k, v)
			}
		}
	}
	s.channel.Apply(edits)
	if kept {
		err = s.save()
	}
	return len(edits), err
}

// staticRoute is a route as an operator says it.
type staticRoute struct {
	staticKey
	preference rib.Preference
}

func (r staticRoute) edit() bridge.Edit {
	return bridge.Edit{VNI: r.vni, Prefix: r.prefix, NextHop: r.hop, Preference: r.preference}
}

// staticError is what is wrong with one route of several.
type staticError struct {
	index   int
	problem string
}

func (e *staticError) Error() string { return fmt.Sprintf("routes[%d]: %s", e.index, e.problem) }

// kept returns the routes that are to be kept, in order.
func (s *Static) kept() (list []staticRoute) {
	for _, k := range slices.SortedFunc(maps.Keys(s.routes), staticKey.compare) {
		if v := s.routes[k]; v.keep {
			list = append(list, staticRoute{k, v.preference})
		}
	}
	return list
}

func (k staticKey) compare(x staticKey) int {
	return cmp.Or(cmp.Compare(k.vni, x.vni), comparePrefixes(k.prefix, x.prefix), compareHops(k.hop, x.hop), cmp.Compare(k.hop.TargetVNI, x.hop.TargetVNI))
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
