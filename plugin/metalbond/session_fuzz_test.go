package metalbond

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"mbbgp/rib"
	"mbbgp/wire"
)

// FuzzSession lets a client say a script of messages, in any order, to a server,
// and knows what has to come of it: the state machine of the handshake ends what
// is out of turn, the table holds what was announced, and nothing is left behind.
func FuzzSession(f *testing.F) {
	for _, script := range []string{
		"",
		"\x01\x05\x00\x00",                 // HELLO, KEEPALIVE
		"\x01\x05\x00\x00\x02\x01\x04\x09", // SUBSCRIBE, announcement
		"\x01\x05\x00\x00\x04\x09\x04\x0d\x05\x09", // two, withdrawal
		"\x01\x05\x00\x00\x02\x01\x02\x01\x03\x01\x03\x01",
		"\x01\x05\x00\x00\x04\x09\x01\x05", // HELLO out of turn
		"\x00\x00\x01\x05",                 // KEEPALIVE first
		"\x01\x00", "\x01\x05\x04\x01", "\x01\x05\x00\x00\x06\x03abc", "\x01\x05\x00\x00\x07\x01",
	} {
		f.Add([]byte(script))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t)
		s := NewServer(ServerOptions{Bridge: w.bridge, Log: w.log})
		here, there := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := s.start(ctx, pipe{here}, netip.MustParseAddrPort("192.0.2.7:1234")); err != nil {
			t.Fatal(err)
		}
		_ = there.SetDeadline(time.Now().Add(patience))
		c := &scripted{t: t, conn: there, state: HelloWait, answers: make(chan wire.Type, len(script)+2), table: map[string]bool{}}
		go c.listen()
		for len(script) > 1 && !c.over {
			script = c.say(script[0], script[1], script[2:])
		}
		if c.state == Established && !c.over && !c.garbled {
			c.write(wire.AppendKeepalive(nil))
			c.answered(wire.TypeKeepalive)
			got := map[string]bool{}
			for vni := range rib.VNI(scriptVNIs) {
				for route := range w.routes(vni) {
					got[fmt.Sprint(vni, " ", route)] = true
				}
			}
			if !maps.Equal(got, c.table) {
				t.Errorf("the table has %v, want %v", got, c.table)
			}
		}
		there.Close()
		s.waiting.Wait()
		for _, vni := range w.table.VNIs() {
			if n := w.table.Stats(vni).NextHops; n > 0 {
				t.Errorf("%d routes of vni %d are left", n, vni)
			}
		}
		if n := len(s.Sessions()); n > 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// scriptVNIs is how many VNIs scripts name, from 0 on.
const scriptVNIs = 4

// scripted is a client that says a script, and what has to come of it.
type scripted struct {
	t       *testing.T
	conn    net.Conn
	answers chan wire.Type // what the server says but for UPDATEs; closed at the end
	state   State
	over    bool            // the server has to end the session
	garbled bool            // bytes were sent that may be anything
	table   map[string]bool // what the client announces
}

// listen reads what the server says to the end.
func (c *scripted) listen() {
	defer close(c.answers)
	in := wire.NewReader(c.conn)
	for {
		m, err := in.Next()
		if err != nil {
			return
		}
		switch m.Type {
		case wire.TypeUpdate:
			if _, err := wire.ParseUpdate(m.Payload); err != nil {
				c.t.Error(err)
			}
		case wire.TypeHello, wire.TypeKeepalive:
			c.answers <- m.Type
		default:
			c.t.Errorf("the server says %v", m.Type)
		}
	}
}

// write sends bytes, unless the server has ended the session.
func (c *scripted) write(b []byte) {
	if _, err := c.conn.Write(b); err != nil && !c.over && !c.garbled {
		c.t.Fatalf("the session ended: %v", err)
	}
}

// answered waits for an answer.
func (c *scripted) answered(want wire.Type) {
	if c.garbled {
		return
	}
	if got, ok := <-c.answers; !ok || got != want {
		c.t.Fatalf("the server answers %v (%v), want %v", got, ok, want)
	}
}

// say says one step of the script and returns the rest of it.
func (c *scripted) say(kind, number byte, rest []byte) []byte {
	vni, pr := rib.VNI(number%scriptVNIs), prefix(int(number)/scriptVNIs)
	switch kind % 8 {
	case 0:
		c.expect(c.state != HelloWait)
		c.write(wire.AppendKeepalive(nil))
		if !c.over {
			c.answered(wire.TypeKeepalive)
			c.state = Established
		}
	case 1:
		c.expect(c.state == HelloWait && number%128 > 0)
		c.write([]byte{1, 0, 2, byte(wire.TypeHello), 0x08, number % 128})
		if !c.over {
			c.answered(wire.TypeHello)
			c.state = KeepaliveWait
		}
	case 2:
		c.expect(c.state == Established)
		c.write(wire.AppendSubscribe(nil, uint32(vni)))
	case 3:
		c.expect(c.state == Established)
		c.write(wire.AppendUnsubscribe(nil, uint32(vni)))
	case 4, 5:
		c.expect(c.state == Established)
		remove := kind%8 == 5
		c.write(Encode(nil, remove, vni, pr, hop1))
		if route := fmt.Sprintf("%d %v via %v", vni, pr, hop1); remove {
			delete(c.table, route)
		} else {
			c.table[route] = true
		}
	default:
		n := min(int(number), len(rest))
		c.garbled = true
		c.write(rest[:n])
		return rest[n:]
	}
	return rest
}

// expect notes whether the session may go on behind what comes now.
func (c *scripted) expect(fine bool) { c.over = c.over || !fine }
