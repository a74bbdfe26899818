package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	pb "mbbgp/plugin/api/v1"
)

// answers is a stream that tells VNIs one after the other, and then nothing for
// a while.
type answers struct {
	grpc.ServerStreamingClient[pb.ListVNIsResponse]
	ctx  context.Context
	list []uint32
}

func (a *answers) Context() context.Context { return a.ctx }

func (a *answers) Recv() (*pb.ListVNIsResponse, error) {
	if len(a.list) == 0 {
		time.Sleep(2500 * time.Millisecond)
		return nil, io.EOF
	}
	vni := a.list[0]
	a.list = a.list[1:]
	return &pb.ListVNIsResponse{Vnis: []*pb.VNI{{Vni: vni}}}, nil
}

func TestTerminalShowsTheLastAnswerAndItsAgeInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &cobra.Command{Use: "vnis"}
		c.SetOut(&out)
		err := redraw(c, &answers{ctx: t.Context(), list: []uint32{7, 9}}, printVNIs)
		if err != io.EOF {
			t.Errorf("it ended with %v", err)
		}
		screens := strings.Split(out.String(), "\x1b[H\x1b[J")[1:]
		if len(screens) != 4 { // both, and two seconds in which nothing comes
			t.Fatalf("%d screens: %q", len(screens), screens)
		}
		for i, vni := range []string{"7", "9", "9", "9"} {
			if !strings.Contains(screens[i], "\nVNI  NAME ") || !strings.Contains(screens[i], "\n"+vni+"    - ") {
				t.Errorf("screen %d has no VNI %s:\n%s", i, vni, screens[i])
			}
		}
		if screens[2] == screens[3] {
			t.Error("the time stands still")
		}
	})
}
