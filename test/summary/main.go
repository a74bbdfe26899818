// Summary runs go test and says at the end what it did: the lines that go test
// prints for each package, the output of what failed, every skipped test with
// its reason, and a last line with the number of tests that passed, failed and
// were skipped. Its exit status is 0 only if every go test's was and nothing
// failed.
//
//	summary [-failed N] [-skipped N] -- ARGUMENTS [++ ARGUMENTS]... [-- ARGUMENTS]...
//
// Every group of arguments is one run of go test: behind "++" one that runs at
// the same time as the one before, behind "--" one that comes after all before.
// The flags add what was counted elsewhere.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

func main() {
	var t tally
	flag.IntVar(&t.failed, "failed", 0, "failures to add to the sum")
	flag.IntVar(&t.skipped, "skipped", 0, "skips to add to the sum")
	flag.Parse()

	for _, together := range split(flag.Args(), "--") {
		t.run(split(together, "++"))
	}
	os.Exit(t.finish(os.Stdout))
}

// split cuts the arguments at every mark.
func split(args []string, mark string) [][]string {
	groups := [][]string{nil}
	for _, a := range args {
		if a == mark {
			groups = append(groups, nil)
			continue
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], a)
	}
	return groups
}

// run runs go test with each group of arguments, all at the same time, and adds
// what came of it.
func (t *tally) run(groups [][]string) {
	results := make([]tally, len(groups))
	var all sync.WaitGroup
	for i, args := range groups {
		all.Go(func() {
			r := &results[i]
			if err := r.test(args); err != nil {
				fmt.Println(err)
				r.broken = true
			}
		})
	}
	all.Wait()
	for _, r := range results {
		t.passed += r.passed
		t.failed += r.failed
		t.skipped += r.skipped
		t.broken = t.broken || r.broken
		t.skips = append(t.skips, r.skips...)
	}
}

// test runs go test once. It returns an error if go test itself went wrong or
// reported a failure that no test accounts for, such as a build that fails.
func (t *tally) test(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := t.read(out, os.Stdout); err != nil {
		return fmt.Errorf("reading the output of go test: %w", err)
	}
	if err := cmd.Wait(); err != nil && t.failed == 0 {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// event is what `go test -json` writes a line of (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	// FailedBuild is set on the failure of a package that did not build.
	FailedBuild string
}

// tally counts the tests, with their subtests.
type tally struct {
	passed, failed, skipped int
	broken                  bool     // something failed that is no test
	skips                   []string // "package test: reason"
}

// read counts the events of one run and copies to w what a person wants to see
// of it.
func (t *tally) read(r io.Reader, w io.Writer) error {
	type key struct{ pkg, test string }
	outputs := make(map[key][]string) // of the tests that are not over
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(w, "%s\n", lines.Bytes()) // not an event: a message of go itself
			continue
		}
		k := key{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(w, e.Output)
		case e.Action == "output" && e.Test == "":
			if e.Output != "PASS\n" && e.Output != "FAIL\n" {
				fmt.Fprint(w, e.Output)
			}
		case e.Action == "output":
			outputs[k] = append(outputs[k], e.Output)
		case e.Test == "" && e.Action == "fail" && e.FailedBuild != "":
			t.failed++
		case e.Test == "":
		case e.Action == "pass":
			t.passed++
			delete(outputs, k)
		case e.Action == "fail":
			t.failed++
			fmt.Fprint(w, strings.Join(outputs[k], ""))
			delete(outputs, k)
		case e.Action == "skip":
			t.skipped++
			t.skips = append(t.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(outputs[k])))
			delete(outputs, k)
		}
	}
	for k, out := range outputs { // no verdict: the process died
		t.failed++
		fmt.Fprintf(w, "%s %s did not end:\n%s", k.pkg, k.test, strings.Join(out, ""))
	}
	return lines.Err()
}

// reason picks the message of t.Skip out of a test's output.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		said = append(said, line)
	}
	return strings.Join(said, " ")
}

// finish prints what was skipped and the sum, and returns the exit status.
func (t *tally) finish(w io.Writer) int {
	for _, s := range t.skips {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	if t.broken && t.failed == 0 {
		t.failed = 1
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if t.failed > 0 || t.broken {
		return 1
	}
	return 0
}
