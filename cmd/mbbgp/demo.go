package main

// The demo is the bridge as `mbbgp run` wires it, between neighbors that live
// in the same process: two hypervisors and a fabric switch, each with a table
// of its own and a TCP connection to the bridge. A list of steps says what
// happens and what has to be seen of it at the far ends; the demo has failed
// as soon as one thing is not seen in time.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mbbgp/config"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

func demoCommand() *cobra.Command {
	var fast, slow, verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch routes cross a bridge, in one process on loopback",
		Long: `Run a bridge, two MetalBond hypervisors and a BGP fabric switch in this process,
over real TCP on loopback, and show how routes cross: both ways, withdrawn, and
lost with a hypervisor that dies. It needs no privilege and no configuration and
takes less than 15 seconds.

The exit code is 0 only if everything was really seen at the far end.`,
		Example: `  mbbgp demo
  mbbgp demo --slow        time to read
  mbbgp demo --fast        no pauses, as when the output is not a terminal
  mbbgp demo --verbose     with the log of all that takes part`,
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&fast, "fast", false, "do not pause between steps")
	c.Flags().BoolVar(&slow, "slow", false, "pause for longer between steps")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the log on standard error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if fast && slow {
			return usageError{errors.New("--fast and --slow exclude each other")}
		}
		out := c.OutOrStdout()
		o := demoOptions{out: out, log: io.Discard, live: isTerminal(out) && !verbose, patience: 10 * time.Second}
		if verbose {
			o.log = c.ErrOrStderr()
		}
		switch {
		case slow:
			o.pause = 4 * time.Second
		case isTerminal(out) && !fast:
			o.pause = 1300 * time.Millisecond
		}
		return runDemo(c.Context(), o)
	}
	return c
}

// demoOptions say how a demo is shown.
type demoOptions struct {
	out      io.Writer
	log      io.Writer
	live     bool          // keep a table of all routes on the screen
	pause    time.Duration // after each step
	patience time.Duration // how long a step may take

	// before is called before each step, numbered from 1. Tests break things
	// here.
	before func(d *demo, n int)
}

// demo is the little world of the demo.
type demo struct {
	demoOptions
	logger *logs
	view   *view
	board  *board
	bridge *daemon
	a, b   *hypervisor
	leaf   *leaf
	start  []func(context.Context) error // runs a part until the context ends
	group  *errgroup.Group
	ctx    context.Context // of the group: over when a part has failed
}

// result is what a step took.
type result struct {
	what string
	took time.Duration
}

// runDemo plays the whole demo. It returns nil if all was seen.
func runDemo(given context.Context, o demoOptions) error {
	ctx, cancel := context.WithCancel(given)
	defer cancel()
	d := &demo{demoOptions: o, board: newBoard()}
	d.group, d.ctx = errgroup.WithContext(ctx)
	if err := d.build(); err != nil {
		return err
	}
	d.view = newView(o.out, o.live, d.board, []string{d.a.name, d.b.name, d.leaf.name})
	err := d.play()
	cancel()
	if failed := d.group.Wait(); failed != nil && !errors.Is(failed, context.Canceled) {
		return fmt.Errorf("demo: %w", failed)
	}
	switch {
	case given.Err() != nil:
		return errors.New("demo: interrupted")
	case err != nil:
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// build makes everybody but starts only what is needed to know addresses.
func (d *demo) build() error {
	log, err := newLogs(config.Log{Level: config.LogDebug, Format: config.LogText}, logFlags{}, d.log)
	if err != nil {
		return err
	}
	d.logger = log
	forBridge, forLeaf, err := demoConfigs()
	if err != nil {
		return err
	}
	if d.bridge, err = newDaemon(forBridge, log.with("node", "bridge")); err != nil {
		return err
	}
	if d.leaf, err = newLeaf("leaf", forLeaf, d.board, log.with("node", "leaf")); err != nil {
		return err
	}
	d.group.Go(func() error { return d.bridge.Run(d.ctx) })
	select {
	case <-d.bridge.listening:
	case <-d.ctx.Done():
		return d.group.Wait()
	}
	vnis := []rib.VNI{tenantA, tenantB}
	for _, h := range []struct {
		to      **hypervisor
		name    string
		address string
	}{{&d.a, "hypervisor-a", hostA}, {&d.b, "hypervisor-b", hostB}} {
		l, err := newLink(d.bridge.server.Addr().String())
		if err != nil {
			return err
		}
		made, err := newHypervisor(h.name, netip.MustParseAddr(h.address), l, vnis, d.board, log.of(config.LogMetalBond).WithField("node", h.name))
		if err != nil {
			return err
		}
		*h.to = made
		d.start = append(d.start, func(ctx context.Context) error { return made.run(ctx, vnis) })
	}
	d.start = append(d.start, d.leaf.run)
	return nil
}

// connect starts everybody who talks to the bridge.
func (d *demo) connect(context.Context) error {
	for _, run := range d.start {
		d.group.Go(func() error { return run(d.ctx) })
	}
	return nil
}

// play goes through the steps and sums up.
func (d *demo) play() error {
	d.view.begin(d.bridge.server.Addr().String())
	begun := time.Now()
	var results []result
	for i, s := range d.steps() {
		if d.before != nil {
			d.before(d, i+1)
		}
		d.view.step(i+1, s)
		took, err := d.perform(s)
		if err != nil {
			d.view.failed(err)
			d.dump()
			return fmt.Errorf("step %d (%s): %w", i+1, s.what, err)
		}
		results = append(results, result{s.what, took})
		if err := d.rest(); err != nil {
			return err
		}
	}
	d.view.end(results, time.Since(begun))
	return nil
}

// dump logs how far everybody has come.
func (d *demo) dump() {
	for name, sessions := range map[string][]metalbond.SessionInfo{
		d.a.name: d.a.client.Sessions(), d.b.name: d.b.client.Sessions(), "bridge": d.bridge.server.Sessions(),
	} {
		for _, s := range sessions {
			d.logger.of(config.LogMetalBond).WithField("node", name).Debugf("%+v", s)
		}
	}
	for _, n := range d.bridge.speaker.Neighbors() {
		d.logger.of(config.LogBGP).WithField("node", "bridge").Debugf("%+v", n)
	}
}

// perform does a step and waits until all of it has been seen. What was seen is
// shown in the order of the step, timed when it was seen.
func (d *demo) perform(s step) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.patience)
	defer cancel()
	begun := time.Now()
	if err := s.do(ctx); err != nil {
		return 0, err
	}
	texts := make([]string, len(s.observe))
	took := make([]time.Duration, len(s.observe))
	for shown := 0; ; {
		changed := d.board.change()
		open := 0
		for i, o := range s.observe {
			if took[i] != 0 || o.last {
				continue
			}
			if text, ok := o.see(); ok {
				texts[i], took[i] = text, time.Since(begun)
			} else {
				open++
			}
		}
		for i, o := range s.observe {
			if !o.last || open > 0 || took[i] != 0 {
				continue
			}
			text, ok := o.see()
			if !ok {
				return 0, fmt.Errorf("%s: not so: %s", o.place, o.want)
			}
			texts[i], took[i] = text, time.Since(begun)
		}
		for shown < len(s.observe) && took[shown] != 0 {
			d.view.seen(s.observe[shown].place, texts[shown], took[shown])
			shown++
		}
		if shown == len(s.observe) {
			return time.Since(begun), nil
		}
		if err := d.wait(ctx, changed); err != nil {
			if d.ctx.Err() != nil {
				return 0, context.Cause(d.ctx) // a part failed, or somebody is tired of watching
			}
			var missing []string
			for i, o := range s.observe {
				if took[i] == 0 && !o.last {
					missing = append(missing, o.place+": "+o.want)
				}
			}
			return 0, fmt.Errorf("not seen within %v: %s", d.patience, strings.Join(missing, "; "))
		}
	}
}

// wait returns when the board has changed, or after a moment, for what is not
// on the board: states of sessions.
func (d *demo) wait(ctx context.Context, changed <-chan struct{}) error {
	moment := time.NewTimer(2 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-changed:
	case <-moment.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// rest leaves time to read.
func (d *demo) rest() error {
	if d.pause == 0 {
		return nil
	}
	until := time.NewTimer(d.pause)
	defer until.Stop()
	for {
		changed := d.board.change()
		d.view.refresh()
		select {
		case <-changed:
		case <-until.C:
			return nil
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
	}
}
