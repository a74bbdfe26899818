package api

// The two route files have the shape that metalbond's HTTP server gives them,
// oddities included, so that what reads them there reads them here: the
// destination is a JSON object in a string, the hop type is a number, and the
// YAML keys are the JSON keys in lower case. The order is that of Go's JSON and of
// metalbond's sorting of next hops, by their texts, so that two tables can be
// compared with diff; in YAML, where metalbond leaves destinations as they come,
// they have the same order. VNIs without routes are not there.
//
// They are written by hand, one VNI in memory at a time: a million routes are
// a few hundred megabytes as a tree of values.

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbbgp/rib"
)

// destination is a prefix with its next hops.
type destination struct {
	prefix netip.Prefix
	text   string // of the prefix
	hops   []rib.NextHop
}

// routes returns a handler that writes the whole table in one of the shapes.
func (s *Server) routes(contentType string, write func(*bufio.Writer, *State, time.Time)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		out := bufio.NewWriterSize(w, 64<<10)
		write(out, s.state, time.Now())
		_ = out.Flush() // the reader went away
	}
}

// destinations returns the visible routes of a VNI, sorted.
func (s *State) destinations(vni rib.VNI) []destination {
	var all []destination
	at := make(map[netip.Prefix]int)
	s.Table.Walk(vni, func(r rib.RouteInfo) bool {
		if !r.Visible {
			return true
		}
		i, ok := at[r.Prefix]
		if !ok {
			i = len(all)
			at[r.Prefix] = i
			all = append(all, destination{prefix: r.Prefix, text: r.Prefix.String()})
		}
		all[i].hops = append(all[i].hops, r.NextHop)
		return true
	})
	slices.SortFunc(all, func(a, b destination) int {
		return cmp.Or(ipVersion(a.prefix)-ipVersion(b.prefix), strings.Compare(a.text, b.text))
	})
	for _, d := range all {
		if len(d.hops) > 1 {
			slices.SortFunc(d.hops, compareHops)
		}
	}
	return all
}

// compareHops compares next hops as metalbond does, and where that leaves the
// order open by the rest.
func compareHops(a, b rib.NextHop) int {
	return cmp.Or(strings.Compare(hopText(a), hopText(b)), int(a.Type)-int(b.Type), int(a.NATFrom)-int(b.NATFrom), int(a.NATTo)-int(b.NATTo))
}

// hopText is what metalbond's next hop calls itself.
func hopText(h rib.NextHop) string {
	if h.TargetVNI != 0 {
		return fmt.Sprintf("%v (VNI: %d)", h.Target, h.TargetVNI)
	}
	return h.Target.String()
}

// vnis returns the VNIs that have routes to show.
func (s *State) vnis() []rib.VNI {
	if s.Table == nil {
		return nil
	}
	return s.Table.VNIs()
}

// ipVersion is what metalbond calls the family of a prefix.
func ipVersion(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 4
	}
	return 6
}

const dateLayout = "2006-01-02 15:04:05"

// writeJSON writes the table as /routes.json. Errors stay in the writer.
func writeJSON(w *bufio.Writer, s *State, now time.Time) {
	vnis := s.vnis()
	slices.SortFunc(vnis, func(a, b rib.VNI) int { return strings.Compare(vniText(a), vniText(b)) })
	printf(w, "{\n  \"date\": %q,\n  \"vnet\": {", now.Format(dateLayout))
	written := 0
	for _, vni := range vnis {
		all := s.destinations(vni)
		if len(all) == 0 {
			continue
		}
		printf(w, "%s\n    \"%d\": {", comma(written), vni)
		written++
		for j, d := range all {
			printf(w, "%s\n      %s: [", comma(j), strconv.Quote(d.key()))
			for k, h := range d.hops {
				printf(w, `%s
        {
          "TargetAddress": "%s",
          "TargetVNI": %d,
          "Type": %d,
          "NATPortRangeFrom": %d,
          "NATPortRangeTo": %d
        }`, comma(k), h.Target, h.TargetVNI, h.Type, h.NATFrom, h.NATTo)
			}
			printf(w, "\n      ]")
		}
		printf(w, "\n    }")
	}
	if written > 0 {
		printf(w, "\n  ")
	}
	printf(w, "},\n  \"metalbondVersion\": %q\n}", s.Version)
}

// writeYAML writes the table as /routes.yaml. Errors stay in the writer.
func writeYAML(w *bufio.Writer, s *State, now time.Time) {
	printf(w, "date: %q\nvnet:", now.Format(dateLayout))
	written := 0
	for _, vni := range s.vnis() {
		all := s.destinations(vni)
		if len(all) == 0 {
			continue
		}
		written++
		printf(w, "\n  %d:", vni)
		for _, d := range all {
			printf(w, "\n    '%s':", d.key())
			for _, h := range d.hops {
				printf(w, `
    - targetaddress: %s
      targetvni: %d
      type: %d
      natportrangefrom: %d
      natportrangeto: %d`, yamlAddress(h.Target), h.TargetVNI, h.Type, h.NATFrom, h.NATTo)
			}
		}
	}
	if written == 0 {
		printf(w, " {}")
	}
	printf(w, "\nmetalbondversion: %q\n", s.Version)
}

// key is the destination as a key of the files, which is JSON itself.
func (d *destination) key() string {
	return fmt.Sprintf(`{"IPVersion":%d,"Prefix":"%s"}`, ipVersion(d.prefix), d.text)
}

func vniText(vni rib.VNI) string { return strconv.FormatUint(uint64(vni), 10) }

// yamlAddress quotes an address that would be a key without quotes, as "1::".
func yamlAddress(a netip.Addr) string {
	text := a.String()
	if text[len(text)-1] == ':' {
		return "'" + text + "'"
	}
	return text
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
