package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// topology is a topology file of containerlab, as far as the runner knows it.
// Whatever else containerlab has is an error, so that nobody takes a lab for
// one that works here.
type topology struct {
	Name     string `yaml:"name"`
	Topology struct {
		Defaults node             `yaml:"defaults"`
		Kinds    map[string]node  `yaml:"kinds"`
		Nodes    map[string]*node `yaml:"nodes"`
		Links    []link           `yaml:"links"`
	} `yaml:"topology"`

	file string // absolute path; binds are relative to its folder
}

// node is what a node, its kind, and the defaults may say.
type node struct {
	Kind        string            `yaml:"kind"` // "linux", nothing else
	Image       string            `yaml:"image"`
	PullPolicy  string            `yaml:"image-pull-policy"` // nothing is ever pulled here
	NetworkMode string            `yaml:"network-mode"`      // "none", or "" for a management network, which is not there
	Ports       []string          `yaml:"ports"`             // of the management network
	Entrypoint  string            `yaml:"entrypoint"`        // replaces that of the image
	Cmd         string            `yaml:"cmd"`               // arguments of the entry point
	Binds       []string          `yaml:"binds"`             // SOURCE:TARGET[:ro]
	Exec        []string          `yaml:"exec"`              // when all links are there; without a shell
	Env         map[string]string `yaml:"env"`
}

// link is a cable between two nodes.
type link struct {
	Type      string      `yaml:"type"` // "" or "veth"
	Endpoints []*endpoint `yaml:"endpoints"`
	MTU       int         `yaml:"mtu"` // of both interfaces; 0: defaultMTU
}

// endpoint is one end of a link: NODE:INTERFACE, or a mapping.
type endpoint struct {
	Node      string `yaml:"node"`
	Interface string `yaml:"interface"`
}

// defaultMTU is what containerlab gives to links.
const defaultMTU = 9500

// UnmarshalYAML reads either form.
func (e *endpoint) UnmarshalYAML(text []byte) error {
	var brief string
	if err := yaml.Unmarshal(text, &brief); err == nil {
		var found bool
		if e.Node, e.Interface, found = strings.Cut(brief, ":"); !found {
			return fmt.Errorf("endpoint %q: want NODE:INTERFACE", brief)
		}
		return nil
	}
	type plain endpoint // without this method
	return yaml.UnmarshalWithOptions(text, (*plain)(e), yaml.Strict())
}

// What the file names, containers and interfaces are called after.
var (
	labName       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	nodeName      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
	interfaceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$`)
)

// readTopology reads a topology file and merges defaults and kinds into its
// nodes.
func readTopology(file string) (*topology, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t, err := parseTopology(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	t.file, err = filepath.Abs(file)
	return t, err
}

// dir is the folder of the lab.
func (t *topology) dir() string { return filepath.Dir(t.file) }

func parseTopology(text []byte) (*topology, error) {
	// containerlab puts variables of the environment in before it reads.
	if i := bytes.IndexByte(text, '$'); i >= 0 {
		return nil, fmt.Errorf("line %d: variables ($) are not supported", 1+bytes.Count(text[:i], []byte("\n")))
	}
	t := new(topology)
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(t); err != nil {
		return nil, err
	}
	if !labName.MatchString(t.Name) {
		return nil, fmt.Errorf("name: %q is not one of lower-case letters, digits and -", t.Name)
	}
	if len(t.Topology.Nodes) == 0 {
		return nil, errors.New("topology.nodes: there are none")
	}
	for _, name := range t.names() {
		n := t.Topology.Nodes[name]
		if n == nil {
			n = new(node)
			t.Topology.Nodes[name] = n
		}
		kind := n.Kind
		if kind == "" {
			kind = t.Topology.Defaults.Kind
		}
		*n = merge(merge(t.Topology.Defaults, t.Topology.Kinds[kind]), *n)
		if err := n.check(name); err != nil {
			return nil, fmt.Errorf("topology.nodes.%s: %w", name, err)
		}
	}
	used := make(map[endpoint]bool)
	for i, l := range t.Topology.Links {
		if err := t.checkLink(l, used); err != nil {
			return nil, fmt.Errorf("topology.links[%d]: %w", i, err)
		}
	}
	return t, nil
}

// names returns the names of the nodes, sorted.
func (t *topology) names() []string { return slices.Sorted(maps.Keys(t.Topology.Nodes)) }

// merge returns what holds where the second one is more specific: its values
// replace, its binds and variables are added and win, its commands come after.
func merge(general, specific node) node {
	n := general
	for _, s := range []struct{ to, from *string }{
		{&n.Kind, &specific.Kind}, {&n.Image, &specific.Image}, {&n.PullPolicy, &specific.PullPolicy},
		{&n.NetworkMode, &specific.NetworkMode}, {&n.Entrypoint, &specific.Entrypoint}, {&n.Cmd, &specific.Cmd},
	} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	n.Binds = nil
	for _, b := range general.Binds {
		if !slices.ContainsFunc(specific.Binds, func(s string) bool { return bindTarget(s) == bindTarget(b) }) {
			n.Binds = append(n.Binds, b)
		}
	}
	n.Binds = append(n.Binds, specific.Binds...)
	n.Ports = slices.Concat(general.Ports, specific.Ports)
	n.Exec = slices.Concat(general.Exec, specific.Exec)
	n.Env = maps.Clone(general.Env)
	if n.Env == nil {
		n.Env = make(map[string]string)
	}
	maps.Copy(n.Env, specific.Env)
	return n
}

func bindTarget(bind string) string {
	if parts := strings.Split(bind, ":"); len(parts) > 1 {
		return parts[1]
	}
	return bind
}

// check checks a merged node.
func (n *node) check(name string) error {
	if !nodeName.MatchString(name) {
		return errors.New("the name is not one of letters, digits, ., _ and -")
	}
	if n.Kind != "linux" {
		return fmt.Errorf("kind: %q is not supported, linux is", n.Kind)
	}
	if _, known := images[n.Image]; !known {
		return fmt.Errorf("image: %q is not one of %s", n.Image, strings.Join(slices.Sorted(maps.Keys(images)), ", "))
	}
	if n.NetworkMode != "" && n.NetworkMode != "none" {
		return fmt.Errorf("network-mode: %q is not supported, none is", n.NetworkMode)
	}
	if policies := []string{"", "never", "Never", "ifnotpresent", "IfNotPresent"}; !slices.Contains(policies, n.PullPolicy) {
		return fmt.Errorf("image-pull-policy: %q is not supported: nothing is pulled", n.PullPolicy)
	}
	for _, b := range n.Binds {
		parts := strings.Split(b, ":")
		if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] != "ro" || parts[0] == "" || !filepath.IsAbs(parts[1]) {
			return fmt.Errorf("binds: %q is not SOURCE:/TARGET or SOURCE:/TARGET:ro", b)
		}
	}
	for what, command := range map[string]string{"entrypoint": n.Entrypoint, "cmd": n.Cmd} {
		if _, err := words(command); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	for _, command := range n.Exec {
		if list, err := words(command); err != nil || len(list) == 0 {
			return fmt.Errorf("exec: %q: %w", command, cmp.Or(err, errors.New("it is empty")))
		}
	}
	return nil
}

func (t *topology) checkLink(l link, used map[endpoint]bool) error {
	switch {
	case l.Type != "" && l.Type != "veth":
		return fmt.Errorf("type: %q is not supported, veth is", l.Type)
	case len(l.Endpoints) != 2:
		return fmt.Errorf("endpoints: %d of them, want 2", len(l.Endpoints))
	case l.MTU != 0 && (l.MTU < 68 || l.MTU > 65535):
		return fmt.Errorf("mtu: %d is out of range (68 to 65535)", l.MTU)
	}
	for _, e := range l.Endpoints {
		switch {
		case t.Topology.Nodes[e.Node] == nil:
			return fmt.Errorf("endpoints: there is no node %q", e.Node)
		case !interfaceName.MatchString(e.Interface) || e.Interface == "lo":
			return fmt.Errorf("endpoints: %q is no name for an interface", e.Interface)
		case used[*e]:
			return fmt.Errorf("endpoints: %s:%s has a link already", e.Node, e.Interface)
		}
		used[*e] = true
	}
	return nil
}
