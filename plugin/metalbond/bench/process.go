package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is what is under load.
type Server struct {
	Address string // HOST:PORT
	PID     int    // of its process on this machine; 0: unknown, only time is measured

	cmd *exec.Cmd
}

// startLimit is how long a server may take until it listens.
const startLimit = 10 * time.Second

// Start runs a server that is told to listen on a free port of loopback, which
// stands for "%" in its arguments, and waits until it does. What it writes to
// standard error goes to log; nil: nowhere.
func Start(ctx context.Context, log *os.File, program string, args ...string) (*Server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	given := make([]string, len(args))
	for i, a := range args {
		given[i] = strings.ReplaceAll(a, "%", address)
	}
	s := &Server{Address: address, cmd: exec.CommandContext(ctx, program, given...)}
	if log != nil {
		s.cmd.Stderr = log
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.PID = s.cmd.Process.Pid
	if err := s.listens(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// listens waits until the server accepts connections.
func (s *Server) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not listen on %s: %w", s.Address, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends a server that Start has started. Others stay.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// usage is what a process uses.
type usage struct {
	cpu     time.Duration // user and system, in hundredths of a second
	rss     int64         // bytes, resident
	peak    int64         // bytes, the most ever
	sockets int64         // bytes in the buffers of all TCP sockets of its network namespace, those of the clients too
}

// usage reads what the process uses, nothing if it is unknown.
func (s *Server) usage() (u usage, err error) {
	if s.PID == 0 {
		return u, nil
	}
	if u.cpu, err = s.cpu(); err != nil {
		return u, err
	}
	status, err := s.file("status")
	if err != nil {
		return u, err
	}
	u.rss, u.peak = kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")
	sockets, err := s.file("net/sockstat")
	if err != nil {
		return u, err
	}
	if _, after, ok := strings.Cut(sockets, "TCP: "); ok {
		if f := strings.Fields(after); len(f) > 9 {
			pages, _ := strconv.ParseInt(f[9], 10, 64)
			u.sockets = pages * int64(os.Getpagesize())
		}
	}
	return u, nil
}

func (s *Server) file(name string) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID, name))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the server's process %d is gone", s.PID)
	}
	return string(b), err
}

// kilobytes returns the value of a line of /proc/PID/status in bytes.
func kilobytes(status, name string) int64 {
	_, after, _ := strings.Cut(status, name)
	f := strings.Fields(after)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return n << 10
}

func (s *Server) cpu() (time.Duration, error) {
	stat, err := s.file("stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(stat, ") ") // behind the name
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", s.PID, stat)
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}
