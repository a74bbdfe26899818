package config

// The difference between two configurations is that of their effective files:
// so it is told in the words of the file, with every default that follows from
// something else. What stands in a list under a name of its own (a VNI, a
// neighbour, a source of clients) is compared with what has the same name,
// wherever it stands; all other lists are values.

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one key that differs between two configurations, or one entry that
// only one of them has.
type Change struct {
	Path string // such as metalbond.hold or vnis[vni=200].import.targets
	Old  string // as the file writes it; "": it was not there
	New  string // likewise; "": it is not there any more
	How  How    // it is applied
}

// String returns the change for people, in one line.
func (c Change) String() string {
	switch {
	case c.entry() && c.Old == "":
		return c.Path + ": added"
	case c.entry() && c.New == "":
		return c.Path + ": removed"
	}
	return fmt.Sprintf("%s: %s, was %s", c.Path, orNone(c.New), orNone(c.Old))
}

// optionalSections are those that mean something by being there.
var optionalSections = []string{"bgp", "kernel", "metalbond.tls", "metalbond.server-tls"}

// entry reports whether the change is of an entry or section as a whole.
func (c *Change) entry() bool {
	return slices.Contains(optionalSections, c.Path) || strings.HasSuffix(c.Path, "]")
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// How says how a change is applied to a bridge that runs.
type How uint8

// The ways, by how much they disturb.
const (
	Live    How = iota // nothing else notices
	Session            // the BGP sessions that it names are ended and begin anew
	Restart            // not at all: the process has to be started anew
)

var howNames = []string{"live", "session", "restart"}

// String returns the name that logs and the API use.
func (h How) String() string { return name(howNames, h) }

// Diff returns what leads from old to new, in the order of the file. Neither is
// changed.
func Diff(old, new *Config) []Change {
	d := differ{multipath: old.receivesPaths() != new.receivesPaths()}
	d.mapping("", "", old.tree(), new.tree())
	return d.changes
}

// receivesPaths reports whether some neighbour may send several paths of an
// NLRI: the speaker has one import for all neighbours or the other.
func (c *Config) receivesPaths() bool {
	return c.BGP != nil &&
		(slices.ContainsFunc(c.BGP.Neighbors, func(n Neighbor) bool { return n.AddPath.Receives() }) ||
			slices.ContainsFunc(c.BGP.DynamicNeighbors, func(n DynamicNeighbor) bool { return n.AddPath.Receives() }))
}

// tree returns the effective file as a tree of nodes.
func (c *Config) tree() *node {
	t := tree{file: "effective configuration", anchors: map[string]*node{}}
	if root := t.parse(c.marshal()); root != nil {
		return root
	}
	return &node{kind: mappingNode}
}

// differ collects changes.
type differ struct {
	multipath bool // between one path of an NLRI and several
	changes   []Change
}

// names are the lists whose entries have a name, and the keys that are it, of
// which an entry may lack some.
var names = map[string][]string{
	"metalbond.clients":     {"certificate", "source"},
	"bgp.neighbors":         {"address"},
	"bgp.dynamic-neighbors": {"prefix"},
	"vnis":                  {"vni"},
}

// nameOf returns the name of an entry, as paths have it: "vni=200".
func nameOf(item *node, keys []string) string {
	var parts []string
	for _, key := range keys {
		if value := get(item, key); value != nil {
			parts = append(parts, key+"="+value.text)
		}
	}
	return strings.Join(parts, ",")
}

// mapping compares two mappings, either of which may be nil. key is their path
// without names, as the rules have it.
func (d *differ) mapping(path, key string, old, new *node) {
	for _, k := range keys(new, old) {
		d.value(join(path, k), join(key, k), get(old, k), get(new, k))
	}
}

// keys returns the keys of two mappings, each once.
func keys(list ...*node) (all []string) {
	for _, n := range list {
		if n == nil {
			continue
		}
		for _, e := range n.entries {
			if !slices.Contains(all, e.key) {
				all = append(all, e.key)
			}
		}
	}
	return all
}

// get returns the value of a key, nil if there is none.
func get(n *node, key string) *node {
	if n == nil {
		return nil
	}
	if e := n.entry(key); e != nil {
		return e.value
	}
	return nil
}

func (d *differ) value(path, key string, old, new *node) {
	_, named := names[key]
	_, ruled := rules[key]
	switch {
	case named:
		d.named(path, key, old, new)
	case isMapping(old, new) && (!ruled || old != nil && new != nil): // a section, or one that may be there or not
		d.mapping(path, key, old, new)
	default:
		d.differ(path, key, old.oneLine(), new.oneLine())
	}
}

func isMapping(list ...*node) bool {
	return !slices.ContainsFunc(list, func(n *node) bool { return n != nil && n.kind != mappingNode })
}

// named compares two lists whose entries have names: those of the new one in
// their order, then those that are gone.
func (d *differ) named(path, key string, old, new *node) {
	id := names[key]
	before, now := byName(old, id), byName(new, id)
	for _, x := range items(new) {
		name := nameOf(x, id)
		at := fmt.Sprintf("%s[%s]", path, name)
		if was := before[name]; was != nil {
			d.mapping(at, key+"[]", was, x)
		} else {
			d.differ(at, key+"[]", "", x.oneLine())
		}
	}
	for _, x := range items(old) {
		if name := nameOf(x, id); now[name] == nil {
			d.differ(fmt.Sprintf("%s[%s]", path, name), key+"[]", x.oneLine(), "")
		}
	}
}

// byName returns the entries of a list by their names.
func byName(list *node, id []string) map[string]*node {
	all := make(map[string]*node, len(items(list)))
	for _, x := range items(list) {
		all[nameOf(x, id)] = x
	}
	return all
}

func items(n *node) []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// differ notes a change, if it is one.
func (d *differ) differ(path, key, old, new string) {
	if old == new {
		return
	}
	how, known := rules[key]
	c := Change{Path: path, Old: old, New: new, How: how}
	if !known || d.multipath && c.concernsPaths(key) {
		c.How = Restart
	}
	d.changes = append(d.changes, c)
}

// concernsPaths reports whether the change is of add-path, or of a neighbour
// that has it.
func (c *Change) concernsPaths(key string) bool {
	receives := func(s string) bool {
		return strings.Contains(s, "add-path: receive") || strings.Contains(s, "add-path: both")
	}
	return strings.HasSuffix(key, ".add-path") || receives(c.Old) || receives(c.New)
}

// oneLine writes a value in one line; nil is "".
func (n *node) oneLine() string {
	var parts []string
	switch {
	case n == nil:
		return ""
	case n.kind == listNode:
		for _, x := range n.items {
			parts = append(parts, x.oneLine())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.kind == mappingNode:
		for _, e := range n.entries {
			parts = append(parts, e.key+": "+e.value.oneLine())
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return n.text
}
