package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"mbbgp/test/lab"
)

const rulesFile = "prometheus/mbbgp.rules.yaml"

// shipped returns the path of a file that the packages have.
func shipped(t *testing.T, name string) string {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "cmd/mbbgp/packaging", name)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlertsFireWhenTheyShould lets promtool run the unit tests of the rules.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	lab.Need(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", "--lint-fatal", shipped(t, rulesFile)},
		{"test", "rules", "testdata/alerts.test.yaml"},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func TestEveryAlertHasATest(t *testing.T) {
	tests := read(t, "testdata/alerts.test.yaml")
	alerts := regexp.MustCompile(`(?m)^ *- alert: (.+)$`).FindAllStringSubmatch(read(t, shipped(t, rulesFile)), -1)
	if len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, a := range alerts {
		if !regexp.MustCompile(`ALERTS\{alertname="` + a[1] + `"`).MatchString(tests) {
			t.Errorf("no test lets %s fire", a[1])
		}
	}
}
