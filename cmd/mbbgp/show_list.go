package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

// watching are the flags of the commands that show something again and again.
type watching struct {
	*asking
	watch bool
	every time.Duration
}

func addWatchFlags(c *cobra.Command) *watching {
	w := &watching{asking: addAskFlags(c)}
	w.addJSONFlag(c)
	c.Flags().BoolVarP(&w.watch, "watch", "w", false, "show it again whenever it has changed: in place on a terminal, below otherwise; with -j each time in a line")
	c.Flags().DurationVar(&w.every, "every", time.Second, "how often to look with --watch, 100ms to 1h")
	return w
}

// interval is the field every of a question.
func (w *watching) interval() *durationpb.Duration {
	if !w.watch {
		return nil
	}
	return durationpb.New(w.every)
}

// lister is a call that tells a list, or with every tells it again and again.
type lister[Q, M any] func(pb.BridgeClient, context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[M], error)

// shown is how an answer is shown.
type shown[M any] struct {
	text func(io.Writer, *M)
	json func(*M) []byte
}

// show asks and shows what is answered.
func show[Q, M any](c *cobra.Command, w *watching, ask lister[Q, M], question *Q, v shown[M]) error {
	client, conn, err := w.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	if !w.watch {
		ctx, cancel = context.WithTimeout(ctx, askLimit)
		defer cancel()
	}
	stream, err := ask(client, ctx, question)
	if err != nil {
		return w.failed(err)
	}
	if w.watch && !w.json && isTerminal(c.OutOrStdout()) {
		err = redraw(c, stream, v.text)
	} else {
		err = appendAll(c, w, stream, v)
	}
	if c.Context().Err() != nil { // the watch was ended
		return nil
	}
	return w.failed(err)
}

// appendAll writes each answer below the last one.
func appendAll[M any](c *cobra.Command, w *watching, stream grpc.ServerStreamingClient[M], v shown[M]) error {
	for n := 0; ; n++ {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var text bytes.Buffer
		switch {
		case w.json && w.watch:
			text.Write(v.json(answer))
			text.WriteByte('\n')
		case w.json:
			text.Write(indented(v.json(answer)))
		default:
			if n > 0 {
				text.WriteByte('\n')
			}
			v.text(&text, answer)
		}
		if _, err := c.OutOrStdout().Write(text.Bytes()); err != nil {
			return err
		}
	}
}

// redraw shows the last answer in place of the one before, and again each second
// because ages grow.
func redraw[M any](c *cobra.Command, stream grpc.ServerStreamingClient[M], show func(io.Writer, *M)) error {
	answers, failed := make(chan *M), make(chan error, 1)
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case answers <- answer:
			case <-stream.Context().Done():
			}
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last *M
	for {
		select {
		case last = <-answers:
		case <-tick.C:
		case err := <-failed:
			return err
		}
		if last == nil {
			continue
		}
		const home, clear = "\x1b[H", "\x1b[J"
		var text bytes.Buffer
		fmt.Fprintf(&text, "%s%s%s  %s\n\n", home, clear, c.CommandPath(), time.Now().Format(time.TimeOnly))
		show(&text, last)
		if _, err := c.OutOrStdout().Write(text.Bytes()); err != nil {
			return err
		}
	}
}

// jsonList returns messages as a JSON array.
func jsonList[M proto.Message](list []M) []byte {
	text := []byte{'['}
	for i, m := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, api.JSON(m)...)
	}
	return append(text, ']')
}

// indented returns JSON for people.
func indented(text []byte) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return text
	}
	out.WriteByte('\n')
	return out.Bytes()
}
