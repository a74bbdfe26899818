// Package page tests the status page in a real browser: Debian's Chromium,
// without a window, in network namespaces that lead nowhere.
package page

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"mbbgp/test/lab"
)

// screenshots is where a person who wants to see the page gets it from.
var screenshots = flag.String("screenshots", "", "put screenshots into this `folder`, an absolute path")

func TestMain(m *testing.M) { lab.Main(m) }

// patience is for a browser on a busy machine.
const patience = time.Minute

// tab is the page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string // guarded by mu; URLs
	console  []string // guarded by mu
}

// open shows a URL in a browser of its own, on a node, or nil for where the test
// is. At the end of the test the page must have written nothing to the console
// and asked nobody else for anything; allowed are parts of messages that may be.
func open(t *testing.T, on *lab.Node, url string, allowed ...string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it takes another user
	}
	if on != nil {
		options = append(options, chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			there := on.Command(cmd.Path, cmd.Args[1:]...)
			cmd.Path, cmd.Args = there.Path, there.Args
		}))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	b.do() // starts the browser
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b.shoot("failed")
		}
		b.do(chromedp.Evaluate[chromedp.Void]("0")) // behind whatever is on its way
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, line := range b.console {
			if !containsOne(line, allowed) {
				t.Errorf("on the console: %s", line)
			}
		}
		for _, r := range b.requests {
			if !strings.HasPrefix(r, url) {
				t.Errorf("asked for %s", r)
			}
		}
	})
	b.do(chromedp.Navigate(url))
	return b
}

// hear notes what the page asks for and what it writes.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded:
		b.console = append(b.console, e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			b.console = append(b.console, string(a.Value)+a.Description)
		}
	}
}

func containsOne(text string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// do runs steps.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value returns the value of a JavaScript expression.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text returns what an element shows.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return value[string](b, `document.querySelector("`+selector+`")?.innerText ?? ""`)
}

// shows waits until an element shows all these texts.
func (b *tab) shows(selector string, want ...string) {
	b.t.Helper()
	lab.Eventually(b.t, patience, selector, func() error {
		return lacks(b.text(selector), want)
	})
}

// hides waits until an element does not show a text.
func (b *tab) hides(selector, unwanted string) {
	b.t.Helper()
	lab.Eventually(b.t, patience, selector, func() error {
		if text := b.text(selector); strings.Contains(text, unwanted) {
			return fmt.Errorf("%q is in %q", unwanted, text)
		}
		return nil
	})
}

// until waits until a JavaScript expression is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	lab.Eventually(b.t, patience, "the page", func() error {
		if !value[bool](b, expression) {
			return fmt.Errorf("not so: %s", expression)
		}
		return nil
	})
}

// wide sets the width of the window.
func (b *tab) wide(width int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 800))
}

// scheme makes the user prefer light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// shoot takes a picture of the whole page, if somebody wants to see it.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, strings.ReplaceAll(b.t.Name(), "/", "-")+"-"+name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// lacks returns an error unless all texts are in another one.
func lacks(text string, want []string) error {
	for _, w := range want {
		if !strings.Contains(text, w) {
			return fmt.Errorf("%q is not in %q", w, text)
		}
	}
	return nil
}
