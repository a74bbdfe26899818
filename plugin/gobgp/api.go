package gobgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mbbgp/plugin/internal/unixsock"
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
		if err := unixsock.RemoveStale(target); err != nil {
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
