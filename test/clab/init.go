package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what the first process of a node is told, as JSON.
type machine struct {
	Name  string
	Root  string   // empty folder of this machine where the node's files are put together
	Binds []mount  // in this order
	Env   []string // NAME=VALUE
	Args  []string // the entry point and its arguments
}

// mount is a file or folder of this machine that the node sees.
type mount struct {
	Source, Target string // absolute
	ReadOnly       bool
}

// errorPipe is the descriptor on which the first process says why it could not
// become the entry point. It closes when it does.
const errorPipe = 3

// initNode is the first process of a node, in new namespaces of all kinds. It
// does not return.
func initNode(specification string) {
	unix.CloseOnExec(errorPipe)
	err := becomeNode(specification)
	_, _ = fmt.Fprint(os.NewFile(errorPipe, "errors"), err)
	os.Exit(1)
}

// startedNode waits until the first process has become the entry point, or
// returns what it says.
func startedNode(pipe io.Reader) error {
	text, err := io.ReadAll(pipe)
	if err == nil && len(text) > 0 {
		err = errors.New(string(text))
	}
	return err
}

// becomeNode gives the node its files and name and runs the entry point.
func becomeNode(specification string) error {
	text, err := os.ReadFile(specification)
	if err != nil {
		return err
	}
	var m machine
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	root, err := m.files()
	if err != nil {
		return err
	}
	if err := enter(root); err != nil {
		return err
	}
	os.Clearenv()
	for _, e := range m.Env {
		name, value, _ := strings.Cut(e, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("env: %s: %w", name, err)
		}
	}
	program, err := exec.LookPath(m.Args[0])
	if err != nil {
		return fmt.Errorf("entry point: %w", err)
	}
	return fmt.Errorf("entry point %s: %w", program, unix.Exec(program, m.Args, os.Environ()))
}

// loopback sets the interface lo up, which containers have from the start.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// files puts the node's files together: those of this machine under a layer in
// memory, with folders of its own where programs keep their state, and the
// binds. Nothing of it is seen outside, and it is gone with the node.
func (m *machine) files() (root string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("private mounts: %w", err)
	}
	if err := mountAt(m.Root, "tmpfs", 0, ""); err != nil {
		return "", err
	}
	part := func(name string) string { return filepath.Join(m.Root, name) }
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(part(name), 0o755); err != nil {
			return "", err
		}
	}
	root = part("root")
	layers := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", part("upper"), part("work"))
	if err := mountAt(root, "overlay", 0, layers); err != nil {
		return "", err
	}
	for _, f := range []struct{ path, kind string }{
		{"proc", "proc"}, {"sys", "sysfs"}, {"run", "tmpfs"}, {"tmp", "tmpfs"},
		{"etc/frr", "tmpfs"}, // the machine may run FRR itself
	} {
		if err := mountAt(filepath.Join(root, f.path), f.kind, 0, ""); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o1777); err != nil {
		return "", err
	}
	for _, b := range append([]mount{{Source: "/dev", Target: "/dev"}}, m.Binds...) {
		if err := b.at(root); err != nil {
			return "", err
		}
	}
	return root, nil
}

// mountAt mounts a file system on a folder, which it makes.
func mountAt(path, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, path, kind, flags, options); err != nil {
		return fmt.Errorf("mount -t %s %s: %w", kind, path, err)
	}
	return nil
}

// at binds the file or folder below a root.
func (b mount) at(root string) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	target := filepath.Join(root, b.Target)
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Mount(b.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", b.Source, b.Target, err)
	}
	if b.ReadOnly {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("bind %s read only: %w", b.Target, err)
		}
	}
	return nil
}

// enter makes a mount point the root, and lets go of the old one.
func enter(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	// The old root is mounted on the new one, and taken off (pivot_root(2)).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root %s: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("old root: %w", err)
	}
	return os.Chdir("/")
}
