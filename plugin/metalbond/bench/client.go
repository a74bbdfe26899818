package bench

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/wire"
)

// Pace says how fast an announcer talks.
type Pace string

// The values of Pace. A server made of metalbond's library resets a session
// that has more to read than one read of its returns, or a message of which a
// read returns half. So PaceAuto writes whole messages, no more than a segment
// at a time, and waits until the server has answered the KEEPALIVE behind the
// last chunk but one. PaceOff writes as fast as TCP takes it.
const (
	PaceAuto Pace = "auto"
	PaceOff  Pace = "off"
)

const (
	blastLength = 64 << 10 // bytes of one write with PaceOff
	chunkLength = 24 << 10 // bytes between two KEEPALIVEs with PaceAuto
)

// client is one session with the server under load. The loop runs it.
type client struct {
	loop  *loop
	name  string // "subscriber 7"
	fd    int
	state state
	ended error // why the session is over; nil: it is not

	interval time.Duration // of KEEPALIVEs
	asked    int           // KEEPALIVEs sent
	answered int

	stream scanner
	known  digest
	heard  uint64    // UPDATEs
	want   digest    // while wanting
	wants  bool      // wait until known is want
	met    time.Time // when it was

	out     []byte // to be written before anything else
	segment int    // bytes of one write; 0: PaceOff
	chunk   int    // bytes since the last KEEPALIVE
	speech  speech // nil: nothing to say
	spoken  []byte // buffer of speech
	said    uint64 // UPDATEs
	events  uint32 // that the loop waits for
	deaf    bool   // does not read
}

type state uint8

const (
	helloWait state = iota
	keepaliveWait
	established
)

// hear takes what came.
func (c *client) hear(buf []byte) error {
	n, err := unix.Read(c.fd, c.stream.room(buf))
	switch {
	case again(err):
		return nil
	case errors.Is(err, unix.ECONNRESET):
		return errors.New("reset by the server")
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	before := c.heard
	if err := c.stream.scan(buf, n, c.take); err != nil {
		return err
	}
	if c.heard != before {
		c.loop.moved = c.loop.now
		c.compare()
	}
	return nil
}

// compare notes when the client knows what it is to know.
func (c *client) compare() {
	if c.wants && c.known == c.want {
		c.wants, c.met = false, c.loop.now
		c.loop.wanting--
	}
}

func (c *client) take(t wire.Type, payload []byte) error {
	switch {
	case t == wire.TypeUpdate && c.state == established:
		c.heard++
		c.known.take(payload)
		return nil
	case t == wire.TypeKeepalive && c.state == established:
		c.answered++
		return c.resume()
	case t == wire.TypeHello && c.state == helloWait:
		h, err := wire.ParseHello(payload)
		if err != nil {
			return err
		}
		c.interval = min(c.interval, time.Duration(min(h.Keepalive, 3600))*time.Second)
		c.state = keepaliveWait
		return c.tell(wire.AppendKeepalive(nil))
	case t == wire.TypeKeepalive && c.state == keepaliveWait:
		c.state = established
		c.loop.moved = c.loop.now
		c.loop.opening--
		return nil
	}
	return fmt.Errorf("%v came where it has no business", t)
}

// keepalive sends a KEEPALIVE, unless the server has not read so much that it
// would have to wait.
func (c *client) keepalive() error {
	if len(c.out) > 0 {
		return nil
	}
	c.asked++
	return c.tell(wire.AppendKeepalive(nil))
}

// tell writes frames before what is to be said.
func (c *client) tell(frames []byte) error {
	c.out = append(c.out, frames...)
	return c.write()
}

// speak begins to say something.
func (c *client) speak(s speech) error {
	c.speech = s
	c.loop.speaking++
	return c.resume()
}

// resume writes, unless there is nothing to write or it has to wait.
func (c *client) resume() error {
	if c.speech == nil && len(c.out) == 0 {
		return nil
	}
	return c.write()
}

// write writes once, and has the loop call again when more can be written.
func (c *client) write() error {
	if len(c.out) == 0 {
		c.next()
	}
	if len(c.out) > 0 {
		n, err := unix.SendmsgN(c.fd, c.out, nil, nil, unix.MSG_EOR|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil && !again(err) {
			return fmt.Errorf("after %d updates: %w", c.said, err)
		}
		c.out = c.out[max(n, 0):]
	}
	return c.await(len(c.out) > 0 || c.speech != nil && c.mayGoOn())
}

// mayGoOn reports whether the pace allows more.
func (c *client) mayGoOn() bool { return c.segment == 0 || c.asked-c.answered <= 1 }

// next puts what is said next into out.
func (c *client) next() {
	if c.speech == nil || !c.mayGoOn() {
		return
	}
	length := blastLength
	if c.segment > 0 {
		length = min(c.segment-wire.HeaderLen, chunkLength-c.chunk)
	}
	if cap(c.spoken) < length {
		c.spoken = make([]byte, 0, length)
	}
	var n int
	c.out, n = c.speech(c.spoken[:0:length])
	c.said += uint64(n)
	c.loop.moved = c.loop.now
	switch {
	case n == 0 && c.chunk == 0:
		c.speech = nil
		c.loop.speaking--
	case c.segment == 0:
	case n == 0 || chunkLength-c.chunk-len(c.out) < 2*wire.MaxUpdateLen:
		c.out = wire.AppendKeepalive(c.out)
		c.asked++
		c.chunk = 0
	default:
		c.chunk += len(c.out)
	}
}

// await tells the loop what to wait for.
func (c *client) await(writable bool) error {
	events := uint32(unix.EPOLLIN)
	if c.deaf {
		events = 0
	}
	if writable {
		events |= unix.EPOLLOUT
	}
	if events == c.events {
		return nil
	}
	c.events = events
	return c.loop.poll.change(c.fd, events)
}

// listen has the client read, or not.
func (c *client) listen(reads bool) error {
	c.deaf = !reads
	return c.await(c.events&unix.EPOLLOUT != 0)
}

// answers reports whether the server has answered everything.
func (c *client) answers() bool { return c.answered == c.asked }
