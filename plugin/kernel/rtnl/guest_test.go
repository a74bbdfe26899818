package rtnl

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/test/lab"
)

// inGuest is set where these tests run a second time.
const inGuest = "MBBGP_RTNL_GUEST"

// TestInAnotherKernel runs the tests that ask a kernel once more, in a virtual
// machine, whose kernel is an older one and has VRF devices, End.DT4 and
// End.DT46, and MPLS.
func TestInAnotherKernel(t *testing.T) {
	if os.Getenv(inGuest) != "" {
		t.Skip("is the other kernel")
	}
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	guest := filepath.Join(root, "test", "guest")
	if out, err := exec.Command(guest, "-prepare").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no virtual machine: %s", out)
		}
		t.Skipf("no virtual machine: %s", out)
	}
	cmd := exec.Command(guest, os.Args[0], "-test.v", "-test.run", "Iproute2|RefusalsSay|Replaced|Resolve|Overrun|Interrupted|Carrier")
	cmd.Env = append(os.Environ(), inGuest+"=yes")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// enrich adds red to the scene, a VRF of table 1001, and allows what needs it
// and MPLS. It returns its index, or 0 outside of the virtual machine, where
// the kernel may not have any of it.
func enrich(t *testing.T) int {
	t.Helper()
	if os.Getenv(inGuest) == "" {
		return 0
	}
	netns.Run(t, "modprobe", "-a", "mpls_router", "mpls_iptunnel")
	ip(t, "link add red type vrf table 1001")
	ip(t, "link set red up")
	netns.Run(t, "sysctl", "-w", "net.vrf.strict_mode=1", "net.mpls.platform_labels=1000")
	return device(t, "red")
}
