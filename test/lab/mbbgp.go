package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bridge starts `mbbgp run` with a configuration, whose http address is the
// default, and waits until it lives.
func (n *Node) Bridge(config string) *MetalBond {
	n.t.Helper()
	return n.BridgeOf(Program("mbbgp"), config)
}

// BridgeOf is Bridge for a binary of another path.
func (n *Node) BridgeOf(program, config string) *MetalBond {
	n.t.Helper()
	const path = "/run/mbbgp.yaml"
	n.WriteFile(path, config)
	m := &MetalBond{n.Start(program, "run", "-c", path), n, "http://127.0.0.1:4712"}
	m.waitAlive()
	return m
}

// Server starts `mbbgp server` where MetalBondServer starts the stock one.
func (n *Node) Server(args ...string) *MetalBond {
	n.t.Helper()
	args = append([]string{"server", "--listen", "[::]:4711", "--http", "[::]:4712"}, args...)
	m := &MetalBond{n.Start(Program("mbbgp"), args...), n, "http://[::1]:4712"}
	m.waitAlive()
	return m
}

// Client starts `mbbgp client` where MetalBondClient starts the stock one.
func (n *Node) Client(args ...string) *MetalBond {
	n.t.Helper()
	args = append([]string{"client", "--http", "[::]:4713"}, args...)
	m := &MetalBond{n.Start(Program("mbbgp"), args...), n, "http://[::1]:4713"}
	m.waitAlive()
	return m
}

func (m *MetalBond) waitAlive() {
	m.t.Helper()
	Eventually(m.t, 20*time.Second, m.Name, func() error {
		if !m.Running() {
			m.t.Fatalf("%s ended at once:\n%s", m.Name, m.Tail(tailLines))
		}
		_, err := m.node.Get(m.http + "/healthz")
		return err
	})
}

// WaitReady waits until the program calls itself ready.
func (m *MetalBond) WaitReady(within time.Duration) {
	m.t.Helper()
	Eventually(m.t, within, m.Name, func() error {
		_, err := m.node.Get(m.http + "/readyz")
		return err
	})
}

// Page fetches a page of the program's HTTP server.
func (m *MetalBond) Page(path string) (string, error) {
	body, err := m.node.Get(m.http + path)
	return string(body), err
}

// Metric returns the sum of the values of a metric over all its labels that
// contain each of the texts, such as `vni="200"`.
func (m *MetalBond) Metric(name string, labels ...string) float64 {
	m.t.Helper()
	body, err := m.node.Get(m.http + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			m.t.Fatalf("%s: %q", m.Name, line)
		}
		sum += v
	}
	return sum
}

// GoBGP runs the stock gobgp command on the node, against the API on its
// loopback, and decodes the JSON that it prints.
func (n *Node) GoBGP(into any, args ...string) error {
	args = append([]string{"-u", "127.0.0.1", "-p", "50051", "-j"}, args...)
	out, err := n.Try(Program("gobgp"), args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("gobgp %s: %w in %.500s", strings.Join(args, " "), err, out)
	}
	return nil
}
