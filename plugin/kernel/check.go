package kernel

// What a configuration will need of the machine is looked at without changing
// anything: sysctls, modules and capabilities below /proc and /sys, devices,
// addresses and routes over netlink, and what the kernel can do by trying it in
// a network namespace that is thrown away afterwards. What would load a module
// is not tried: some modules leave a device in every namespace.

import (
	"io/fs"
	"os"

	"mbbgp/config"
)

// The levels of findings.
const (
	LevelError   = "error"   // packets will not get through
	LevelWarning = "warning" // they do, but something will hardly be meant, or could not be looked at
)

// Finding is one thing that was looked at.
type Finding struct {
	OK     bool   `json:"ok"`
	Level  string `json:"level,omitempty"` // LevelError or LevelWarning; "" if it is OK
	What   string `json:"what"`
	Why    string `json:"why,omitempty"`    // what comes of it, or what it is needed for
	Remedy string `json:"remedy,omitempty"` // a command line
}

// Check looks at what a configuration needs of this machine. Without a kernel
// section this is what listening needs.
func Check(cfg *config.Config) []Finding { return examine(cfg, lookAround(cfg)) }

// machine is what is known of a machine.
type machine struct {
	files    fs.FS               // with proc and sys
	release  string              // of the kernel, such as 6.1.0-35-amd64
	features map[feature]support // those that were tried
	links    []link
	addrs    []linkAddr
	underlay []string // devices that lead to BGP neighbors, MetalBond servers and by default
}

// lookAround looks at this machine, from the network namespace of the calling
// thread.
func lookAround(cfg *config.Config) *machine {
	m := &machine{files: os.DirFS("/"), release: release()}
	if cfg.Kernel != nil {
		m.tryFeatures(featuresOf(cfg))
		m.readDevices(cfg)
	}
	return m
}

// examine compares what a configuration needs with a machine.
func examine(cfg *config.Config, m *machine) []Finding {
	c := &examination{cfg: cfg, machine: m}
	c.capabilities()
	if cfg.Kernel != nil {
		c.supported()
		c.forwarding()
		c.reversePath()
		c.segments()
		c.defaults()
		c.labels()
		c.hashing()
		c.objects()
		c.routeCache()
		c.devices()
		c.source()
		c.gateways()
		c.answers()
		c.sizes()
	}
	return c.findings
}

// examination collects findings.
type examination struct {
	cfg *config.Config
	*machine
	findings []Finding
}

func (c *examination) good(what, why string) {
	c.findings = append(c.findings, Finding{OK: true, What: what, Why: why})
}

func (c *examination) bad(level, what, why, remedy string) {
	c.findings = append(c.findings, Finding{Level: level, What: what, Why: why, Remedy: remedy})
}

// tables returns the VNIs that have a table.
func (c *examination) tables() []*config.VNI {
	var list []*config.VNI
	for i := range c.cfg.VNIs {
		if v := &c.cfg.VNIs[i]; v.Table != 0 {
			list = append(list, v)
		}
	}
	return list
}
