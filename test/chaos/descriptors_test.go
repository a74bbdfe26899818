package chaos

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Whoever may connect can use up the file descriptors of the process. Sessions
// that are up go on, and once there are descriptors again everybody is served.
func TestNoFileDescriptorsLeft(t *testing.T) {
	t.Parallel()
	const limit = 60
	l := lab.New(t)
	n := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	bridge := n.Bridge(fullConfig)
	a, c := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("c", "2001:db8::c/64").Hypervisor()
	c.Do("subscribe 200")
	for _, h := range []*lab.Hypervisor{a, c} {
		h.Connect("[2001:db8::1]:4711")
	}
	stranger := l.Node("stranger", "2001:db8::7/64")

	n.Run("prlimit", "--pid", fmt.Sprint(bridge.Pid()), fmt.Sprintf("--nofile=%d:%d", limit, limit))
	var crowd []net.Conn
	dial := func(from *lab.Node, network, address string) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		conn, err := from.Dial(ctx, network, address)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, conn)
	}
	for range 2 * limit {
		dial(n, "tcp", "127.0.0.1:4712")
	}
	for range 5 {
		dial(stranger, "tcp", "[2001:db8::1]:4711")
		dial(n, "unix", "/proc/"+fmt.Sprint(bridge.Pid())+"/root/run/mbbgp/mbbgp.sock")
	}
	lab.Eventually(t, time.Minute, "the last file descriptor", func() error {
		if got := len(lines(n.Run("ls", fmt.Sprintf("/proc/%d/fd", bridge.Pid())))); got < limit {
			return fmt.Errorf("%d of %d are used", got, limit)
		}
		return nil
	})

	t.Log("who is connected is served")
	a.Do("announce 200#10.1.0.0/16#2001:db8::a")
	c.WaitRoutes(time.Minute, "200#10.1.0.0/16#2001:db8::a")

	t.Log("with descriptors again everybody is")
	for _, conn := range crowd {
		conn.Close()
	}
	waitHealthy(t, n)
	d := l.Node("d", "2001:db8::d/64").Hypervisor()
	d.Connect("[2001:db8::1]:4711")
	lab.Eventually(t, time.Minute, "the API", func() error {
		_, err := n.Try(lab.Program("mbbgp"), "show", "vnis")
		return err
	})
	if a.Sessions("[2001:db8::1]:4711") != 1 || c.Sessions("[2001:db8::1]:4711") != 1 {
		t.Error("a session was lost")
	}
}

func lines(text string) []string { return slices.Collect(strings.Lines(text)) }
