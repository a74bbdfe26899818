package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "mbbgp/plugin/api/v1"
)

// verification looks again and again whether VNIs are as they should be.
type verification struct {
	*asking
	question pb.CompareRequest
	once     bool
	watch    bool
	during   time.Duration
	every    time.Duration
}

func migrateVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Verify that both control planes, and the kernel, are as VNIs prefer",
		Long: `Compare both control planes and the kernel with what VNIs prefer: sessions are up,
every prefix goes where the control plane that is preferred says, the kernel has
each of these routes and reaches its next hops; and with --complete that the one
that is preferred lacks no prefix of the other one.

Each look whose outcome differs from the one before is shown. The exit code is 1
if a look found something that blocks, or if there was none at all: with --once the
only look, with --for any, with --watch the last one before it was interrupted.`,
		Example: `  mbbgp migrate verify --vni 200
  mbbgp migrate verify --for 10m --every 5s || mbbgp migrate rollback --vni 200
  mbbgp migrate verify --watch -j`,
		Args: cobra.NoArgs,
	}
	v := &verification{asking: addAskFlags(c)}
	v.addJSONFlag(c)
	vnis := addVNIFlag(c, v.asking, "this `VNI` only; may be given more than once, or as a list with commas (default all that are configured)")
	c.Flags().BoolVar(&v.question.Complete, "complete", false, "it blocks if a prefix is told of only by the control plane that is not preferred")
	c.Flags().BoolVar(&v.once, "once", false, "look once (the default)")
	c.Flags().DurationVar(&v.during, "for", 0, "look again and again for this long")
	c.Flags().BoolVarP(&v.watch, "watch", "w", false, "look again and again until interrupted")
	c.Flags().DurationVar(&v.every, "every", time.Second, "how often to look, 100ms to 1h")
	c.RunE = func(c *cobra.Command, _ []string) error {
		modes := 0
		for _, name := range []string{"once", "for", "watch"} {
			if c.Flags().Changed(name) {
				modes++
			}
		}
		switch {
		case modes > 1:
			return usageError{errors.New("--once, --for and --watch: want one of them")}
		case v.every < 100*time.Millisecond || v.every > time.Hour:
			return usageError{fmt.Errorf("--every: %v is out of range (100ms to 1h)", v.every)}
		case c.Flags().Changed("for") && v.during <= 0:
			return usageError{fmt.Errorf("--for: %v is out of range, want more than 0s", v.during)}
		}
		v.question.Vnis = *vnis
		return v.run(c.Context(), c.OutOrStdout())
	}
	return c
}

// run looks until it is over.
func (v *verification) run(ctx context.Context, out io.Writer) error {
	again := v.watch || v.during > 0
	if v.during > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, v.during)
		defer cancel()
	}
	looked, bad, last := false, false, ""
	for {
		list, err := v.compare(ctx, &v.question)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		failed := false
		for _, x := range list {
			failed = failed || blocks(x.GetVni())
		}
		bad = failed || bad && !v.watch
		looked = true
		if text := v.look(list, !failed); text != last {
			last = text
			if v.json {
				text = fmt.Sprintf(`{"at":%q,%s`, time.Now().Format(time.RFC3339Nano), strings.TrimPrefix(text, "{"))
			} else if again {
				text = time.Now().Format(time.TimeOnly) + "\n" + text
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
		if !again {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(v.every):
		}
	}
	switch {
	case !looked:
		return errors.New("it was over before anything could be looked at")
	case bad:
		return reported{errors.New("not as it should be")} // which was shown
	}
	return nil
}

// look is what was found, in words, or in a line of JSON without the time.
func (v *verification) look(list []*pb.CompareResponse, ok bool) string {
	var text bytes.Buffer
	if v.json {
		var vnis []*pb.ComparedVNI
		for _, x := range list {
			vnis = append(vnis, x.GetVni())
		}
		fmt.Fprintf(&text, "{\"ok\":%t,\"vnis\":%s}\n", ok, jsonList(vnis))
		return text.String()
	}
	for _, x := range list {
		outcome := "as it should be"
		if blocks(x.GetVni()) {
			outcome = "NOT as it should be"
		}
		printf(&text, "%s: prefers %s, %s\n", vniTitle(x.GetVni()), x.GetVni().GetPreferred(), outcome)
		printCounts(&text, x.GetVni())
		var astray []*pb.ComparedPrefix
		for _, p := range x.GetPrefixes() {
			if p.GetProblem() != "" && len(astray) < mostChanges {
				astray = append(astray, p)
			}
		}
		printPrefixes(&text, astray)
		printFound(&text, x.GetVni())
	}
	return text.String()
}
