package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// The YAML library gives a syntax tree. It becomes a tree of our own, in which
// every value has its position and its text as it was written, aliases and
// merge keys are resolved, and what configuration files have no use for (tags,
// several documents, keys that are not text) is refused. The decoder reads
// types out of that text itself: YAML's own guess, by which 1_000 and 0x10 are
// numbers, is not asked.

type kind uint8

const (
	scalarNode kind = iota
	nullNode
	listNode
	mappingNode
	brokenNode // an error is reported, there is no value to look at
)

// node is a value in the file.
type node struct {
	kind         kind
	line, column int
	text         string  // of a scalar, without quotes
	quoted       bool    // a scalar in quotes, or a block of text: never a number
	items        []*node // of a list
	entries      []entry // of a mapping, in the order of the file
	size         int     // values in it, itself included
}

// entry is a key of a mapping and its value.
type entry struct {
	key          string
	line, column int
	value        *node
}

func (n *node) entry(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// tree builds nodes and collects what is wrong with them.
type tree struct {
	file    string
	errs    []*Error
	anchors map[string]*node
	aliased int
}

func (t *tree) fail(line, column int, path, format string, args ...any) {
	t.errs = append(t.errs, &Error{File: t.file, Line: line, Column: column, Path: path, Problem: fmt.Sprintf(format, args...)})
}

// parse returns the root of the file, or nil if there is no tree to look at.
func (t *tree) parse(data []byte) *node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !t.sane(data) {
		return nil
	}
	file, err := syntax(data)
	if err != nil {
		line, column := 1, 1
		problem := err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			problem = e.GetMessage()
			if token := e.GetToken(); token != nil && token.Position != nil {
				line, column = token.Position.Line, token.Position.Column
			}
		}
		t.fail(line, column, "", "YAML: %s", problem)
		return nil
	}
	var docs []*ast.DocumentNode
	for _, doc := range file.Docs {
		if directive, ok := doc.Body.(*ast.DirectiveNode); ok {
			line, column := position(directive)
			t.fail(line, column, "", "a directive, want none")
			return nil
		}
		if doc.Body != nil || len(file.Docs) > 1 {
			docs = append(docs, doc)
		}
	}
	if len(docs) == 0 || docs[0].Body == nil {
		t.fail(1, 1, "", "the file is empty, want a mapping")
		return nil
	}
	if len(docs) > 1 {
		line, column := 1, 1
		if start := docs[1].Start; start != nil {
			line, column = start.Position.Line, start.Position.Column
		}
		t.fail(line, column, "", "a second document, want one")
		return nil
	}
	root := t.build(docs[0].Body, "", 0)
	if root.kind == brokenNode {
		return nil
	}
	return root
}

// build turns a value of the syntax tree into a node.
func (t *tree) build(from ast.Node, path string, depth int) *node {
	line, column := position(from)
	n := &node{line: line, column: column, size: 1}
	if depth > maxDepth {
		return t.broken(n, path, "nested more than %d deep", maxDepth)
	}
	switch from := from.(type) {
	case nil, *ast.NullNode:
		n.kind = nullNode
	case *ast.StringNode:
		n.text = from.Value
		n.quoted = from.Token.Type != token.StringType
	case *ast.LiteralNode:
		n.text, n.quoted = from.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.text = from.GetToken().Value
	case *ast.SequenceNode:
		return t.list(n, from, path, depth)
	case *ast.MappingNode:
		return t.mapping(n, from.Values, path, depth)
	case *ast.MappingValueNode:
		return t.mapping(n, []*ast.MappingValueNode{from}, path, depth)
	case *ast.AnchorNode:
		return t.anchor(from, path, depth)
	case *ast.AliasNode:
		return t.alias(n, from, path)
	case *ast.TagNode:
		return t.broken(n, path, "the tag %s, want a value without a tag", show(from.Start.Value))
	default:
		return t.broken(n, path, "%s is not allowed here", show(from.String()))
	}
	return n
}

func (t *tree) broken(n *node, path, format string, args ...any) *node {
	t.fail(n.line, n.column, path, format, args...)
	n.kind = brokenNode
	return n
}

func (t *tree) list(n *node, from *ast.SequenceNode, path string, depth int) *node {
	n.kind = listNode
	for i, value := range from.Values {
		item := t.build(value, fmt.Sprintf("%s[%d]", path, i), depth+1)
		n.items = append(n.items, item)
		n.size += item.size
	}
	return n
}

func (t *tree) mapping(n *node, from []*ast.MappingValueNode, path string, depth int) *node {
	n.kind = mappingNode
	if len(from) > maxKeys {
		return t.broken(n, path, "%d keys, want at most %d", len(from), maxKeys)
	}
	var merges []*node
	for _, value := range from {
		line, column := position(value.Key)
		if value.Key.IsMergeKey() {
			merges = append(merges, t.build(value.Value, join(path, "<<"), depth+1))
			continue
		}
		key, known := keyText(value.Key)
		if !known {
			t.fail(line, column, path, "a key that is not text, want a name")
			continue
		}
		if before := n.entry(key); before != nil {
			t.fail(line, column, join(path, show(key)), "the key is already in line %d", before.line)
			continue
		}
		child := t.build(value.Value, join(path, show(key)), depth+1)
		if child.kind == nullNode {
			child.line, child.column = line, column
		}
		n.entries = append(n.entries, entry{key: key, line: line, column: column, value: child})
		n.size += child.size
	}
	for _, merge := range merges {
		t.merge(n, merge, path)
	}
	if len(n.entries) > maxKeys {
		return t.broken(n, path, "%d keys, want at most %d", len(n.entries), maxKeys)
	}
	return n
}

// merge adds the keys of a merge key's value that are not there yet.
func (t *tree) merge(n, from *node, path string) {
	switch {
	case from.kind == brokenNode:
	case from.kind == mappingNode:
		for _, e := range from.entries {
			if len(n.entries) <= maxKeys && n.entry(e.key) == nil {
				n.entries = append(n.entries, e)
				n.size += e.value.size
			}
		}
	case from.kind == listNode && !slices.ContainsFunc(from.items, func(n *node) bool { return n.kind != mappingNode }):
		for _, item := range from.items {
			t.merge(n, item, path)
		}
	default:
		t.fail(from.line, from.column, join(path, "<<"), "%s, want an alias of a mapping, or a list of them", from.describe())
	}
}

func (t *tree) anchor(from *ast.AnchorNode, path string, depth int) *node {
	n := t.build(from.Value, path, depth+1)
	t.anchors[from.Name.GetToken().Value] = n
	return n
}

func (t *tree) alias(n *node, from *ast.AliasNode, path string) *node {
	name := from.Value.GetToken().Value
	to := t.anchors[name]
	if to == nil {
		return t.broken(n, path, "there is no anchor &%s before this alias", name)
	}
	if t.aliased += to.size; t.aliased > maxAliased {
		return t.broken(n, path, "aliases stand for more than %d values", maxAliased)
	}
	return to
}

// keyText returns the text of a key, ok if it has one.
func keyText(key ast.Node) (text string, ok bool) {
	switch key := key.(type) {
	case *ast.StringNode:
		return key.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return key.GetToken().Value, true
	case *ast.MappingKeyNode:
		return keyText(key.Value)
	}
	return "", false
}

// position returns where a value begins; zeros if it is nowhere.
func position(n ast.Node) (line, column int) {
	var at *token.Token
	switch n := n.(type) {
	case nil:
		return 0, 0
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
		at = n.Start
	case *ast.MappingValueNode:
		return position(n.Key)
	default:
		at = n.GetToken()
	}
	if at == nil || at.Position == nil {
		return 0, 0
	}
	return at.Position.Line, at.Position.Column
}

// describe says what a value is, for errors.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "nothing"
	case listNode:
		return "a list"
	case mappingNode:
		return "a mapping"
	}
	return show(n.text)
}

// show returns a text for an error: as it is if it is short and printable, in
// quotes otherwise.
func show(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if quoted := fmt.Sprintf("%q", text); len(quoted) != len(text)+2 || text == "" || strings.ContainsAny(text, " '") {
		return quoted
	}
	return text
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
