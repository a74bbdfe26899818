package kernel

import (
	"testing"

	"mbbgp/test/lab"
)

func TestMain(m *testing.M) { lab.KernelUnitMain(m) }
