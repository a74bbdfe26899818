// Package interop tests the built mbbgp against the programs that it has to
// work with.
package interop

import (
	"testing"

	"mbbgp/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
