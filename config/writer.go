package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// writer writes YAML. Whatever has no value is left out.
type writer struct {
	bytes.Buffer
	depth int
	dash  bool // the next line begins an item of a list
}

func (w *writer) line(key, value string) {
	indent := strings.Repeat("  ", w.depth)
	if w.dash {
		indent = indent[:len(indent)-2] + "- "
		w.dash = false
	}
	if value != "" {
		value = " " + value
	}
	fmt.Fprintf(w, "%s%s:%s\n", indent, key, value)
}

// section writes a key and what body writes below it, or nothing if that is
// nothing.
func (w *writer) section(key string, body func()) {
	start, dash := w.Len(), w.dash
	w.line(key, "")
	inside := w.Len()
	w.depth++
	body()
	w.depth--
	if w.Len() == inside {
		w.Truncate(start)
		w.dash = dash
	}
}

func (w *writer) item(body func()) {
	w.depth++
	w.dash = true
	body()
	w.depth--
}

func (w *writer) text(key, value string) { w.line(key, quote(value)) }

func (w *writer) optional(key, value string) {
	if value != "" {
		w.text(key, value)
	}
}

func (w *writer) orOff(key, value string) {
	if value == "" {
		value = "off"
	}
	w.text(key, value)
}

func (w *writer) orAuto(key string, rd RD) {
	if rd == (RD{}) {
		w.text(key, "auto")
		return
	}
	w.text(key, rd.String())
}

func (w *writer) addr(key string, a netip.Addr) {
	if a.IsValid() {
		w.text(key, a.String())
	}
}

func (w *writer) number(key string, n uint64) {
	if n != 0 {
		w.line(key, strconv.FormatUint(n, 10))
	}
}

// value writes a number that may be zero.
func (w *writer) value(key string, n *uint32) {
	if n != nil {
		w.line(key, strconv.FormatUint(uint64(*n), 10))
	}
}

func (w *writer) boolean(key string, b bool) { w.line(key, strconv.FormatBool(b)) }

func (w *writer) duration(key string, d time.Duration) { w.text(key, duration(d)) }

// seconds writes a duration of which zero is none.
func (w *writer) seconds(key string, d time.Duration) {
	if d != 0 {
		w.duration(key, d)
	}
}

func (w *writer) listens(key string, at []netip.AddrPort) {
	if len(at) == 0 {
		w.text(key, "off")
		return
	}
	list(w, key, at, netip.AddrPort.String)
}

// targets writes a list even if it is empty, because no list means auto-rt.
func (w *writer) targets(targets []string) {
	if len(targets) == 0 {
		w.line("targets", "[]")
		return
	}
	w.list("targets", targets)
}

func list[T any](w *writer, key string, items []T, text func(T) string) {
	if len(items) > 0 {
		w.list(key, texts(items, text))
	}
}

// list writes a list in one line if it is short.
func (w *writer) list(key string, items []string) {
	const long = 80
	if flow := "[" + strings.Join(items, ", ") + "]"; len(flow) < long {
		w.line(key, flow)
		return
	}
	w.section(key, func() {
		for _, item := range items {
			fmt.Fprintf(w, "%s- %s\n", strings.Repeat("  ", w.depth), item)
		}
	})
}

func texts[T any](items []T, text func(T) string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = quote(text(item))
	}
	return out
}

// plain is text that YAML takes for what it is, in a list too.
var plain = regexp.MustCompile(`^[a-zA-Z0-9/]([a-zA-Z0-9/._:%-]*[a-zA-Z0-9/])?$`)

func quote(s string) string {
	if plain.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	return strconv.Quote(s)
}

// duration writes whole seconds as seconds, and other durations without the
// zeros that time.Duration adds.
func duration(d time.Duration) string {
	if d%time.Second == 0 && d%time.Minute != 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
