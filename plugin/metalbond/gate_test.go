package metalbond

import (
	"testing"
	"time"
)

// kernel is a transport that says what a test wants.
type kernel struct {
	transport
	unacked, window int
}

func (k *kernel) queued() (int, error)    { return k.unacked, nil }
func (k *kernel) look() (int, int, error) { return 60 << 10, k.window, nil }

// drive writes full segments, each acknowledged after a while, and returns the
// time and the length of the last one.
func drive(t *testing.T, g *ackGate, k *kernel, now time.Time, bytes int, each func(length int) time.Duration) (time.Time, int) {
	t.Helper()
	last := 0
	for bytes > 0 {
		length, _, err := g.allow(now)
		if err != nil || length == 0 {
			t.Fatalf("nothing may be written with nothing under way: %v", err)
		}
		g.wrote(now, length)
		bytes -= length
		last = length
		k.unacked = length
		if again, _, _ := g.allow(now); again != 0 && !g.fast {
			t.Fatalf("%d bytes may be written behind %d that nobody has read", again, length)
		}
		now = now.Add(each(length))
		k.unacked = 0
	}
	return now, last
}

func TestSlowClientGetsASegmentAtATime(t *testing.T) {
	k := &kernel{window: 64 << 10}
	g := &ackGate{conn: k}
	perByte := func(length int) time.Duration { return time.Duration(length) * 270 * time.Nanosecond } // 10 us a route
	now, first := drive(t, g, k, time.Now(), shortWrites*shortSegment, perByte)
	if first != shortSegment {
		t.Errorf("segments of %d bytes at first", first)
	}
	if _, last := drive(t, g, k, now, 1<<20, perByte); last != longSegment || g.fast {
		t.Errorf("segments of %d bytes, fast %v", last, g.fast)
	}
}

func TestQuickClientIsNotHeldBack(t *testing.T) {
	k := &kernel{window: 64 << 10}
	g := &ackGate{conn: k}
	_, last := drive(t, g, k, time.Now(), 1<<20, func(length int) time.Duration { return time.Duration(length) * 60 * time.Nanosecond })
	if last != maxSegment || !g.fast {
		t.Errorf("segments of %d bytes, fast %v", last, g.fast)
	}
}

func TestQuickAcknowledgementsAloneProveNothing(t *testing.T) {
	k := &kernel{window: 64 << 10}
	g := &ackGate{conn: k}
	writes := 0
	drive(t, g, k, time.Now(), 1<<20, func(length int) time.Duration {
		if writes++; writes%50 < 16 {
			return 10 * time.Microsecond
		}
		return time.Duration(length) * 270 * time.Nanosecond
	})
	if g.fast {
		t.Error("taken for a quick client")
	}
}

func TestQuietUpdatesDoNotWaitForAcknowledgements(t *testing.T) {
	k := &kernel{window: 64 << 10}
	g := &ackGate{conn: k}
	now := time.Now()
	for range quietUnread / 40 {
		if length, _, _ := g.allow(now); length == 0 {
			t.Fatalf("held back with %d bytes under way", k.unacked)
		}
		g.wrote(now, 40)
		k.unacked += 40
	}
	k.unacked += 40
	if length, _, _ := g.allow(now); length != 0 {
		t.Fatalf("not held back with %d bytes under way", k.unacked)
	}
}

func TestNarrowWindowStopsABurstUntilItOpensOrPatienceIsOver(t *testing.T) {
	k := &kernel{window: 100 << 10}
	g := &ackGate{conn: k}
	now := time.Now()
	g.allow(now)
	k.window -= narrow
	var stopped time.Duration
	for {
		length, wait, _ := g.allow(now)
		if length > frameRoom {
			break
		}
		now = now.Add(max(wait, time.Millisecond))
		stopped += max(wait, time.Millisecond)
		if stopped > time.Minute {
			t.Fatal("for ever")
		}
	}
	if stopped < firstPatience {
		t.Errorf("for %v only", stopped)
	}
	k.window -= narrow
	if length, _, _ := g.allow(now); length > frameRoom {
		t.Error("the next narrow window does not stop it")
	}
	k.window = 100 << 10
	g.allow(now)
	if length, _, _ := g.allow(now); length <= frameRoom {
		t.Error("an open window does not start it")
	}
}

func TestChunksTowardAServerWaitForTheAnswerToTheLastButOne(t *testing.T) {
	answered := uint64(0)
	g := &answerGate{conn: &kernel{}, answered: func() uint64 { return answered }}
	asked := uint64(0)
	chunk := func() (bytes int) {
		for {
			length, _, _ := g.allow(time.Now())
			if length == 0 {
				break
			}
			g.wrote(time.Now(), length)
			bytes += length
		}
		if g.full() {
			asked++
			g.mark(asked)
		}
		return bytes
	}
	if a, b, c := chunk(), chunk(), chunk(); a != chunkLength || b != chunkLength || c != 0 {
		t.Fatalf("%d, %d and %d bytes without an answer", a, b, c)
	}
	answered = 1
	if a, b := chunk(), chunk(); a != chunkLength || b != 0 {
		t.Fatalf("%d and %d bytes with one answer", a, b)
	}
}
