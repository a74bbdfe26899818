package api

// The status page is a few files and three questions that its script asks:
//
//	api/events             everything of a few lines, again whenever it changes (page_events.go)
//	api/routes?q=Q&vni=N   a search of the MetalBond table (page_routes.go)
//	api/explain?vni=N&prefix=P
//
// It asks the same functions as the gRPC service and shows their answers by the
// same names, so that a browser and "mbbgp show -j" cannot contradict each other.
// Addresses in it are relative: it works behind a proxy that adds a path, too.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

//go:embed page
var pageFiles embed.FS

const pageFolder = "page"

// The limits of the page, for all who look at it together.
const (
	maxReaders  = 32 // of events
	maxSearches = 2  // at a time
)

// statusPage serves the page and answers its script.
type statusPage struct {
	state     *State
	service   *service // explains
	board     board
	streams   chan struct{} // has room for those who read events
	searching chan struct{} // has room for those who search
	patience  time.Duration // how long a search may look, and wait until it may
	ended     chan struct{} // closed when streams are to end
	endOnce   sync.Once
}

func newStatusPage(state *State) *statusPage {
	return &statusPage{
		state:     state,
		service:   newService(state),
		board:     board{state: state},
		streams:   make(chan struct{}, maxReaders),
		searching: make(chan struct{}, maxSearches),
		patience:  5 * time.Second,
		ended:     make(chan struct{}),
	}
}

// end ends all streams, and wait returns when they have ended. There are no more
// then: their places are taken.
func (p *statusPage) end() { p.endOnce.Do(func() { close(p.ended) }) }

func (p *statusPage) wait() {
	for range maxReaders {
		p.streams <- struct{}{}
	}
}

// register adds the paths of the page.
func (p *statusPage) register(mux *http.ServeMux) {
	files, err := pageFiles.ReadDir(pageFolder)
	if err != nil { // the compiler has put it there
		panic(err)
	}
	for _, f := range files {
		pattern := "/" + f.Name()
		if f.Name() == "index.html" {
			pattern = "/{$}"
		}
		mux.Handle("GET "+pattern, guarded(asset(f.Name())))
	}
	for pattern, answer := range map[string]http.HandlerFunc{
		"/api/events": p.events, "/api/routes": p.routes, "/api/explain": p.explain,
	} {
		mux.Handle("GET "+pattern, guarded(ownPagesOnly(answer)))
	}
}

// guarded adds what keeps a browser from doing more with an answer than the page
// needs: nothing is loaded from elsewhere, no script runs that is written into
// the page, and no other page shows it in a frame.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}

// ownPagesOnly refuses questions that a browser asks on behalf of another site:
// it could not read the answers, but ask for much.
func ownPagesOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); site {
		case "", "none", "same-origin": // no browser, or an old one; by hand; the page
			w.Header().Set("Cache-Control", "no-store")
			h.ServeHTTP(w, r)
		default:
			writeProblem(w, http.StatusForbidden, fmt.Sprintf("Sec-Fetch-Site: %q, want none or same-origin", site))
		}
	})
}

// asset returns the handler of a file of the page. A browser asks each time
// whether it has changed: another version of the program has another page.
func asset(name string) http.Handler {
	content, err := pageFiles.ReadFile(path.Join(pageFolder, name))
	if err != nil { // it was listed
		panic(err)
	}
	kind := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(name)]
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(content))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", kind)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// explain answers api/explain with what the gRPC service answers.
func (p *statusPage) explain(w http.ResponseWriter, r *http.Request) {
	question, err := explainQuestion(r.URL.Query())
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	answer, err := p.service.Explain(r.Context(), question)
	if err != nil {
		s := status.Convert(err)
		writeProblem(w, httpStatus(s.Code()), s.Message())
		return
	}
	writeAnswer(w, http.StatusOK, JSON(answer))
}

// httpStatus is the status of an answer that the gRPC service gives.
func httpStatus(c codes.Code) int {
	switch c {
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.FailedPrecondition:
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// writeProblem answers with an error that the page shows.
func writeProblem(w http.ResponseWriter, code int, text string) {
	writeAnswer(w, code, encoded(map[string]string{"error": text}))
}

func writeAnswer(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the reader went away
}

// encoded returns a value of the page's own types as JSON.
func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // they are texts, numbers and JSON
		panic(err)
	}
	return text
}
