package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPackageLivesUnderSystemd installs, runs, upgrades and removes the package
// in a machine that systemd boots in namespaces; testdata/life is what happens.
func TestPackageLivesUnderSystemd(t *testing.T) {
	need(t, "make", "dpkg", "unshare", "/lib/systemd/systemd", "ip", "ss")
	if os.Getuid() != 0 {
		t.Skip("only root can boot a machine in namespaces")
	}
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		run(t, "make", "--no-print-directory", "deb", "VERSION="+version, "DEB="+filepath.Join(dir, "mbbgp_"+version+"_test.deb"))
	}
	// The machine ends with the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
		"testdata/machine", "life", dir)
	cmd.Dir = filepath.Join(checkout(t), "test/packaging")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	log, readErr := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || readErr != nil || !strings.HasSuffix(string(log), "== passed\n") {
		t.Errorf("%v, %v\n%s\n%s", err, readErr, said.String(), log)
	}
}
