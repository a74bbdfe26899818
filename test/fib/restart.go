package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// settle is how long routes of an earlier run stay.
const settle = 2 * time.Second

// restart kills mbbgp, starts it again, says all routes again, and counts what
// that changes in the kernel until none is unclaimed.
func (s *session) restart(ctx context.Context, r *result, start func() error) error {
	blocks := s.f.frames(false, false)
	s.process.kill()
	s.feeder.hangUp()
	s.watch.reset()
	begin := time.Now()
	if err := start(); err != nil {
		return err
	}
	if err := s.feeder.send(ctx, blocks, s.slow); err != nil {
		return err
	}
	for {
		all, err := s.f.claimed(ctx)
		if all {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	changes := s.watch.added.Load() + s.watch.removed.Load() + s.watch.nexthops.Load()
	r.restart = fmt.Sprintf("%.2f s, %d", time.Since(begin).Seconds(), changes)
	return nil
}

// claimed reports whether mbbgp has heard again of every route of an earlier
// run.
func (f *fib) claimed(ctx context.Context) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:4712/metrics", nil)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	values := make(map[string]float64)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		values[name], _ = strconv.ParseFloat(value, 64)
	}
	state := fmt.Sprintf("%.0f routes, %.0f unclaimed, synced %.0f", values["mbbgp_kernel_routes"],
		values["mbbgp_kernel_unclaimed_routes"], values["mbbgp_kernel_synced"])
	if want := fmt.Sprintf("%d routes, 0 unclaimed, synced 1", f.routes); state != want {
		return false, fmt.Errorf("%s, want %s", state, want)
	}
	return true, nil
}
