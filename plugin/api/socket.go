package api

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"mbbgp/plugin/internal/unixsock"
)

const (
	socketMode = 0o660 // the API can do anything: owner and group only
	parentMode = 0o755 // of a directory that is made for it
)

// listenUnix listens on a unix socket at path, which belongs to group, a name or
// a number, "" for that of the process. A socket that a dead process left behind
// is removed, the directory made if it is not there.
func listenUnix(path, group string) (net.Listener, error) {
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Dir(path), parentMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := unixsock.RemoveStale(path); err != nil {
		return nil, err
	}
	// Until it has its owner and mode nobody else may connect.
	before := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		return nil, err
	}
	if gid >= 0 {
		err = os.Chown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, socketMode)
	}
	if err != nil {
		_ = l.Close() // it removes the socket
		return nil, err
	}
	return l, nil
}

// groupID returns the number of a group, -1 of none.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
