package kernel

import "context"

// Ping returns nil once the loop has come round, or else the error of ctx: a
// loop that hangs, or does not run, gives no answer.
func (k *Kernel) Ping(ctx context.Context) error {
	select {
	case k.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
