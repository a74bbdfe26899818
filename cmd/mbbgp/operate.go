package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make a running bridge read its configuration again",
		Long: `Make a running bridge read its configuration file again and apply what has
changed; sessions that it does not concern go on. Each change is a line. A file
that is wrong, or that needs a restart, changes nothing, and the exit code is 1.`,
		Example: `  mbbgp check && mbbgp reload
  mbbgp reload -j | jq -r '.changes[].path'`,
		Args: cobra.NoArgs,
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		answer, err := call(c, asks, pb.BridgeClient.Reload, &pb.ReloadRequest{})
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if asks.json {
			text.Write(indented(api.JSON(answer)))
		} else {
			printReload(&text, answer)
		}
		_, err = c.OutOrStdout().Write(text.Bytes())
		return err
	}
	return c
}

func printReload(w *bytes.Buffer, r *pb.ReloadResponse) {
	if len(r.GetChanges()) == 0 {
		printf(w, "nothing has changed\n")
	}
	for _, x := range r.GetChanges() {
		switch {
		case x.GetOld() == "":
			printf(w, "%s: %s, was none", x.GetPath(), x.GetNew())
		case x.GetNew() == "":
			printf(w, "%s: none, was %s", x.GetPath(), x.GetOld())
		default:
			printf(w, "%s: %s, was %s", x.GetPath(), x.GetNew(), x.GetOld())
		}
		if x.GetHow() != "live" {
			printf(w, " (%s)", x.GetHow())
		}
		printf(w, "\n")
	}
}

func drainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "drain",
		Short: "Withdraw everything, forward for a while longer, and end a running bridge",
		Long: `Make a running bridge withdraw what was announced on both sides, forward for
'kernel.drain' longer, remove everything from the kernel and end. The command
does not wait for that.`,
		Example: `  mbbgp drain`,
		Args:    cobra.NoArgs,
	}
	asks := addAskFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, err := call(c, asks, pb.BridgeClient.Drain, &pb.DrainRequest{})
		return err
	}
	return c
}
