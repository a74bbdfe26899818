package main

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/term"

	"mbbgp/config"
)

// logs is the log of a process: one output, to which each component writes with
// a level of its own. Levels and format may be changed while it is in use.
type logs struct {
	*output
	fields logrus.Fields // of every line
}

// output is where all components write to.
type output struct {
	out        *lockedWriter
	flags      logFlags // what the command line says stands above all configurations
	components map[config.LogComponent]*logrus.Logger
}

// newLogs returns the log that a configuration asks for, where the command line
// does not say otherwise.
func newLogs(c config.Log, flags logFlags, out io.Writer) (*logs, error) {
	l := &logs{output: &output{out: &lockedWriter{to: out}, flags: flags, components: make(map[config.LogComponent]*logrus.Logger)}}
	for _, component := range config.LogComponents() {
		log := logrus.New()
		log.SetOutput(l.out)
		l.components[component] = log
	}
	if b, ok := out.(*backlog); ok {
		b.onMissed(func(lines int) {
			l.of(config.LogBridge).WithField("lines", lines).Warn("the log was not read in time, lines are lost")
		})
	}
	return l, l.apply(c)
}

// of returns the log of a component.
func (l *logs) of(c config.LogComponent) logrus.FieldLogger {
	return l.components[c].WithFields(l.fields).WithField("component", c)
}

// with returns the same log with a field in every line.
func (l *logs) with(field string, value any) *logs {
	fields := logrus.Fields{field: value}
	maps.Copy(fields, l.fields)
	return &logs{output: l.output, fields: fields}
}

// apply sets levels and format of a configuration, where the command line does
// not say otherwise. It fails, and has changed nothing, only if the command line
// is wrong.
func (l *logs) apply(c config.Log) error {
	levels := make(map[config.LogComponent]config.LogLevel, len(l.components))
	for component := range l.components {
		levels[component] = c.Level
	}
	maps.Copy(levels, c.Components)
	for _, item := range l.flags.levels {
		if err := setLevel(levels, item); err != nil {
			return usageError{fmt.Errorf("--log-level: %w", err)}
		}
	}
	format := c.Format.String()
	if l.flags.format != "" {
		format = strings.ToLower(l.flags.format)
	}
	formatter, err := l.formatter(format)
	if err != nil {
		return usageError{fmt.Errorf("--log-format: %w", err)}
	}
	for component, log := range l.components {
		log.SetFormatter(formatter)
		log.SetLevel(severity(levels[component]))
	}
	return nil
}

// setLevel takes LEVEL, which is that of all components, or COMPONENT=LEVEL.
func setLevel(levels map[config.LogComponent]config.LogLevel, item string) error {
	name, word, named := strings.Cut(item, "=")
	if !named {
		word = name
	}
	level, err := config.ParseLogLevel(word)
	if err != nil {
		return err
	}
	if !named {
		for component := range levels {
			levels[component] = level
		}
		return nil
	}
	component, err := config.ParseLogComponent(name)
	if err == nil {
		levels[component] = level
	}
	return err
}

// setLevel changes the level of a component, or of all if it is "".
func (l *logs) setLevel(component, level string) error {
	to, err := config.ParseLogLevel(level)
	if err != nil {
		return fmt.Errorf("level: %w", err)
	}
	if component == "" {
		for _, log := range l.components {
			log.SetLevel(severity(to))
		}
		return nil
	}
	c, err := config.ParseLogComponent(component)
	if err != nil {
		return fmt.Errorf("component: %w", err)
	}
	l.components[c].SetLevel(severity(to))
	return nil
}

// severity is a level as logrus has it.
func severity(l config.LogLevel) logrus.Level {
	switch l {
	case config.LogError:
		return logrus.ErrorLevel
	case config.LogWarning:
		return logrus.WarnLevel
	case config.LogDebug:
		return logrus.DebugLevel
	case config.LogTrace:
		return logrus.TraceLevel
	}
	return logrus.InfoLevel
}

func (l *logs) formatter(format string) (f logrus.Formatter, err error) {
	text := &logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.TimeOnly + ".000", ForceColors: isTerminal(l.out)}
	json := worded{&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano}}
	switch {
	case format == "text", format == "auto" && isTerminal(l.out):
		f = text
	case format == "json", format == "auto":
		f = json
	default:
		return nil, fmt.Errorf("%s is not one of auto, text, json", format)
	}
	if isJournal(l.out) {
		f = prefixed{f}
	}
	return f, nil
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

// prefixed writes the priority of each line in front of it, as the journal
// reads it (sd-daemon(3)), so that 'journalctl -p warning' knows what to show.
type prefixed struct{ logrus.Formatter }

// Format writes one entry.
func (p prefixed) Format(e *logrus.Entry) ([]byte, error) {
	line, err := p.Formatter.Format(e)
	if err != nil {
		return nil, err
	}
	priority := 7 // of syslog(3): debug
	switch e.Level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		priority = 3
	case logrus.WarnLevel:
		priority = 4
	case logrus.InfoLevel:
		priority = 6
	}
	return fmt.Appendf(nil, "<%d>%s", priority, line), nil
}

// lockedWriter lets several loggers share an output.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer // guarded by mu
}

// Write writes one line.
func (w *lockedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(line)
}

// isTerminal reports whether a person reads w.
func isTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}
