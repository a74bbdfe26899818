package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

// switcher switches VNIs one after the other, shows what happens, and keeps it.
type switcher struct {
	*asking
	direction
	vnis     *vniFlag
	all      bool
	complete *bool
	request  pb.SwitchRequest
	report   string
}

// run switches the VNIs until one of them fails.
func (s *switcher) run(c *cobra.Command) error {
	vnis, err := s.vniList(c.Context())
	if err != nil {
		return err
	}
	file, err := s.createReport()
	if err != nil {
		return err
	}
	r := &pb.MigrationReport{Command: s.name, Who: operatorIdentity(), Bridge: s.address, Begun: timestamppb.Now(), Ok: true}
	progress := c.OutOrStdout()
	if s.json {
		progress = c.ErrOrStderr()
	}
	for _, vni := range vnis {
		var one *pb.SwitchedVNI
		if one, err = s.one(c.Context(), progress, vni, r.Who); one != nil {
			r.Vnis = append(r.Vnis, one)
		}
		if r.Ok = err == nil && one.GetResult().GetOk(); !r.Ok {
			break
		}
	}
	r.Ended = timestamppb.Now()
	if file != nil {
		err = errors.Join(err, s.keep(file, r))
	}
	if s.json && len(r.Vnis) > 0 {
		_, failed := c.OutOrStdout().Write(indented(api.JSON(r)))
		err = errors.Join(err, failed)
	}
	if err == nil && !r.Ok {
		return reported{errors.New("it did not work")} // the last line says why
	}
	return err
}

// one switches a VNI. What it returns is what was heard of it, nil if nothing
// was; the error is that the bridge did not do it at all, or that its answer
// broke off.
func (s *switcher) one(ctx context.Context, progress io.Writer, vni uint32, who string) (*pb.SwitchedVNI, error) {
	conn, err := s.open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := pb.NewMigrationClient(conn).Switch(ctx, &pb.SwitchRequest{
		Vni: vni, Prefer: s.plane, Force: s.request.GetForce(), Complete: *s.complete,
		RollbackOnFailure: s.request.GetRollbackOnFailure(), Who: who,
	})
	if err != nil {
		return nil, s.failed(err)
	}
	var one *pb.SwitchedVNI
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return one, nil
		}
		if err != nil {
			return one, s.failed(err)
		}
		if one == nil {
			one = &pb.SwitchedVNI{Vni: vni}
		}
		var text bytes.Buffer
		take(&text, one, answer)
		if _, err := progress.Write(text.Bytes()); err != nil {
			return one, err
		}
	}
}

// take adds an answer to what is known of a switch, and writes what there is to
// show of it.
func take(w io.Writer, one *pb.SwitchedVNI, answer *pb.SwitchResponse) {
	one.Changes = append(one.Changes, answer.GetChanges()...)
	if v := answer.GetBefore(); v != nil {
		one.Before = v
		printFound(w, v)
	}
	if v := answer.GetAfter(); v != nil {
		one.After = v
	}
	if step := answer.GetStep(); step != nil {
		if step.GetState() != "running" {
			one.Steps = append(one.Steps, step)
		}
		if step.GetState() != "running" || step.GetDetail() != "" {
			printStep(w, one.GetVni(), step)
		}
	}
	if r := answer.GetResult(); r != nil {
		one.Result = r
		printf(w, "vni %d: %s\n", one.GetVni(), resultText(r))
	}
}

// createReport makes the file of the report, so that one that cannot be made
// ends the command before anything is done. nil: none is wanted.
func (s *switcher) createReport() (*os.File, error) {
	if s.report == "" {
		return nil, nil
	}
	file, err := os.OpenFile(s.report, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return file, nil
}

// keep writes the report. One in which nothing was done is not kept.
func (s *switcher) keep(file *os.File, r *pb.MigrationReport) error {
	if len(r.GetVnis()) == 0 {
		_ = file.Close()
		return os.Remove(s.report)
	}
	var text bytes.Buffer
	if strings.HasSuffix(s.report, ".json") {
		text.Write(indented(api.JSON(r)))
	} else {
		printReport(&text, r)
	}
	_, err := file.Write(text.Bytes())
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// operatorIdentity is who runs the command: the user, behind sudo the one who
// called it, and the host.
func operatorIdentity() string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		name = fmt.Sprintf("%s (%s)", name, by)
	}
	if host, err := os.Hostname(); err == nil {
		name += " at " + host
	}
	return name
}
