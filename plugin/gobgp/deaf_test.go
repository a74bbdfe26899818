package gobgp

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outOfFiles makes the test a process of its own that has no file descriptors.
const outOfFiles = "MBBGP_TEST_OUT_OF_FILES"

func TestSpeakerEndsWhenGoBGPStopsListening(t *testing.T) {
	if os.Getenv(outOfFiles) == "" {
		program := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		program.Env = append(os.Environ(), outOfFiles+"=1")
		out, err := program.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "\n--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	cfg := configuration(t, addresses(1)[0], 65001)
	h, done := launch(t, cfg, quiet())
	<-h.Ready()
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
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(h.port), Addr: h.addr.As4()}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, errDeaf) || !strings.Contains(err.Error(), "too many open files") {
			t.Errorf("ended with: %v", err)
		}
	case <-time.After(patience):
		t.Error("the speaker goes on, and nobody can connect")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	done <- nil // for the end of the test
}
