package config

import (
	"slices"
	"testing"
)

// FuzzDiff compares what a reload may find in its file: nothing leads from a
// configuration to itself, and as much leads back from another one as led there.
func FuzzDiff(f *testing.F) {
	f.Add(Reference, []byte("vnis: []\n"))
	f.Add([]byte("router-id: 192.0.2.1\nasn: 65001\ndomain: 65001:1\nbgp: {neighbors: [{address: 192.0.2.254, asn: 65000}]}\n"), Reference)
	f.Add([]byte("metalbond: {clients: [{source: 2001:db8::/32}]}\n"), []byte("metalbond: {clients: [{source: 2001:db8::/33}]}\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		old, err := Parse("old", a)
		if err != nil {
			return
		}
		if same := Diff(old, old); len(same) > 0 {
			t.Errorf("to itself: %v", same)
		}
		next, err := Parse("new", b)
		if err != nil {
			return
		}
		there, back := Diff(old, next), Diff(next, old)
		paths := func(list []Change) (paths []string) {
			for _, c := range list {
				if c.Path == "" || c.Old == c.New {
					t.Errorf("no change: %+v", c)
				}
				paths = append(paths, c.Path)
			}
			slices.Sort(paths)
			return paths
		}
		if x, y := paths(there), paths(back); !slices.Equal(x, y) {
			t.Errorf("there %v\nback %v", x, y)
		}
	})
}
