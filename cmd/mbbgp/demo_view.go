package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// view prints the demo: lines that stay, and on a terminal below them a table
// of all routes, drawn anew after each of them. Without a terminal there are
// only the lines, and no control characters.
type view struct {
	out    io.Writer
	live   bool
	width  int // of the screen; lines of the table are cut to it
	board  *board
	places []string
	drawn  int // lines of the table on the screen
}

const placeWidth = 13

func newView(out io.Writer, live bool, b *board, places []string) *view {
	v := &view{out: out, live: live, width: 100, board: b, places: places}
	if f, ok := out.(*os.File); ok && live {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			v.width = w
		}
	}
	return v
}

const picture = `
  hypervisor-a --.                       .---------.
                  \                      |  mbbgp  |
                   >----- MetalBond -----|  bridge |-------- BGP EVPN -------- leaf
                  /                      | AS65001 |                          AS65000
  hypervisor-b --'     %15s   '---------'

  VNI 200 tenant-a  vxlan     hypervisors and fabric meet at the gateway: 2001:db8:f::200 | VTEP 192.0.2.1
  VNI 300 tenant-b  ip-in-ip  hypervisors and fabric reach each other directly
`

// begin shows who takes part.
func (v *view) begin(address string) {
	v.print(v.bold("mbbgp demo") + ": two hypervisors, a bridge and a fabric in one process, over TCP on loopback")
	v.print(strings.Split(strings.TrimSuffix(fmt.Sprintf(picture, address), "\n"), "\n")...)
}

// step shows what is going to happen.
func (v *view) step(n int, s step) {
	v.print("", v.bold(fmt.Sprintf("%d. %s", n, s.what)), "   "+v.dim(s.why))
}

// seen shows what was seen, where, and how long after the step began.
func (v *view) seen(place, text string, took time.Duration) {
	v.print(fmt.Sprintf("   %s %9s  %s %s", v.green("ok"), duration(took), pad(place, placeWidth), text))
}

// failed shows what did not happen.
func (v *view) failed(err error) {
	v.print("   " + v.red("FAILED") + " " + err.Error())
}

// end sums up.
func (v *view) end(results []result, total time.Duration) {
	v.refresh()
	v.drawn = 0 // the table stays
	v.live = false
	v.print("", "Everything was seen at the far end:")
	for i, r := range results {
		v.print(fmt.Sprintf("   %9s  %d. %s", duration(r.took), i+1, r.what))
	}
	v.print(fmt.Sprintf("   %9s  in all", duration(total)), "",
		"Next: 'mbbgp config --reference > mbbgp.yaml' for a configuration of your own,",
		"      'mbbgp check -c mbbgp.yaml' and 'mbbgp run -c mbbgp.yaml'.")
}

// print writes lines above the table.
func (v *view) print(lines ...string) {
	var text strings.Builder
	v.erase(&text)
	for _, l := range lines {
		text.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	v.draw(&text)
	v.write(text.String())
}

// refresh draws the table anew.
func (v *view) refresh() {
	if !v.live {
		return
	}
	var text strings.Builder
	v.erase(&text)
	v.draw(&text)
	v.write(text.String())
}

// write shows text. A reader that went away ends the process by SIGPIPE.
func (v *view) write(text string) { _, _ = io.WriteString(v.out, text) }

// erase moves the cursor to where the table begins and clears what follows.
func (v *view) erase(to *strings.Builder) {
	if v.drawn > 0 {
		_, _ = fmt.Fprintf(to, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

// draw appends the table: a line a prefix, a column a place.
func (v *view) draw(to *strings.Builder) {
	lines := v.board.lines()
	if !v.live || len(lines) == 0 {
		return
	}
	widths := []int{4, 18, 29, 29, 29}
	row := func(cells []string) string {
		var s strings.Builder
		for i, c := range cells {
			s.WriteString(pad(cut(c, widths[i]), widths[i]) + " ")
		}
		return cut(strings.TrimRight(s.String(), " "), v.width-1)
	}
	header := append([]string{"VNI", "prefix"}, v.places...)
	rule := strings.Repeat("-", min(v.width-1, 113))
	table := []string{"", v.dim(rule), v.bold(row(header))}
	var cells []string
	for i, l := range lines {
		if i == 0 || l.vni != lines[i-1].vni || l.prefix != lines[i-1].prefix {
			if cells != nil {
				table = append(table, row(cells))
			}
			cells = make([]string, 2+len(v.places))
			cells[0], cells[1] = fmt.Sprint(uint32(l.vni)), l.prefix.String()
		}
		for j, place := range v.places {
			if place != l.place {
				continue
			}
			word := l.hop
			if l.own {
				word = "announces it"
			}
			if cells[2+j] != "" {
				word = cells[2+j] + ", " + word
			}
			cells[2+j] = word
		}
	}
	table = append(table, row(cells), v.dim(rule))
	for _, l := range table {
		to.WriteString(l + "\n")
	}
	v.drawn = len(table)
}

// duration writes a time with three digits at most.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func cut(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:max(0, width-1)]) + "~"
	}
	return s
}

func (v *view) bold(s string) string  { return v.style("1", s) }
func (v *view) dim(s string) string   { return v.style("2", s) }
func (v *view) green(s string) string { return v.style("32", s) }
func (v *view) red(s string) string   { return v.style("31;1", s) }

func (v *view) style(code, s string) string {
	if !v.live {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
