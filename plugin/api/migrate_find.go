package api

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
)

// The levels of findings. What blocks would lose packets, or leave the VNI in
// another state than the plan says; the rest is worth knowing. To go back to BGP
// is where an operator flees to: only what would lose packets blocks that.
const (
	blocking = "blocking"
	note     = "note"
)

// findings returns what is to be known of the VNI before it is switched or, if it
// prefers what is planned already, what is not as it should be.
func (c *comparison) findings() []*pb.Finding {
	f := &finder{comparison: c}
	f.configuration()
	f.prefixes()
	f.sessions()
	f.nextHops()
	f.kernel()
	return f.list
}

// finder collects findings.
type finder struct {
	*comparison
	list []*pb.Finding
}

func (f *finder) add(level, check, format string, args ...any) {
	f.list = append(f.list, &pb.Finding{Level: level, Check: check, Text: fmt.Sprintf(format, args...)})
}

// switching reports whether something else is planned than what is preferred.
func (f *finder) switching() bool { return f.planned != f.preferred.Prefer }

// cautious is the level of what makes the way to MetalBond wait, or a
// verification fail, but not the way back.
func (f *finder) cautious() string {
	if f.switching() && f.planned == config.PreferBGP {
		return note
	}
	return blocking
}

func (f *finder) configuration() {
	switch {
	case !f.switching() && f.asked:
		f.add(note, "configuration", "the VNI prefers %v already", f.planned)
	case !f.switching():
	case f.preferred.Fixed != nil:
		f.add(blocking, "configuration", "%v", f.preferred.Fixed)
	case !f.preferred.Kept && f.planned != f.preferred.Configured:
		f.add(note, "configuration", "after a restart the VNI prefers %v again, as the file says: there is no state-directory to keep anything else", f.preferred.Configured)
	}
}

func (f *finder) prefixes() {
	t := f.told
	other, has := "BGP", "MetalBond"
	if f.planned == config.PreferBGP {
		other, has = has, other
	}
	nothing := t.GetOnlyMetalbond()
	if f.planned == config.PreferBGP {
		nothing = t.GetOnlyBgp()
	}
	switch {
	case f.switching() && t.GetBoth()+nothing == 0:
		f.add(f.cautious(), "prefixes", "%s tells of no prefix of the VNI", has)
	case f.switching() && t.GetChanges() == 0:
		f.add(note, "prefixes", "no next hop would change: no prefix is told of by both, or both say the same")
	}
	if n := len(f.hidden); n > 0 {
		f.add(blocking, "prefixes", "%s would go to BGP as unicast, and hide there what BGP tells of them, so that no rollback finds it again: refuse them in export.prefixes until the migration is over (%s)",
			plural(n, "prefix", "prefixes"), some(f.hidden))
	}
	if n := len(f.lacking); n > 0 {
		level := note
		if f.complete {
			level = blocking
		}
		f.add(level, "prefixes", "only %s tells of %s, so %s: %s", other, plural(n, "prefix", "prefixes"), stay(n, other), some(f.lacking))
	}
}

func stay(n int, with string) string {
	if n == 1 {
		return "it stays with " + with
	}
	return "they stay with " + with
}

// sessions looks for those that are down, or whose routes are kept without them.
func (f *finder) sessions() {
	if f.state.Neighbors != nil {
		for _, n := range f.state.Neighbors() {
			switch {
			case !n.Established() && !n.Dynamic:
				f.add(f.cautious(), "sessions", "BGP neighbor %v is %s", n.Address, n.State)
			case len(n.Stale) > 0:
				f.add(f.cautious(), "sessions", "routes of BGP neighbor %v are stale: it has not said them again", n.Address)
			}
		}
	}
	if f.state.Sessions == nil {
		return
	}
	up := 0
	for _, s := range f.state.Sessions() {
		switch {
		case s.Established && s.Held == 0:
			up++
		case s.Held > 0:
			f.add(f.cautious(), "sessions", "%s of MetalBond peer %s are held that it has not said again", plural(s.Held, "route", "routes"), s.Name)
		case s.Server:
			f.add(f.cautious(), "sessions", "MetalBond server %s is %s", s.Name, s.State)
		}
	}
	if up == 0 && f.planned == config.PreferMetalBond {
		f.add(f.cautious(), "sessions", "no MetalBond session is established")
	}
}

// nextHops looks for next hops that packets would be sent to in vain.
func (f *finder) nextHops() {
	if f.Kernel == nil || f.told.GetTable() == 0 {
		return
	}
	if n := len(f.noWay); n > 0 {
		f.add(blocking, "next-hops", "this gateway has no way on for %s: %s", plural(n, "prefix", "prefixes"), some(f.noWay))
	}
	ways := slices.SortedFunc(maps.Keys(f.ways), netip.Addr.Compare)
	ways = slices.DeleteFunc(ways, func(a netip.Addr) bool { return !a.IsValid() })
	list, err := f.Kernel.Unreachable(ways)
	if err != nil {
		f.add(blocking, "next-hops", "the underlay cannot be asked: %v", err)
	}
	if n := len(list); n > 0 {
		var texts []string
		for _, a := range list {
			texts = append(texts, a.String())
		}
		f.add(blocking, "next-hops", "the underlay leads to none of %s: %s", plural(n, "next hop", "next hops"), some(texts))
	}
}

// kernel looks for what is not in the kernel as it should be.
func (f *finder) kernel() {
	if f.Kernel == nil || f.told.GetTable() == 0 {
		return
	}
	if n := len(f.astray); n > 0 {
		f.add(f.cautious(), "kernel", "%s not in the kernel as they should be: %s", plural(n, "prefix is", "prefixes are"), some(f.astray))
	}
	if f.state.Kernel == nil {
		return
	}
	for _, t := range f.state.Kernel().Tables {
		if t.VNI == f.vni && t.Conflicts > 0 {
			f.add(f.cautious(), "kernel", "routes of somebody else stand in the way of %s in table %d", plural(t.Conflicts, "prefix", "prefixes"), t.Table)
		}
	}
}

// mostNamed is how many things a finding names.
const mostNamed = 5

// some names the first few things of a list.
func some(list []string) string {
	if more := len(list) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:mostNamed], ", "), more)
	}
	return strings.Join(list, ", ")
}

// plural is a number of things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
