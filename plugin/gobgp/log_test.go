package gobgp

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

func TestGoBGPLogsOneLevelLower(t *testing.T) {
	log, hook := test.NewNullLogger()
	log.SetLevel(logrus.TraceLevel)
	var failed []string
	h := newLogHandler(log, func(n netip.Addr, reason string) { failed = append(failed, n.String()+" "+reason) })
	l := slog.New(h).With(slog.String("Topic", "Peer"), slog.String("Key", "192.0.2.9"))
	l.Debug("a route")
	l.Info("a step", slog.Int("Number", 3))
	l.Warn("a surprise")
	l.Error("a failure", slog.String("Error", "full"))
	l.Info("sent notification", slog.Int("Code", 2), slog.Int("Subcode", 2))
	var got []string
	for _, e := range hook.AllEntries() {
		got = append(got, e.Level.String()+" "+e.Message)
		if e.Data["neighbor"] != "192.0.2.9" || e.Data["topic"] != nil {
			t.Errorf("fields of %q: %v", e.Message, e.Data)
		}
	}
	want := []string{"trace a route", "debug a step", "warning a surprise", "error a failure", "debug sent notification"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"192.0.2.9 notification-sent code 2(open) subcode 2(bad peer as)"}, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestNeighborCannotFillTheLogWithWarnings(t *testing.T) {
	log, hook := test.NewNullLogger()
	h := newLogHandler(log, nil)
	begun := time.Unix(1000, 0)
	warn := func(message, neighbor string, after time.Duration) {
		r := slog.NewRecord(begun.Add(after), slog.LevelWarn, message, 0)
		r.AddAttrs(slog.String("Key", neighbor))
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for second := range 100 {
		after := time.Duration(second) * time.Second
		warn("malformed", "192.0.2.9", after)
		warn("malformed", "192.0.2.8", after)
		warn("Closed an accepted connection", "192.0.2.9", after)
	}
	warn("prefix limit reached", "192.0.2.9", 0)
	var got []string
	for _, e := range hook.AllEntries() {
		got = append(got, fmt.Sprint(e.Data["neighbor"], " ", e.Message))
	}
	want := []string{
		"192.0.2.9 malformed", "192.0.2.8 malformed", // and again after a minute
		"192.0.2.9 malformed", "192.0.2.8 malformed", "192.0.2.9 prefix limit reached",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	for i := range 3 * mostWarnings {
		warn("malformed", fmt.Sprint(i), 0)
	}
	if n := len(h.warned.last); n > mostWarnings {
		t.Errorf("%d warnings are remembered", n)
	}
}

func TestGoBGPObeysALevelThatChanges(t *testing.T) {
	log, hook := test.NewNullLogger()
	l := slog.New(newLogHandler(log.WithField("component", "bgp"), nil))
	for _, level := range []logrus.Level{logrus.InfoLevel, logrus.DebugLevel, logrus.TraceLevel, logrus.ErrorLevel} {
		log.SetLevel(level)
		l.Debug("a route", slog.String("at", level.String()))
		l.Info("a step", slog.String("at", level.String()))
		l.Warn("a surprise", slog.String("at", level.String()))
	}
	var got []string
	for _, e := range hook.AllEntries() {
		got = append(got, fmt.Sprint(e.Data["at"], ": ", e.Message))
	}
	want := []string{"info: a surprise", "debug: a step", "debug: a surprise", "trace: a route", "trace: a step", "trace: a surprise"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestSessionThatComesUpIsToldWhateverTheLevelIs(t *testing.T) {
	log, hook := test.NewNullLogger()
	var up []netip.Addr
	h := newLogHandler(log, nil)
	h.up = func(n netip.Addr) { up = append(up, n) }
	h.level.Set(slog.LevelError)
	l := slog.New(h).With(slog.String("Topic", "Peer"), slog.String("Key", "192.0.2.9"))
	l.Info("Peer Up")
	l.Warn("a surprise")
	if diff := cmp.Diff([]netip.Addr{addr("192.0.2.9")}, up, compareAddr); diff != "" {
		t.Errorf("up (-want +got):\n%s", diff)
	}
	if list := hook.AllEntries(); len(list) != 0 {
		t.Errorf("logged %v", list)
	}
}

func TestErrorsAreKeptForWhoAsks(t *testing.T) {
	log, hook := test.NewNullLogger()
	h := newLogHandler(log, nil)
	l := slog.New(h)
	h.kept.watch()
	l.Error("Failed to add Peer", slog.String("Key", "192.0.2.9"), slog.String("Error", "no such peer-group"))
	if err := h.kept.err(); err == nil || err.Error() != "Failed to add Peer: 192.0.2.9: no such peer-group" {
		t.Errorf("kept %v", err)
	}
	if err := h.kept.take(); err == nil || len(hook.AllEntries()) != 0 {
		t.Errorf("taken %v, logged %v", err, hook.AllEntries())
	}
	l.Error("later")
	if len(hook.AllEntries()) != 1 || h.kept.take() != nil {
		t.Errorf("logged %v", hook.AllEntries())
	}
}
