package bridge

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/rib"
)

// FuzzState starts with whatever may be in a state file, and asks for more
// numbers than there are. Each number is given once and is in its range, and the
// next start gives everybody the same.
func FuzzState(f *testing.F) {
	for _, text := range []string{
		"", "{}", `{"numbers":{"1":[16],"2":[17,18],"9":[20]}}`, `{"numbers":{"1":[16],"2":[16]}}`, `{"numbers":{"1":[0,0,0,16]}}`,
		`{"numbers":{"2":[1,4294967295]}}`, `{"numbers":{"-1":[16]}}`, `{"numbers":{"1":[16`, `{"numbers":{"1":null,"01":[16]}}`, "\x00",
	} {
		f.Add([]byte(text))
	}
	const first, last, slots = 16, 23, 4
	vnis := []rib.VNI{1, 2, 3}
	demand := demand{auto: vnis, configured: map[rib.VNI]bool{1: true, 2: true, 3: true}, reserved: map[uint32]rib.VNI{18: 3}}
	log, _ := logtest.NewNullLogger()
	log.SetLevel(logrus.PanicLevel)
	opened := func(t *testing.T, path string) *numbering {
		n := &numbering{
			what: "numbers", key: "numbers", path: path, log: log, first: first, last: last, slots: slots,
			prefer: func(vni rib.VNI) uint32 { return first + uint32(vni) },
			start:  func(vni rib.VNI, slot int) uint32 { return first + (uint32(vni)+uint32(slot))%(last-first+1) },
		}
		if err := n.open(demand); err != nil {
			t.Fatal(err)
		}
		return n
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "numbers.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		n := opened(t, path)
		given := map[uint32]bool{}
		for slot := range slots {
			for _, vni := range vnis {
				if n.at(vni, slot) == 0 && !n.give(vni, slot) {
					continue // there are fewer numbers than that
				}
				number := n.at(vni, slot)
				if number < first || number > last || number == 18 || given[number] {
					t.Errorf("slot %d of vni %d has %d of %d to %d; given: %v", slot, vni, number, first, last, given)
				}
				given[number] = true
			}
		}
		if want := last - first; len(given) != want {
			t.Errorf("%d numbers were given, there are %d", len(given), want)
		}
		n.flush()
		again := opened(t, path)
		for slot := range slots {
			for _, vni := range vnis {
				if a, b := n.at(vni, slot), again.at(vni, slot); a != b {
					t.Errorf("slot %d of vni %d had %d, and has %d after a restart", slot, vni, a, b)
				}
			}
		}
	})
}
