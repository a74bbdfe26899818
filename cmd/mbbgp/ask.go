package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/config"
	"mbbgp/plugin/api"
)

// askLimit is how long a running bridge may take to answer: to explain a
// prefix it may copy all tables of BGP.
const askLimit = time.Minute

// asking are the flags of the commands that ask a running bridge.
type asking struct {
	http string
	json bool
}

func addAskFlags(c *cobra.Command) *asking {
	a := &asking{}
	c.Flags().StringVar(&a.http, "http", config.DefaultHTTP, "`ADDRESS:PORT` of the bridge, what its configuration calls http")
	c.Flags().BoolVarP(&a.json, "json", "j", false, "print JSON, for programs")
	return a
}

// answer asks for a path and prints what comes back: as it is with -j, else
// the text that show writes of it once it is in into.
func (a *asking) answer(ctx context.Context, out io.Writer, path string, query url.Values, into any, show func(io.Writer)) error {
	if _, _, err := net.SplitHostPort(a.http); err != nil {
		return usageError{fmt.Errorf("--http %s: want ADDRESS:PORT", a.http)}
	}
	body, err := a.get(ctx, url.URL{Scheme: "http", Host: a.http, Path: path, RawQuery: query.Encode()})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w: is it an mbbgp of this version?", a.http, err)
	}
	var text bytes.Buffer
	if a.json {
		text.Write(body)
	} else {
		show(&text)
	}
	_, err = out.Write(text.Bytes())
	return err
}

func (a *asking) get(ctx context.Context, from url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--http %s: %w", a.http, err)}
	}
	// No proxy: the bridge is where the operator says.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		if inner := new(url.Error); errors.As(err, &inner) {
			err = inner.Err // without the URL
		}
		return nil, fmt.Errorf("no bridge answers: %w\nRun 'mbbgp run', or name its address with --http", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", a.http, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %w", a.http, response.Status, api.Problem(body))
	}
	return body, nil
}
