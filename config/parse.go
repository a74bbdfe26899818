package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Error is one thing that is wrong in a file.
type Error struct {
	File    string
	Line    int    // from 1
	Column  int    // from 1, in characters
	Path    string // of the value, such as vnis[0].vni; empty for the file as a whole
	Problem string // the value, and what is allowed
}

// Error returns "mbbgp.yaml:14:5: vnis[0].vni: 0 is out of range (1 to 5)".
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", e.File, e.Line, e.Column, e.Path, e.Problem)
}

// Load reads and parses a file.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a configuration; name is the file's name in errors. The error
// joins everything that is wrong, in order of position, each an *Error.
func Parse(name string, data []byte) (*Config, error) {
	return parse(&decoder{tree: tree{file: name, anchors: map[string]*node{}}}, data)
}

func parse(d *decoder, data []byte) (*Config, error) {
	var c *Config
	if root := d.tree.parse(data); root != nil {
		c = d.config(root)
	}
	if len(d.errs) == 0 {
		return c, nil
	}
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var errs []error
	for _, e := range d.errs {
		errs = append(errs, e)
	}
	return nil, errors.Join(errs...)
}
