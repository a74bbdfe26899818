package gobgp

import (
	"context"

	"github.com/osrg/gobgp/v4/api"
)

// Ping returns nil once the speaker has taken what neighbours said until now to
// the bridge, and GoBGP's own loop has come round. It returns the error of ctx
// if the first does not happen before; a speaker that does not run gives no
// answer.
func (s *Speaker) Ping(ctx context.Context) error {
	select {
	case s.pings <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.alive(ctx)
	return ctx.Err()
}

// alive returns once GoBGP's loop, through which all of its work goes, has come
// round. A server that is not started has none.
func (e *embedded) alive(ctx context.Context) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s != nil {
		_, _ = s.GetBgp(ctx, &api.GetBgpRequest{}) // what it answers is not the question
	}
}
