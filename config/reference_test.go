package config

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// commented is a key that the reference gives its default in a comment.
var commented = regexp.MustCompile(`(?m)^( *(?:- )?)#([a-z]+[a-z0-9-]*:)`)

func TestCommentedDefaultsOfTheReferenceAreTheRealOnes(t *testing.T) {
	as, err := Parse("mbbgp.yaml", Reference)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(commented.FindAll(Reference, -1)); n < 25 {
		t.Fatalf("%d commented defaults, want them to be found", n)
	}
	all, err := Parse("mbbgp.yaml", commented.ReplaceAll(Reference, []byte("$1$2")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(as, all, values...); diff != "" {
		t.Errorf("defaults as they are (-) and as the reference says (+):\n%s", diff)
	}
}

func TestEveryKeyIsInTheReference(t *testing.T) {
	index := regexp.MustCompile(`\[[0-9]+\]`)
	d := &decoder{tree: tree{file: "mbbgp.yaml", anchors: map[string]*node{}}}
	known := map[string][]string{}
	d.keys = func(path string, keys []string) { known[index.ReplaceAllString(path, "")] = keys }
	text := commented.ReplaceAll(Reference, []byte("$1$2"))
	text = bytes.Replace(text, []byte("# password-file:"), []byte("password-file:"), 1) // of a file that is not there
	if _, err := parse(d, text); err != nil {
		t.Fatal(err)
	}
	root := d.tree.parse(text)
	if len(known) < 25 {
		t.Fatalf("%d sections, want all", len(known))
	}
	for path, keys := range known {
		there := keysOf(root, path)
		for _, key := range keys {
			switch {
			case slices.Contains(there, key):
			case path == "bgp" && (key == "attach" || key == "gobgp-config"): // exclude others
				if !strings.Contains(string(Reference), "\n  # "+key+": ") {
					t.Errorf("%s.%s is not in the reference", path, key)
				}
			case path == "bgp.dynamic-neighbors" && slices.Contains(keysOf(root, "bgp.neighbors"), key):
			case strings.HasPrefix(path, "vnis.export.") && slices.Contains(keysOf(root, strings.Replace(path, "export", "import", 1)), key):
			default:
				t.Errorf("%s.%s is not in the reference", path, key)
			}
		}
	}
}

// keysOf returns the keys at a path, of all items of lists on the way.
func keysOf(n *node, path string) []string {
	switch {
	case n.kind == listNode:
		var keys []string
		for _, item := range n.items {
			keys = append(keys, keysOf(item, path)...)
		}
		return keys
	case path != "":
		key, rest, _ := strings.Cut(path, ".")
		if e := n.entry(key); e != nil {
			return keysOf(e.value, rest)
		}
		return nil
	}
	var keys []string
	for _, e := range n.entries {
		keys = append(keys, e.key)
	}
	return keys
}

func TestTheReferenceSaysWhichNamesThereAre(t *testing.T) {
	var communities []string
	for _, w := range wellKnown {
		communities = append(communities, w.name)
	}
	for _, names := range [][]string{
		encapsulationNames, vniFamilyNames, sidBehaviorNames, sidNextHopNames, autoRTNames, nextHopsNames, hopTypeNames, thenNames, communities,
		flowSpecNames, familyNames, gracefulRestartNames, addPathNames, tunnelNames, decapsulationNames, logLevelNames, logComponentNames, logFormatNames,
	} {
		for _, name := range names {
			if !regexp.MustCompile(`\b` + name + `\b`).Match(Reference) {
				t.Errorf("%s is not in the reference", name)
			}
		}
	}
}

func TestExamplesParse(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("examples: %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if c.BGP == nil || len(c.VNIs) == 0 {
				t.Errorf("an example without BGP or VNIs: %+v", c)
			}
			text, err := os.ReadFile(file)
			if err != nil || !strings.HasPrefix(string(text), "# ") {
				t.Errorf("an example that does not say what it is: %v", err)
			}
			roundTrip(t, c)
		})
	}
}
