package kernel

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLoopThatHangsDoesNotAnswer(t *testing.T) {
	h := newHost(t, nil)
	h.start()
	ping := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return h.kernel.Ping(ctx)
	}
	if err := ping(20 * time.Second); err != nil {
		t.Fatalf("running: %v", err)
	}
	h.kernel.mu.Lock() // as if a turn did not end
	h.kernel.feeds.wake <- struct{}{}
	for ping(50*time.Millisecond) == nil { // the loop may not be in its turn yet
	}
	if err := ping(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging: %v", err)
	}
	h.kernel.mu.Unlock()
	if err := ping(20 * time.Second); err != nil {
		t.Errorf("running again: %v", err)
	}
}
