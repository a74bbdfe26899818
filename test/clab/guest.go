package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// guestVar is set in the virtual machine.
const guestVar = "MBBGP_CLAB_GUEST"

// probe looks whether the kernel has what a lab needs: a script beside the
// topology, "needs", fails in a new network namespace if it has not. Labs
// without one run everywhere.
func (l *lab) probe() error {
	needs := filepath.Join(l.dir(), "needs")
	if _, err := os.Stat(needs); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	out, err := exec.Command("unshare", "--net", "sh", "-e", needs).CombinedOutput()
	if err != nil {
		return fmt.Errorf("this kernel lacks something that lab %s needs: %s", l.Name, strings.TrimSpace(string(out)))
	}
	return nil
}

// runInGuest runs the lab in a virtual machine that boots another kernel.
func (l *lab) runInGuest(program string, args []string) (status int, err error) {
	root, err := moduleRoot()
	if err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	if program == "" { // the guest has no time for it
		dir, err := os.MkdirTemp("", "mbbgp-lab-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "mbbgp")
		if err := build(program); err != nil {
			return 1, err
		}
	}
	// The virtual machine ends with this process, however that ends. The kernel
	// looks at the thread.
	runtime.LockOSThread()
	cmd := exec.Command("unshare", append([]string{
		"--pid", "--mount-proc", "--fork", "--kill-child",
		filepath.Join(root, "test/guest"), self, "-mbbgp", program, "run", l.file,
	}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Dir = root
	cmd.Env = append(os.Environ(), guestVar+"=yes")
	return finish(cmd)
}
