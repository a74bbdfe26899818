package config

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// leaves returns all keys that the reader of files knows and that are no
// sections, as the rules write them.
func leaves(t *testing.T) map[string]bool {
	t.Helper()
	d := &decoder{tree: tree{file: "mbbgp.yaml", anchors: map[string]*node{}}}
	index := regexp.MustCompile(`\[[0-9]+\]`)
	known := map[string][]string{}
	d.keys = func(path string, keys []string) { known[index.ReplaceAllString(path, "[]")] = keys }
	text := commented.ReplaceAll(Reference, []byte("$1$2"))
	text = bytes.Replace(text, []byte("# password-file:"), []byte("password-file:"), 1)
	if _, err := parse(d, text); err != nil {
		t.Fatal(err)
	}
	for section, keys := range known { // what a configured and a dynamic neighbour have in common is in one place
		if below, ok := strings.CutPrefix(section, "bgp.neighbors[]."); ok {
			known["bgp.dynamic-neighbors[]."+below] = keys
		}
	}
	all := map[string]bool{}
	for section, keys := range known {
		for _, k := range keys {
			key := join(section, k)
			_, is := known[key]
			_, list := names[key]
			if !is && !list && !inValue(key) {
				all[key] = true
			}
		}
	}
	return all
}

// inValue reports whether a key is inside of what is compared as a whole, or
// names its entry.
func inValue(key string) bool {
	for list, keys := range names {
		if slices.ContainsFunc(keys, func(name string) bool { return key == list+"[]."+name }) {
			return true
		}
	}
	for rule := range rules {
		if rule != key && strings.HasPrefix(key, rule+"[].") && !strings.HasSuffix(rule, "[]") {
			return true
		}
	}
	return false
}

func TestEveryKeyHasARuleForItsChange(t *testing.T) {
	known := leaves(t)
	if len(known) < 90 {
		t.Fatalf("%d keys, want all", len(known))
	}
	for key := range known {
		if _, ok := rules[key]; !ok {
			t.Errorf("nothing says how a change of %s is applied", key)
		}
	}
	for key := range rules {
		if whole := strings.HasSuffix(key, "[]") || slices.Contains(optionalSections, key); !whole && !known[key] {
			t.Errorf("there is a rule of %s, which is no key", key)
		}
	}
	for list := range names {
		if _, ok := rules[list+"[]"]; !ok {
			t.Errorf("nothing says how entries of %s come and go", list)
		}
	}
}

func TestDifferenceIsNothingOnlyBetweenEqualConfigurations(t *testing.T) {
	index := regexp.MustCompile(`\[[^]]*=[^]]*\]`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyConfig(t), anyConfig(t)
		if same := Diff(a, a); len(same) > 0 {
			t.Fatalf("of a configuration and itself: %v", same)
		}
		there, back := Diff(a, b), Diff(b, a)
		if len(there) == 0 && !cmp.Equal(a, b, values...) {
			t.Fatalf("nothing between\n%s\nand\n%s", a.marshal(), b.marshal())
		}
		paths := map[string]Change{}
		for _, c := range there {
			if _, ok := rules[index.ReplaceAllString(c.Path, "[]")]; !ok {
				t.Fatalf("%v has no rule", c)
			}
			paths[c.Path] = c
		}
		if len(paths) != len(there) || len(back) != len(there) {
			t.Fatalf("there\n%v\nand back\n%v", there, back)
		}
		for _, c := range back {
			if x := paths[c.Path]; x.Old != c.New || x.New != c.Old {
				t.Fatalf("there %v, and back %v", x, c)
			}
		}
	})
}

func TestDifferencesAreToldInTheWordsOfTheFile(t *testing.T) {
	const plain = base + `metalbond: {servers: ["[2001:db8::a]:4711"], clients: [{source: 10.0.0.0/8, pace: off}]}
bgp:
  neighbors:
    - {address: 192.0.2.254, asn: 65000}
    - {address: 192.0.2.253, asn: 65000}
kernel: {}
vnis:
  - {vni: 200, name: a, import: ["target:65000:200"], gateway: 2001:db8:f::200, table: 200}
  - {vni: 300, name: b, import: ["target:65000:300"], gateway: 2001:db8:f::300}
`
	rows := []struct {
		name     string
		old, new string // replaced in plain
		want     []string
	}{
		{"nothing", "asn: 65000}", "asn: 65000 }", nil},
		{"entries in another order", `    - {address: 192.0.2.254, asn: 65000}
    - {address: 192.0.2.253, asn: 65000}`, `    - {address: 192.0.2.253, asn: 65000}
    - {address: 192.0.2.254, asn: 65000}`, nil},
		{"a default that is written", "asn: 65000}", "asn: 65000, port: 179}", nil},
		{"a route target", `target:65000:200`, `target:65000:201`, []string{
			"live vnis[vni=200].import.targets: [target:65000:201], was [target:65000:200]",
		}},
		{"a table that is new", "gateway: 2001:db8:f::300}", "gateway: 2001:db8:f::300, table: 300}", []string{
			"live vnis[vni=300].table: 300, was none",
			"live vnis[vni=300].isolated: true, was none",
			"live vnis[vni=300].decapsulation: ip6tnl, was none",
			"live vnis[vni=300].decap-device: mb300, was none",
			"live vnis[vni=300].vxlan-device: vx300, was none",
			"live vnis[vni=300].source-validation: false, was none",
		}},
		{"a VNI that has another number", "vni: 300", "vni: 301", []string{
			"live vnis[vni=301]: added", "live vnis[vni=300]: removed",
		}},
		{"a neighbour that is gone", "    - {address: 192.0.2.253, asn: 65000}\n", "", []string{
			"live bgp.neighbors[address=192.0.2.253]: removed",
		}},
		{"a neighbour's timers", "192.0.2.254, asn: 65000", "192.0.2.254, asn: 65000, timers: {hold: 30s}", []string{
			"session bgp.neighbors[address=192.0.2.254].timers.hold: 30s, was 90s",
			"session bgp.neighbors[address=192.0.2.254].timers.keepalive: 10s, was 30s",
		}},
		{"a neighbour's maximum", "192.0.2.254, asn: 65000", "192.0.2.254, asn: 65000, max-prefixes: 10", []string{
			"live bgp.neighbors[address=192.0.2.254].max-prefixes: 10, was none",
		}},
		{"the first that sends several paths", "192.0.2.254, asn: 65000", "192.0.2.254, asn: 65000, add-path: receive", []string{
			"restart bgp.neighbors[address=192.0.2.254].add-path: receive, was off",
		}},
		{"sending several paths", "192.0.2.254, asn: 65000", "192.0.2.254, asn: 65000, add-path: send", []string{
			"session bgp.neighbors[address=192.0.2.254].add-path: send, was off",
		}},
		{"one more server", `["[2001:db8::a]:4711"]`, `["[2001:db8::a]:4711", b]`, []string{
			`live metalbond.servers: [[2001:db8::a]:4711, b:4711], was [[2001:db8::a]:4711]`,
		}},
		{"a pace", "pace: off", "pace: 400kB/s", []string{
			"live metalbond.clients[source=10.0.0.0/8].pace: 400kB/s, was off",
		}},
		{"what a client may do", "pace: off}", "pace: off, vnis: [200]}", []string{
			"live metalbond.clients[source=10.0.0.0/8].subscribe: [200], was all",
			"live metalbond.clients[source=10.0.0.0/8].announce: [200], was all",
			"live metalbond.unlisted-clients: refuse, was accept",
		}},
		{"a client by its certificate", `"[2001:db8::a]:4711"], clients: [{source: 10.0.0.0/8, pace: off}`, `"[2001:db8::a]:4711"], tls: {listen: "[::]:1", certificate: /a, key: /b, client-ca: /c}, clients: [{source: 10.0.0.0/8, pace: off}, {certificate: hv1}`, []string{
			"live metalbond.clients[certificate=hv1]: added",
			"restart metalbond.tls: added",
			"live metalbond.unlisted-clients: refuse, was accept",
		}},
		{"a default of others", "servers:", "nexthops: one, servers:", []string{
			"restart metalbond.nexthops: one, was all",
			"restart vnis[vni=200].nexthops: one, was all",
			"restart vnis[vni=300].nexthops: one, was all",
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			changed := strings.ReplaceAll(plain, row.old, row.new)
			var got []string
			for _, c := range Diff(parsedFile(t, plain), parsedFile(t, changed)) {
				got = append(got, c.How.String()+" "+c.String())
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestSectionsThatComeAndGoNeedARestart(t *testing.T) {
	less, more := parsedFile(t, base), parsedFile(t, base+"bgp: {}\nkernel: {}\n")
	for _, c := range slices.Concat(Diff(less, more), Diff(more, less)) {
		if c.How != Restart || c.Path != "bgp" && c.Path != "kernel" {
			t.Errorf("%v: %v", c.How, c)
		}
	}
	if n := len(Diff(less, more)); n != 2 {
		t.Errorf("%d changes, want the two sections", n)
	}
}

func TestUnknownKeysNeedARestart(t *testing.T) {
	var d differ
	d.differ("new-key", "new-key", "a", "b")
	if want := (Change{"new-key", "a", "b", Restart}); d.changes[0] != want {
		t.Errorf("got %v, want %v", d.changes[0], want)
	}
}
