package api

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// The limits of watches.
const (
	maxWatches = 256 // with a stream
	maxIdle    = 16  // without, kept for whoever resumes
)

// watches are all that watch routes, and those of a moment ago.
type watches struct {
	instance string // of this process: cookies of another one are unknown

	mu     sync.Mutex
	closed bool              // guarded by mu
	last   uint64            // guarded by mu; id of a watch
	all    map[uint64]*watch // guarded by mu
	idle   []uint64          // guarded by mu; of all, those without a stream, the oldest first
}

func newWatches() watches {
	return watches{instance: rand.Text(), all: map[uint64]*watch{}}
}

// open returns the watch that a cookie names with the answers that its caller
// has missed, or a new one.
func (ws *watches) open(vnis []rib.VNI, cookie string) (*watch, []*pb.WatchRoutesResponse, error) {
	if cookie != "" {
		id, number, err := ws.parse(cookie)
		if err != nil {
			return nil, nil, err
		}
		if w, missed := ws.resume(id, number, vnis); w != nil {
			return w, missed, nil
		}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(ws.all)-len(ws.idle) >= maxWatches {
		return nil, nil, status.Errorf(codes.ResourceExhausted, "%d watches are open, no more are allowed", maxWatches)
	}
	ws.last++
	w := &watch{
		id: ws.last, vnis: vnis, readers: map[rib.VNI]*rib.Reader{}, wake: make(chan struct{}, 1),
		buffer: make([]rib.Change, readAhead), idle: make(chan struct{}),
	}
	ws.all[w.id] = w
	return w, nil, nil
}

// resume takes up the watch of an earlier stream; nil if it is not there any
// more. The connection of that stream may be lost before its end is noticed.
func (ws *watches) resume(id, number uint64, vnis []rib.VNI) (*watch, []*pb.WatchRoutesResponse) {
	ws.mu.Lock()
	w := ws.all[id]
	var idle chan struct{}
	if w != nil {
		idle = w.idle
	}
	ws.mu.Unlock()
	if w == nil {
		return nil, nil
	}
	select {
	case <-idle:
	case <-time.After(resumeIn):
		return nil, nil
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	i := slices.Index(ws.idle, id)
	if i < 0 || !slices.Equal(w.vnis, vnis) {
		return nil, nil
	}
	missed, there := w.since(number)
	if !there {
		return nil, nil
	}
	ws.idle = slices.Delete(ws.idle, i, i+1)
	w.expires.Stop()
	w.idle = make(chan struct{})
	return w, slices.Clone(missed)
}

// keep gives an answer its cookie, and holds it for whoever resumes.
func (ws *watches) keep(w *watch, answer *pb.WatchRoutesResponse) {
	w.told++
	answer.Cookie = fmt.Sprintf("%s.%d.%d", ws.instance, w.id, w.told)
	w.hold(answer)
}

// leave keeps a watch whose stream has ended for a while.
func (ws *watches) leave(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		ws.drop(w.id)
		return
	}
	if len(ws.idle) >= maxIdle {
		ws.drop(ws.idle[0])
	}
	ws.idle = append(ws.idle, w.id)
	w.expires = time.AfterFunc(resumeFor, func() { ws.expire(w.id) })
	close(w.idle)
}

// expire drops a watch that nobody has resumed.
func (ws *watches) expire(id uint64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if slices.Contains(ws.idle, id) {
		ws.drop(id)
	}
}

// drop forgets a watch that no stream runs. mu is held.
func (ws *watches) drop(id uint64) {
	w := ws.all[id]
	delete(ws.all, id)
	ws.idle = slices.DeleteFunc(ws.idle, func(x uint64) bool { return x == id })
	if w.expires != nil {
		w.expires.Stop()
	}
	w.close()
}

// close drops all watches: those without a stream now, the others with its end.
func (ws *watches) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for _, id := range slices.Clone(ws.idle) {
		ws.drop(id)
	}
}

// parse reads a cookie. One of another process names no watch.
func (ws *watches) parse(cookie string) (id, number uint64, err error) {
	instance, rest, _ := strings.Cut(cookie, ".")
	if n, err := fmt.Sscanf(rest, "%d.%d", &id, &number); n != 2 || err != nil || instance == "" {
		return 0, 0, status.Errorf(codes.InvalidArgument, "resume: %q is no cookie of a watch", cookie)
	}
	if instance != ws.instance {
		return 0, 0, nil // ids begin with 1
	}
	return id, number, nil
}
