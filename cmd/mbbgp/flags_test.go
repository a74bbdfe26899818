package main

import (
	"strings"
	"testing"
	"time"
)

func TestKeepaliveTakesSecondsWithAndWithoutUnit(t *testing.T) {
	rows := map[string]time.Duration{"5": 5 * time.Second, "5s": 5 * time.Second, "2m": 2 * time.Minute, "65535": 65535 * time.Second,
		"0": 0, "65536": 0, "1.5s": 0, "-1": 0, "x": 0, "": 0}
	for text, want := range rows {
		var s seconds
		if err := s.Set(text); time.Duration(s) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v", text, &s, err)
		}
	}
}

func TestListenTakesWhatMetalbondTakes(t *testing.T) {
	rows := map[string]string{
		"[::1]:4711":     "[::1]:4711",
		"127.0.0.1:4711": "127.0.0.1:4711",
		":4711":          "[::]:4711",
		"[::]:0":         "[::]:0",
		"nonsense":       "",
		"[::1]":          "",
	}
	for text, want := range rows {
		got, err := parseListen(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s: %v", text, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestServerHasMetalBondsPortByDefault(t *testing.T) {
	rows := map[string]string{
		"[2001:db8::a]:4000": "[2001:db8::a]:4000",
		"2001:db8::a":        "[2001:db8::a]:4711",
		"[2001:db8::a]":      "[2001:db8::a]:4711",
		"a.example":          "a.example:4711",
		"a.example:4000":     "a.example:4000",
		"a:b:c":              "",
		"a:b":                "",
		":4711":              "",
		"":                   "",
		"a:70000":            "",
	}
	for text, want := range rows {
		got, err := parseServer(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	rows := map[time.Duration]string{
		420 * time.Microsecond:    "0.42 ms",
		9300 * time.Microsecond:   "9.3 ms",
		451 * time.Millisecond:    "451 ms",
		1740 * time.Millisecond:   "1.74 s",
		61 * time.Second:          "61.00 s",
		999999 * time.Microsecond: "1000 ms",
	}
	for d, want := range rows {
		if got := duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestVersionSaysWhatWasBuilt(t *testing.T) {
	var out strings.Builder
	if err := printVersion(&out, buildInfo()); err != nil {
		t.Fatal(err)
	}
	want := "mbbgp   v1.2.3\ncommit  0123abcd, modified of 2026-01-02T03:04:05Z\ngobgp   v4.8.0\ngo      "
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("%s\nwant %s", out.String(), want)
	}
}
