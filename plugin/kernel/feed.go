package kernel

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"mbbgp/config"
	"mbbgp/rib"
)

// feed reads one VNI of a table of routes, and marks the prefixes of the
// kernel's tables that follow from it.
type feed struct {
	reader *rib.Reader
	rung   atomic.Bool // there is something to read
	full   bool        // it was read to the end once
	tables []*table    // routes that may be other ones
	ranges []*natTable // NAT ranges that may be; of MetalBond's table only
}

// natTable is a VNI with a kernel table and the VNIs whose NAT ranges it has.
type natTable struct {
	vni  rib.VNI
	from []rib.VNI // with its own
}

// feeds are all that is read. They are for the loop, but for wake.
type feeds struct {
	list  []*feed
	wake  chan struct{}
	batch []rib.Change
	nat   map[natKey]struct{} // NAT addresses to look at
}

type natKey struct {
	table  *natTable
	prefix netip.Prefix
}

const (
	changesAtOnce = 1024
	changesATurn  = batchSize
)

// newFeeds begins to read what the routes of f's tables follow from. wake gets a
// token when there is something to read.
func newFeeds(cfg *config.Config, f *fib, wake chan struct{}) *feeds {
	x := &feeds{wake: wake, batch: make([]rib.Change, changesAtOnce), nat: map[natKey]struct{}{}}
	metalbond, fabric := map[rib.VNI]*feed{}, map[rib.VNI]*feed{}
	at := func(feeds map[rib.VNI]*feed, vni rib.VNI) *feed {
		if feeds[vni] == nil {
			feeds[vni] = &feed{}
		}
		return feeds[vni]
	}
	for _, t := range f.tables {
		if t.left {
			continue
		}
		of := configured(cfg, t.vni)
		nat := &natTable{vni: t.vni, from: append([]rib.VNI{t.vni}, numbers(of.NATFrom)...)}
		own := at(metalbond, t.vni)
		own.tables = append(own.tables, t)
		if !cfg.Kernel.RoutesOnly { // or nothing is steered
			for _, vni := range nat.from {
				source := at(metalbond, vni)
				source.ranges = append(source.ranges, nat)
			}
		}
		// A leaked route keeps its next hop: the gateway address of its VNI.
		for _, vni := range append([]rib.VNI{t.vni}, numbers(of.ImportFrom)...) {
			source := at(fabric, vni)
			source.tables = append(source.tables, t)
		}
	}
	x.open(f.rib.MetalBond, metalbond)
	if f.rib.Fabric != nil {
		x.open(f.rib.Fabric, fabric)
	}
	return x
}

func configured(cfg *config.Config, vni rib.VNI) *config.VNI {
	i := slices.IndexFunc(cfg.VNIs, func(c config.VNI) bool { return rib.VNI(c.VNI) == vni })
	return &cfg.VNIs[i]
}

func numbers(list []uint32) (vnis []rib.VNI) {
	for _, n := range list {
		vnis = append(vnis, rib.VNI(n))
	}
	return vnis
}

func (x *feeds) open(t *rib.Table, feeds map[rib.VNI]*feed) {
	for vni, d := range feeds {
		d.rung.Store(true)
		d.reader = t.NewReader(vni, rib.ReaderOptions{Wake: func() {
			d.rung.Store(true)
			x.ring()
		}})
		x.list = append(x.list, d)
	}
}

// ring wakes the loop.
func (x *feeds) ring() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *feeds) close() {
	for _, d := range x.list {
		d.reader.Close()
	}
}

// read marks what changed, for one turn. more says that there is more to read.
func (x *feeds) read(f *fib) (more bool) {
	left := changesATurn
	for _, d := range x.list {
		for d.rung.Swap(false) {
			n, again := d.reader.ReadChanges(x.batch)
			for i := range x.batch[:n] {
				x.mark(f, d, &x.batch[i])
			}
			left -= n
			if !again {
				d.full = true
				break
			}
			d.rung.Store(true)
			if left <= 0 {
				return true
			}
		}
	}
	return false
}

// complete reports whether everything was read once.
func (x *feeds) complete() bool {
	return !slices.ContainsFunc(x.list, func(d *feed) bool { return !d.full })
}

// caughtUp reports whether there is nothing to read.
func (x *feeds) caughtUp() bool {
	return !slices.ContainsFunc(x.list, func(d *feed) bool { return d.rung.Load() })
}

func (x *feeds) mark(f *fib, d *feed, c *rib.Change) {
	for _, t := range d.tables {
		f.look(t, c.Prefix)
	}
	if len(d.ranges) > 0 && c.Prefix.IsSingleIP() && (hasNAT(c.Old) || hasNAT(c.New)) {
		for _, t := range d.ranges {
			x.nat[natKey{t, c.Prefix}] = struct{}{}
		}
	}
}

func hasNAT(paths []rib.Path) bool {
	return slices.ContainsFunc(paths, func(p rib.Path) bool { return p.NextHop.Type == rib.NAT })
}
