package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs on a node.
type Process struct {
	Name string // node and program

	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.ReadCloser // nil: in the log
	log  string        // path
	done chan struct{} // closed when it has ended
	err  error         // of Wait; after done
}

// tailLines is how much of a log a failed test shows.
const tailLines = 60

// Start starts a program on the node. It is killed at the end of the test. If
// the test fails, the end of its log is shown.
func (n *Node) Start(name string, args ...string) *Process {
	n.t.Helper()
	return n.start(false, name, args...)
}

// start starts a program; with pipe the caller reads its output.
func (n *Node) start(pipe bool, name string, args ...string) *Process {
	n.t.Helper()
	p := &Process{
		Name: n.Name + "/" + filepath.Base(name),
		t:    n.t,
		cmd:  n.Command(name, args...),
		done: make(chan struct{}),
	}
	log, err := os.CreateTemp(n.lab.dir, n.Name+"-"+filepath.Base(name)+"-*.log")
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	p.log = log.Name()
	p.cmd.Stderr = log
	if pipe {
		if p.out, err = p.cmd.StdoutPipe(); err != nil {
			n.t.Fatal(err)
		}
	} else {
		p.cmd.Stdout = log
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		n.t.Fatalf("%s: %v", p.Name, err)
	}
	if !pipe {
		go p.wait()
	}
	n.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("%s (%s):\n%s", p.Name, p.state(), p.Tail(tailLines))
		}
		p.Kill()
	})
	return p
}

// wait collects the process. Whoever reads its output calls it at the end of
// that.
func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// Log returns what the program has printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail returns the last n lines of the log.
func (p *Process) Tail(n int) string {
	lines := strings.SplitAfter(p.Log(), "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}

// Pid returns the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *Process) state() string {
	if p.Running() {
		return "running"
	}
	return "ended: " + p.cmd.ProcessState.String()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.Name, err)
	}
}

// Freeze stops the process without its peers being told; Thaw lets it go on.
func (p *Process) Freeze() { p.t.Helper(); p.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (p *Process) Thaw() { p.t.Helper(); p.Signal(syscall.SIGCONT) }

// Kill ends the process at once.
func (p *Process) Kill() {
	if p.Running() {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Stop asks the process to end (SIGTERM, or another signal) and waits for it.
// It returns the exit status.
func (p *Process) Stop(signal syscall.Signal) int {
	p.t.Helper()
	p.Signal(signal)
	return p.Wait(10 * time.Second)
}

// Wait waits for the process to end and returns its exit status.
func (p *Process) Wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %s", p.Name, within)
		return -1
	}
}

// WaitLog waits for a text in the log.
func (p *Process) WaitLog(text string, within time.Duration) {
	p.t.Helper()
	Eventually(p.t, within, p.Name, func() error {
		if strings.Contains(p.Log(), text) {
			return nil
		}
		if !p.Running() {
			p.t.Fatalf("%s ended without printing %q", p.Name, text)
		}
		return fmt.Errorf("%q is not in its log", text)
	})
}
