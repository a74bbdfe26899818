package lab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// steered is a peer of module test/peers: it takes commands as lines, answers
// each with a "done" line, and reports what happens to it in between.
type steered struct {
	*Process
	answers chan string // errors of commands, "" if it went well
	sending sync.Mutex  // one command at a time
}

// commandTimeout is for the largest commands (100,000 routes) on a busy machine.
const commandTimeout = 2 * time.Minute

// steer starts the program; hear gets every other line.
func (n *Node) steer(hear func(line []byte) error, program string, args ...string) *steered {
	n.t.Helper()
	s := &steered{Process: n.start(true, Program(program), args...), answers: make(chan string, 1)}
	go func() {
		lines := bufio.NewScanner(s.out)
		lines.Buffer(nil, 1<<20)
		lines.Split(wholeLines)
		for lines.Scan() {
			var done struct{ Event, Error string }
			if err := json.Unmarshal(lines.Bytes(), &done); err == nil && done.Event == "done" {
				s.answers <- done.Error
				continue
			}
			if err := hear(lines.Bytes()); err != nil {
				n.t.Errorf("%s: %v: %s", s.Name, err, lines.Bytes())
			}
		}
		_, _ = io.Copy(io.Discard, s.out) // after an error of the scanner
		s.wait()
	}()
	return s
}

// wholeLines is bufio.ScanLines without what a program was writing when it was
// killed.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if bytes.IndexByte(data, '\n') >= 0 {
		return bufio.ScanLines(data, atEOF)
	}
	if atEOF {
		advance = len(data)
	}
	return advance, nil, nil
}

// Do sends a command and ends the test if it fails.
func (s *steered) Do(format string, args ...any) {
	s.t.Helper()
	if err := s.Try(format, args...); err != nil {
		s.t.Fatal(err)
	}
}

// Try is Do for what may fail.
func (s *steered) Try(format string, args ...any) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return fmt.Errorf("%s: %s: %w", s.Name, command, err)
	}
	select {
	case answer := <-s.answers:
		if answer != "" {
			return fmt.Errorf("%s: %s: %s", s.Name, command, answer)
		}
		return nil
	case <-s.done:
		return fmt.Errorf("%s: ended during %s: %s", s.Name, command, s.Tail(5))
	case <-time.After(commandTimeout):
		return fmt.Errorf("%s: no answer to %s", s.Name, command)
	}
}

// Differ says how a list differs from the expected one, or returns nil.
func Differ(got, want []string) error {
	has, wants := make(map[string]bool), make(map[string]bool)
	for _, g := range got {
		has[g] = true
	}
	var missing, extra []string
	for _, w := range want {
		wants[w] = true
		if !has[w] {
			missing = append(missing, w)
		}
	}
	for _, g := range got {
		if !wants[g] {
			extra = append(extra, g)
		}
	}
	if len(missing) == 0 && len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("missing: %s; too much: %s", few(missing), few(extra))
}

// few lists the first of many.
func few(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	const most = 5
	s := strings.Join(list[:min(most, len(list))], ", ")
	if len(list) > most {
		s += fmt.Sprintf(" and %d more", len(list)-most)
	}
	return s
}
