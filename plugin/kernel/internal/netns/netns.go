// Package netns gives tests a network namespace of their own.
package netns

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// New puts the calling goroutine into a fresh network namespace in which lo is
// up, until the goroutine ends: its thread is thrown away then. Programs that it
// starts and sockets that it opens are in there, other goroutines (those of
// subtests as well) are not. Without the privilege the test is skipped, and
// fails under CI=true.
func New(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, unix.EPERM) && os.Getenv("CI") != "true" {
			t.Skip("needs root, for a network namespace")
		}
		t.Fatalf("no network namespace: %v", err)
	}
	Run(t, "ip", "link", "set", "lo", "up")
}

// Run runs a program in the network namespace of the calling goroutine and
// returns what it prints. The test ends if the program fails.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
