package kernel

// A mark selects a table by rules, and the kernel tries rules one after the
// other. So that 4,000 of them are not walked for every packet they form a tree
// over the 12 bits of the mark, four at a time: all rules of a node have the
// node's priority, those of inner nodes say "goto" the priority of the child,
// those of leaves say which table. A packet with a mark meets at most 66 rules, one
// without a mark a single one. Rules match all the bits that lead to them, so
// that a packet whose mark has no rule falls through to the end unharmed. A table
// that has no route for a packet (steer_owners.go) is followed by a rule that
// leads out of the tree, so that not all the rest of it is walked.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"mbbgp/config"
)

// The priorities of the tree, counted from the first one that is ours.
const (
	treeTop    = 0   // packets without a mark leave
	treeRoot   = 1   // by the first four bits
	treeMiddle = 2   // 16 nodes, by the second four
	treeLeaves = 18  // 255 nodes, by the last four
	treeEnd    = 273 // nothing more; a goto needs a rule to go to
)

// The numbers that are carried in the mark.
const (
	noMark       = 0
	lastOwner    = 0xdfe // of hypervisors, from 1
	decapsulated = 0xdff // of packets that came to a segment (filter.go); selects no table
	firstVNI     = 0xe00 // of VNIs whose table validates sources (filter.go)
	lastVNI      = 0xfef // the node of all that follow has no priority

	markBits       = 0xfff
	markBitsOfRoot = 0xf00
	markBitsOfMid  = 0xff0
	markBitsOfVNI  = 0xe00
)

// treeRule is one rule of the tree, of both families.
type treeRule struct {
	priority   uint32 // from the first one that is ours
	mark, mask uint32 // not shifted
	target     uint32 // priority to go to, 0: none
	table      uint32 // 0: none
	refuses    bool   // there is no route; if it does none of it, it is a place to go to
}

// trunk are the rules that are there whatever the marks are.
var trunk = []treeRule{
	{priority: treeEnd},
	{priority: treeEnd, mark: firstVNI, mask: markBitsOfVNI, refuses: true},
	{priority: treeTop, mark: noMark, mask: markBits, target: treeEnd},
	{priority: treeTop, mark: decapsulated, mask: markBits, target: treeEnd},
}

// branch returns the rules of a mark: what it selects, the way out behind it, and
// the way there from the root.
func branch(index uint16, table uint32) []treeRule {
	i := uint32(index)
	middle, leaf := treeMiddle+i>>8, treeLeaves+i>>4
	return []treeRule{
		{priority: leaf, mark: i, mask: markBits, table: table},
		{priority: leaf, mark: i, mask: markBits, target: treeEnd},
		{priority: middle, mark: i & markBitsOfMid, mask: markBitsOfMid, target: leaf},
		{priority: treeRoot, mark: i & markBitsOfRoot, mask: markBitsOfRoot, target: middle},
	}
}

// tree keeps the rules in the kernel.
type tree struct {
	cfg    *config.Kernel
	handle *netlink.Handle
	tables map[uint16]uint32 // that are to be selected, by mark
	made   map[treeRule]bool // in the kernel, for both families
}

func newTree(cfg *config.Kernel, handle *netlink.Handle) tree {
	return tree{cfg: cfg, handle: handle, tables: map[uint16]uint32{}, made: map[treeRule]bool{}}
}

// ipFamilies are those that the rules are for.
var ipFamilies = []int{unix.AF_INET, unix.AF_INET6}

// wanted returns the rules that should be there, in the order in which they are
// made: children before what leads to them, tables before the way out.
func (t *tree) wanted() []treeRule {
	if len(t.tables) == 0 {
		return nil
	}
	list := slices.Clone(trunk)
	for index, table := range t.tables {
		list = append(list, branch(index, table)...)
	}
	slices.SortFunc(list, func(a, b treeRule) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.mark, b.mark), cmp.Compare(b.table, a.table))
	})
	return slices.Compact(list)
}

// add makes a mark select a table.
func (t *tree) add(index uint16, table uint32) error {
	var errs []error
	list := branch(index, table)
	if len(t.tables) == 0 {
		list = append(slices.Clone(trunk), list...)
	}
	for _, r := range list {
		if !t.made[r] {
			errs = append(errs, t.make(r))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.tables[index] = table
	return nil
}

// remove takes the rules of the leaf of a mark away. The inner nodes stay, they
// are few.
func (t *tree) remove(index uint16) error {
	table, ok := t.tables[index]
	if !ok {
		return nil
	}
	delete(t.tables, index)
	list := branch(index, table)
	return errors.Join(t.unmake(list[0]), t.unmake(list[1]))
}

func (t *tree) make(r treeRule) error {
	for _, family := range ipFamilies {
		if err := t.handle.RuleAdd(t.rule(r, family)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("rule %d of NAT steering: %w", t.cfg.RulePriority+r.priority, err)
		}
	}
	t.made[r] = true
	return nil
}

func (t *tree) unmake(r treeRule) error {
	delete(t.made, r)
	for _, family := range ipFamilies {
		if err := t.handle.RuleDel(t.rule(r, family)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("rule %d of NAT steering: %w", t.cfg.RulePriority+r.priority, err)
		}
	}
	return nil
}

func (t *tree) rule(r treeRule, family int) *netlink.Rule {
	n := netlink.NewRule()
	mask := r.mask << t.cfg.MarkShift
	n.Family, n.Protocol = family, t.cfg.Protocol
	n.Priority = int(t.cfg.RulePriority + r.priority)
	if r.mask != 0 {
		n.Mark, n.Mask = r.mark<<t.cfg.MarkShift, &mask
	}
	switch {
	case r.target != 0:
		n.Goto = int(t.cfg.RulePriority + r.target)
	case r.table != 0:
		n.Table = int(r.table)
	case r.refuses:
		n.Type = nl.FR_ACT_UNREACHABLE
	default:
		n.Type = nl.FR_ACT_NOP
	}
	return n
}

// read returns the rules of the tree that are in the kernel, and how many of
// each: one for every family that has it.
func (t *tree) read() (map[treeRule]int, error) {
	rules, err := t.handle.RuleList(unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	have := map[treeRule]int{}
	first := int(t.cfg.RulePriority)
	for _, r := range rules {
		if r.Protocol != t.cfg.Protocol || r.Priority < first || r.Priority > first+treeEnd {
			continue
		}
		h := treeRule{priority: uint32(r.Priority - first), mark: r.Mark >> t.cfg.MarkShift, table: uint32(max(r.Table, 0))}
		if r.Mask != nil {
			h.mask = *r.Mask >> t.cfg.MarkShift
		}
		if r.Goto > first {
			h.target = uint32(r.Goto - first)
		}
		h.refuses = h.mask == markBitsOfVNI
		have[h]++
	}
	return have, nil
}

// reconcile compares all rules with the kernel and puts them right.
func (t *tree) reconcile() (restored int, err error) {
	have, err := t.read()
	if err != nil {
		return 0, err
	}
	var errs []error
	wanted := t.wanted()
	for _, r := range wanted {
		if have[r] != len(ipFamilies) {
			if wayOut := (treeRule{priority: r.priority, mark: r.mark, mask: r.mask, target: treeEnd}); r.table != 0 && have[wayOut] > 0 {
				errs = append(errs, t.unmake(wayOut)) // new rules come behind old ones
				delete(have, wayOut)
			}
			errs = append(errs, t.make(r))
			restored++
		}
		delete(have, r)
	}
	for r := range have {
		if r.table != 0 || r.target != 0 || slices.Contains(trunk, r) { // what others do is not known
			errs = append(errs, t.unmake(r))
			restored++
		}
	}
	return restored, errors.Join(errs...)
}

// clear removes all rules of the tree.
func (t *tree) clear() error {
	clear(t.tables)
	_, err := t.reconcile()
	return err
}
