// Package lab gives a test a network of its own, in Linux network namespaces,
// and runs the programs under test and their real peers in it: the mbbgp
// binary, stock MetalBond and GoBGP programs, FRR, and peers that the test
// steers (module test/peers).
//
// # Nothing stays behind
//
// Main runs the whole test binary a second time, as the first process of new
// PID, mount and network namespaces. Whatever a test starts lives in there, so
// the kernel ends it with the test binary, however that ends, and neither the
// machine's network nor its processes can be touched by mistake. What needs
// the internet (building the programs) happens before, outside.
package lab

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The environment of the second run.
const (
	insideVar = "MBBGP_LAB_INSIDE" // set in the namespaces; "user": without real root
	// programsVar names a folder with the programs; a person may set it to
	// spare the building.
	programsVar = "MBBGP_LAB_PROGRAMS"
)

// built are the programs that Main builds: name, folder of the module, package.
var built = [][3]string{
	{"mbbgp", ".", "./cmd/mbbgp"},
	{"metalbond", "test/peers", "github.com/ironcore-dev/metalbond/cmd"},
	{"gobgp", "test/peers", "github.com/osrg/gobgp/v4/cmd/gobgp"},
	{"hypervisor", "test/peers", "./hypervisor"},
	{"speaker", "test/peers", "./speaker"},
}

// Main is the TestMain of a package whose tests use the lab. It does not
// return.
func Main(m *testing.M) { os.Exit(runMain(m, needs{programs: true})) }

// needs is what the tests of a package have to have around them.
type needs struct {
	probe    string // shell commands that fail in a new network namespace if the kernel will not do; "": any does
	programs bool   // those that are built
}

// runMain runs the tests in new namespaces and returns the exit status.
func runMain(m *testing.M, n needs) int {
	if os.Getenv(insideVar) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			return 1
		}
		return m.Run()
	}
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // names only
	}
	flags, err := privilege()
	var command []string
	if err == nil && n.probe != "" {
		command, err = kernel(flags, n.probe)
	}
	if err != nil {
		reasonOutside = err
		return m.Run() // the tests skip themselves with the reason, or fail under CI
	}
	programs := os.Getenv(programsVar)
	if n.programs && programs == "" {
		programs, err = os.MkdirTemp("", "mbbgp-lab-")
		if err == nil {
			defer os.RemoveAll(programs)
			err = build(programs)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			return 1
		}
	}
	status, err := again(flags, command, programs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return status
}

// reasonOutside says why there is no lab. Main sets it before any test runs.
var reasonOutside error

// privilege returns the arguments of unshare that give this user namespaces.
func privilege() ([]string, error) {
	flags := []string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Getuid() != 0 {
		flags = append([]string{"--user", "--map-root-user"}, flags...)
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		return nil, err
	}
	out, err := exec.Command("unshare", append(flags, "ip", "link", "add", "name", "probe", "type", "veth")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("no network namespaces: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return flags, nil
}

// again runs the test binary in new namespaces, or in a guest that the command
// boots there and that makes namespaces of its own.
func again(flags, command []string, programs string) (status int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// The first one may be killed, and then the second one has to go, too. The
	// kernel looks at the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("unshare", slices.Concat(flags, command, []string{self}, os.Args[1:])...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), programsVar+"="+programs)
	switch {
	case len(command) > 0:
		cmd.Env = append(cmd.Env, guestVar+"=yes")
	case os.Getuid() != 0:
		cmd.Env = append(cmd.Env, insideVar+"=user")
	default:
		cmd.Env = append(cmd.Env, insideVar+"=root")
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// build makes every program in the folder.
func build(folder string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	for _, b := range built {
		cmd := exec.Command("go", "build", "-o", filepath.Join(folder, b[0]), b[2])
		cmd.Dir = filepath.Join(root, b[1])
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", b[0], err, out)
		}
	}
	return nil
}

// Root returns the folder of the module, which a test of any package below it
// finds above itself.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module mbbgp\n") {
			return dir, nil
		}
	}
	return "", errors.New("module mbbgp is not above the working directory")
}

// sources looks at every source file of the module, once, from within a test.
// That makes them inputs of the test in the eyes of go test, which otherwise
// would not see that the programs have changed and show a cached result.
var sources = sync.OnceValue(func() error {
	root, err := Root()
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case filepath.Ext(path) == ".go" || filepath.Ext(path) == ".mod" || filepath.Ext(path) == ".sum":
			_, err = os.Stat(path)
		}
		return err
	})
})

// settle makes the new namespaces habitable.
func settle() error {
	// What the programs leave in /run stays in here.
	if err := run("mount", "-t", "tmpfs", "run", "/run"); err != nil {
		return err
	}
	return run("ip", "link", "set", "lo", "up")
}

// Program returns the path of a program that Main built.
func Program(name string) string {
	return filepath.Join(os.Getenv(programsVar), name)
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Need ends the test if something is missing on this machine: it is skipped
// with the reason when a person runs it, and fails under CI=true, where
// test/run should have installed it. What is "lab" (namespaces), "frr",
// "openbgpd", or the name of a program.
func Need(t testing.TB, what ...string) {
	t.Helper()
	for _, w := range what {
		if err := missing(w); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("needs %s: %v", w, err)
			}
			t.Skipf("needs %s: %v", w, err)
		}
	}
}

func missing(what string) error {
	switch what {
	case "lab":
		return reasonOutside
	case "frr", "openbgpd":
		if os.Getenv(insideVar) == "user" {
			return fmt.Errorf("%s changes to a user of its own, which takes real root", what)
		}
		_, err := exec.LookPath(map[string]string{"frr": "/usr/lib/frr/bgpd", "openbgpd": openbgpd}[what])
		return err
	}
	_, err := exec.LookPath(what)
	return err
}
