package gobgp

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbbgp/config"
)

// gobgpd is Debian's daemon of GoBGP v3 as a process of its own, on loopback.
type gobgpd struct {
	t    testing.TB
	args []string
	file string // its configuration
	api  string // as bgp.attach wants it
	cmd  *exec.Cmd
	log  *os.File
}

// needGobgpd skips a test where there is no gobgpd, or lets it fail under CI.
func needGobgpd(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("gobgpd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs gobgpd (test/run install): %v", err)
		}
		t.Skipf("needs gobgpd (test/run install): %v", err)
	}
}

// startGobgpd runs a gobgpd that is what cfg says: its AS, addresses and
// neighbours. Without cfg it runs no BGP.
func startGobgpd(t testing.TB, cfg *config.Config) *gobgpd {
	t.Helper()
	needGobgpd(t)
	dir, err := os.MkdirTemp("", "gobgpd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &gobgpd{t: t, api: unixScheme + filepath.Join(dir, "api")}
	d.args = []string{"--api-hosts", d.api, "--pprof-disable"}
	if cfg != nil {
		d.file = filepath.Join(dir, "gobgpd.toml")
		if err := os.WriteFile(d.file, []byte(gobgpdFile(cfg)), 0o600); err != nil {
			t.Fatal(err)
		}
		d.args = append(d.args, "-t", "toml", "-f", d.file)
	}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.kill()
		if log, err := os.ReadFile(d.log.Name()); err == nil && (t.Failed() || strings.Contains(string(log), "panic")) {
			t.Logf("gobgpd: %s", log[max(0, len(log)-4000):])
		}
		d.log.Close()
	})
	d.start()
	return d
}

// start runs the process and returns when its API answers.
func (d *gobgpd) start() {
	d.t.Helper()
	path := strings.TrimPrefix(d.api, unixScheme)
	os.Remove(path)
	d.cmd = exec.Command("gobgpd", d.args...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if the tests panic
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, "gobgpd answers", func() bool {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// kill ends the process without a chance to say goodbye.
func (d *gobgpd) kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// alive reports whether the process is still there.
func (d *gobgpd) alive() bool { return d.cmd.Process.Signal(syscall.Signal(0)) == nil }

// gobgpdFile returns a configuration in gobgpd's terms.
func gobgpdFile(cfg *config.Config) string {
	var b strings.Builder
	listen := cfg.BGP.Listen[0]
	fmt.Fprintf(&b, "[global.config]\nas = %d\nrouter-id = %q\nport = %d\nlocal-address-list = [%q]\n",
		cfg.ASN, cfg.RouterID, listen.Port(), listen.Addr())
	for _, n := range cfg.BGP.Neighbors {
		fmt.Fprintf(&b, "[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = %d\n", n.Address, n.ASN)
		fmt.Fprintf(&b, "[neighbors.transport.config]\nlocal-address = %q\nremote-port = %d\npassive-mode = %v\n", n.LocalAddress, n.Port, n.Passive)
		fmt.Fprintf(&b, "[neighbors.timers.config]\nconnect-retry = 1\nhold-time = 90\nkeepalive-interval = 30\nidle-hold-time-after-reset = 1\n")
		fmt.Fprintf(&b, "[neighbors.graceful-restart.config]\nenabled = true\nhelper-only = true\n")
		if n.RouteReflectorClient {
			fmt.Fprintf(&b, "[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = %q\n", cfg.RouterID)
		}
		for _, f := range n.Families {
			fmt.Fprintf(&b, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = %q\n", families[f].String())
		}
	}
	return b.String()
}

// attachedTo returns the configuration of a process that attaches to a gobgpd
// instead of speaking BGP itself.
func attachedTo(d *gobgpd, cfg *config.Config) *config.Config {
	c := *cfg
	c.BGP = &config.BGP{Attach: d.api, AttachHold: 90 * time.Second}
	c.VNIs = []config.VNI{
		{VNI: 200, Family: config.VNIFamilyEVPN, Export: config.Export{FlowSpec: config.FlowSpecRedirectIP}},
		{VNI: 300, Family: config.VNIFamilyVPN},
		{VNI: 100, Family: config.VNIFamilyUnicast},
	}
	return &c
}

// startAttached starts a gobgpd that is what cfg says, and a speaker that is
// attached to it.
func startAttached(t testing.TB, cfg *config.Config) (*host, *gobgpd) {
	t.Helper()
	d := startGobgpd(t, cfg)
	h := start(t, attachedTo(d, cfg))
	h.addr, h.port = cfg.BGP.Listen[0].Addr(), cfg.BGP.Listen[0].Port()
	return h, d
}

// pairing starts two speakers that are neighbours.
type pairing func(t testing.TB, asnA, asnB uint32, change func(toB, toA *config.Neighbor)) (a, b *host)

// onBothEngines runs a test with the speaker in this process, and attached to a
// gobgpd as either of the two that it is about.
func onBothEngines(t *testing.T, test func(t *testing.T, pair pairing)) {
	t.Run("embedded", func(t *testing.T) {
		parallel(t)
		test(t, pair)
	})
	for _, second := range []bool{false, true} {
		name := "first is attached"
		if second {
			name = "second is attached"
		}
		t.Run(name, func(t *testing.T) {
			parallel(t)
			needGobgpd(t)
			test(t, func(t testing.TB, asnA, asnB uint32, change func(toB, toA *config.Neighbor)) (a, b *host) {
				return pairAttached(t, asnA, asnB, second, change)
			})
		})
	}
}

func pairAttached(t testing.TB, asnA, asnB uint32, second bool, change func(toB, toA *config.Neighbor)) (a, b *host) {
	t.Helper()
	addrs := addresses(2)
	ca, cb := configuration(t, addrs[0], asnA), configuration(t, addrs[1], asnB)
	meet(ca, cb, change)
	// GoBGP v3 takes its time before it dials: the other one does it.
	ca.BGP.Neighbors[0].Passive, cb.BGP.Neighbors[0].Passive = !second, second
	if second {
		a = start(t, ca)
		b, _ = startAttached(t, cb)
	} else {
		a, _ = startAttached(t, ca)
		b = start(t, cb)
	}
	a.up(t)
	b.up(t)
	return a, b
}
