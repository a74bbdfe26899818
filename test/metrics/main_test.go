// Package metrics tests what an operator sees of a running bridge from outside:
// its metrics against the alert rules and the dashboard that are shipped, its
// health, its log.
package metrics

import (
	"testing"

	"mbbgp/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
