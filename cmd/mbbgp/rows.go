package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"mbbgp/plugin/api"
)

// mostSorted is how long a list may be to be sorted. A longer one is written as
// it comes: nobody reads it, and who searches it should not wait.
const mostSorted = 10_000

// rows writes a long list: aligned by the widest values so far, or as a JSON
// array.
type rows struct {
	out     io.Writer
	sorted  int // lines of a list at most that is sorted
	json    bool
	heads   []string
	widths  []int
	waiting []row // not written yet
	text    bytes.Buffer
	count   int
	written bool // something was
}

// row is a line, or an element of the array.
type row struct {
	rowKey
	values []string
	json   []byte
}

// rowKey is what rows are sorted by.
type rowKey struct {
	vni    uint32
	prefix netip.Prefix
	route  string
}

// prefixOf returns the prefix of a message, an invalid one if it has none.
func prefixOf(m interface{ GetPrefix() string }) netip.Prefix {
	p, _ := netip.ParsePrefix(m.GetPrefix()) // a flow specification need not have one
	return p
}

func newRows(out io.Writer, asJSON bool, heads ...string) *rows {
	return &rows{out: out, sorted: mostSorted, json: asJSON, heads: heads, widths: make([]int, len(heads))}
}

func (r *rows) add(m proto.Message, key rowKey, values ...string) {
	r.count++
	x := row{rowKey: key, values: values}
	if r.json {
		x.json, x.values = api.JSON(m), nil
	}
	r.waiting = append(r.waiting, x)
}

// flush writes what was added if the list is too long to be sorted.
func (r *rows) flush() error {
	if r.count <= r.sorted {
		return nil
	}
	return r.write()
}

// end writes the rest.
func (r *rows) end() error {
	if r.count <= r.sorted {
		slices.SortStableFunc(r.waiting, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.vni, b.vni), a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.route, b.route))
		})
	}
	if err := r.write(); err != nil {
		return err
	}
	switch {
	case r.json && r.count == 0:
		r.text.WriteString("[]\n")
	case r.json:
		r.text.WriteString("\n]\n")
	}
	_, err := r.text.WriteTo(r.out)
	return err
}

func (r *rows) write() error {
	if r.json {
		r.writeJSON()
	} else {
		r.writeLines()
	}
	r.waiting = r.waiting[:0]
	_, err := r.text.WriteTo(r.out)
	return err
}

func (r *rows) writeJSON() {
	for _, x := range r.waiting {
		separator := ",\n  "
		if !r.written {
			separator, r.written = "[\n  ", true
		}
		r.text.WriteString(separator)
		r.text.Write(x.json)
	}
}

// writeLines writes the heads before the first line.
func (r *rows) writeLines() {
	if !r.written && len(r.waiting) > 0 {
		r.waiting, r.written = slices.Insert(r.waiting, 0, row{values: r.heads}), true
	}
	for _, x := range r.waiting {
		for i, value := range x.values {
			r.widths[i] = max(r.widths[i], len(value))
		}
	}
	const gap = "  "
	for _, x := range r.waiting {
		last := len(x.values) - 1
		for i, value := range x.values[:last] {
			printf(&r.text, "%-*s%s", r.widths[i], value, gap)
		}
		r.text.WriteString(x.values[last] + "\n")
	}
}

// errNoRoute is the answer to a search that has found nothing.
var errNoRoute = reported{errors.New("there is no such route")}

// listRows asks for a long list; add adds each answer to out. A search that has
// found nothing is errNoRoute.
func listRows[Q, M any](c *cobra.Command, a *asking, ask lister[Q, M], question *Q, search bool, out *rows, add func(*M)) error {
	client, conn, err := a.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	stream, err := ask(client, ctx, question)
	if err != nil {
		return a.failed(err)
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return a.failed(err)
		}
		add(answer)
		if err := out.flush(); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if search && out.count == 0 {
		return errNoRoute
	}
	return nil
}
