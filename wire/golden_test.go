package wire

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// capture is one section of testdata/captures.txt.
type capture struct {
	name   string
	says   []string // what each frame says
	frames [][]byte
}

func captures(tb testing.TB) []capture {
	tb.Helper()
	text, err := os.ReadFile("testdata/captures.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []capture
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			all = append(all, capture{name: strings.Trim(line, "[]")})
		default:
			says, hex, ok := strings.Cut(line, " | ")
			if !ok || len(all) == 0 {
				tb.Fatalf("captures.txt: %q is not a description, a bar and hex", line)
			}
			c := &all[len(all)-1]
			c.says = append(c.says, says)
			c.frames = append(c.frames, unhex(tb, hex))
		}
	}
	return all
}

// describe says of a decoded message what the captures say of it.
func describe(t Type, body any) string {
	switch b := body.(type) {
	case Hello:
		return fmt.Sprintf("HELLO keepalive=%d isServer=%v", b.Keepalive, b.IsServer)
	case subscription:
		return fmt.Sprintf("SUBSCRIBE vni=%d", uint32(b))
	case unsubscription:
		return fmt.Sprintf("UNSUBSCRIBE vni=%d", uint32(b))
	case Update:
		action, family := "ADD", "IPv4"
		if b.Remove {
			action = "REMOVE"
		}
		if b.Prefix.Addr().Is6() {
			family = "IPv6"
		}
		s := fmt.Sprintf("UPDATE %s vni=%d %s prefix=%x/%d nh=%x type=%s", action, b.VNI, family, b.Prefix.Addr().AsSlice(), b.Prefix.Bits(),
			b.Target.AsSlice(), [...]string{"STANDARD", "NAT", "LOADBALANCER_TARGET"}[b.HopType])
		if b.HopType == HopNAT {
			s += fmt.Sprintf(" nat=%d-%d", b.NATFrom, b.NATTo)
		}
		if b.TargetVNI != 0 {
			s += fmt.Sprintf(" targetVNI=%d", b.TargetVNI)
		}
		return s
	}
	return t.String()
}

func TestCapturedFramesMeanWhatTheySayAndEncodeToTheSameBytes(t *testing.T) {
	frames := 0
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			for i, frame := range c.frames {
				m, err := NewReader(bytes.NewReader(frame)).Next()
				if err != nil {
					t.Fatalf("%s: %v", c.says[i], err)
				}
				body, err := parse(m)
				if err != nil {
					t.Fatalf("%s: %v", c.says[i], err)
				}
				if got := describe(m.Type, body); got != c.says[i] {
					t.Errorf("got  %s\nwant %s", got, c.says[i])
				}
				if got := appendBody(nil, body); !bytes.Equal(got, frame) {
					t.Errorf("%s:\ngot  %x\nwant %x", c.says[i], got, frame)
				}
			}
		})
		frames += len(c.frames)
	}
	if frames != 147 {
		t.Errorf("%d frames in the captures, want 147", frames)
	}
}

func TestCapturedSessionsSurviveRandomSplits(t *testing.T) {
	for _, c := range captures(t) {
		stream := bytes.Join(c.frames, nil)
		for seed := range uint64(200) {
			r := NewReader(&splitReader{stream, rand.New(rand.NewPCG(seed, 0)), int(1 + seed)})
			got, n, err := drain(r)
			if err != io.EOF || n != len(c.frames) || !bytes.Equal(got, stream) {
				t.Fatalf("%s, seed %d: %d of %d messages, %v", c.name, seed, n, len(c.frames), err)
			}
		}
	}
}
