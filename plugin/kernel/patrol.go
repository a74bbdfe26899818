package kernel

// A comparison of a million routes holds the loop up for a second or two. If
// there are many, the periodic one therefore begins with a patrol: another
// goroutine reads them, and the loop only counts those that are as they should
// be, a few thousand at a time. Prefixes that change meanwhile do not count. If
// the number is not what it should be, the comparison follows.

import (
	"net/netip"
	"time"

	"mbbgp/plugin/kernel/rtnl"
)

const (
	patrolFrom  = 20_000 // routes; fewer are compared at once
	patrolPart  = 4096   // routes that are looked at in one go
	patrolBlurs = 65_536 // changed prefixes after which a patrol says nothing
)

// patrol reads the routes of ours in all tables, once.
type patrol struct {
	parts chan []rtnl.Route // closed at the end
	err   error             // of reading, once parts is closed
	begun time.Time
	right int              // routes seen that are as they should be
	wrong bool             // there is one that is not
	moved map[key]struct{} // prefixes that changed since it began
}

// routeReader is the part of rtnl.Conn that a patrol needs.
type routeReader interface {
	Routes(f rtnl.RouteFilter, restart func(), visit func(*rtnl.Route) error) error
}

// patrolAll compares the objects, and begins a patrol if these are right.
func (f *fib) patrolAll(now time.Time, r routeReader) {
	f.resyncs.last = now
	found, err := f.compareObjects()
	f.counters.Restored += uint64(found)
	if found > 0 || err != nil {
		f.resync("scan")
		return
	}
	f.beginPatrol(r)
}

// beginPatrol begins to read routes with a socket that nobody else uses until
// parts is closed, and which has to be read to the end.
func (f *fib) beginPatrol(r routeReader) {
	p := &patrol{parts: make(chan []rtnl.Route), begun: time.Now(), moved: map[key]struct{}{}}
	var filters []rtnl.RouteFilter
	for _, t := range f.tables {
		filters = append(filters, rtnl.RouteFilter{Table: t.number, Protocol: f.cfg.Protocol})
	}
	f.patrol = p
	go p.read(r, filters)
}

func (p *patrol) read(r routeReader, filters []rtnl.RouteFilter) {
	defer close(p.parts)
	part := make([]rtnl.Route, 0, patrolPart)
	hand := func() {
		p.parts <- part
		part = make([]rtnl.Route, 0, patrolPart)
	}
	for _, filter := range filters {
		again := false // what was read counts twice now
		p.err = r.Routes(filter, func() { again = true }, func(x *rtnl.Route) error {
			c := *x
			c.Hops = nil // a route with a next hop object says it again
			if x.NextHopID == 0 {
				c.Hops = append(c.Hops, x.Hops...)
			}
			if part = append(part, c); len(part) == cap(part) {
				hand()
			}
			return nil
		})
		if p.err == nil && again {
			p.err = rtnl.ErrInterrupted
		}
		if p.err != nil {
			return
		}
	}
	hand()
}

// inspect counts routes that a patrol has read.
func (f *fib) inspect(part []rtnl.Route) {
	for i := range part {
		r := &part[i]
		t := f.byNumber[r.Table]
		if t == nil || r.Metric != f.cfg.MetricFor(r.Prefix) {
			continue
		}
		if _, moved := f.patrol.moved[key{t, r.Prefix}]; moved {
			continue
		}
		if t.installed.get(r.Prefix) != noSet && f.matches(t, r) {
			f.patrol.right++
		} else {
			f.patrol.wrong = true
		}
	}
}

// endPatrol asks for a comparison unless all was as it should be.
func (f *fib) endPatrol() {
	p := f.patrol
	f.patrol = nil
	want := 0
	for _, t := range f.tables {
		want += t.installed.len()
	}
	for k := range p.moved {
		if k.table.installed.get(k.prefix) != noSet {
			want--
		}
	}
	switch {
	case len(p.moved) >= patrolBlurs: // as during the first pass: the next one may tell
		return
	case p.err != nil, p.wrong, p.right != want:
		f.resync("scan")
		return
	}
	f.counters.Resyncs["scan"]++
	f.counters.ScanLasted = time.Since(p.begun)
}

// blur notes that the route of a prefix has changed.
func (p *patrol) blur(t *table, prefix netip.Prefix) {
	if p != nil && len(p.moved) < patrolBlurs {
		p.moved[key{t, prefix}] = struct{}{}
	}
}

// patrols reports whether the comparison that is due can begin with a patrol.
func (f *fib) patrols() bool {
	routes := 0
	for _, t := range f.tables {
		if routes += t.installed.len(); t.conflicts > 0 {
			return false // whose routes they are is to be seen
		}
	}
	return len(f.resyncs.reasons) == 0 && routes >= patrolFrom
}
