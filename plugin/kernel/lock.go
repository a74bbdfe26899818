package kernel

// Two processes that take each other's work for an earlier run of their own would
// undo it for ever. So each holds names that the kernel gives to one process at a
// time, and takes back when it ends, however it ends: addresses of Unix sockets
// in the abstract namespace, which a network namespace has for itself.

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"mbbgp/config"
)

// lock are the names that a process holds.
type lock []int // sockets

// acquire takes the names of what a configuration has for itself in the network
// namespace of the calling thread: the protocol number, or of routes only each
// table. The error says which key tells two processes apart.
func acquire(cfg *config.Config) (lock, error) {
	if !cfg.Kernel.RoutesOnly {
		return lock(nil).add(fmt.Sprintf("protocol-%d", cfg.Kernel.Protocol),
			fmt.Errorf("another process keeps the routes of protocol %d in this network namespace: stop it, or give one of them another kernel.protocol", cfg.Kernel.Protocol))
	}
	var l lock
	for i := range cfg.VNIs {
		if table := cfg.VNIs[i].Table; table != 0 {
			var err error
			l, err = l.add(fmt.Sprintf("table-%d", table),
				fmt.Errorf("another client installs routes in table %d: stop it, or install them in another table", table))
			if err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// add takes one more name. If somebody else has it the error is taken, and none
// is held any more.
func (l lock) add(name string, taken error) (lock, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		l = append(l, fd)
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@mbbgp-kernel-" + name}) // @: abstract
	}
	if err == nil {
		return l, nil
	}
	l.release()
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, taken
	}
	return nil, fmt.Errorf("lock %s: %w", name, os.NewSyscallError("unix socket", err))
}

// release gives all names back.
func (l lock) release() {
	for _, fd := range l {
		unix.Close(fd)
	}
}
