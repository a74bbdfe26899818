package netns

import (
	"strings"
	"testing"
)

func TestNamespaceIsFreshAndOnlyThisGoroutines(t *testing.T) {
	New(t)
	Run(t, "ip", "link", "add", "mark", "type", "veth", "peer", "name", "other")
	if out := Run(t, "ip", "-o", "link"); strings.Count(out, "\n") != 3 {
		t.Errorf("want lo, mark and other, have:\n%s", out)
	}
	t.Run("of a subtest", func(t *testing.T) {
		if out := Run(t, "ip", "-o", "link"); strings.Contains(out, "mark") {
			t.Errorf("another goroutine is in the namespace, too:\n%s", out)
		}
	})
	New(t)
	if out := Run(t, "ip", "-o", "link"); strings.Count(out, "\n") != 1 {
		t.Errorf("want lo alone, have:\n%s", out)
	}
}
