package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// need skips a test without a program, and fails it under CI.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces with a file system of their own")
	}
}

// runner builds this program and returns the folder in which it keeps labs, and
// a function that prepares commands of it. Its mbbgp is a program of that path.
func runner(t *testing.T, mbbgp string) (state string, prepare func(args ...string) *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	clab := filepath.Join(dir, "clab")
	if out, err := exec.Command("go", "build", "-o", clab, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return state, func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), clab, append([]string{"-state", state, "-mbbgp", mbbgp}, args...)...)
	}
}

// left returns what is left of a lab: its folder, and processes in its
// namespaces.
func left(t *testing.T, state, name string) (list []string) {
	t.Helper()
	l := &lab{state: filepath.Join(state, name)}
	if _, err := os.Stat(l.state); !errors.Is(err, os.ErrNotExist) {
		list = append(list, l.state)
	}
	for _, pid := range l.processes() {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		list = append(list, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(command, []byte{0}, []byte(" "))))
	}
	return list
}

// Every lab comes up, does what its README says, and goes down, in the machine's
// own kernel or in that of a virtual machine (test/guest).
func TestLabs(t *testing.T) {
	need(t, "ip", "nsenter", "vtysh", "ping", "nft", "prometheus", "qemu-system-x86_64", "busybox")
	mbbgp := filepath.Join(t.TempDir(), "mbbgp")
	if err := build(mbbgp); err != nil {
		t.Fatal(err)
	}
	state, clab := runner(t, mbbgp)
	for _, file := range topologies(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".clab.yml")
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			out, err := clab("run", name).CombinedOutput()
			t.Logf("%s after %s", name, time.Since(begin).Round(time.Second))
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if list := left(t, state, name); len(list) > 0 {
				t.Errorf("something is left: %q", list)
			}
		})
	}
}

// small is a lab of two nodes.
const small = `
name: small
topology:
  defaults: {kind: linux, image: mbbgp-lab-tools, network-mode: none}
  nodes:
    a:
      env: {GREETING: good morning}
      binds: [greeting:/etc/greeting:ro]
      exec: [ip addr add 192.0.2.1/24 dev eth1]
    b: {exec: [ip addr add 192.0.2.2/24 dev eth1]}
  links:
    - endpoints: ["a:eth1", "b:eth1"]
`

// writeLab writes a lab and returns the path of its topology.
func writeLab(t *testing.T, topology string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"small.clab.yml": topology, "greeting": "hello\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "small.clab.yml")
}

func TestNodesAreMachinesOfTheirOwn(t *testing.T) {
	need(t, "ip", "nsenter", "ping")
	state, clab := runner(t, "/bin/true")
	file := writeLab(t, small)
	run := func(args ...string) (string, error) {
		out, err := clab(args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := run("up", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() {
		if out, err := run("down", file); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if list := left(t, state, "small"); len(list) > 0 {
			t.Errorf("something is left: %q", list)
		}
	}()
	for _, row := range []struct {
		name, want string // the output, a pattern
		command    []string
	}{
		{"has a name", `^a$`, []string{"a", "hostname"}},
		{"sees what it binds", `^hello$`, []string{"a", "cat", "/etc/greeting"}},
		{"has its variables", `^good morning$`, []string{"a", "sh", "-c", "echo $GREETING"}},
		{"reaches the other one", `1 received`, []string{"a", "ping", "-n", "-c", "1", "192.0.2.2"}},
		{"has the MTU of containerlab", ` mtu 9500 `, []string{"b", "ip", "link", "show", "eth1"}},
		{"sees no processes of others", `^\d( \d+)*$`, []string{"b", "sh", "-c", "cd /proc; echo [0-9]*"}},
		{"has no network of the machine", `^eth1 lo$`, []string{"b", "sh", "-c", "cd /sys/class/net; echo *"}},
	} {
		out, err := run(append([]string{"exec", file}, row.command...)...)
		if err != nil || !regexp.MustCompile(row.want).MatchString(out) {
			t.Errorf("%s: %v: %q, want %q", row.name, err, out, row.want)
		}
	}
	if out, err := run("exec", file, "a", "sh", "-c", "echo x >/etc/greeting"); err == nil {
		t.Errorf("a bind that is read only was written: %s", out)
	}
	if _, err := run("exec", file, "b", "touch", "/etc/mbbgp-clab-test"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/etc/mbbgp-clab-test"); !errors.Is(err, os.ErrNotExist) {
		t.Error("what a node writes is seen outside")
	}
	if out, err := run("up", file); err == nil || !strings.Contains(out, "lab small is up already") {
		t.Errorf("up twice: %v: %s", err, out)
	}
	if out, err := run("exec", file, "c", "true"); err == nil || !strings.Contains(out, `has no node "c", but a, b`) {
		t.Errorf("exec on an unknown node: %v: %s", err, out)
	}
	if out, err := run("kill", file, "b"); err != nil {
		t.Errorf("kill: %v: %s", err, out)
	}
	end := time.Now().Add(time.Minute)
	for gone := false; !gone; {
		out, err := run("exec", file, "a", "ip", "link", "show", "eth1")
		if gone = err != nil; !gone && time.Now().After(end) {
			t.Fatalf("the link to a node that was killed is still there: %s", out)
		}
	}
}

func TestLabThatFailsLeavesNothing(t *testing.T) {
	need(t, "ip", "nsenter")
	state, clab := runner(t, "/bin/true")
	for _, row := range []struct{ name, old, new, want string }{
		{"a command", "ip addr add 192.0.2.1/24 dev eth1", "ip addr add nonsense dev eth1", "node a: exec: ip addr add nonsense"},
		{"an entry point", "env: {", "entrypoint: nowhere\n      env: {", "node a: entry point"},
		{"a bind", "greeting:/etc", "nowhere:/etc", "node a: bind: stat"},
	} {
		file := writeLab(t, strings.Replace(small, row.old, row.new, 1))
		out, err := clab("up", file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), row.want) {
			t.Errorf("%s: %v: %s, want %q", row.name, err, out, row.want)
		}
		if list := left(t, state, "small"); len(list) > 0 {
			t.Errorf("%s: something is left: %q", row.name, list)
		}
	}
}

func TestShippedTopologiesMatchContainerlabsSchema(t *testing.T) {
	check := func(files ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "."}, files...)...)
		cmd.Dir = "schema"
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := check(topologies(t)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := writeLab(t, strings.Replace(small, "env:", "environment:", 1))
	if out, err := check(wrong); err == nil || !strings.Contains(out, "environment") {
		t.Errorf("a wrong topology: %v\n%s", err, out)
	}
}

// The entry points that the runner gives to nodes are those of the images.
func TestImagesHaveTheEntryPointsThatAreRunHere(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(root, "labs/containerlab/images")
	if list, err := filepath.Glob(filepath.Join(folder, "*.Dockerfile")); err != nil || len(list) != len(images) {
		t.Errorf("%q, %v, want %d", list, err, len(images))
	}
	for name, entrypoint := range images {
		text, err := os.ReadFile(filepath.Join(folder, name+".Dockerfile"))
		if want := fmt.Sprintf("\nENTRYPOINT [%q]\n", entrypoint[0]); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, want %q in\n%s", name, err, want, text)
		}
	}
}

// Files that the READMEs of the labs link to or name are there.
func TestReadmesNameOnlyExistingFiles(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	list := topologies(t)
	for _, file := range append(list, filepath.Dir(list[0])) { // and the one of all labs
		readme := filepath.Join(filepath.Dir(file), "README.md")
		text, err := os.ReadFile(readme)
		if err != nil {
			t.Error(err)
			continue
		}
		var targets []string
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			targets = append(targets, m[1])
		}
		if len(targets) == 0 {
			t.Errorf("%s links to none of its files", readme)
		}
		for _, target := range slices.Compact(targets) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(readme), target)); err != nil {
				t.Errorf("%s: %v", readme, err)
			}
		}
	}
}
