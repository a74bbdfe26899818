package bridge

import "sync"

// handovers are what Export has still to take over of a configuration that was
// applied.
type handovers struct {
	mu   sync.Mutex
	wake func() // guarded by mu; tells the exporter; nil before the first
}

// open begins an export with the present view.
func (h *handovers) open(b *Bridge, wake func()) *view {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake = wake
	return b.current()
}
