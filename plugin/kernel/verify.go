package kernel

import (
	"errors"
	"net/netip"
	"slices"

	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// Verify returns which of some prefixes the kernel does not have in the table of
// a VNI just as the tables of routes say at this moment, and why; false if the VNI
// has no table. What others change in the kernel counts as soon as the kernel has
// told of it. The loop waits meanwhile, so the list should have no more than some
// thousand.
func (k *Kernel) Verify(vni rib.VNI, prefixes []netip.Prefix) (astray map[netip.Prefix]error, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.fib.tables, func(t *table) bool { return t.vni == vni && !t.left })
	if i < 0 {
		return nil, false
	}
	astray = map[netip.Prefix]error{}
	for _, p := range prefixes {
		if err := k.fib.verify(k.fib.tables[i], p); err != nil {
			astray[p] = err
		}
	}
	return astray, true
}

// verify returns why the kernel has not what is wanted of a prefix, nil if it
// has.
func (f *fib) verify(t *table, p netip.Prefix) error {
	failed, refused := t.failed[p]
	desired := f.desired(t.vni, p)
	switch {
	case refused && failed.conflict:
		return errConflict
	case refused:
		return failed.err
	case len(desired) == 0:
		return errNowhere
	}
	var numbers []uint32
	for _, h := range desired {
		n := f.hops.numbers[h]
		if n == 0 {
			return errNotMade // nobody has asked for it so far
		}
		numbers = append(numbers, n)
	}
	if want := f.sets.find(numbers); want == noSet || !f.sets.same(t.installed.get(p)&^unclaimed, want) {
		return errNotMade
	}
	return nil
}

var errNotRunning = errors.New("the kernel's side does not run")

// Unreachable returns to which addresses the underlay leads no packets, by the
// rules that are applied to next hops.
func (k *Kernel) Unreachable(addrs []netip.Addr) (list []netip.Addr, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tracker == nil {
		return nil, errNotRunning
	}
	found := make([]rtnl.Resolution, len(addrs))
	if err := k.tracker.resolver.Resolve(addrs, found); err != nil {
		return nil, err
	}
	for i, a := range addrs {
		if !k.tracker.judge(found[i]).Reachable {
			list = append(list, a)
		}
	}
	return list, nil
}
