package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// manager is systemd's end of the socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listenAsManager(t *testing.T, watchdog string) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", watchdog)
	return &manager{t, conn}
}

// hears returns the first message with a word, and the ones before it; "" if
// none comes in time.
func (m *manager) hears(word string, within time.Duration) (message string, before []string) {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for {
		n, err := m.conn.Read(buffer)
		if err != nil {
			return "", before
		}
		message := string(buffer[:n])
		if strings.Contains(message, word) {
			return message, before
		}
		before = append(before, message)
	}
}

// supervised runs a daemon that serves hypervisors on loopback.
func supervised(t *testing.T) (d *daemon, stop func()) {
	t.Helper()
	cfg := &config.Config{}
	cfg.MetalBond.Listen = []netip.AddrPort{netip.MustParseAddrPort("[::1]:0")}
	cfg.MetalBond.Keepalive = time.Second
	log, err := newLogs(config.Log{}, logFlags{}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = newDaemon(cfg, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return d, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestSystemdIsToldOfTheWholeLife(t *testing.T) {
	m := listenAsManager(t, "300000")
	d, stop := supervised(t)
	_, before := m.hears("READY=1", 10*time.Second)
	if len(before) == 0 || !strings.Contains(before[0], "STATUS=0 of 0 MetalBond sessions up") || !strings.Contains(before[0], "EXTEND_TIMEOUT_USEC=") {
		t.Errorf("before it was ready: %q", before)
	}
	if !closed(d.listening) {
		t.Error("ready without the listener")
	}
	for range 2 {
		message, _ := m.hears("WATCHDOG=1", 10*time.Second)
		if !strings.Contains(message, "STATUS=0 of 0 MetalBond sessions up; 0 prefixes in 0 VNIs") || strings.Contains(message, "waiting") {
			t.Errorf("while it runs: %q", message)
		}
	}
	notifyReload()()
	if message, _ := m.hears("RELOADING=1", time.Second); !strings.Contains(message, "\nMONOTONIC_USEC=") {
		t.Errorf("at a reload: %q", message)
	}
	if message, _ := m.hears("READY=1", time.Second); message == "" {
		t.Error("the reload has no end")
	}
	stop()
	if message, _ := m.hears("STOPPING=1", time.Second); message == "" {
		t.Error("the end was not told")
	}
}

func TestProcessThatHangsGivesNoSignOfLife(t *testing.T) {
	m := listenAsManager(t, "60000")
	release := make(chan struct{})
	d, stop := supervised(t)
	defer stop()
	if message, _ := m.hears("WATCHDOG=1", 10*time.Second); message == "" {
		t.Fatal("no sign of life")
	}
	reader := d.table.NewReader(200, rib.ReaderOptions{Wake: func() { <-release }})
	defer reader.Close()
	reader.ReadChanges(make([]rib.Change, 1))
	own := d.bridge.Open(rib.Static, "test")
	go func() { // hangs with the lock of the VNI
		if err := own.Announce(200, netip.MustParsePrefix("10.0.0.0/8"), rib.NextHop{Target: netip.MustParseAddr("2001:db8::1")}); err != nil {
			t.Error(err)
		}
	}()
	for message := "x"; message != ""; { // what was on its way
		message, _ = m.hears("WATCHDOG=1", 300*time.Millisecond)
	}
	close(release)
	if message, _ := m.hears("WATCHDOG=1", 10*time.Second); message == "" {
		t.Error("no sign of life of a process that hangs no longer")
	}
}
