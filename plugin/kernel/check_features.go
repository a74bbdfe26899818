package kernel

import (
	"bufio"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"mbbgp/config"
)

// feature is something that not every kernel can do.
type feature uint8

// The features.
const (
	featureObjects feature = iota
	featureVRF
	featureIP6TNL
	featureSeg6
	featureDT46
	featureDT4
	featureDT6
	featureVXLAN
	featureDummy
	featureMPLS
	featureMPLSInput
	featureNFTables
)

// support is what a try of a feature came to.
type support struct {
	tried bool
	err   error // why it is not there, or why it was not tried
}

// featureInfo is where a feature comes from. An empty module is never one.
type featureInfo struct {
	name   string
	module string
	option string // of the kernel's configuration
	since  string // version of Linux
}

var featureTable = map[feature]featureInfo{
	featureObjects:   {"next hop objects", "", "CONFIG_INET", "5.3"},
	featureVRF:       {"VRF devices", "vrf", "CONFIG_NET_VRF", "4.8"},
	featureIP6TNL:    {"encapsulation ip6 (ip6tnl devices)", "ip6_tunnel", "CONFIG_IPV6_TUNNEL", "4.9"},
	featureSeg6:      {"encapsulation seg6 (encap.red)", "", "CONFIG_IPV6_SEG6_LWTUNNEL", "6.0"},
	featureDT46:      {"seg6local End.DT46", "", "CONFIG_IPV6_SEG6_LWTUNNEL", "5.14"},
	featureDT4:       {"seg6local End.DT4", "", "CONFIG_IPV6_SEG6_LWTUNNEL", "5.11"},
	featureDT6:       {"seg6local End.DT6", "", "CONFIG_IPV6_SEG6_LWTUNNEL", "4.14"},
	featureVXLAN:     {"VXLAN devices", "vxlan", "CONFIG_VXLAN", "3.7"},
	featureDummy:     {"dummy devices", "dummy", "CONFIG_DUMMY", "2.6"},
	featureMPLS:      {"encapsulation mpls", "mpls_iptunnel", "CONFIG_MPLS_IPTUNNEL", "4.3"},
	featureMPLSInput: {"MPLS routes", "mpls_router", "CONFIG_MPLS_ROUTING", "4.1"},
	featureNFTables:  {"nftables of family inet", "nf_tables", "CONFIG_NF_TABLES_INET", "3.14"},
}

// requirement is a feature that a configuration has a use for.
type requirement struct {
	feature feature
	level   string // if it is missing
	purpose string
}

// requirements returns what the VNIs with a table make use of, in a fixed order
// and each once.
func requirements(cfg *config.Config) []requirement {
	var list []requirement
	need := func(f feature, level, purpose string) {
		for _, r := range list {
			if r.feature == f {
				return
			}
		}
		list = append(list, requirement{f, level, purpose})
	}
	k := cfg.Kernel
	if k.NextHopObjects {
		need(featureObjects, LevelWarning, "a next hop that changes is one message, and IPv6 has ECMP")
	}
	if k.Tunnel == config.TunnelSeg6 {
		need(featureSeg6, LevelError, "kernel.tunnel: seg6")
		if k.MakeDevice {
			need(featureDummy, LevelError, "kernel.make-device")
		}
	} else {
		need(featureIP6TNL, LevelError, "kernel.tunnel: ip6tnl")
	}
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		if v.Table == 0 {
			continue
		}
		name := fmt.Sprintf("VNI %d, ", v.VNI)
		if v.VRF != "" {
			need(featureVRF, LevelError, name+"vrf: "+v.VRF)
		}
		if f, any := decapsulating(v.Decapsulation); any {
			need(f, LevelError, name+"decapsulation: "+v.Decapsulation.String())
		}
		if v.VXLANDevice != "" {
			need(featureVXLAN, LevelError, name+"encapsulation: vxlan")
		}
		if v.Encapsulation == config.EncapMPLS {
			need(featureMPLS, LevelError, name+"encapsulation: mpls")
			need(featureMPLSInput, LevelError, name+"encapsulation: mpls")
		}
		if v.SourceValidation {
			need(featureNFTables, LevelError, name+"source-validation")
		}
	}
	if k.MSS != 0 {
		need(featureNFTables, LevelError, "kernel.mss: "+k.MSS.String())
	}
	need(featureNFTables, LevelWarning, "NAT port ranges, each to its hypervisor")
	return list
}

func decapsulating(d config.Decapsulation) (f feature, any bool) {
	switch d {
	case config.DecapIP6TNL:
		return featureIP6TNL, true
	case config.DecapDT46:
		return featureDT46, true
	case config.DecapDT4:
		return featureDT4, true
	case config.DecapDT6:
		return featureDT6, true
	}
	return 0, false
}

// featuresOf returns the features that are required.
func featuresOf(cfg *config.Config) []feature {
	var list []feature
	for _, r := range requirements(cfg) {
		list = append(list, r.feature)
	}
	return list
}

// supported looks at the features. One that could not be tried is there if its
// module is.
func (c *examination) supported() {
	for _, r := range requirements(c.cfg) {
		info := featureTable[r.feature]
		s := c.machine.features[r.feature]
		there, loadable := c.module(info.module)
		switch {
		case s.tried && s.err == nil, !s.tried && there:
			c.good(info.name, r.purpose)
		case !s.tried && loadable:
			c.bad(LevelWarning, info.name+": not loaded", r.purpose, "modprobe "+info.module)
		case !s.tried:
			c.bad(LevelWarning, info.name+": unknown", fmt.Sprintf("could not be tried: %v", s.err), "")
		case loadable && !there:
			c.bad(r.level, info.name+": missing", r.purpose, "modprobe "+info.module)
		default:
			c.bad(r.level, info.name+": missing", fmt.Sprintf("%s (%v)", r.purpose, s.err),
				fmt.Sprintf("boot Linux %s or later with %s", info.since, info.option))
		}
	}
}

// tryFeatures tries the features that are asked for.
func (m *machine) tryFeatures(list []feature) {
	m.features = make(map[feature]support)
	var ready []feature
	for _, f := range list {
		if module := m.unloaded(f); module != "" {
			m.features[f] = support{err: fmt.Errorf("module %s is not loaded", module)}
		} else {
			ready = append(ready, f)
		}
	}
	maps.Copy(m.features, tryFeatures(ready))
}

// unloaded returns a module that trying the feature would load, "" if there is
// none.
func (m *machine) unloaded(f feature) string {
	modules := []string{featureTable[f].module}
	if f == featureDT46 || f == featureDT4 {
		modules = append(modules, featureTable[featureVRF].module)
	}
	for _, name := range modules {
		if _, loadable := m.module(name); loadable {
			return name
		}
	}
	return ""
}

// module reports whether a module is loaded or built in, and if not, whether it
// could be loaded.
func (m *machine) module(name string) (there, loadable bool) {
	if name == "" {
		return false, false
	}
	modules := "lib/modules/" + m.release
	if m.lists("proc/modules", name) || m.lists(modules+"/modules.builtin", name) {
		return true, false
	}
	if _, err := fs.Stat(m.files, "sys/module/"+name); err == nil { // built in, with parameters
		return true, false
	}
	return false, m.lists(modules+"/modules.dep", name)
}

// lists reports whether a line of a file begins with a module: its name, or a
// path to it. Modules are written with _ or with -.
func (m *machine) lists(file, module string) bool {
	f, err := m.files.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		first, _, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(path.Base(strings.TrimSuffix(first, ":")), ".ko")
		if strings.ReplaceAll(name, "-", "_") == module {
			return true
		}
	}
	return false
}

// release returns the release of the running kernel.
func release() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
