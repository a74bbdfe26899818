package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// uses are the places that the README has an example for; no example may be
// missing that the README or the package names.
var uses = []string{
	"evpn-vxlan-gateway", // between a fabric and hypervisors
	"srv6",               // a fabric without gateway
	"default-router",     // of a region
	"metalbond-client",   // beside servers that run already
	"ip-in-ip-sites",
	"sites",
	"route-reflector",
}

func TestExamplesComeUp(t *testing.T) {
	need(t, "unshare", "ip")
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces with a file system of their own")
	}
	program := filepath.Join(t.TempDir(), "mbbgp")
	run(t, "go", "build", "-o", program, "./cmd/mbbgp")
	there, err := filepath.Glob(filepath.Join(checkout(t), "config/examples/*.yaml"))
	if err != nil || len(there) != len(uses) {
		t.Errorf("examples: %q, %v, want %d", there, err, len(uses))
	}
	for _, use := range uses {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child",
				"testdata/example", program, filepath.Join(checkout(t), "config/examples", use+".yaml"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
