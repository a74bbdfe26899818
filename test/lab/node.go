package lab

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is one network segment with nodes on it.
type Lab struct {
	MTU int // of the interfaces of nodes that are added from now on; 0: 1500

	t     testing.TB
	dir   string // logs and configurations
	hub   *Node  // holds the bridge that all nodes are plugged into
	ports int
}

// Node is a machine of the lab: a network namespace, and a mount namespace for
// the folders that programs insist on.
type Node struct {
	Name string

	t    testing.TB
	lab  *Lab
	pid  int    // of the process that holds the namespaces
	port string // of the segment that the node is plugged into
}

// New makes a lab that lasts as long as the test.
func New(t testing.TB) *Lab {
	t.Helper()
	Need(t, "lab", "ip", "nsenter", "sysctl")
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, dir: t.TempDir()}
	l.hub = l.node("hub")
	l.hub.ip("link add lan up type bridge mcast_snooping 0")
	return l
}

// Node adds a machine with addresses (10.0.0.1/24, 2001:db8::1/64) on its
// interface "lan".
func (l *Lab) Node(name string, addresses ...string) *Node {
	l.t.Helper()
	n := l.node(name)
	n.port = l.Attach(n, "lan", addresses...)
	return n
}

// Attach plugs a node of another segment into this one, too, by one more
// interface, and returns the name of the other end of it.
func (l *Lab) Attach(n *Node, device string, addresses ...string) (port string) {
	l.t.Helper()
	l.ports++
	port = fmt.Sprintf("p%d", l.ports)
	mtu := strconv.Itoa(cmp.Or(l.MTU, 1500))
	l.hub.ip(
		fmt.Sprintf("link add %s mtu %s type veth peer name %s mtu %s netns %d", port, mtu, device, mtu, n.pid),
		"link set "+port+" master lan up")
	commands := []string{"link set " + device + " up"}
	for _, a := range addresses {
		commands = append(commands, "address add "+a+" dev "+device)
	}
	n.ip(commands...)
	// A little later the kernel notices that the link is up. Until then nothing is
	// sent from the IPv6 addresses; connections would be made from another one.
	Eventually(l.t, 10*time.Second, "addresses of "+n.Name, func() error {
		out, err := n.Try("ip", "-6", "-oneline", "address", "show", "dev", device)
		if err == nil && (!strings.Contains(out, "fe80:") || strings.Contains(out, "tentative")) {
			err = fmt.Errorf("not ready: %s", out)
		}
		return err
	})
	return port
}

// node makes the namespaces. They are held by a process that ends with its
// input, a pipe whose other end only this process has.
func (l *Lab) node(name string) *Node {
	l.t.Helper()
	n := &Node{Name: name, t: l.t, lab: l}
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-ec", `
		ip link set lo up
		# no duplicate address detection: addresses work at once
		sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
		mount -t tmpfs run /run
		mkdir /run/netns
		echo $$
		exec cat`)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		n.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		l.t.Fatalf("making the namespaces of %s: %v", name, err)
	}
	return n
}

// Command prepares a program in the node's namespaces.
func (n *Node) Command(name string, args ...string) *exec.Cmd {
	in := []string{"--target", strconv.Itoa(n.pid), "--net", "--mount", "--", name}
	return exec.Command("nsenter", append(in, args...)...)
}

// Run runs a program on the node to its end and returns what it printed; the
// test ends if it fails.
func (n *Node) Run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Try(name, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// Try is Run for what may fail.
func (n *Node) Try(name string, args ...string) (string, error) {
	cmd := n.Command(name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %s %s: %w: %s%s", n.Name, name, strings.Join(args, " "), err, errs.String(), out)
	}
	return string(out), nil
}

// WriteFile writes a file in the node's mount namespace. The folder must be one
// of its own (below /run).
func (n *Node) WriteFile(path, content string) {
	n.t.Helper()
	cmd := n.Command("sh", "-c", `cat >"$0"`, path)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: writing %s: %v: %s", n.Name, path, err, out)
	}
}

// Unplug takes the node off the segment; nobody is told.
func (n *Node) Unplug() {
	n.t.Helper()
	n.lab.hub.Run("ip", "link", "set", n.port, "nomaster")
}

// Plug undoes Unplug.
func (n *Node) Plug() {
	n.t.Helper()
	n.lab.hub.Run("ip", "link", "set", n.port, "master", "lan")
}

// inside runs f in the node's network namespace, where the sockets that it
// makes then stay. It must not start threads, as the resolver does.
func (n *Node) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread dies with this goroutine
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.pid))
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// Dial connects from the node.
func (n *Node) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.inside(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on the node.
func (n *Node) Listen(network, address string) (l net.Listener, err error) {
	err = n.inside(func() error {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Get fetches a page from the node's point of view.
func (n *Node) Get(url string) ([]byte, error) {
	transport := &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, answer.Status, body)
	}
	return body, err
}
