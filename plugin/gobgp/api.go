package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// GoBGP opens the listener of its API by itself, in the background, and only
// logs when it cannot. So the address is tried before, and after the start
// somebody dials it until it answers.

const (
	unixScheme = "unix://"
	apiTimeout = 5 * time.Second
	socketMode = 0o660 // the API can do anything: user and group only
)

// checkAPI reports whether the API can listen at address, unix:///PATH or
// IP:PORT. A socket that a dead process left behind is removed.
func checkAPI(address string) error {
	network, target, err := splitAPI(address)
	if err != nil {
		return err
	}
	if network == "unix" {
		if err := removeStale(target); err != nil {
			return err
		}
	}
	l, err := net.Listen(network, target)
	if err != nil {
		return err
	}
	return l.Close()
}

func splitAPI(address string) (network, target string, err error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		if !filepath.IsAbs(path) {
			return "", "", fmt.Errorf("%q: want unix:// and an absolute path", address)
		}
		return "unix", path, nil
	}
	if _, err := netip.ParseAddrPort(address); err != nil {
		return "", "", fmt.Errorf("%q: want unix:///PATH or IP:PORT", address)
	}
	return "tcp", address, nil
}

// removeStale removes the socket at path if nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// waitAPI returns when the API answers at address, and gives a socket its
// permissions. failed is asked whether GoBGP has given up.
func waitAPI(ctx context.Context, address string, failed func() error) error {
	network, target, err := splitAPI(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, network, target)
		if err == nil {
			conn.Close()
			break
		}
		if err := failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", err)
		case <-again.C:
		}
	}
	if network == "unix" {
		return os.Chmod(target, socketMode)
	}
	return nil
}
