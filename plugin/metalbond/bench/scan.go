package bench

import (
	"fmt"

	"mbbgp/wire"
)

// scanner cuts a stream into frames by their headers. It copies only what is
// left over of a read: less than one frame.
type scanner struct {
	rest []byte // of the frame that has begun
}

// longest is the length of the longest frame in bytes.
const longest = wire.HeaderLen + wire.MaxPayload

// room returns where the next read goes in buf, which all streams share: behind
// what is left over of this one.
func (s *scanner) room(buf []byte) []byte { return buf[len(s.rest):] }

// scan calls visit for each frame of the n bytes that were read into room(buf).
func (s *scanner) scan(buf []byte, n int, visit func(t wire.Type, payload []byte) error) error {
	n += copy(buf, s.rest)
	p := buf[:n]
	for len(p) >= wire.HeaderLen {
		length := wire.HeaderLen + (int(p[1])<<8 | int(p[2]))
		if p[0] != wire.Version || length > longest {
			return fmt.Errorf("not a MetalBond frame: version %d, length %d", p[0], length-wire.HeaderLen)
		}
		if len(p) < length {
			break
		}
		if err := visit(wire.Type(p[3]), p[wire.HeaderLen:length]); err != nil {
			return err
		}
		p = p[length:]
	}
	s.rest = append(s.rest[:0], p...)
	return nil
}
