package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mbbgp/config"
)

// logFlags are what the command line says about the log; empty: not said.
type logFlags struct{ level, format string }

func addLogFlags(c *cobra.Command) *logFlags {
	f := &logFlags{}
	c.Flags().StringVar(&f.level, "log-level", "", "least severe `LEVEL` that is logged: error, warning, info, debug, trace (default info)")
	c.Flags().StringVar(&f.format, "log-format", "", "`FORMAT` of log lines: text, json, or auto: text on a terminal, JSON otherwise (default auto)")
	words := func(list ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
	}
	_ = c.RegisterFlagCompletionFunc("log-level", words("error", "warning", "info", "debug", "trace"))
	_ = c.RegisterFlagCompletionFunc("log-format", words("auto", "text", "json"))
	return f
}

// logger returns the logger that the configuration asks for, where the command
// line does not say otherwise.
func (f *logFlags) logger(c config.Log, out io.Writer) (*logrus.Logger, error) {
	level, format := c.Level.String(), c.Format.String()
	if f.level != "" {
		level = f.level
	}
	if f.format != "" {
		format = f.format
	}
	log := logrus.New()
	log.SetOutput(out)
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, usageError{fmt.Errorf("--log-level: %s is not one of error, warning, info, debug, trace", level)}
	}
	log.SetLevel(parsed)
	text := &logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.TimeOnly + ".000"}
	switch strings.ToLower(format) {
	case "text":
		log.SetFormatter(text)
	case "json":
		log.SetFormatter(jsonFormat())
	case "auto":
		log.SetFormatter(jsonFormat())
		if isTerminal(out) {
			log.SetFormatter(text)
		}
	default:
		return nil, usageError{fmt.Errorf("--log-format: %s is not one of auto, text, json", format)}
	}
	return log, nil
}

func jsonFormat() logrus.Formatter {
	return worded{&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano}}
}

// worded writes values that have a text as that text. JSON would show their
// inside: "state":4 instead of "established", nanoseconds instead of "5s".
type worded struct{ logrus.Formatter }

// Format writes one entry.
func (w worded) Format(e *logrus.Entry) ([]byte, error) {
	copied := *e
	copied.Data = make(logrus.Fields, len(e.Data))
	for name, value := range e.Data {
		if s, ok := value.(fmt.Stringer); ok {
			value = s.String()
		}
		copied.Data[name] = value
	}
	return w.Formatter.Format(&copied)
}

// isTerminal reports whether a person reads w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
