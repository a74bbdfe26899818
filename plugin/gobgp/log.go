package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
)

// GoBGP tells every step of every session at info, and some failures nowhere
// else. So this handler gives GoBGP's info a lower level, because the state
// changes that matter are logged from the events; it lets a warning that a
// neighbour can cause with each of its routes pass once a minute; it keeps errors
// for who asks whether something failed; it passes on why a session is refused,
// which GoBGP has no event for where it dialled; and it tells that a session comes
// up before it carries routes.

// logHandler writes GoBGP's log to logrus.
type logHandler struct {
	log    logrus.FieldLogger
	level  *slog.LevelVar // the least severe level that is written unless log says trace; the gobgp API sets it
	fields logrus.Fields
	kept   *keptErrors
	warned *repeats
	failed func(neighbor netip.Addr, reason string)
	up     func(neighbor netip.Addr) // nil, or called before a session carries routes
	deaf   func(reason string)       // nil, or called when neighbours cannot connect any more
}

// keptErrors are the errors that GoBGP logged since the last take.
type keptErrors struct {
	mu     sync.Mutex
	on     bool    // guarded by mu
	errors []error // guarded by mu
}

// routine are warnings of GoBGP that are steps as well: of a session that has
// gone down and may not come back yet, which is told already.
var routine = map[string]bool{
	"Closed an accepted connection": true,
	"hold timer expired":            true,
}

// repeats knows which warnings were written lately, and about whom.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

const (
	warnedAgain  = time.Minute // when the same is news again
	mostWarnings = 1000        // that are remembered: strangers can cause them
)

// news reports whether a warning about a neighbour was not written lately.
func (r *repeats) news(message string, neighbor any, now time.Time) bool {
	key := fmt.Sprint(neighbor, " ", message)
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[key]; ok && now.Sub(at) < warnedAgain {
		return false
	}
	if len(r.last) >= mostWarnings {
		clear(r.last)
	}
	r.last[key] = now
	return true
}

// newLogHandler returns a handler that makes info of GoBGP debug of log, and
// debug, which has a line per route and more, trace.
func newLogHandler(log logrus.FieldLogger, failed func(netip.Addr, string)) *logHandler {
	return &logHandler{
		log: log, level: new(slog.LevelVar), kept: new(keptErrors), warned: &repeats{last: make(map[string]time.Time)}, failed: failed,
	}
}

func enabled(log logrus.FieldLogger, level logrus.Level) bool {
	switch l := log.(type) {
	case *logrus.Logger:
		return l.IsLevelEnabled(level)
	case *logrus.Entry:
		return l.Logger.IsLevelEnabled(level)
	}
	return true
}

// Enabled implements slog.Handler. What is acted on is info, and must come even
// if it is not to be written.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.written(level)
}

func (h *logHandler) written(level slog.Level) bool {
	return level >= h.level.Level() || enabled(h.log, logrus.TraceLevel)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.fields = make(logrus.Fields, len(h.fields)+len(attrs))
	for k, v := range h.fields {
		c.fields[k] = v
	}
	for _, a := range attrs {
		addField(c.fields, a)
	}
	return &c
}

// WithGroup implements slog.Handler. GoBGP uses no groups.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make(logrus.Fields, len(h.fields)+r.NumAttrs())
	for k, v := range h.fields {
		fields[k] = v
	}
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, a)
		return true
	})
	switch r.Message {
	case "sent notification":
		h.refused(fields)
	case "Peer Up":
		if neighbor, ok := neighborOf(fields); ok && h.up != nil {
			h.up(neighbor)
		}
	case "Failed to AcceptTCP": // it does not try again
		if h.deaf != nil {
			h.deaf(fmt.Sprint(fields["error"]))
		}
	}
	if !h.written(r.Level) {
		return nil
	}
	entry := h.log.WithFields(fields)
	switch {
	case r.Level >= slog.LevelError:
		if h.kept.keep(r.Message, fields) {
			return nil // whoever asked for it will say it
		}
		entry.Error(r.Message)
	case r.Level >= slog.LevelWarn && !routine[r.Message] && h.warned.news(r.Message, fields["neighbor"], r.Time):
		entry.Warn(r.Message)
	case r.Level >= slog.LevelInfo:
		entry.Debug(r.Message)
	default:
		if l, ok := h.log.(logrus.Ext1FieldLogger); ok {
			l.WithFields(fields).Log(logrus.TraceLevel, r.Message)
		}
	}
	return nil
}

// refused passes on a notification (RFC 4271 section 4.5) that GoBGP sent.
func (h *logHandler) refused(fields logrus.Fields) {
	code, _ := fields["code"].(int64)
	subcode, _ := fields["subcode"].(int64)
	if neighbor, ok := neighborOf(fields); ok {
		h.failed(neighbor, "notification-sent "+bgp.NewNotificationErrorCode(uint8(code), uint8(subcode)).String())
	}
}

func neighborOf(fields logrus.Fields) (netip.Addr, bool) {
	text, _ := fields["neighbor"].(string)
	neighbor, err := netip.ParseAddr(text)
	return neighbor, err == nil
}

func addField(fields logrus.Fields, a slog.Attr) {
	switch a.Key {
	case "Topic": // which part of GoBGP speaks; the message says it too
	case "Key":
		fields["neighbor"] = a.Value.Any()
	default:
		fields[strings.ToLower(a.Key)] = a.Value.Any()
	}
}

// keep takes an error if somebody watches.
func (k *keptErrors) keep(message string, fields logrus.Fields) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.on {
		return false
	}
	err := errors.New(message)
	if n, ok := fields["neighbor"]; ok {
		err = fmt.Errorf("%w: %v", err, n)
	}
	if e, ok := fields["error"]; ok {
		err = fmt.Errorf("%w: %v", err, e)
	}
	k.errors = append(k.errors, err)
	return true
}

// watch keeps errors from now on.
func (k *keptErrors) watch() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on, k.errors = true, nil
}

// err returns what was kept since watch, nil if nothing.
func (k *keptErrors) err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.errors...)
}

// take returns what was kept since watch, and keeps nothing any more.
func (k *keptErrors) take() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := errors.Join(k.errors...)
	k.on, k.errors = false, nil
	return err
}
