package api

import "context"

// Operator does what the process is told to. Its methods are called from several
// goroutines at once.
type Operator interface {
	// Reload reads the configuration file again and applies what has changed. A
	// file that is wrong, or that needs a restart, is an error that says so, and
	// nothing has changed then.
	Reload(ctx context.Context) (Reloaded, error)

	// Drain begins to withdraw everything, to forward for a while longer, to
	// remove all from the kernel and to end the process, and returns at once.
	Drain() error

	// SetLogLevel changes the least severe level (error, warning, info, debug,
	// trace) that a component logs; "" stands for all. The error says which
	// components or levels there are.
	SetLogLevel(component, level string) error
}

// Reloaded is what a reload has changed, in the order in which it did.
type Reloaded struct {
	Changes []Change
}

// Change is one key that differs between two configurations, or one entry that
// only one of them has.
type Change struct {
	Path string // of the configuration
	Old  string // as the file writes it; "": it was not there
	New  string // likewise; "": it is not there any more
	How  string // it was applied: live, session
}
