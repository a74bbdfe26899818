// Package kernel tests the built mbbgp together with packets that Linux and FRR
// forward, in a kernel that has what this takes.
package kernel

import (
	"testing"

	"mbbgp/test/lab"
)

func TestMain(m *testing.M) { lab.KernelMain(m) }
