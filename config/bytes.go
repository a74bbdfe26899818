package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bytes is an amount of memory.
type Bytes uint64

const (
	minMemory = 64 << 20
	maxMemory = 1 << 40
)

var byteUnits = []struct {
	name  string
	bytes Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseBytes reads "512MiB", 64MiB to 1024GiB; the units are KiB, MiB and GiB.
func ParseBytes(s string) (Bytes, error) {
	for _, u := range byteUnits {
		digits, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		switch {
		case err != nil && !errors.Is(err, strconv.ErrRange):
		case err != nil, Bytes(n) > maxMemory/u.bytes, Bytes(n)*u.bytes < minMemory:
			return 0, fmt.Errorf("%s is out of range (64MiB to 1024GiB)", show(s))
		default:
			return Bytes(n) * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%s is not an amount of memory such as 512MiB or 2GiB, or off", show(s))
}

// String returns the text that ParseBytes reads, rounded down to KiB.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b%u.bytes == 0 {
			return fmt.Sprintf("%d%s", b/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dKiB", b/(1<<10))
}

func (d *decoder) memoryLimit(n *node, path string) Bytes {
	if n.isOff() {
		return 0
	}
	return parsed(d, "an amount of memory such as 512MiB or 2GiB, or off", ParseBytes)(n, path)
}
