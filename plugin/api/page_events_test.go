package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serveHTTP serves a state until the test ends.
func serveHTTP(t *testing.T, s State) (address string, stop func()) {
	t.Helper()
	server := New("127.0.0.1:0", s, quiet())
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return server.Addr().String(), stop
}

// eventReader reads server-sent events.
type eventReader struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
}

func openEvents(t *testing.T, address string) *eventReader {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 32<<20)
	return &eventReader{t, response, lines}
}

// round returns what comes before the next tick, by name, false at the end.
func (r *eventReader) round() (map[string]string, bool) {
	r.t.Helper()
	all, name := map[string]string{}, ""
	for r.lines.Scan() {
		key, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch {
		case key == "event":
			name = value
		case key == "data" && name == "tick":
			var tick struct{ Now time.Time }
			if err := json.Unmarshal([]byte(value), &tick); err != nil || tick.Now.IsZero() {
				r.t.Fatalf("tick %s: %v", value, err)
			}
			return all, true
		case key == "data":
			all[name] = value
		case key != "":
			r.t.Fatalf("line %q", r.lines.Text())
		}
	}
	return all, false
}

func TestEventsTellAllAndThenWhatChanges(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newChanger()
	s := full()
	s.Table = c
	address, stop := serveHTTP(t, s)
	defer stop()
	r := openEvents(t, address)
	defer r.response.Body.Close()
	if kind := r.response.Header.Get("Content-Type"); kind != "text/event-stream" || r.response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, %v", kind, r.response.Header)
	}
	first, ok := r.round()
	for _, name := range []string{"status", "problems", "vnis", "redistribution", "sessions", "neighbors"} {
		if !ok || !json.Valid([]byte(first[name])) {
			t.Errorf("%s: %q", name, first[name])
		}
	}
	if next, ok := r.round(); !ok || len(next) > 0 {
		t.Errorf("nothing has changed, and told are %v", next)
	}
	c.set(200, 1, "2001:db8::1")
	for ok = true; ok; {
		var now map[string]string
		if now, ok = r.round(); len(now) > 0 {
			if len(now) != 1 || !strings.Contains(now["vnis"], `"vni":200`) {
				t.Errorf("told are %v", now)
			}
			break
		}
	}
	stop()
	for ok = true; ok; _, ok = r.round() {
	}
}

func TestReadersOfEventsShareOneBoard(t *testing.T) {
	var looks atomic.Int32
	s := State{Sessions: func() []Session {
		looks.Add(1)
		return nil
	}}
	b := board{state: &s}
	for range 100 {
		b.look()
	}
	if n := looks.Load(); n > 2 { // on a machine that took a second for this

		t.Errorf("the sessions were looked at %d times for 100 readers of one moment", n)
	}
	first, made := b.look()
	b.made = time.Time{}
	again, then := b.look()
	if !then.After(made) || first[0].version != 1 || again[0].version != 1 {
		t.Errorf("the status changed from version %d to %d, and it is the same", first[0].version, again[0].version)
	}
}

func TestEventsAreForSoManyReaders(t *testing.T) {
	address, _ := serveHTTP(t, State{})
	var readers []*eventReader
	for range maxReaders {
		r := openEvents(t, address)
		if _, ok := r.round(); !ok {
			t.Fatalf("reader %d: %s", len(readers), r.response.Status)
		}
		readers = append(readers, r)
	}
	if r := openEvents(t, address); r.response.StatusCode != http.StatusServiceUnavailable || r.response.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", r.response.Status)
	}
	_ = readers[0].response.Body.Close()
	for deadline := time.Now().Add(time.Minute); ; { // the server notices it at the next round
		r := openEvents(t, address)
		if r.response.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody gets the place of a reader that has gone: %s", r.response.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A reader that does not read loses its connection, and nobody waits for it.
func TestReaderThatDoesNotReadDelaysNobody(t *testing.T) {
	defer goleak.VerifyNone(t)
	var generation atomic.Int64
	s := State{Sessions: func() (all []Session) {
		n := generation.Add(1) // everything changes each time
		if n > 1 {
			return []Session{{Name: fmt.Sprint(n)}}
		}
		for i := range maxRows { // more than sockets hold
			all = append(all, Session{Name: fmt.Sprint(i, strings.Repeat("x", 20_000)), Established: true})
		}
		return all
	}}
	address, stop := serveHTTP(t, s)
	defer stop()
	stuck, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if err := stuck.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(stuck, "GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := openEvents(t, address)
	defer r.response.Body.Close()
	for told := 0; told < 3; {
		now, ok := r.round()
		if !ok {
			t.Fatalf("the stream of another reader ended after %d rounds", told)
		}
		if now["sessions"] != "" {
			told++
		}
	}
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("the server took %v to end", took)
	}
}
