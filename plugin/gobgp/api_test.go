package gobgp

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mbbgp/config"
)

// socket returns a path short enough for a unix socket.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "gobgp.sock")
}

// runs returns the error with which a speaker ends by itself.
func runs(t *testing.T, cfg *config.Config) error {
	t.Helper()
	s, err := newSpeaker(cfg, newBook(), quiet())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-s.Ready():
		cancel()
		<-done
		return nil
	}
}

func TestBusyAPIAddressIsAnError(t *testing.T) {
	path := socket(t)
	busy, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ api, want string }{
		{"unix://" + path, "another process answers at " + path},
		{tcp.Addr().String(), "address already in use"},
		{"unix://" + file, file + " exists and is not a socket"},
		{"unix:///nowhere/at/all.sock", "/nowhere/at/all.sock: bind: no such file or directory"},
	} {
		cfg := configuration(t, addresses(1)[0], 65001)
		cfg.BGP.API = tt.api
		if err := runs(t, cfg); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "bgp.api: ") {
			t.Errorf("%s: error %v, want bgp.api: ...%s", tt.api, err, tt.want)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "keep me" {
		t.Errorf("the file at the API's path: %q, %v", data, err)
	}
}

func TestBusyListenAddressIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := configuration(t, addr("127.0.0.1"), 65001)
	cfg.BGP.Listen[0] = l.Addr().(*net.TCPAddr).AddrPort()
	if err := runs(t, cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

func TestStaleAPISocketIsReplacedAndOwnIsRemoved(t *testing.T) {
	path := socket(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP.API = "unix://" + path
	h := start(t, cfg)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != socketMode {
		t.Errorf("the socket has mode %v, want %o", info.Mode().Perm(), socketMode)
	}
	h.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket after the stop: %v", err)
	}
}

// cli builds the gobgp command of the GoBGP that is linked in.
func cli(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the gobgp command")
	}
	bin := filepath.Join(t.TempDir(), "gobgp")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/osrg/gobgp/v4/cmd/gobgp").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

func TestStockCommandShowsNeighborsAndRoutes(t *testing.T) {
	parallel(t)
	gobgp := cli(t)
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			parallel(t)
			addrs := addresses(2)
			ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
			meet(ca, cb, nil)
			var flags []string
			if network == "unix" {
				ca.BGP.API = "unix://" + socket(t)
				flags = []string{"--target", ca.BGP.API}
			} else {
				port := freePort(t, addrs[0])
				ca.BGP.API = fmt.Sprintf("%v:%d", addrs[0], port)
				flags = []string{"-u", addrs[0].String(), "-p", fmt.Sprint(port)}
			}
			a, b := start(t, ca), start(t, cb)
			settle(t, a, b)
			crossing(t, a, b)
			run := func(args ...string) string {
				out, err := exec.Command(gobgp, append(flags, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("gobgp %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			out := run("neighbor")
			if !strings.Contains(out, addrs[1].String()) || !strings.Contains(out, "Establ") {
				t.Errorf("gobgp neighbor:\n%s", out)
			}
			out = run("global", "rib", "-a", "evpn")
			for _, want := range []string{"198.51.100.1/32", "198.51.100.2/32", "[VXLAN]", "router's mac: 02:00:c0:00:02:01", "65000:200"} {
				if !strings.Contains(out, want) {
					t.Errorf("gobgp global rib -a evpn has no %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestStopThroughTheAPIIsAnError(t *testing.T) {
	parallel(t)
	gobgp := cli(t)
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP.API = "unix://" + socket(t)
	s, err := newSpeaker(cfg, newBook(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	<-s.Ready()
	// The API goes with the server, so the command cannot know that it worked.
	out, _ := exec.Command(gobgp, "--target", cfg.BGP.API, "global", "del", "all").CombinedOutput()
	t.Logf("gobgp global del all: %s", out)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "stopped through its API") {
		t.Errorf("error %v", err)
	}
}
