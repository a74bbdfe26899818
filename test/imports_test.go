// Package test holds the checks that look at the module as a whole: who imports
// whom here, and in the folders below the built binary against real peers.
package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The packages point one way:
//
//	cmd -> plugin/* -> bridge -> rib       plugin/metalbond -> wire       config <- cmd, bridge, plugins
//
// That is what keeps the table and the codec testable by themselves, a plugin
// replaceable, and the types of a library inside the one package that uses it.

// rule says what a package may not import. What only the tests of a package
// import does not count, except below test, where the tests are the package.
type rule struct {
	from   string   // package below the module, or a folder with everything below it: "plugin/..."
	except []string // packages of that folder that the rule is not for
	never  []string // what it never imports: module, package or folder; "..." works as above
	only   []string // if set: nothing but this and the standard library
	deep   bool     // what it imports may not import it either
	reason string
}

// own stands for every package of this module.
const own = "mbbgp/..."

var rules = []rule{
	{
		from: "rib", only: []string{}, deep: true,
		reason: "the table is data structure only: the standard library is all it needs",
	},
	{
		from: "wire", only: []string{"google.golang.org/protobuf/encoding/protowire"},
		reason: "the codec turns bytes into values: no socket, no clock, no logging, and none of our types",
	},
	{
		from: "wire", never: []string{own},
		reason: "the codec knows MetalBond's messages, not who uses them",
	},
	{
		from: "config", never: []string{own}, deep: true,
		reason: "the configuration is a leaf that everybody may read",
	},
	{
		from: "bridge",
		never: []string{
			"mbbgp/plugin/...", "mbbgp/wire/...", "github.com/osrg/gobgp/...", "github.com/vishvananda/...",
			"google.golang.org/grpc/...", "github.com/prometheus/...",
		},
		deep:   true,
		reason: "the bridge decides in its own types; protocols, kernels and pages are plugins",
	},
	{
		from: "...", except: []string{"plugin/metalbond/...", "wire/...", "test/load", "test/fib"}, never: []string{"mbbgp/wire/..."},
		reason: "MetalBond's messages stay inside its plugin; what measures must cost nothing itself",
	},
	{
		from: "...", except: []string{"plugin/gobgp/..."}, never: []string{"github.com/osrg/gobgp/..."},
		reason: "GoBGP's types stay inside its plugin, so that the speaker can be exchanged",
	},
	{
		from: "...", never: []string{"github.com/osrg/gobgp/v3/pkg/...", "github.com/osrg/gobgp/v3/internal/..."}, deep: true,
		reason: "the decoder of GoBGP v3 dies of packets that v4's survives; only the API of a gobgpd v3 is used",
	},
	{
		from: "...", except: []string{"plugin/kernel/..."}, never: []string{"github.com/vishvananda/..."},
		reason: "netlink's types stay inside the kernel plugin",
	},
	{
		from: "plugin/metalbond/...", never: []string{"mbbgp/plugin/gobgp/...", "mbbgp/plugin/api/...", "mbbgp/plugin/kernel/..."},
		reason: "plugins meet in the bridge, never each other",
	},
	{
		from: "plugin/metalbond/bench", only: []string{"mbbgp/wire", "golang.org/x/sys/unix"},
		reason: "the load is put on any server, so it must not know ours, and what measures must cost nothing itself",
	},
	{
		from: "plugin/gobgp/...", never: []string{"mbbgp/plugin/metalbond/...", "mbbgp/plugin/api/...", "mbbgp/plugin/kernel/..."},
		reason: "plugins meet in the bridge, never each other",
	},
	{
		from: "plugin/api/...", never: []string{"mbbgp/plugin/metalbond/...", "mbbgp/plugin/gobgp/...", "mbbgp/plugin/kernel/..."},
		reason: "plugins meet in the bridge, never each other",
	},
	{
		from: "plugin/kernel/...", never: []string{"mbbgp/plugin/metalbond/...", "mbbgp/plugin/gobgp/...", "mbbgp/plugin/api/..."},
		reason: "plugins meet in the bridge, never each other",
	},
	{
		from: "...", except: []string{"cmd/..."}, never: []string{"mbbgp/cmd/..."},
		reason: "a program is the end of the arrows",
	},
	{
		from: "...", except: []string{"test/..."}, never: []string{"mbbgp/test/..."},
		reason: "nothing that is shipped depends on its tests",
	},
	{
		from: "test/lab", only: []string{"golang.org/x/sys/unix"},
		reason: "the lab knows programs, not the packages that they are made of",
	},
	{
		from: "test/clab", only: []string{"github.com/goccy/go-yaml", "golang.org/x/sys/unix"},
		reason: "what starts labs reads their topology files, and knows the program as a program",
	},
	{
		from: "test/interop", only: []string{"mbbgp/test/lab"},
		reason: "the black box tests see the binary only",
	},
	{
		from: "test/chaos", only: []string{"mbbgp/test/lab", "golang.org/x/sys/unix"},
		reason: "the model knows what has to come of it, not how",
	},
	{
		from: "...", except: []string{"test/page"}, never: []string{"github.com/chromedp/..."},
		reason: "a browser is for the test of the page",
	},
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// graph is the packages of the module and everything that they need, by path.
type graph map[string]pkg

func TestImportsPointOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", "mbbgp/...")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, errs.String())
	}
	g := make(graph)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if match("mbbgp/test/...", p.ImportPath) {
			p.Imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		}
		g[p.ImportPath] = p
	}
	if len(g) < 10 {
		t.Fatalf("go list knows %d packages only", len(g))
	}
	for _, broken := range g.check(rules) {
		t.Error(broken)
	}
}

// The checker has to see what it is there for: every rule is broken once, each
// by one import in an otherwise innocent graph.
func TestBrokenArrowsAreFound(t *testing.T) {
	for _, row := range []struct {
		name, from, to string
		through        string // a package in between
	}{
		{name: "rib uses a log", from: "mbbgp/rib", to: "github.com/sirupsen/logrus"},
		{name: "rib uses config", from: "mbbgp/rib", to: "mbbgp/config"},
		{name: "wire uses generated code", from: "mbbgp/wire", to: "google.golang.org/protobuf/proto"},
		{name: "wire uses the table", from: "mbbgp/wire", to: "mbbgp/rib"},
		{name: "config uses the table", from: "mbbgp/config", to: "mbbgp/rib"},
		{name: "bridge uses a plugin", from: "mbbgp/bridge", to: "mbbgp/plugin/api"},
		{name: "bridge uses wire", from: "mbbgp/bridge", to: "mbbgp/wire"},
		{name: "bridge uses metrics", from: "mbbgp/bridge", to: "github.com/prometheus/client_golang/prometheus"},
		{name: "bridge uses metrics through another", from: "mbbgp/bridge", through: "example.org/x", to: "github.com/prometheus/client_golang/prometheus"},
		{name: "bridge uses grpc", from: "mbbgp/bridge", to: "google.golang.org/grpc"},
		{name: "the api uses wire", from: "mbbgp/plugin/api", to: "mbbgp/wire"},
		{name: "cmd uses GoBGP", from: "mbbgp/cmd/mbbgp", to: "github.com/osrg/gobgp/v4/api"},
		{name: "the speaker uses the decoder of GoBGP v3", from: "mbbgp/plugin/gobgp", through: "github.com/osrg/gobgp/v3/api", to: "github.com/osrg/gobgp/v3/pkg/packet/bgp"},
		{name: "one plugin uses another", from: "mbbgp/plugin/metalbond", to: "mbbgp/plugin/gobgp"},
		{name: "the load uses our server", from: "mbbgp/plugin/metalbond/bench", to: "mbbgp/plugin/metalbond"},
		{name: "a plugin uses cmd", from: "mbbgp/plugin/gobgp", to: "mbbgp/cmd/mbbgp"},
		{name: "cmd uses a test", from: "mbbgp/cmd/mbbgp", to: "mbbgp/test/lab"},
		{name: "the lab uses a package", from: "mbbgp/test/lab", to: "mbbgp/rib"},
		{name: "an interop test uses a package", from: "mbbgp/test/interop", to: "mbbgp/rib"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := graph{"fmt": {ImportPath: "fmt"}}
			for _, path := range []string{
				"mbbgp/rib", "mbbgp/wire", "mbbgp/config", "mbbgp/bridge", "mbbgp/cmd/mbbgp", "mbbgp/test/lab",
				"mbbgp/test/interop", "mbbgp/plugin/metalbond", "mbbgp/plugin/metalbond/bench",
				"mbbgp/plugin/gobgp", "mbbgp/plugin/api",
			} {
				g[path] = pkg{ImportPath: path, Imports: []string{"fmt"}}
			}
			if broken := g.check(rules); len(broken) > 0 {
				t.Fatalf("the innocent graph breaks a rule: %q", broken)
			}
			p := g[row.from]
			first := row.to
			if row.through != "" {
				first = row.through
				g[first] = pkg{ImportPath: first, Imports: []string{row.to}}
			}
			p.Imports = append(p.Imports, first)
			g[row.from] = p
			if _, there := g[row.to]; !there {
				g[row.to] = pkg{ImportPath: row.to}
			}
			if broken := g.check(rules); len(broken) == 0 {
				t.Errorf("%s imports %s and no rule says no", row.from, row.to)
			}
		})
	}
}

// check returns a sentence for every import that breaks a rule.
func (g graph) check(rules []rule) []string {
	var broken []string
	for _, r := range rules {
		for path := range g {
			name, ours := strings.CutPrefix(path, "mbbgp/")
			if !ours || !match(r.from, name) || slices.ContainsFunc(r.except, func(e string) bool { return match(e, name) }) {
				continue
			}
			for _, dep := range g.imports(path, r.deep) {
				if bad := r.forbids(dep, path); bad {
					broken = append(broken, fmt.Sprintf("%s imports %s, but %s", path, dep, r.reason))
				}
			}
		}
	}
	slices.Sort(broken)
	return broken
}

// imports returns what a package imports, and with deep what that imports in
// its turn.
func (g graph) imports(path string, deep bool) []string {
	if !deep {
		return g[path].Imports
	}
	seen := make(map[string]bool)
	var list []string
	var visit func(string)
	visit = func(p string) {
		for _, dep := range g[p].Imports {
			if !seen[dep] {
				seen[dep] = true
				list = append(list, dep)
				visit(dep)
			}
		}
	}
	visit(path)
	return list
}

// forbids reports whether the rule forbids the import to a package.
func (r rule) forbids(dep, from string) bool {
	if standard(dep) || dep == from {
		return false
	}
	if r.only != nil {
		return !slices.ContainsFunc(r.only, func(o string) bool { return match(o, dep) })
	}
	return slices.ContainsFunc(r.never, func(n string) bool { return match(n, dep) })
}

// standard reports whether a package is of the standard library, the only one
// whose paths begin without a dot in the first element (the module's apart).
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != "mbbgp" && !strings.Contains(first, ".")
}

// match reports whether a path is the pattern, or below it if that ends in
// "...".
func match(pattern, path string) bool {
	folder, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		return pattern == path
	}
	folder = strings.TrimSuffix(folder, "/")
	return folder == "" || path == folder || strings.HasPrefix(path, folder+"/")
}
