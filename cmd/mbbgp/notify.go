package main

// What systemd is told (sd_notify(3)). The unit has started once all listeners
// are open, which is when hypervisors and neighbors can connect: whoever waits
// for 'systemctl start' should not wait for a neighbor that is down, and a boot
// should not hang on it. What /readyz says beyond that is in the status line.
//
// A watchdog wants a sign of life now and then. It is given only if every loop
// has come round since the last one, and every lock was free for a moment: a
// process that hangs is killed with SIGABRT, which shows where, and started
// anew, while the kernel goes on forwarding.

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"mbbgp/plugin/api"
)

const (
	statusInterval = 10 * time.Second
	startExtension = 30 * time.Second // what the start may take longer, said once a status
)

// notify tells systemd, if that has started the process. A service manager that
// does not listen is no reason to stop.
func notify(states ...string) { _, _ = sd.SdNotify(false, strings.Join(states, "\n")) }

func statusOf(text string) string { return "STATUS=" + text }

// extension asks for time: systemd ends what takes longer than it allows.
func extension(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds())
}

// notifyReload tells that the configuration is applied, and returns what tells
// that it is done.
func notifyReload() (done func()) {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it has no error for this clock
	notify(sd.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
	return func() { notify(sd.SdNotifyReady) }
}

// notifyDrain tells that the end takes a while.
func notifyDrain(wait time.Duration) {
	notify(statusOf(fmt.Sprintf("draining: everything is withdrawn, forwarding for %v longer", wait)), extension(wait+startExtension))
}

// supervise tells systemd how the daemon is until ctx ends.
func (d *daemon) supervise(ctx context.Context) error {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		d.log.WithError(err).Warn("there is no watchdog")
	}
	interval := statusInterval
	if watchdog > 0 {
		interval = min(interval, watchdog/3)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for serving := d.serving(); serving != nil; {
		notify(statusOf(d.status()), extension(interval+startExtension))
		select {
		case <-ctx.Done():
			return nil
		case <-serving:
			notify(sd.SdNotifyReady)
			serving = nil
		case <-ticker.C:
		}
	}
	for d.pulse(ctx) == nil {
		notify(sd.SdNotifyWatchdog, statusOf(d.status()))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	return nil
}

// serving is closed once all listeners are open: that for hypervisors is the
// last.
func (d *daemon) serving() <-chan struct{} {
	switch {
	case d.server != nil:
		return d.listening
	case d.speaker != nil:
		return d.speaker.Ready()
	}
	open := make(chan struct{})
	close(open)
	return open
}

// pulse returns nil once every loop has come round and every lock was free, or
// the error of ctx if that is over before.
func (d *daemon) pulse(ctx context.Context) error {
	d.sessions()
	d.networks()
	for _, vni := range d.table.VNIs() {
		d.table.Stats(vni)
	}
	if d.speaker != nil {
		d.speaker.Neighbors()
		if err := d.speaker.Ping(ctx); err != nil {
			return err
		}
	}
	if d.kernel != nil {
		if err := d.kernel.Ping(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// status is how the daemon is in one line.
func (d *daemon) status() string {
	var waiting []string
	for _, c := range d.conditions() {
		if !c.OK {
			waiting = append(waiting, strings.TrimSuffix(c.Name+" ("+c.Detail+")", " ()"))
		}
	}
	routes := 0
	vnis := d.table.VNIs()
	for _, vni := range vnis {
		routes += d.table.Stats(vni).Prefixes
	}
	parts := []string{upOf("MetalBond sessions", d.sessions(), func(s api.Session) bool { return s.Established })}
	if d.speaker != nil {
		parts = append(parts, upOf("BGP neighbors", d.neighbors(), func(n api.Neighbor) bool { return n.State == "established" }))
	}
	parts = append(parts, fmt.Sprintf("%s in %s", count(routes, "prefix"), count(len(vnis), "VNI")))
	if len(waiting) > 0 {
		parts = append(parts, "waiting for "+strings.Join(waiting, ", "))
	}
	return strings.Join(parts, "; ")
}

// upOf says how many of a list are up.
func upOf[T any](what string, list []T, up func(T) bool) string {
	n := 0
	for _, x := range list {
		if up(x) {
			n++
		}
	}
	return fmt.Sprintf("%d of %d %s up", n, len(list), what)
}
