package packaging

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// instructions returns the instructions of a Dockerfile, continued lines put
// together, by stages.
func instructions(t *testing.T, name string) (stages [][]string) {
	t.Helper()
	text, err := os.ReadFile(files(t, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "FROM ") || stages == nil {
			stages = append(stages, nil)
		}
		last := len(stages) - 1
		stages[last] = append(stages[last], line)
	}
	return stages
}

// TestImageHasAStaticProgramAndItsFolders does what the stage that builds says,
// in this checkout and a folder of its own.
func TestImageHasAStaticProgramAndItsFolders(t *testing.T) {
	root := t.TempDir()
	for _, stage := range instructions(t, "Dockerfile") {
		for _, line := range stage {
			if command, ok := strings.CutPrefix(line, "RUN "); ok {
				run(t, "sh", "-ec", strings.ReplaceAll(command, "/root/image", root))
			}
		}
	}
	program := filepath.Join(root, "usr/bin/mbbgp")
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 || f.Section(".interp") != nil {
		t.Errorf("the program is not static: needs %v, %v", libraries, err)
	}
	for _, folder := range []string{"etc/mbbgp", "run/mbbgp", "tmp", "var/lib/mbbgp"} {
		if info, err := os.Stat(filepath.Join(root, folder)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", folder, err)
		}
	}
	out, err := exec.Command(program, "check", filepath.Join(root, "etc/mbbgp/mbbgp.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

func TestBothImagesAreTheSame(t *testing.T) {
	built, prebuilt := instructions(t, "Dockerfile"), instructions(t, "prebuilt.Dockerfile")
	last := built[len(built)-1]
	last[1] = strings.Replace(last[1], "--from=build /root/image", ".", 1)
	if len(prebuilt) != 1 || last[0] != "FROM scratch" {
		t.Fatalf("stages: %v", prebuilt)
	}
	if diff := cmp.Diff(prebuilt[0], last); diff != "" {
		t.Errorf("prebuilt (-) and built there (+):\n%s", diff)
	}
}
