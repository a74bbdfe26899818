package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program. Its standard output comes as lines.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // closed when it ends
	log   string
	idle  int64
}

func (l *load) start(ctx context.Context, name, program string, args ...string) (*process, error) {
	p := &process{name: name, lines: make(chan string, 16), log: filepath.Join(l.work, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, filepath.Join(l.programs, program), args...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// expect waits for a line.
func (p *process) expect(ctx context.Context, want string) error {
	for {
		select {
		case line, ok := <-p.lines:
			switch {
			case !ok:
				log, _ := os.ReadFile(p.log)
				return fmt.Errorf("%s ended before it said %q: %s", p.name, want, log)
			case line == want:
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *process) end() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// status returns a size in /proc/PID/status, in bytes.
func (p *process) status(field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of %s", field, p.name)
}

// rest waits until the process does nothing, and notes what it needs idle.
func (p *process) rest(ctx context.Context) (err error) {
	if err := p.quiet(ctx); err != nil {
		return err
	}
	p.idle, err = p.status("VmRSS")
	return err
}

// quiet waits until the process has used less than a fiftieth of a core for a
// second.
func (p *process) quiet(ctx context.Context) error {
	for last := p.cpu(); ; {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		now := p.cpu()
		if now-last < 20*time.Millisecond {
			return nil
		}
		last = now
	}
}

// cpu is the processor time that the process has used, in hundredths of a
// second.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// usages reads what the processes use with all routes.
func usages(ctx context.Context, list ...*process) (all []usage, err error) {
	for _, p := range list {
		if err := p.quiet(ctx); err != nil {
			return nil, err
		}
		u := usage{name: p.name, idle: p.idle, cpu: p.cpu()}
		if u.full, err = p.status("VmRSS"); err != nil {
			return nil, err
		}
		if u.peak, err = p.status("VmHWM"); err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}
