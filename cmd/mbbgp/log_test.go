package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbbgp/config"
	"mbbgp/plugin/gobgp"
)

func TestJSONLogSpeaksInWords(t *testing.T) {
	var out strings.Builder
	log, err := newLogs(config.Log{}, logFlags{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.with("node", "a").of(config.LogBGP).WithField("state", gobgp.Established).WithField("hold", 90*time.Second).WithField("routes", 3).Info("up")
	for _, want := range []string{`"state":"established"`, `"hold":"1m30s"`, `"routes":3`, `"level":"info"`, `"component":"bgp"`, `"node":"a"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

// heard are the levels that each component writes, least severe first.
func heard(l *logs) (list []string) {
	for _, c := range config.LogComponents() {
		list = append(list, c.String()+"="+l.components[c].GetLevel().String())
	}
	return list
}

func TestCommandLineDecidesAboutTheLog(t *testing.T) {
	file := config.Log{Level: config.LogError, Components: map[config.LogComponent]config.LogLevel{config.LogBGP: config.LogTrace}}
	rows := []struct {
		name  string
		flags []string
		want  string
	}{
		{"the file alone", nil, "metalbond=error bgp=trace kernel=error bridge=error api=error"},
		{"a level is of all components", []string{"debug"}, "metalbond=debug bgp=debug kernel=debug bridge=debug api=debug"},
		{"a component leaves the others", []string{"kernel=info"}, "metalbond=error bgp=trace kernel=info bridge=error api=error"},
		{"the last one counts", []string{"bgp=error", "warning", "bgp=debug"}, "metalbond=warning bgp=debug kernel=warning bridge=warning api=warning"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			log, err := newLogs(file, logFlags{levels: row.flags}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(row.want), heard(log)); diff != "" {
				t.Errorf("levels (-want +got):\n%s", diff)
			}
			if err := log.apply(config.Log{}); err != nil { // what the command line says is not lost by a reload
				t.Fatal(err)
			}
			if got := heard(log); len(row.flags) > 0 && row.flags[0] == "debug" && got[0] != "metalbond=debug" {
				t.Errorf("after a reload: %v", got)
			}
		})
	}
}

func TestLevelsAndFormatChangeWhileALogIsInUse(t *testing.T) {
	var out strings.Builder
	log, err := newLogs(config.Log{}, logFlags{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	bgp, kernel := log.of(config.LogBGP), log.of(config.LogKernel)
	say := func() string {
		out.Reset()
		bgp.Debug("from-bgp")
		kernel.Debug("from-kernel")
		return out.String()
	}
	if got := say(); got != "" {
		t.Errorf("at info: %s", got)
	}
	if err := log.setLevel("bgp", "debug"); err != nil {
		t.Fatal(err)
	}
	if got := say(); !strings.Contains(got, "from-bgp") || strings.Contains(got, "from-kernel") {
		t.Errorf("with bgp at debug: %s", got)
	}
	if err := log.setLevel("", "trace"); err != nil {
		t.Fatal(err)
	}
	if got := say(); !strings.Contains(got, "from-bgp") || !strings.Contains(got, "from-kernel") {
		t.Errorf("with all at trace: %s", got)
	}
	if err := log.apply(config.Log{Level: config.LogDebug, Format: config.LogText}); err != nil {
		t.Fatal(err)
	}
	if got := say(); !strings.Contains(got, "level=debug msg=from-kernel component=kernel") {
		t.Errorf("as text: %s", got)
	}
	before := heard(log)
	for _, bad := range [][2]string{{"bpg", "debug"}, {"bgp", "loud"}, {"", ""}} {
		if err := log.setLevel(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "is not one of") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if diff := cmp.Diff(before, heard(log)); diff != "" {
		t.Errorf("what is wrong has changed levels:\n%s", diff)
	}
}

func TestJournalIsToldThePriorityOfEachLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	say := func() string {
		t.Helper()
		log, err := newLogs(config.Log{Level: config.LogDebug}, logFlags{}, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, say := range []func(...any){log.of(config.LogAPI).Error, log.of(config.LogAPI).Warn, log.of(config.LogAPI).Info, log.of(config.LogAPI).Debug} {
			say("x")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Setenv("JOURNAL_STREAM", "1:2") // of somebody else's stream
	if got := say(); strings.Contains(got, "<") {
		t.Errorf("into a file:\n%s", got)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", s.Dev, s.Ino))
	got := say()
	for _, want := range []string{`<3>{"component":"api","level":"error"`, `<4>{"component":"api","level":"warning"`, `<6>{"component":"api","level":"info"`, `<7>{"component":"api","level":"debug"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
