package gobgp

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"mbbgp/bridge"
)

func TestSpeakerThatHangsDoesNotAnswer(t *testing.T) {
	h := start(t, configuration(t, netip.MustParseAddr("127.0.0.1"), 65001))
	ping := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return h.Ping(ctx)
	}
	if err := ping(patience); err != nil {
		t.Fatalf("running: %v", err)
	}
	h.book.mu.Lock() // as if the bridge did not take what it is told
	h.update(bridge.Update{Neighbor: netip.MustParseAddr("192.0.2.9")})
	for ping(50*time.Millisecond) == nil { // the loop may not have begun
	}
	if err := ping(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging: %v", err)
	}
	h.book.mu.Unlock()
	if err := ping(patience); err != nil {
		t.Errorf("running again: %v", err)
	}
	h.stop()
	if err := ping(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped: %v", err)
	}
}
