package bridge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

func rdConfig(directory string, vnis ...uint32) *config.Config {
	cfg := &config.Config{RouterID: addr("192.0.2.1"), StateDirectory: directory}
	for _, v := range vnis {
		cfg.VNIs = append(cfg.VNIs, config.VNI{VNI: v})
	}
	return cfg
}

func openRDs(t testing.TB, cfg *config.Config) *distinguishers {
	t.Helper()
	d, err := newDistinguishers(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rdOf(t testing.TB, d *distinguishers, vni rib.VNI, path int) string {
	t.Helper()
	rd, ok := d.get(vni, path)
	if !ok {
		t.Fatalf("no RD for path %d of vni %d", path, vni)
	}
	return rd.String()
}

func TestFirstPathIsReadable(t *testing.T) {
	d := openRDs(t, rdConfig("", 200, 65535))
	for vni, want := range map[rib.VNI]string{200: "192.0.2.1:200", 65535: "192.0.2.1:65535"} {
		if got := rdOf(t, d, vni, 0); got != want {
			t.Errorf("vni %d has %s, want %s", vni, got, want)
		}
	}
}

func TestConfiguredRDIsKept(t *testing.T) {
	cfg := rdConfig("", 200, 201, 202)
	cfg.VNIs[0].RD = config.NewRD(cfg.RouterID, 201) // what VNI 201 prefers
	d := openRDs(t, cfg)
	if got := rdOf(t, d, 200, 0); got != "192.0.2.1:201" {
		t.Errorf("vni 200 has %s", got)
	}
	if got := rdOf(t, d, 202, 0); got != "192.0.2.1:202" {
		t.Errorf("vni 202 has %s: what it prefers was free", got)
	}
	seen := map[string]bool{}
	for _, vni := range []rib.VNI{200, 201, 202} {
		for path := range 3 {
			rd := rdOf(t, d, vni, path)
			if seen[rd] {
				t.Errorf("%s twice", rd)
			}
			seen[rd] = true
		}
	}
}

func TestPathsOfAVNIAreLimited(t *testing.T) {
	d := openRDs(t, rdConfig("", 200))
	if _, ok := d.get(200, slots-1); !ok {
		t.Error("the last path has no RD")
	}
	if _, ok := d.get(200, slots); ok {
		t.Error("one path too many has an RD")
	}
}

func TestRDsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	d := openRDs(t, rdConfig(dir, 70000, 300))
	want := []string{rdOf(t, d, 70000, 0), rdOf(t, d, 70000, 1), rdOf(t, d, 300, 3)}
	d.indexes.flush()
	// A VNI that would now prefer an index that is given away does not get it.
	index, _ := d.index(config.NewRD(d.router, uint16(d.indexes.at(70000, 1))))
	d = openRDs(t, rdConfig(dir, uint32(index), 300, 70000))
	if got := []string{rdOf(t, d, 70000, 0), rdOf(t, d, 70000, 1), rdOf(t, d, 300, 3)}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := rdOf(t, d, rib.VNI(index), 0); got == want[1] {
		t.Errorf("%s twice", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v: more than the state file is left", entries, err)
	}
}

func TestVNIsThatAreGoneMakeRoom(t *testing.T) {
	directory := t.TempDir()
	var old []uint32
	for v := range uint32(0xffff) {
		old = append(old, v+1)
	}
	openRDs(t, rdConfig(directory, old...))
	d := openRDs(t, rdConfig(directory, 200, 70000))
	if got := rdOf(t, d, 200, 0); got != "192.0.2.1:200" {
		t.Errorf("vni 200 has %s now", got)
	}
	rdOf(t, d, 70000, 0)
	if again := openRDs(t, rdConfig(directory, 200, 70000)); rdOf(t, again, 70000, 0) != rdOf(t, d, 70000, 0) {
		t.Error("what was assigned in the room did not survive a restart")
	}
}

func TestBadStateIsReportedAndIgnored(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON":         "{",
		"an index twice":   `{"indexes":{"200":[7,7]}}`,
		"no VNI":           `{"indexes":{"x":[7]}}`,
		"no index":         `{"indexes":{"200":[-1]}}`,
		"too many indexes": fmt.Sprintf(`{"indexes":{"200":[%s0]}}`, repeat("0,", slots)),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "rd.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			log, hook := logtest.NewNullLogger()
			d, err := newDistinguishers(rdConfig(dir, 200), log)
			if err != nil || warnings(hook) != 1 {
				t.Fatalf("%v, %d warnings", err, warnings(hook))
			}
			if got := rdOf(t, d, 200, 0); got != "192.0.2.1:200" {
				t.Errorf("vni 200 has %s", got)
			}
		})
	}
}

func repeat(s string, n int) string {
	var all string
	for range n {
		all += s
	}
	return all
}

func TestUnwritableStateIsReportedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "is not there")
	log, hook := logtest.NewNullLogger()
	d, err := newDistinguishers(rdConfig(dir, 200), log)
	if err != nil {
		t.Fatal(err)
	}
	rdOf(t, d, 200, 1)
	d.indexes.flush()
	if got := warnings(hook); got != 1 {
		t.Errorf("%d warnings", got)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.indexes.flush()
	again := openRDs(t, rdConfig(dir, 200))
	if got, want := rdOf(t, again, 200, 1), rdOf(t, d, 200, 1); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRDsAreUniqueStableAndIndependentOfOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vnis := rapid.SliceOfNDistinct(rapid.OneOf(rapid.Uint32Range(1, 300), rapid.Uint32Range(65000, 70000)), 1, 40, rapid.ID).Draw(t, "vnis")
		shuffled := rapid.Permutation(vnis).Draw(t, "shuffled")
		one, err := newDistinguishers(rdConfig("", vnis...), quiet())
		if err != nil {
			t.Fatal(err)
		}
		two, err := newDistinguishers(rdConfig("", shuffled...), quiet())
		if err != nil {
			t.Fatal(err)
		}
		owner := map[RD]string{}
		ask := func(vni rib.VNI, path int) {
			rd, ok := one.get(vni, path)
			again, _ := one.get(vni, path)
			if !ok || rd != again {
				t.Fatalf("path %d of %d: %v, then %v", path, vni, rd, again)
			}
			who := fmt.Sprint(vni, path)
			if other, taken := owner[rd]; taken && other != who {
				t.Fatalf("%v for %s and %s", rd, other, who)
			}
			owner[rd] = who
		}
		for _, v := range vnis {
			ask(rib.VNI(v), 0)
			a, _ := one.get(rib.VNI(v), 0)
			if b, _ := two.get(rib.VNI(v), 0); a != b {
				t.Fatalf("vni %d: %v, in another order %v", v, a, b)
			}
		}
		for range 200 {
			ask(rib.VNI(rapid.SampledFrom(vnis).Draw(t, "vni")), rapid.IntRange(0, slots-1).Draw(t, "path"))
		}
	})
}
