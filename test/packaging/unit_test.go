package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// mostExposed is what 'systemd-analyze security' may say at most, of 10: what
// is left is the network, which is what the program is for.
const mostExposed = 1.8

func TestUnitIsValidAndHardened(t *testing.T) {
	need(t, "systemd-analyze")
	unit, err := os.ReadFile(files(t, "mbbgp.service"))
	if err != nil {
		t.Fatal(err)
	}
	// Programs are looked for below the root, so an empty one has what the unit runs.
	root := t.TempDir()
	for _, f := range []struct {
		path    string
		content []byte
		mode    os.FileMode
	}{{"usr/bin/mbbgp", nil, 0o755}, {"etc/systemd/system/mbbgp.service", unit, 0o644}} {
		path := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.content, f.mode); err != nil {
			t.Fatal(err)
		}
	}
	verify := exec.Command("systemd-analyze", "--root="+root, "--man=no", "--recursive-errors=no", "verify", "mbbgp.service")
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	said := run(t, "systemd-analyze", "--offline=true", "--no-pager", "security", files(t, "mbbgp.service"))
	m := regexp.MustCompile(`Overall exposure level for mbbgp\.service: ([0-9.]+)`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("security:\n%s", said)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > mostExposed {
		t.Errorf("exposure is %s, want at most %v:\n%s", m[1], mostExposed, said)
	}
}
