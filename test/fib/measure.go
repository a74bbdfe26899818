package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const header = `| routes | family | way | all there | routes/s | CPU user + kernel | bytes a route: program, kernel | all moved | restart: all claimed, changes | all gone |
|---|---|---|---|---|---|---|---|---|---|`

// result is what one way took.
type result struct {
	there, moved, gone time.Duration
	used               cpu // until all were there
	resident, kernel   int // bytes, with all routes
	restart            string
}

func (f *fib) print(way string, r result) {
	family := "IPv4"
	if f.six {
		family = "IPv6"
	}
	memory := "-"
	if r.resident != 0 {
		memory = fmt.Sprintf("%d", r.resident/f.routes)
	}
	if r.restart == "" {
		r.restart = "-"
	}
	fmt.Printf("| %d | %s | %s | %.2f s | %.0f | %.2f + %.2f s | %s, %d | %.2f s | %s | %.2f s |\n",
		f.routes, family, way, r.there.Seconds(), float64(f.routes)/r.there.Seconds(),
		r.used.user.Seconds(), r.used.system.Seconds(), memory, r.kernel/f.routes,
		r.moved.Seconds(), r.restart, r.gone.Seconds())
}

// measure runs every way once.
func (f *fib) measure(ctx context.Context) error {
	// As many seconds as the slowest of all would take in a guest.
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(f.routes)*10*time.Millisecond)
	defer cancel()
	for _, way := range f.ways {
		var err error
		switch way {
		case "mbbgp":
			err = f.report("mbbgp, "+f.tunnel, func() (result, error) { return f.bridge(ctx) })
		case "ip":
			err = f.report("ip -batch, "+f.tunnel, func() (result, error) { return f.ip(ctx, false) })
			if err == nil {
				err = f.report("ip -batch, "+f.tunnel+", next hop objects", func() (result, error) { return f.ip(ctx, true) })
			}
		case "metalbond":
			if !f.six { // it does not install IPv6
				err = f.report("metalbond, ip6tnl", func() (result, error) { return f.stock(ctx) })
			}
		default:
			err = fmt.Errorf("-ways %q: want mbbgp, ip or metalbond", way)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// report runs a way and prints what it took.
func (f *fib) report(name string, way func() (result, error)) error {
	r, err := way()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.print(name, r)
	return nil
}

// session is a program that gets its routes from a feeder.
type session struct {
	f       *fib
	feeder  *feeder
	process *process
	watch   *watch
	slow    bool
}

// add sends all routes.
func (s *session) add(ctx context.Context, r *result) error {
	blocks := s.f.frames(false, false)
	before, err := s.process.used()
	if err != nil {
		return err
	}
	idle, err := s.process.resident()
	if err != nil {
		return err
	}
	empty, err := slab()
	if err != nil {
		return err
	}
	if r.there, err = s.say(ctx, blocks, "added"); err != nil {
		return err
	}
	after, err := s.process.used()
	if err != nil {
		return err
	}
	r.used = after.minus(before)
	full, err := s.process.resident()
	if err != nil {
		return err
	}
	used, err := slab()
	r.resident, r.kernel = full-idle, used-empty
	return err
}

// say sends frames and waits until the kernel has said of all routes that they
// were added or removed.
func (s *session) say(ctx context.Context, blocks [][]byte, what string) (time.Duration, error) {
	s.watch.reset()
	counter := &s.watch.added
	if what == "removed" {
		counter = &s.watch.removed
	}
	begin := time.Now()
	if err := s.feeder.send(ctx, blocks, s.slow); err != nil {
		return 0, err
	}
	end, err := s.watch.wait(ctx, what, counter, s.f.routes)
	return end.Sub(begin), err
}

// moveAndRemove does what is to be measured behind add.
func (s *session) moveAndRemove(ctx context.Context, r *result) (err error) {
	if r.moved, err = s.say(ctx, s.f.frames(false, true), "added"); err != nil {
		return err
	}
	r.gone, err = s.say(ctx, s.f.frames(true, true), "removed")
	return err
}

// open starts to listen to the kernel and for a client.
func (f *fib) open(ctx context.Context, slow bool) (s *session, end func(), err error) {
	s = &session{f: f, slow: slow}
	if s.watch, err = newWatch(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	go s.watch.run(ctx)
	if s.feeder, err = serve(); err != nil {
		cancel()
		return nil, nil, err
	}
	return s, func() {
		if s.process != nil {
			s.process.kill()
		}
		s.feeder.close()
		cancel()
		<-s.watch.done
	}, nil
}

// stock measures the MetalBond client.
func (f *fib) stock(ctx context.Context) (r result, err error) {
	s, end, err := f.open(ctx, true)
	if err != nil {
		return r, err
	}
	defer end()
	s.process, err = f.start(ctx, "metalbond", "client", "--server", "127.0.0.1:4711", "--subscribe", fmt.Sprint(vni),
		"--install-routes", fmt.Sprintf("%d#%d", vni, table), "--tun", device, "--keepalive", "60")
	if err != nil {
		return r, err
	}
	if err := s.feeder.accept(ctx); err != nil {
		return r, s.process.explain(err)
	}
	if err := s.add(ctx, &r); err != nil {
		return r, s.process.explain(err)
	}
	return r, s.moveAndRemove(ctx, &r)
}

// ip measures `ip -batch`.
func (f *fib) ip(ctx context.Context, objects bool) (r result, err error) {
	empty, err := slab()
	if err != nil {
		return r, err
	}
	for _, step := range []struct {
		verb    string
		shift   int
		objects bool
		took    *time.Duration
	}{{"add", 0, objects, &r.there}, {"replace", 1, objects, &r.moved}, {"del", 1, false, &r.gone}} {
		file, err := f.batch(step.verb, step.shift, step.objects)
		if err != nil {
			return r, err
		}
		if step.verb == "del" && objects {
			// What it is sent to does not count for a route to be removed.
			if err := shell(ctx, "sed -i 's/ encap .*//' "+file); err != nil {
				return r, err
			}
		}
		begin := time.Now()
		used, err := f.runBatch(ctx, file)
		*step.took = time.Since(begin)
		_ = os.Remove(file)
		if err != nil {
			return r, fmt.Errorf("%s: %w", step.verb, err)
		}
		if step.verb == "add" {
			full, err := slab()
			if err != nil {
				return r, err
			}
			r.used, r.kernel = used, full-empty
		}
	}
	return r, shell(ctx, "ip nexthop flush proto 254 >/dev/null 2>&1")
}

// runBatch runs `ip -batch`, and again from where it stopped if the kernel had
// no memory for each processor at hand, of which it gets more in the background.
// Every route of IPv6 that is encapsulated by itself takes some.
func (f *fib) runBatch(ctx context.Context, file string) (used cpu, err error) {
	for {
		cmd := exec.CommandContext(ctx, "ip", f.family(), "-batch", file)
		out, err := cmd.CombinedOutput()
		used = cpu{used.user + cmd.ProcessState.UserTime(), used.system + cmd.ProcessState.SystemTime()}
		if err == nil {
			return used, nil
		}
		_, rest, _ := strings.Cut(string(out), file+":")
		line, _ := strconv.Atoi(strings.TrimSpace(rest))
		if line < 2 || !strings.Contains(string(out), "Cannot allocate memory") {
			return used, fmt.Errorf("%w: %.500s", err, out)
		}
		if err := shell(ctx, fmt.Sprintf("sed -i 1,%dd %s", line-1, file)); err != nil {
			return used, err
		}
	}
}

// bridge measures mbbgp, and its restart.
func (f *fib) bridge(ctx context.Context) (r result, err error) {
	config := filepath.Join(f.work, "mbbgp.yaml")
	err = os.WriteFile(config, []byte(fmt.Sprintf(`
metalbond: {servers: ["127.0.0.1:4711"], keepalive: 60s}
kernel: {tunnel: %s, device: %s, metric: %d, settle: %s, scan: 1h}
vnis: [{vni: %d, table: %d}]
`, f.tunnel, device, metric, settle, vni, table)), 0o600)
	if err != nil {
		return r, err
	}
	s, end, err := f.open(ctx, false)
	if err != nil {
		return r, err
	}
	defer end()
	start := func() error {
		if s.process, err = f.start(ctx, "mbbgp", "run", "-c", config); err != nil {
			return err
		}
		return s.feeder.accept(ctx)
	}
	if err := start(); err != nil {
		return r, s.process.explain(err)
	}
	if err := s.add(ctx, &r); err != nil {
		return r, s.process.explain(err)
	}
	if err := s.restart(ctx, &r, start); err != nil {
		return r, s.process.explain(fmt.Errorf("restart: %w", err))
	}
	if err := s.moveAndRemove(ctx, &r); err != nil {
		return r, s.process.explain(err)
	}
	_ = s.process.cmd.Process.Signal(syscall.SIGTERM)
	<-s.process.done
	return r, shell(ctx, "ip nexthop flush proto 254 >/dev/null 2>&1")
}
