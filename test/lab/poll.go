package lab

import (
	"testing"
	"time"
)

// pollInterval is how often a condition is looked at that has no event.
const pollInterval = 50 * time.Millisecond

// Eventually waits until f returns nil. It ends the test with f's last error if
// that takes longer than the time given.
func Eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		<-tick.C
	}
}

// Settled waits until count has not changed for the time of quiet and returns
// it. It ends the test if that takes longer than the time given.
func Settled(t testing.TB, quiet, within time.Duration, what string, count func() int) int {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	start := time.Now()
	last, since := count(), start
	for time.Since(since) < quiet {
		if time.Since(start) > within {
			t.Fatalf("%s still changes after %s: %d at last", what, within, last)
		}
		<-tick.C
		if now := count(); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}
