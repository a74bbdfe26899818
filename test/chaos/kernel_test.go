package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// hostLength is what ip leaves out.
var hostLength = map[string]string{"-4": "/32", "-6": "/128"}

// kernel returns the routes of the bridge's table: PREFIX [SEGMENT...].
func (b *bridge) kernel() (list []string, err error) {
	for _, family := range []string{"-4", "-6"} {
		out, err := b.node.Try("ip", "-j", family, "route", "show", "table", "200")
		if err != nil {
			continue // no route was ever in it
		}
		type hop struct{ Segs []string }
		var routes []struct {
			Type, Dst string
			hop
			NextHops []hop
		}
		if err := json.Unmarshal([]byte(out), &routes); err != nil {
			return nil, fmt.Errorf("%w in %s", err, out)
		}
		for _, r := range routes {
			if r.Type != "" && r.Type != "unicast" {
				continue // what isolates the table
			}
			segments := slices.Clone(r.Segs)
			for _, h := range r.NextHops {
				segments = append(segments, h.Segs...)
			}
			slices.Sort(segments)
			if !strings.Contains(r.Dst, "/") {
				r.Dst += hostLength[family]
			}
			list = append(list, fmt.Sprint(r.Dst, " ", segments))
		}
	}
	return list, nil
}
