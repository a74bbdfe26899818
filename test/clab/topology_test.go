package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// minimal is a topology that is right.
const minimal = `
name: small
topology:
  defaults: {kind: linux, image: mbbgp-lab-tools, network-mode: none, exec: [one], env: {A: a, B: a}}
  kinds:
    linux: {exec: [two], binds: ["x:/x", "y:/y"], env: {B: b}}
  nodes:
    a: {exec: [three "and more"], binds: ["z:/y:ro"], env: {C: c}}
    b:
  links:
    - endpoints: ["a:eth1", "b:eth1"]
    - type: veth
      endpoints: [{node: a, interface: eth2}, {node: b, interface: eth2}]
      mtu: 1500
`

func TestNodeHasWhatDefaultsAndKindSay(t *testing.T) {
	lab, err := parseTopology([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if names := lab.names(); !slices.Equal(names, []string{"a", "b"}) {
		t.Fatalf("nodes %q", names)
	}
	a, b := lab.Topology.Nodes["a"], lab.Topology.Nodes["b"]
	if want := []string{"one", "two", `three "and more"`}; !slices.Equal(a.Exec, want) {
		t.Errorf("exec %q, want %q", a.Exec, want)
	}
	if want := []string{"x:/x", "z:/y:ro"}; !slices.Equal(a.Binds, want) {
		t.Errorf("binds %q, want %q", a.Binds, want)
	}
	if a.Env["A"] != "a" || a.Env["B"] != "b" || a.Env["C"] != "c" {
		t.Errorf("env %v", a.Env)
	}
	if len(b.Exec) != 2 || b.Image != "mbbgp-lab-tools" || b.Env["C"] != "" {
		t.Errorf("node without anything of its own: %+v", b)
	}
	for i, l := range lab.Topology.Links {
		if l.Endpoints[0].Node != "a" || l.Endpoints[1].Node != "b" || l.Endpoints[0].Interface != []string{"eth1", "eth2"}[i] {
			t.Errorf("link %d: %+v %+v", i, l.Endpoints[0], l.Endpoints[1])
		}
	}
}

func TestWhatTheRunnerDoesNotKnowIsAnError(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"a feature", "mtu: 1500", "vars: {}", `unknown field "vars"`},
		{"a feature of nodes", "exec: [one]", "sysctls: {}", `unknown field "sysctls"`},
		{"a management network", "name: small", "name: small\nmgmt: {mtu: 1400}", `unknown field "mgmt"`},
		{"a variable", "z:/y:ro", "$HOME:/y:ro", "line 8: variables ($) are not supported"},
		{"a name with blanks", "name: small", "name: a b", `name: "a b" is not one of`},
		{"no nodes", "nodes:\n    a: {exec: [three \"and more\"], binds: [\"z:/y:ro\"], env: {C: c}}\n    b:", "nodes:", "topology.nodes: there are none"},
		{"a kind", "kind: linux", "kind: srl", `topology.nodes.a: kind: "srl" is not supported, linux is`},
		{"an image", "mbbgp-lab-tools", "alpine", `image: "alpine" is not one of mbbgp-lab, mbbgp-lab-tools`},
		{"a network", "network-mode: none", "network-mode: host", `network-mode: "host" is not supported`},
		{"a pull", "network-mode: none", "network-mode: none, image-pull-policy: Always", `image-pull-policy: "Always" is not supported`},
		{"a volume", "z:/y:ro", "/y", `binds: "/y" is not SOURCE:/TARGET`},
		{"a mode of a bind", "z:/y:ro", "z:/y:Z", `binds: "z:/y:Z" is not SOURCE:/TARGET`},
		{"an open quote", `three "and more"`, "three 'and", "topology.nodes.a: exec:"},
		{"an empty command", "exec: [one]", `exec: [" "]`, "it is empty"},
		{"a type of link", "type: veth", "type: macvlan", `topology.links[1]: type: "macvlan" is not supported, veth is`},
		{"an end without interface", `"b:eth1"`, `"b"`, `endpoint "b": want NODE:INTERFACE`},
		{"three ends", `"b:eth1"`, `"b:eth1", "b:eth3"`, "topology.links[0]: endpoints: 3 of them, want 2"},
		{"a node that is not there", `"b:eth1"`, `"c:eth1"`, `there is no node "c"`},
		{"an interface twice", "interface: eth2}, {", "interface: eth1}, {", "a:eth1 has a link already"},
		{"a long name of an interface", `"b:eth1"`, `"b:interface-of-many-letters"`, "is no name for an interface"},
		{"a key of an end", "node: b, interface: eth2", "node: b, interface: eth2, ipv4: x", `unknown field "ipv4"`},
		{"an MTU", "mtu: 1500", "mtu: 10", "mtu: 10 is out of range (68 to 65535)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(minimal, row.old, row.new, 1)
			if text == minimal {
				t.Fatalf("%q is not in the topology", row.old)
			}
			_, err := parseTopology([]byte(text))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q in it", err, row.want)
			}
		})
	}
}

func TestWordsAreSplitAtBlanksAndQuotes(t *testing.T) {
	for _, row := range []struct {
		command string
		want    []string
	}{
		{"", nil},
		{"  ip  link\tset\nlo ", []string{"ip", "link", "set", "lo"}},
		{`sh -c 'a "b" \c'`, []string{"sh", "-c", `a "b" \c`}},
		{`a"b c"'d e' ''`, []string{"ab cd e", ""}},
		{`a\ b "c\"d"`, []string{"a b", `c"d`}},
	} {
		if got, err := words(row.command); err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%q: %q, %v, want %q", row.command, got, err, row.want)
		}
	}
	for _, command := range []string{`a "b`, `a 'b`, `a\`} {
		if got, err := words(command); err == nil {
			t.Errorf("%q: %q, want an error", command, got)
		}
	}
}

// topologies are the shipped ones.
func topologies(t *testing.T) []string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(root, "labs/containerlab/*/*.clab.yml"))
	if err != nil || len(list) == 0 {
		t.Fatalf("topologies: %q, %v", list, err)
	}
	return list
}

func TestShippedTopologiesAreWhole(t *testing.T) {
	for _, file := range topologies(t) {
		lab, err := readTopology(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if dir := filepath.Base(lab.dir()); dir != lab.Name || filepath.Base(file) != lab.Name+".clab.yml" {
			t.Errorf("%s: the lab is called %s", file, lab.Name)
		}
		for _, name := range lab.names() {
			for _, b := range lab.Topology.Nodes[name].Binds {
				source, _, _ := strings.Cut(b, ":")
				if _, err := os.Stat(filepath.Join(lab.dir(), source)); err != nil {
					t.Errorf("%s: node %s: %v", lab.Name, name, err)
				}
			}
		}
		for _, f := range []string{"README.md", "check"} {
			if _, err := os.Stat(filepath.Join(lab.dir(), f)); err != nil {
				t.Errorf("%s: %v", lab.Name, err)
			}
		}
	}
}
