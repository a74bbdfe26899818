package bridge

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbbgp/config"
	"mbbgp/rib"
)

func labelConfig(directory string, labels config.LabelRange, vnis ...uint32) *config.Config {
	cfg := &config.Config{StateDirectory: directory, MPLS: config.MPLS{Labels: labels}}
	for _, v := range vnis {
		cfg.VNIs = append(cfg.VNIs, config.VNI{VNI: v, Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS})
	}
	return cfg
}

func checkLabels(t *testing.T, cfg *config.Config, want map[rib.VNI]uint32) {
	t.Helper()
	got, err := newLabels(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got.all(), want) {
		t.Errorf("labels %v, want %v", got.all(), want)
	}
}

func TestLabelIsThatOfTheVNIsNumber(t *testing.T) {
	cfg := labelConfig("", config.LabelRange{First: 1000, Last: 1099}, 200, 100, 150, 201)
	cfg.VNIs[3].Label = 1050 // what VNI 150 prefers
	cfg.VNIs = append(cfg.VNIs, config.VNI{VNI: 300})
	checkLabels(t, cfg, map[rib.VNI]uint32{100: 1000, 150: 1051, 200: 1001, 201: 1050})
}

func TestLabelsSurviveRestartsAndConfigurations(t *testing.T) {
	dir, labels := t.TempDir(), config.LabelRange{First: 1000, Last: 1003}
	checkLabels(t, labelConfig(dir, labels, 8), map[rib.VNI]uint32{8: 1000})
	checkLabels(t, labelConfig(dir, labels, 4, 8), map[rib.VNI]uint32{4: 1001, 8: 1000})
	checkLabels(t, labelConfig(dir, labels, 5), map[rib.VNI]uint32{5: 1002}) // 4 and 8 may come back
	checkLabels(t, labelConfig(dir, labels, 4), map[rib.VNI]uint32{4: 1001})
	// Three more than there are free ones: those who are gone make room.
	checkLabels(t, labelConfig(dir, labels, 4, 6, 7, 9), map[rib.VNI]uint32{4: 1001, 6: 1002, 7: 1003, 9: 1000})
	// A range that does not hold them any more.
	checkLabels(t, labelConfig(dir, config.LabelRange{First: 1002, Last: 2000}, 4, 7), map[rib.VNI]uint32{4: 1006, 7: 1003})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "labels.json" {
		t.Errorf("%v %v: not the state file alone", entries, err)
	}
}

func TestUnreadableLabelsAreAssignedAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "labels.json"), []byte(`{"labels":{"4":[1001,1002]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	checkLabels(t, labelConfig(dir, config.LabelRange{First: 1000, Last: 1003}, 4), map[rib.VNI]uint32{4: 1000})
}

func TestContradictingLabelsAreRefused(t *testing.T) {
	labels := config.LabelRange{First: 16, Last: 17}
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"no range":     {func(c *config.Config) { c.MPLS = config.MPLS{} }, "vni 1 needs a label"},
		"a full range": {func(c *config.Config) {}, "none of the MPLS labels is left for vni 3"},
		"a label twice": {func(c *config.Config) { c.VNIs[0].Label, c.VNIs[1].Label = 20, 20 },
			"vni 1 and vni 2 have the same label 20"},
	} {
		cfg := labelConfig("", labels, 1, 2, 3)
		c.change(cfg)
		if _, err := newLabels(cfg, quiet()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
