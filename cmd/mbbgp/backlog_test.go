package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mbbgp/config"
)

// unread returns a backlog into a pipe, and the pipe's other end.
func unread(t *testing.T) (*backlog, *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		out.Close()
		in.Close()
	})
	return &backlog{to: in}, out
}

func TestLogThatNobodyReadsHoldsUpNobody(t *testing.T) {
	b, pipe := unread(t)
	log, err := newLogs(config.Log{Format: config.LogJSON}, logFlags{}, b)
	if err != nil {
		t.Fatal(err)
	}
	const lines = 100_000 // far more than pipe and backlog hold
	for i := range lines {
		log.of(config.LogBGP).WithField("number", i).Info("a line")
	}
	b.flush(time.Millisecond) // does not wait for ever

	in := bufio.NewScanner(pipe)
	var read, lost int
	for read+lost < lines && in.Scan() {
		_, number, missing := strings.Cut(in.Text(), `"lines":`)
		if !missing {
			if want := fmt.Sprintf(`"number":%d,`, read); !strings.Contains(in.Text(), want) {
				t.Fatalf("line %d is %s", read, in.Text())
			}
			read++
			continue
		}
		if _, err := fmt.Sscan(number, &lost); err != nil {
			t.Fatalf("%v in %s", err, in.Text())
		}
	}
	if lost == 0 || read+lost != lines {
		t.Errorf("%d lines were read and %d lost, of %d", read, lost, lines)
	}
	b.flush(time.Minute)
	log.of(config.LogBGP).Info("in order again")
	if in.Scan(); !strings.Contains(in.Text(), "in order again") {
		t.Errorf("then: %s", in.Text())
	}
}

func TestLogIsWrittenBeforeTheEnd(t *testing.T) {
	b, pipe := unread(t)
	for range 1000 {
		fmt.Fprintln(b, "a line")
	}
	b.flush(time.Minute)
	b.to.Close()
	n := 0
	for in := bufio.NewScanner(pipe); in.Scan(); n++ {
	}
	if n != 1000 {
		t.Errorf("%d lines, want 1000", n)
	}
}

func TestWriterThatFailsHoldsUpNobody(t *testing.T) {
	b, pipe := unread(t)
	pipe.Close() // EPIPE from now on
	for range 1000 {
		fmt.Fprintln(b, "a line")
	}
	b.flush(time.Minute)
	if _, err := b.Write([]byte("a line\n")); err != nil {
		t.Error(err)
	}
	b.flush(time.Minute)
}
