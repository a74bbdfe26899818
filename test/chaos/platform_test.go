package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/test/lab"
)

// What the machine under a bridge may do to it: nobody reads the log, the disk
// is full, no file descriptors are left, a signal comes at the wrong moment.

const fullConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
bgp:
  dynamic-neighbors: [{prefix: 10.0.0.0/24, asn: 65000}]
kernel: {tunnel: seg6, device: lan, decapsulation: off}
state-directory: /run/state
vnis:
  - {vni: 200, import: ["65000:200"], export: ["65000:200"], gateway: "2001:db8:f::200", table: 200}
`

// bare is a bridge that the lab does not look after.
type bare struct {
	*exec.Cmd
	ended chan error
}

// startBare starts a bridge whose log goes into stderr, and ends it with the
// test.
func startBare(t *testing.T, n *lab.Node, stderr *os.File, args ...string) *bare {
	t.Helper()
	n.WriteFile(configPath, fullConfig)
	args = append([]string{"run", "-c", configPath}, args...)
	b := &bare{n.Command(lab.Program("mbbgp"), args...), make(chan error, 1)}
	b.Stderr = stderr
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Process.Kill() })
	go func() { b.ended <- b.Wait() }()
	return b
}

// terminate tells the bridge to end, and waits until it has.
func (b *bare) terminate(t *testing.T) error {
	t.Helper()
	if err := b.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it still runs a minute after SIGTERM")
		return nil
	}
}

func waitHealthy(t *testing.T, n *lab.Node) {
	t.Helper()
	lab.Eventually(t, time.Minute, "health", func() error {
		_, err := n.Get("http://127.0.0.1:4712/healthz")
		return err
	})
}

func TestLogThatNobodyReadsStopsNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	n := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := unix.FcntlInt(in.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	b := startBare(t, n, in, "--log-level", "trace")
	in.Close()
	waitHealthy(t, n)
	a, c := l.Node("a", "2001:db8::a/64").Hypervisor("-quiet"), l.Node("c", "2001:db8::c/64").Hypervisor("-quiet")
	const routes = 5000
	a.Do("fill 200 %d 2001:db8::a", routes)
	c.Do("subscribe 200")
	for _, h := range []*lab.Hypervisor{a, c} {
		h.Connect("[2001:db8::1]:4711")
	}
	c.WaitCount(time.Minute, routes)
	a.Do("drain 200 %d 2001:db8::a", routes)
	c.WaitCount(time.Minute, 0)
	waitHealthy(t, n)
	var unread int
	if unread, err = unix.IoctlGetInt(int(out.Fd()), unix.TIOCINQ); err != nil || unread < 2048 {
		t.Errorf("%d bytes are unread (%v): nothing was tested", unread, err)
	}
	if err := b.terminate(t); err != nil {
		t.Errorf("at SIGTERM: %v", err)
	}
}

func TestEndOfWhoReadsTheLogEndsNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	n := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := startBare(t, n, in)
	in.Close()
	waitHealthy(t, n)
	out.Close()
	h := l.Node("a", "2001:db8::a/64").Hypervisor()
	h.Connect("[2001:db8::1]:4711") // which the bridge logs
	h.Kill()
	again := l.Node("b", "2001:db8::b/64").Hypervisor()
	again.Connect("[2001:db8::1]:4711")
	if err := b.terminate(t); err != nil {
		t.Errorf("at SIGTERM: %v", err)
	}
}

// A process that has not come as far as its first line may be killed by the
// signal; later ones end in order.
func TestSignalAtAnyMomentEndsInOrder(t *testing.T) {
	const nodes, times = 4, 5
	for i := range nodes {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(i), 0))
			n := lab.New(t).Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
			for range times {
				log, err := os.CreateTemp(t.TempDir(), "")
				if err != nil {
					t.Fatal(err)
				}
				b := startBare(t, n, log)
				// Most of what happens at the start happens early.
				after := time.Duration(rnd.ExpFloat64() * 0.5 * float64(time.Second))
				after = min(after, 3*time.Second)
				time.Sleep(after)
				begun := time.Now()
				err = b.terminate(t)
				text, readErr := os.ReadFile(log.Name())
				log.Close()
				if readErr != nil {
					t.Fatal(readErr)
				}
				t.Logf("SIGTERM after %v: ended %v later with %v", after.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), err)
				var exit *exec.ExitError
				early := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM && len(text) == 0
				if err != nil && !early {
					t.Errorf("SIGTERM after %v: %v\n%s", after, err, text)
				}
				if out, err := n.Try("ls", "/run/mbbgp/mbbgp.sock"); err == nil {
					t.Errorf("SIGTERM after %v left %s", after, out)
				}
			}
		})
	}
}

func TestFullDiskLosesNothingThatIsKept(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	n.Run("sh", "-ec", "mkdir /run/state; mount -t tmpfs -o size=128k state /run/state")
	mbbgp := func(args ...string) error {
		_, err := n.Try(lab.Program("mbbgp"), args...)
		return err
	}
	kept := func() string { return n.Run("cat", "/run/state/static-routes.json") }

	b := n.Bridge(fullConfig)
	if err := mbbgp("announce", "--keep", "200#10.1.0.0/16#2001:db8::a"); err != nil {
		t.Fatal(err)
	}
	before := kept()
	_, _ = n.Try("dd", "if=/dev/zero", "of=/run/state/filler") // until there is no room
	err := mbbgp("announce", "--keep", "200#10.2.0.0/16#2001:db8::a")
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "will not survive a restart") {
		t.Errorf("on a full disk: %v", err)
	}
	if after := kept(); after != before {
		t.Errorf("the file was\n%s\nand is\n%s", before, after)
	}
	if err := b.Holds("200#10.1.0.0/16#2001:db8::a", "200#10.2.0.0/16#2001:db8::a"); err != nil {
		t.Error(err)
	}
	b.Kill()
	b = n.Bridge(fullConfig)
	b.WaitRoutes(time.Minute, "200#10.1.0.0/16#2001:db8::a")

	t.Log("with room again it is kept, and half-written files are never read")
	n.Run("rm", "/run/state/filler")
	for i := range 10 {
		writing := n.Start("sh", "-c", fmt.Sprintf(`
			i=0
			while %s announce --keep 200#10.3.%d.$i/32#2001:db8::a; do i=$((i+1)); done`, lab.Program("mbbgp"), i))
		lab.Eventually(t, time.Minute, "a route that is kept", func() error {
			if !strings.Contains(kept(), fmt.Sprintf("10.3.%d.", i)) {
				return errors.New("not yet")
			}
			return nil
		})
		b.Kill()
		writing.Wait(time.Minute)
		b = n.Bridge(fullConfig)
		b.WaitRoutes(time.Minute, routesOf(kept())...)
	}
	if out := n.Run("ls", "-A", "/run/state"); strings.Contains(out, ".damaged") {
		t.Errorf("in the state directory: %s", out)
	}
}

// routesOf are the routes in the file of those that are kept.
func routesOf(file string) (list []string) {
	for _, line := range strings.Split(file, "\n") {
		if _, prefix, ok := strings.Cut(line, `"prefix": "`); ok {
			list = append(list, "200#"+strings.TrimSuffix(prefix, `",`)+"#2001:db8::a")
		}
	}
	return list
}
