package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab is a topology and what runs of it.
type lab struct {
	*topology
	state string // folder: programs, and for each node its pid and what it printed
	tied  bool   // nodes end with this process
}

// openLab finds a lab by the name of its folder below labs/containerlab, or by
// the path of its topology file.
func openLab(stateFolder, name string) (*lab, error) {
	file := name
	if labName.MatchString(name) {
		root, err := moduleRoot()
		if err != nil {
			return nil, err
		}
		file = filepath.Join(root, "labs/containerlab", name, name+".clab.yml")
	}
	t, err := readTopology(file)
	if err != nil {
		return nil, err
	}
	state, err := filepath.Abs(filepath.Join(stateFolder, t.Name))
	if err != nil {
		return nil, err
	}
	return &lab{topology: t, state: state}, nil
}

// moduleRoot is the folder with this module's go.mod, above the working
// directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "labs/containerlab")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("labs/containerlab is not above the working directory: run this in the checkout")
}

// up starts the nodes, then the links, then what the nodes are to execute. If
// anything fails, nothing stays.
func (l *lab) up(program string) (err error) {
	if err := os.MkdirAll(filepath.Dir(l.state), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(l.state, 0o755); errors.Is(err, os.ErrExist) {
		return fmt.Errorf("lab %s is up already, or was not taken down", l.Name)
	} else if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.logs(), l.down())
		}
	}()
	if program == "" {
		program = filepath.Join(l.state, "mbbgp")
		if err := build(program); err != nil {
			return err
		}
	}
	for _, name := range l.names() {
		if err := l.start(name, program); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	if err := l.connect(); err != nil {
		return err
	}
	for _, name := range l.names() {
		for _, command := range l.Topology.Nodes[name].Exec {
			args, err := words(command)
			if err != nil {
				return err
			}
			if out, err := l.command(name, args...).CombinedOutput(); err != nil {
				return fmt.Errorf("node %s: exec: %s: %w\n%s", name, command, err, out)
			}
		}
	}
	return nil
}

// build makes the program that is tested.
func build(path string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", path, "./cmd/mbbgp")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building mbbgp: %w\n%s", err, out)
	}
	return nil
}

// start starts a node: this program in new namespaces, which becomes the entry
// point (initNode).
func (l *lab) start(name, program string) error {
	m, err := l.machine(name, program)
	if err != nil {
		return err
	}
	if err := os.Mkdir(m.Root, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	specification := l.path(name, "json")
	if err := os.WriteFile(specification, text, 0o644); err != nil {
		return err
	}
	log, err := os.Create(l.path(name, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	errs, errsOf, err := os.Pipe()
	if err != nil {
		return err
	}
	defer errs.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, initCommand, specification)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{errsOf} // errorPipe
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
	}
	if l.tied {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	err = cmd.Start()
	errsOf.Close()
	if err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	go func() { _ = cmd.Wait() }() // its end is nobody's error: labs kill nodes
	if err := startedNode(errs); err != nil {
		return err
	}
	return os.WriteFile(l.path(name, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// path is that of a file about a node.
func (l *lab) path(name, what string) string { return filepath.Join(l.state, name+"."+what) }

// machine says what a node is made of.
func (l *lab) machine(name, program string) (*machine, error) {
	n := l.Topology.Nodes[name]
	m := &machine{Name: name, Root: l.path(name, "root"), Binds: []mount{{program, "/usr/bin/mbbgp", true}}}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	for _, target := range slices.Sorted(maps.Keys(imageFiles)) {
		m.Binds = append(m.Binds, mount{filepath.Join(root, "labs/containerlab", imageFiles[target]), target, true})
	}
	for _, b := range n.Binds {
		parts := strings.Split(b, ":")
		source := parts[0]
		if !filepath.IsAbs(source) {
			source = filepath.Join(l.dir(), source)
		}
		m.Binds = append(m.Binds, mount{source, parts[1], len(parts) == 3})
	}
	m.Env = n.environment(name)
	entrypoint, err := words(n.Entrypoint)
	if err != nil {
		return nil, err
	}
	if len(entrypoint) == 0 {
		entrypoint = images[n.Image]
	}
	args, err := words(n.Cmd)
	if err != nil {
		return nil, err
	}
	m.Args = slices.Concat(entrypoint, args)
	return m, nil
}

// environment is what every program on a node gets.
func (n *node) environment(name string) []string {
	list := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "HOSTNAME=" + name,
	}
	for _, v := range slices.Sorted(maps.Keys(n.Env)) {
		list = append(list, v+"="+n.Env[v])
	}
	return list
}

// connect makes the links and sets their interfaces up.
func (l *lab) connect() error {
	var links strings.Builder
	up := make(map[string]*strings.Builder)
	pids := make(map[string]int)
	for _, name := range l.names() {
		pid, err := l.pid(name)
		if err != nil {
			return err
		}
		pids[name] = pid
	}
	for _, k := range l.Topology.Links {
		a, b, mtu := k.Endpoints[0], k.Endpoints[1], cmp.Or(k.MTU, defaultMTU)
		fmt.Fprintf(&links, "link add name %s mtu %d netns %d type veth peer name %s mtu %d netns %d\n",
			a.Interface, mtu, pids[a.Node], b.Interface, mtu, pids[b.Node])
		for _, e := range k.Endpoints {
			if up[e.Node] == nil {
				up[e.Node] = new(strings.Builder)
			}
			fmt.Fprintf(up[e.Node], "link set %s up\n", e.Interface)
		}
	}
	if err := batch(exec.Command("ip", "-batch", "-"), links.String()); err != nil {
		return fmt.Errorf("links: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(up)) {
		if err := batch(l.command(name, "ip", "-batch", "-"), up[name].String()); err != nil {
			return fmt.Errorf("links of %s: %w", name, err)
		}
	}
	return nil
}

// batch runs an "ip -batch -" with lines of commands.
func batch(cmd *exec.Cmd, lines string) error {
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %sof\n%s", err, out, lines)
	}
	return nil
}

// pid is the first process of a node, which lives.
func (l *lab) pid(name string) (int, error) {
	if l.Topology.Nodes[name] == nil {
		return 0, fmt.Errorf("lab %s has no node %q, but %s", l.Name, name, strings.Join(l.names(), ", "))
	}
	text, err := os.ReadFile(l.path(name, "pid"))
	if err != nil {
		return 0, fmt.Errorf("lab %s is not up: %w", l.Name, err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", l.path(name, "pid"), err)
	}
	if !l.owns(pid) { // the number may be somebody else's by now
		return 0, fmt.Errorf("node %s of lab %s has ended", name, l.Name)
	}
	return pid, nil
}

// command prepares a program on a node that lives.
func (l *lab) command(name string, args ...string) *exec.Cmd {
	pid, err := l.pid(name)
	cmd := exec.Command("nsenter", append([]string{
		"--target", strconv.Itoa(pid), "--net", "--mount", "--pid", "--uts", "--",
	}, args...)...)
	if err != nil {
		cmd.Err = err
		return cmd
	}
	cmd.Env = l.Topology.Nodes[name].environment(name)
	if term := os.Getenv("TERM"); term != "" {
		cmd.Env = append(cmd.Env, "TERM="+term)
	}
	return cmd
}

// owns reports whether a process runs on a node of the lab: it sees a file
// system that was put together below the state folder.
func (l *lab) owns(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	return err == nil && strings.Contains(string(text), "upperdir="+l.state+"/")
}

// processes are all that run on nodes of the lab.
func (l *lab) processes() (pids []int) {
	list, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
	for _, path := range list {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil && l.owns(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends a node as a power failure does. Its links are gone with it.
func (l *lab) kill(name string) error {
	pid, err := l.pid(name)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// down ends all nodes and removes what the lab has left. It is no error if
// there is nothing.
func (l *lab) down() error {
	const patience = 60 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		pids := l.processes()
		if len(pids) == 0 {
			return os.RemoveAll(l.state)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending process %d of lab %s: %w", pid, l.Name, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %d of lab %s still run after %s", pids, l.Name, patience)
		}
	}
}

// logs returns the ends of what nodes have printed, as an error.
func (l *lab) logs() error {
	const most = 4000 // bytes a node
	var errs []error
	for _, name := range l.names() {
		text, err := os.ReadFile(l.path(name, "log"))
		if err == nil && len(text) > 0 {
			errs = append(errs, fmt.Errorf("-- %s printed:\n%s", name, text[max(0, len(text)-most):]))
		}
	}
	return errors.Join(errs...)
}
