package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbbgp/config"
)

// everyCommand visits all commands that people see.
func everyCommand(root *cobra.Command, visit func(*cobra.Command)) {
	visit(root)
	for _, c := range documented(root) {
		everyCommand(c, visit)
	}
}

func TestEveryCommandAndFlagIsInTheManual(t *testing.T) {
	root := newRoot()
	pages := manPages(root)
	seen := 0
	everyCommand(root, func(c *cobra.Command) {
		seen++
		page := string(pages[manName(c)+".1"])
		if !strings.Contains(page, roff(c.Short)) {
			t.Errorf("%s: the page does not say what it is:\n%s", c.CommandPath(), page)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			name, usage := option(f)
			if !f.Hidden && !strings.Contains(page, ".TP\n\\fB"+roff(name)+"\\fR\n"+roff(usage)+"\n") {
				t.Errorf("%s: no --%s", c.CommandPath(), f.Name)
			}
		})
		if c.HasParent() && !strings.Contains(string(pages[manName(c.Parent())+".1"]), `\fB`+roff(manName(c))+"(1)") {
			t.Errorf("%s is not on the page above it", c.CommandPath())
		}
	})
	if len(pages) != seen+1 || seen < 15 {
		t.Errorf("%d pages of %d commands", len(pages), seen)
	}
	if strings.Contains(string(pages["mbbgp.1"]), "mbbgp-man") {
		t.Error("a hidden command is in the manual")
	}
}

func TestManualHasNoDirectiveFromText(t *testing.T) {
	for line, want := range map[string]string{
		".TH":               `\&.TH`,
		"'quoted' at first": `\(aqquoted\(aq at first`,
		`a\b --flag ~^`:     `a\eb \-\-flag \(ti\(ha`,
	} {
		if got := roff(line); got != want {
			t.Errorf("%q is written as %q, want %q", line, got, want)
		}
	}
}

func TestManualReads(t *testing.T) {
	if _, err := exec.LookPath("man"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	if code := execute(t.Context(), []string{"man", dir}, t.Output(), t.Output()); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("pages: %q, %v", pages, err)
	}
	for _, page := range pages {
		cmd := exec.Command("man", "--warnings=w", "-E", "UTF-8", "-l", page)
		cmd.Env = append(os.Environ(), "MANWIDTH=100", "MANROFFOPT=", "LC_ALL=C.UTF-8")
		var complaints strings.Builder
		cmd.Stderr = &complaints
		text, err := cmd.Output()
		if err != nil || complaints.Len() > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, complaints.String())
		}
		if page := filepath.Base(page); page == "mbbgp.yaml.5" && !strings.Contains(string(text), "\n       #http: "+config.DefaultHTTP+"\n") {
			t.Errorf("%s does not show the reference as it is:\n%s", page, text)
		}
	}
}

func TestEveryCommandIsCompleted(t *testing.T) {
	everyCommand(newRoot(), func(c *cobra.Command) {
		var out strings.Builder
		words := append([]string{"__complete"}, strings.Fields(c.CommandPath())[1:]...)
		if code := execute(t.Context(), append(words, "-"), &out, t.Output()); code != exitOK {
			t.Fatalf("%s: exit code %d", c.CommandPath(), code)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains("\n"+out.String(), "\n--"+f.Name) {
				t.Errorf("%s -: no --%s in\n%s", c.CommandPath(), f.Name, out.String())
			}
		})
		out.Reset()
		if code := execute(t.Context(), append(words, ""), &out, t.Output()); code != exitOK {
			t.Fatalf("%s: exit code %d", c.CommandPath(), code)
		}
		for _, sub := range documented(c) {
			if !strings.Contains("\n"+out.String(), "\n"+sub.Name()+"\t") {
				t.Errorf("%s: no %s in\n%s", c.CommandPath(), sub.Name(), out.String())
			}
		}
	})
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "#compdef mbbgp", "fish": "complete -c mbbgp"} {
		var out strings.Builder
		if code := execute(t.Context(), []string{"completion", shell}, &out, t.Output()); code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit code %d\n%s", shell, code, out.String())
		}
	}
}
