package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpu is processor time of a program, in itself and in the kernel.
type cpu struct{ user, system time.Duration }

func (c cpu) minus(b cpu) cpu { return cpu{c.user - b.user, c.system - b.system} }

// process is a program that runs.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

func (f *fib) start(ctx context.Context, program string, args ...string) (*process, error) {
	log, err := os.CreateTemp(f.work, program+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{exec.CommandContext(ctx, filepath.Join(f.programs, program), args...), log.Name(), make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill ends it at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// explain adds the end of the log to an error.
func (p *process) explain(err error) error {
	b, _ := os.ReadFile(p.log)
	const most = 1000
	return errors.Join(err, fmt.Errorf("%s: ...%s", filepath.Base(p.cmd.Path), b[max(0, len(b)-most):]))
}

// used returns the processor time so far, to 10 ms.
func (p *process) used() (cpu, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return cpu{}, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all that Go knows
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return cpu{time.Duration(user) * tick, time.Duration(system) * tick}, errors.Join(err1, err2)
}

// resident returns the memory of the program in bytes.
func (p *process) resident() (int, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmRSS")
}

// slab returns what the kernel has in its own data structures, in bytes.
func slab() (int, error) {
	slab, err1 := kilobytes("/proc/meminfo", "Slab")
	percpu, err2 := kilobytes("/proc/meminfo", "Percpu")
	return slab + percpu, errors.Join(err1, err2)
}

func kilobytes(path, field string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name == field {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, field)
}
