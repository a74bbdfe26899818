package test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"mbbgp/plugin/metalbond"
	"mbbgp/test/lab"
)

var latencies = flag.Bool("latency", false, "print how long healthy sessions wait while a server is attacked")

// attack is what a crowd of clients does to a server, each of them for as long
// as it is let.
type attack struct {
	name  string
	crowd int // clients at a time
	act   func(c *attacker) error
}

// attacker is one of the crowd.
type attacker struct {
	ctx    context.Context
	number int
	conn   net.Conn
}

// say writes some messages.
func (c *attacker) say(b ...[]byte) error {
	_, err := c.conn.Write(slices.Concat(b...))
	return err
}

// establish goes through the handshake.
func (c *attacker) establish(interval uint32) error {
	for _, step := range []struct {
		say    []byte
		answer int // bytes
	}{{hello(interval), len(hello(1)) + 2}, {keepalive(), headerLen}} {
		if err := c.say(step.say); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.conn, make([]byte, step.answer)); err != nil {
			return err
		}
	}
	return nil
}

// flood establishes a session, reads what it is told and says b again and again.
func (c *attacker) flood(b []byte) error {
	if err := c.establish(5); err != nil {
		return err
	}
	go io.Copy(io.Discard, c.conn)
	for {
		if err := c.say(b); err != nil {
			return err
		}
	}
}

// wait waits for the end of the attack.
func (c *attacker) wait() error {
	<-c.ctx.Done()
	return nil
}

func attacks() []attack {
	elsewhere := func(n int, remove bool) (b []byte) { // host routes of VNI 5
		for i := range n {
			u := announce(remove, [4]byte{100, 0, byte(i >> 8), byte(i)}, hostile)
			b = append(b, slices.Concat([]byte{1, 0, u[2] - 2, typeUpdate}, bytes.Replace(u[headerLen:], raw(vni), raw("10 05"), 1))...)
		}
		return b
	}
	return []attack{
		{"1,000 idle connections", 1000, func(c *attacker) error { return c.wait() }},
		{"1,000 idle sessions", 1000, func(c *attacker) error {
			if err := c.establish(60); err != nil {
				return err
			}
			return c.wait()
		}},
		{"500 headers that never end, a byte now and then", 500, func(c *attacker) error {
			slow := hello(1)
			for _, b := range slow[:len(slow)-1] {
				if err := c.say([]byte{b}); err != nil {
					return err
				}
				select {
				case <-c.ctx.Done():
					return nil
				case <-time.After(300 * time.Millisecond):
				}
			}
			return c.wait()
		}},
		{"4 floods of KEEPALIVEs", 4, func(c *attacker) error { return c.flood(bytes.Repeat(keepalive(), 1000)) }},
		{"4 floods of routes that come and go", 4, func(c *attacker) error {
			return c.flood(slices.Concat(elsewhere(100, false), elsewhere(100, true)))
		}},
		{"4 floods of routes in the VNI of the healthy", 4, func(c *attacker) error {
			return c.flood(slices.Concat(manyUpdates(100), bytes.ReplaceAll(manyUpdates(100), raw("1a 08 12 04 64"), raw("1a 08 12 04 65"))))
		}},
		{"4 floods of impossible routes", 4, func(c *attacker) error {
			return c.flood(bytes.Repeat(update(vni, "1a 08 12 04 cb007100 18 21", nextHop), 200))
		}},
		{"4 floods of subscriptions", 4, func(c *attacker) error { return c.flood(subscribeAndLeave(200)) }},
		{"4 storms of connections", 4, func(c *attacker) error { return c.say(hello(1)) }},
		{"4 storms of broken messages", 4, func(c *attacker) error {
			if err := c.establish(5); err != nil {
				return err
			}
			_ = c.say(RandomPayloads(rand.New(rand.NewPCG(uint64(c.number), 3)), 1)[0], bytes.Repeat([]byte{0xff}, maxPayload))
			_, err := io.Copy(io.Discard, c.conn)
			return err
		}},
		{"10 subscribers that never read", 10, func(c *attacker) error {
			if err := c.establish(60); err != nil {
				return err
			}
			if err := c.say(about(typeSubscribe, HostileVNI)); err != nil {
				return err
			}
			return c.wait()
		}},
	}
}

// under runs an attack while f runs. Attackers whose connection ends come again.
func (s *scene) under(t *testing.T, a attack, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var crowd, begun sync.WaitGroup
	for i := range a.crowd {
		begun.Add(1)
		crowd.Go(func() {
			once := sync.OnceFunc(begun.Done)
			defer once()
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					continue
				}
				end := context.AfterFunc(ctx, func() { conn.Close() })
				once()
				_ = a.act(&attacker{ctx, i, conn}) // which ends, one way or another
				end()
				conn.Close()
			}
		})
	}
	begun.Wait()
	f()
	stop()
	crowd.Wait()
}

// newProcess is newScene with a server in a process of its own, which shares no
// scheduler with those who attack it.
func newProcess(t *testing.T) *scene {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mbbgp")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/mbbgp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := &scene{address: "127.0.0.1:14711", heard: make(chan []byte, 1024)}
	cmd := exec.Command(program, "server", "--listen", s.address, "--http", "127.0.0.1:0", "--log-level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.announcer.close()
		s.subscriber.close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lab.Eventually(t, patience, "the server", func() error {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	s.populate(t)
	return s
}

// Whatever a crowd does, what a healthy session announces is told to another.
// How long that takes is looked at by hand:
//
//	go test ./test -run Attack -v -latency
func TestHealthySessionsLoseNothingUnderAttack(t *testing.T) {
	exchanges, limit := 20, patience
	if *latencies {
		exchanges, limit = 2000, 5*time.Second
	}
	var calm [2]time.Duration
	for _, a := range append([]attack{{name: "nobody"}}, attacks()...) {
		t.Run(a.name, func(t *testing.T) {
			var s *scene
			if *latencies {
				s = newProcess(t)
			} else {
				s = newScene(t, metalbond.ServerOptions{MaxConnections: 4096})
			}
			var took []time.Duration
			s.under(t, a, func() {
				for end := time.Now().Add(limit); len(took) < exchanges && time.Now().Before(end); {
					begun := time.Now()
					s.exchange(t, true)
					took = append(took, time.Since(begun)/2) // an announcement and a withdrawal
				}
			})
			if !*latencies {
				return
			}
			slices.Sort(took)
			now := [2]time.Duration{took[len(took)/2], took[len(took)*99/100]}
			if a.crowd == 0 {
				calm = now
			}
			ratio := func(i int) string { return fmt.Sprintf("%.1fx", float64(now[i])/float64(calm[i])) }
			t.Logf("| %s | %v | %s | %v | %s |", a.name, now[0].Round(time.Microsecond), ratio(0), now[1].Round(time.Microsecond), ratio(1))
		})
	}
}
