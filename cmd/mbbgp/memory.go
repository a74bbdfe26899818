package main

// The limit of memory is a soft one. Go's collector works harder the closer the
// process comes to it; but what is really in use no collector can free. So when
// that has come close, new routes are refused: a bridge that forwards what it
// knows is better than one that the kernel has killed. What is in use is what the
// last collection has left, stacks and all else beside the heap included; garbage
// does not count, or a busy process would look full.

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/plugin/api"
)

const (
	memoryLook    = 500 * time.Millisecond
	memoryCollect = 10 * time.Second // between collections while the limit is reached, to see when it is not
	memoryFull    = 0.9              // of the limit
	memoryClear   = 0.8
)

// memory watches over the memory of the process.
type memory struct {
	refuse  func(bool) // new routes, or not any more
	use     func() uint64
	collect func()
	log     logrus.FieldLogger

	mu        sync.Mutex
	limit     config.Bytes // guarded by mu; 0: none
	used      uint64       // guarded by mu; bytes, as of the last look
	full      bool         // guarded by mu
	collected time.Time    // guarded by mu
}

func newMemory(limit config.Bytes, refuse func(bool), log logrus.FieldLogger) *memory {
	m := &memory{refuse: refuse, use: memoryInUse, collect: runtime.GC, log: log}
	m.set(limit)
	return m
}

// set makes another limit, 0 for none, from the next look on.
func (m *memory) set(limit config.Bytes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if limit == m.limit {
		return
	}
	m.limit = limit
	most := int64(math.MaxInt64)
	if limit > 0 {
		most = int64(limit)
	}
	debug.SetMemoryLimit(most)
}

// run looks until ctx is done.
func (m *memory) run(ctx context.Context) error {
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			m.look(now)
		}
	}
}

// look compares what is in use with the limit.
func (m *memory) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 && !m.full {
		return
	}
	if m.full && now.Sub(m.collected) >= memoryCollect {
		m.collect()
		m.collected = now
	}
	m.used = m.use()
	share := float64(m.used) / float64(m.limit)
	entry := m.log.WithFields(logrus.Fields{"used": config.Bytes(m.used), "limit": m.limit})
	switch {
	case !m.full && share >= memoryFull:
		m.full, m.collected = true, now
		m.refuse(true)
		entry.Error("memory limit reached: new routes are refused")
	case m.full && (m.limit == 0 || share < memoryClear):
		m.full = false
		m.refuse(false)
		entry.Info("below the memory limit again: new routes are taken")
	}
}

// conditions is that of /readyz, none without a limit.
func (m *memory) conditions() []api.Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return nil
	}
	c := api.Condition{Name: "memory", OK: !m.full, Detail: fmt.Sprintf("%v of %v in use", config.Bytes(m.used), m.limit)}
	if m.full {
		c.Detail += ", limit reached: new routes are refused"
	}
	return []api.Condition{c}
}

// counters are its metrics, none without a limit.
func (m *memory) counters() []api.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return nil
	}
	full := 0
	if m.full {
		full = 1
	}
	return []api.Counter{
		gauge("memory_limit_bytes", "Limit of the memory of this process (memory-limit).", int(m.limit)),
		gauge("memory_used_bytes", "Memory in use that counts against the limit: what the last collection left, and all beside the heap.", int(m.used)),
		gauge("memory_limit_reached", "1 while new routes are refused because the limit of memory is reached.", full),
	}
}

// memoryInUse returns what collecting garbage cannot free.
func memoryInUse() uint64 {
	const (
		live     = "/gc/heap/live:bytes"
		total    = "/memory/classes/total:bytes"
		released = "/memory/classes/heap/released:bytes"
		free     = "/memory/classes/heap/free:bytes"
		unused   = "/memory/classes/heap/unused:bytes"
		objects  = "/memory/classes/heap/objects:bytes"
	)
	samples := []metrics.Sample{{Name: live}, {Name: total}, {Name: released}, {Name: free}, {Name: unused}, {Name: objects}}
	metrics.Read(samples)
	of := func(i int) uint64 { return samples[i].Value.Uint64() }
	return of(0) + of(1) - of(2) - of(3) - of(4) - of(5)
}
