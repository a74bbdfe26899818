package bridge

// A limit refuses what is beyond it and remembers no more of that than a
// number. It is crossed when it first refuses, and clear again when less than
// nine tenths are used: between the two, one line is logged at each end, and
// however often routes come and go at the edge there are no more.

import (
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/rib"
)

// LimitStats is the state of one limit.
type LimitStats struct {
	Max     int    // 0: no limit
	Used    int    // what counts against it
	Refused uint64 // routes refused since it was last clear
	Over    bool   // it has refused and is not clear yet
}

// limit counts what is admitted. Its owner guards it.
type limit struct{ LimitStats }

// full reports whether one more would be too many.
func (l *limit) full() bool { return l.Max > 0 && l.Used >= l.Max }

// refuse counts a refusal and reports whether it is the first since l was clear.
func (l *limit) refuse() (crossed bool) {
	crossed = !l.Over
	l.Over = true
	l.Refused++
	return crossed
}

// clear reports whether l has just become clear.
func (l *limit) clear() bool {
	if !l.Over || l.Used*10 >= l.Max*9 {
		return false
	}
	l.Over, l.Refused = false, 0
	return true
}

func logCrossed(log logrus.FieldLogger, l LimitStats) {
	log.WithField("max", l.Max).Warn("maximum of prefixes reached, further ones are refused")
}

func logClear(log logrus.FieldLogger, l LimitStats) {
	log.WithFields(logrus.Fields{"max": l.Max, "used": l.Used}).Info("below the maximum of prefixes again")
}

// tableLimit bounds the prefixes of a VNI, whoever announced them, against
// MetalBond announcements. The table does the counting. A refused route is not
// remembered: it gets in when its announcer says it again and there is room.
type tableLimit struct {
	mu    sync.Mutex
	limit // guarded by mu
}

// admits reports whether the VNI may take p, and counts a refusal. The caller
// holds mu, and the VNI until p is in the table, so that looking and adding are
// one step.
func (t *tableLimit) admits(b *Bridge, table *rib.Editor, vni rib.VNI, p netip.Prefix) bool {
	t.Used = table.Prefixes()
	if t.clear() {
		logClear(b.log.WithField("vni", vni), t.LimitStats)
	}
	if !t.full() || table.Has(p) {
		return true
	}
	if t.refuse() {
		logCrossed(b.log.WithField("vni", vni), t.LimitStats)
	}
	return false
}

// stats returns the state of the limit at this moment.
func (t *tableLimit) stats(b *Bridge, vni rib.VNI) LimitStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Used = b.table.Stats(vni).Prefixes
	return t.LimitStats
}

// Limit bounds how many next hops c may announce; 0: no limit. What it announces
// already stays, however much that is.
func (c *Channel) Limit(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit.Max = most
	if most == 0 {
		c.limit = limit{}
	}
}

// Room reports whether c may announce a new prefix in a VNI, as far as limits go.
// What it says is old when it is returned.
func (c *Channel) Room(vni rib.VNI) bool {
	c.mu.Lock()
	most := c.limit.Max
	c.mu.Unlock()
	if c.bridge.short.Load() || most > 0 && c.Count() >= most {
		return false
	}
	n := c.bridge.current().networks[vni]
	if n == nil {
		return true
	}
	room := n.admitted.stats(c.bridge, vni)
	return room.Max == 0 || room.Used < room.Max
}

// hasRoom reports whether c may announce x, and counts a refusal. mu and the VNI
// are held.
func (c *Channel) hasRoom(table *rib.Editor, x *Edit) bool {
	l := &c.limit
	l.Used = c.Count()
	if l.clear() {
		c.bridge.log.WithFields(logrus.Fields{"peer": c.name, "max": l.Max, "used": l.Used}).Info("below the maximum of routes again")
	}
	if !l.full() || table.Says(x.Prefix, x.NextHop) {
		return true
	}
	if l.refuse() {
		c.bridge.log.WithFields(logrus.Fields{"peer": c.name, "max": l.Max}).Warn("maximum of routes reached, further ones are refused")
	}
	return false
}
