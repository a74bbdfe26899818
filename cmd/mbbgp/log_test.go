package main

import (
	"strings"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/plugin/gobgp"
)

func TestJSONLogSpeaksInWords(t *testing.T) {
	var out strings.Builder
	log, err := (&logFlags{}).logger(config.Log{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.WithField("state", gobgp.Established).WithField("hold", 90*time.Second).WithField("routes", 3).Info("up")
	for _, want := range []string{`"state":"established"`, `"hold":"1m30s"`, `"routes":3`, `"level":"info"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

func TestCommandLineDecidesAboutTheLog(t *testing.T) {
	var out strings.Builder
	log, err := (&logFlags{level: "error", format: "text"}).logger(config.Log{Level: config.LogDebug, Format: config.LogJSON}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Warn("not this")
	log.Error("this")
	if got := out.String(); !strings.Contains(got, "level=error msg=this") || strings.Contains(got, "not this") {
		t.Errorf("log: %s", got)
	}
}
