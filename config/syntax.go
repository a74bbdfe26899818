package config

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What the YAML library gets has limits, so that a broken or hostile file costs
// an error and neither the memory of the machine nor, because the library
// recurses, the process.

const (
	maxFile    = 16 << 20 // bytes
	maxColumns = 4096     // bytes in a line: bounds nested blocks
	maxFlow    = 32       // nested [ and {
	maxDepth   = 32       // nested values
	maxKeys    = 256      // in one mapping
	maxAliased = 1 << 20  // values that come from aliases, counted each time
)

// syntax calls the YAML library, whose panics on broken input become errors.
func syntax(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read (%v)", r)
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := bounded(tokens); err != nil {
		return nil, err
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// bounded refuses what the parser would recurse into without end: it does so
// for each nested list and mapping, and for each key of a mapping too.
func bounded(tokens token.Tokens) error {
	type block struct{ column, keys int }
	var blocks []block // mappings around the token, outermost first
	flow := 0
	inside := func(column int) {
		for len(blocks) > 0 && blocks[len(blocks)-1].column > column {
			blocks = blocks[:len(blocks)-1]
		}
	}
	for _, tk := range tokens {
		switch {
		case tk.Type == token.SequenceStartType || tk.Type == token.MappingStartType:
			if flow++; flow > maxFlow {
				return &yaml.SyntaxError{Message: fmt.Sprintf("nested more than %d deep", maxFlow), Token: tk}
			}
		case tk.Type == token.SequenceEndType || tk.Type == token.MappingEndType:
			flow--
		case flow > 0:
		case tk.Type == token.SequenceEntryType:
			inside(tk.Position.Column)
		case tk.Type == token.MappingValueType && tk.Prev != nil:
			column := tk.Prev.Position.Column
			inside(column)
			if len(blocks) == 0 || blocks[len(blocks)-1].column < column {
				blocks = append(blocks, block{column: column})
			}
			b := &blocks[len(blocks)-1]
			if b.keys++; b.keys > maxKeys {
				return &yaml.SyntaxError{Message: fmt.Sprintf("more than %d keys in one mapping", maxKeys), Token: tk.Prev}
			}
		}
	}
	return nil
}

// sane refuses what the YAML library is better not given.
func (t *tree) sane(data []byte) bool {
	if len(data) > maxFile {
		t.fail(1, 1, "", "the file has %d bytes, want at most %d", len(data), maxFile)
		return false
	}
	line := 0
	for text := range bytes.Lines(data) {
		line++
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		switch tab, bad := bytes.IndexByte(indent, '\t'), badCharacter(text); {
		case len(text) > maxColumns:
			t.fail(line, 1, "", "the line has %d bytes, want at most %d", len(text), maxColumns)
		case bad >= 0:
			what := fmt.Sprintf("the byte %#02x", text[bad])
			if r, size := utf8.DecodeRune(text[bad:]); size > 1 || r < utf8.RuneSelf {
				what = fmt.Sprintf("the character %U", r)
			}
			t.fail(line, utf8.RuneCount(text[:bad])+1, "", "%s is not allowed, want printable UTF-8", what)
		case tab >= 0 && len(bytes.TrimSpace(text)) > 0:
			t.fail(line, tab+1, "", "a tab in the indentation, want spaces")
		}
	}
	return len(t.errs) == 0
}

// badCharacter returns where text has a control character or invalid UTF-8, or
// -1.
func badCharacter(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1,
			r < ' ' && r != '\n' && r != '\t' && (r != '\r' || i+2 != len(text)),
			r >= 0x7f && r <= 0x9f, r == 0x2028, r == 0x2029, r == 0xfeff:
			return i
		}
		i += size
	}
	return -1
}
