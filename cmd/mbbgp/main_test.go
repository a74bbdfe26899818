package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mbbgp": main})
}

// The scripts run the real program. Beside testscript's own commands they have
//
//	exits CODE PROGRAM ARG...   run, and compare the exit code
//	freeports NAME...           put free TCP ports of loopback into variables
//	await URL [REGEXP]          wait until the URL answers 200 [and this]
//
// and the condition [netns]: unshare makes network namespaces. Under CI=true it
// has to be met.
func TestCommandLine(t *testing.T) {
	if _, err := os.Stat(filepath.Join("testdata", "script")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"freeports": freeports,
			"await":     await,
		},
		Condition: func(name string) (bool, error) {
			if name != "netns" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			out, err := exec.Command("unshare", "-n", "ip", "link").CombinedOutput()
			if err != nil && os.Getenv("CI") == "true" {
				return false, fmt.Errorf("no network namespace: %w: %s", err, out)
			}
			return err == nil, nil
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func freeports(ts *testscript.TestScript, _ bool, names []string) {
	var open []net.Listener
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		open = append(open, l)
		ts.Setenv(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	for _, l := range open {
		ts.Check(l.Close())
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: await URL [REGEXP]")
	}
	want := regexp.MustCompile("")
	if len(args) == 2 {
		want = regexp.MustCompile(args[1])
	}
	var last string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		response, err := http.Get(args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		last = fmt.Sprintf("%s\n%s", response.Status, body)
		if err == nil && response.StatusCode == http.StatusOK && want.Match(body) {
			return
		}
	}
	ts.Fatalf("%s never said %q:\n%s", args[0], want, last)
}
