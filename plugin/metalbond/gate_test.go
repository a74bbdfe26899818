package metalbond

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// linux is a client's kernel and its reader, in the time of a bubble. The reader
// takes all that there is, handles it and reads again.
type linux struct {
	transport
	segment int
	widens  bool                    // acknowledges long segments at once
	handle  func(int) time.Duration // how long the reader needs for so many bytes; nil: it does not read
	asleep  time.Time               // the reader does nothing until then

	busy    time.Time // the reader is, until then
	unread  int
	most    int // unread at any time
	unacked int
	due     time.Time // of the delayed ACK, if something is queued
	quick   int
	heard   time.Time // the last segment
	acks    time.Time // the last ACK
	resent  uint32
}

const delayedACK = 40 * time.Millisecond

func newLinux(routeTime time.Duration) *linux {
	return &linux{segment: 60 << 10, quick: 16, heard: time.Now(), handle: func(n int) time.Duration {
		return routeTime * time.Duration(n/36)
	}}
}

func (l *linux) ready() error { return nil }

func (l *linux) queued() (int, error) {
	l.advance(time.Now())
	return l.unacked, nil
}

func (l *linux) look() (path, error) {
	now := time.Now()
	l.advance(now)
	return path{segment: l.segment, sinceACK: now.Sub(l.acks).Truncate(4 * time.Millisecond), resent: l.resent}, nil
}

// advance does what has happened until now, in order.
func (l *linux) advance(now time.Time) {
	for {
		read := l.busy
		if l.asleep.After(read) {
			read = l.asleep
		}
		reads := l.handle != nil && l.unread > 0 && !read.After(now)
		switch {
		case l.unacked > 0 && !l.due.After(now) && !(reads && read.Before(l.due)):
			l.ack(l.due)
		case reads:
			if read.Before(l.heard) {
				read = l.heard
			}
			l.busy = read.Add(l.handle(l.unread))
			l.unread = 0
			if l.unacked > 0 {
				l.ack(read)
			}
		default:
			return
		}
	}
}

func (l *linux) ack(at time.Time) { l.unacked, l.acks = 0, at }

// take is a segment that arrives.
func (l *linux) take(n int) {
	now := time.Now()
	l.advance(now)
	if now.Sub(l.heard) > 200*time.Millisecond {
		l.quick = 16
	}
	l.heard = now
	l.unread += n
	l.most = max(l.most, l.unread)
	if l.unacked == 0 {
		l.due = now.Add(delayedACK)
	}
	l.unacked += n
	switch {
	case l.quick > 0:
		l.quick--
		l.ack(now)
	case l.widens && n >= 128, l.unacked > l.segment:
		l.ack(now)
	}
	l.advance(now)
}

// tell writes for a while, as much as the gate allows, and returns how much that
// was. Before each step it is late, if that is not nil.
func (l *linux) tell(t *testing.T, g *ackGate, d time.Duration, late func() time.Duration) (bytes int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !g.fast; {
		if late != nil {
			time.Sleep(late())
		}
		length, wait, err := g.allow()
		if err != nil {
			t.Fatal(err)
		}
		if length == 0 {
			time.Sleep(max(wait, time.Microsecond))
			continue
		}
		n := length / 36 * 36
		begun := time.Now()
		if late != nil {
			time.Sleep(late() / 10)
		}
		time.Sleep(5 * time.Microsecond)
		l.take(n)
		g.wrote(begun, n)
		bytes += n
	}
	l.advance(time.Now())
	return bytes
}

const interval5 = 5 * time.Second

func TestReaderThatStopsHasNeverMoreUnreadThanItCanRead(t *testing.T) {
	for _, row := range []struct {
		name    string
		segment int
		widens  bool
	}{
		{"on loopback", 60 << 10, false},
		{"on Ethernet", 1448, false},
		{"while its kernel widens the window", 1448, true},
		{"while its kernel widens the window for long segments", 60 << 10, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, reads := range []time.Duration{0, 3 * time.Millisecond, time.Second, 7 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					l := newLinux(12 * time.Microsecond)
					l.segment, l.widens = row.segment, row.widens
					g := newAckGate(l, interval5)
					l.tell(t, g, reads, nil)
					l.handle = nil
					for range 12 { // seconds; then its session would be over
						g.beat(0, 4)
						l.take(4)
						l.tell(t, g, time.Second, nil)
					}
					if l.most > mostUnread+100 || l.unread < leastChunk || g.fast {
						t.Errorf("stops after %v: %d bytes unread, %d at most, fast %v", reads, l.unread, l.most, g.fast)
					}
				})
			}
		})
	}
}

func TestReaderThatSleepsAtRandomHasNeverMoreUnreadThanItCanRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 5))
			l := newLinux(20 * time.Microsecond)
			g := newAckGate(l, interval5)
			for range 100 {
				if random.IntN(2) == 0 {
					l.asleep = time.Now().Add(time.Duration(random.Int64N(int64(2 * time.Second))))
				}
				l.tell(t, g, time.Duration(random.Int64N(int64(time.Second))), nil)
				time.Sleep(time.Duration(random.Int64N(int64(400 * time.Millisecond)))) // nothing to say
			}
			if l.most > mostUnread || g.fast {
				t.Errorf("seed %d: %d bytes unread, fast %v", seed, l.most, g.fast)
			}
		}
	})
}

func TestReaderIsKeptBusy(t *testing.T) {
	for _, row := range []struct {
		route   time.Duration
		percent int // of what it could read
	}{{10 * time.Microsecond, 90}, {36 * time.Microsecond, 75}, {200 * time.Microsecond, 60}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLinux(row.route)
			g := newAckGate(l, interval5)
			const d = 10 * time.Second
			got := l.tell(t, g, d, nil)
			if want := int(d/row.route) * 36 * row.percent / 100; got < want || g.fast {
				t.Errorf("%v a route: %d bytes, want %d; fast %v", row.route, got, want, g.fast)
			}
		})
	}
}

func TestReaderIsNotStoppedBecauseThisMachineIsLate(t *testing.T) {
	for _, late := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			l := newLinux(10 * time.Microsecond)
			g := newAckGate(l, interval5)
			// Four steps for 48 KiB, and twenty more in the beginning.
			got := l.tell(t, g, 200*late, func() time.Duration { return late })
			if want := 30 * mostChunk; got < want {
				t.Errorf("late by %v: %d bytes, want %d", late, got, want)
			}
		})
	}
}

func TestBurstGoesOnWhenTheReaderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(10 * time.Microsecond)
		g := newAckGate(l, interval5)
		l.tell(t, g, time.Second, nil)
		l.asleep = time.Now().Add(5 * time.Second)
		if got := l.tell(t, g, 5*time.Second, nil); got > mostUnread {
			t.Fatalf("%d bytes while it slept", got)
		}
		const d = 500 * time.Millisecond
		if got, want := l.tell(t, g, d, nil), int(d/(10*time.Microsecond))*36/2; got < want {
			t.Errorf("%d bytes in the first %v, want %d", got, d, want)
		}
	})
}

func TestReaderWhoseKernelSaysNothingIsBelievedWhenItsSessionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(0)
		l.handle = nil
		g := newAckGate(l, interval5)
		l.tell(t, g, intervals*interval5-time.Second, nil)
		l.unread = 0
		time.Sleep(2 * intervals * interval5)
		if got := l.tell(t, g, time.Second, nil); got < leastChunk {
			t.Errorf("%d bytes", got)
		}
	})
}

func TestSegmentsThatWereResentProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(10 * time.Microsecond)
		g := newAckGate(l, interval5)
		l.tell(t, g, time.Second, nil)
		l.handle = nil
		for range 4 {
			l.quick = 16
			l.resent++
			l.tell(t, g, time.Second, nil)
		}
		if l.most > mostUnread {
			t.Errorf("%d bytes unread", l.most)
		}
	})
}

func TestQuickReaderIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(500 * time.Nanosecond)
		g := newAckGate(l, interval5)
		if got := l.tell(t, g, time.Second, nil); !g.fast || got > 10*mostChunk {
			t.Fatalf("fast %v after %d bytes", g.fast, got)
		}
		if length, _, _ := g.allow(); length != maxSegment {
			t.Errorf("writes of %d bytes", length)
		}
	})
}

func TestQuietUpdatesDoNotWaitForAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(10 * time.Microsecond)
		g := newAckGate(l, interval5)
		for i := range 10000 {
			if length, _, _ := g.allow(); length == 0 {
				t.Fatalf("update %d is held back", i)
			}
			g.wrote(time.Now(), 36)
			l.take(36)
			time.Sleep(time.Millisecond)
		}
	})
}

func TestRareUpdatesNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinux(10 * time.Microsecond)
		g := newAckGate(l, interval5)
		for i := range 20000 { // an hour and more, every one acknowledged at once, read or not
			if length, _, _ := g.allow(); length == 0 {
				t.Fatalf("update %d is held back", i)
			}
			g.wrote(time.Now(), 80)
			l.take(80)
			time.Sleep(250 * time.Millisecond)
		}
	})
}

func TestChunksTowardAServerWaitForTheAnswerToTheLastButOne(t *testing.T) {
	answered := uint64(0)
	g := &answerGate{conn: &linux{segment: 60 << 10}, answered: func() uint64 { return answered }}
	asked := uint64(0)
	chunk := func() (bytes int) {
		for {
			length, _, _ := g.allow()
			if length == 0 {
				break
			}
			g.wrote(time.Now(), length)
			bytes += length
		}
		if g.full() {
			asked++
			g.beat(asked, 4)
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
