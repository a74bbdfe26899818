package metalbond

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialFrom connects from an address.
func dialFrom(t *testing.T, s *Server, from string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return newPeer(t, conn)
}

func TestOneAddressHasNotAllConnections(t *testing.T) {
	w := newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.MaxPerSource = 2 })
	a, _ := dialFrom(t, s, "127.0.0.7").greet(), dialFrom(t, s, "127.0.0.7").greet()
	dialFrom(t, s, "127.0.0.7").ends()
	dialFrom(t, s, "127.0.0.8").greet()
	if n := s.Refused()["max-sessions-per-source"]; n != 1 {
		t.Errorf("%v", s.Refused())
	}
	a.conn.Close()
	eventually(t, "room for one", func() bool { return len(s.Sessions()) == 2 })
	dialFrom(t, s, "127.0.0.7").greet()
	s.Reconfigure(ServerOptions{MaxPerSource: 3})
	dialFrom(t, s, "127.0.0.7").greet()
}

func TestOldestHalfOpenConnectionMakesRoom(t *testing.T) {
	w := newWorld(t)
	s := w.serve(nil)
	healthy := dial(t, s).greet()
	healthy.sync()
	s.Reconfigure(ServerOptions{MaxConnections: 4 * leastOpening})
	var idle []*peer
	for range leastOpening {
		idle = append(idle, dial(t, s))
	}
	eventually(t, "all are there", func() bool { return len(s.Sessions()) == leastOpening+1 })
	dial(t, s).greet().sync()
	idle[0].ends()
	if n := s.Refused()["half-open"]; n != 1 {
		t.Errorf("%v", s.Refused())
	}
	idle[1].greet()
	healthy.sync()
}

// outOfFiles makes the test a process of its own that has no file descriptors.
const outOfFiles = "MBBGP_TEST_OUT_OF_FILES"

func TestServerWithoutFileDescriptorsServesWhomItHas(t *testing.T) {
	if os.Getenv(outOfFiles) == "" {
		program := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		program.Env = append(os.Environ(), outOfFiles+"=1")
		out, err := program.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "\n--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	w := newWorld(t)
	s := w.serve(nil)
	reader, speaker := dial(t, s).greet(), dial(t, s).greet()
	reader.subscribe(23)
	reader.sync()
	// The newcomer's own end is there before the limit is.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(s.Addr().String())
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says so", func() bool { return w.lines.count("cannot accept connections") == 1 })
	for i := range 10 {
		speaker.announce(23, prefix(i), hop1)
		if got, want := reader.update(), fmt.Sprintf("add 23 %v via 2001:db8::1", prefix(i)); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	newcomer := os.NewFile(uintptr(fd), "newcomer")
	conn, err := net.FileConn(newcomer)
	newcomer.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	newPeer(t, conn).greet().sync()
	if n := w.lines.count("accepting connections again"); n != 1 {
		t.Errorf("%d lines that it is over", n)
	}
}
