package api

// A watch of the routes is a rib reader for each VNI, so nothing is queued for
// it: while its caller does not read, the readers stand where they are, and what
// changes twice is told once.
//
// A watch outlives its stream for a minute, with its readers and with the last
// answers that were sent, so that a caller who lost its connection can go on
// behind the last answer that arrived: those behind it are sent again, then
// follows what the readers have to say. What was sent and not read is limited by
// the flow control of the stream; if that was more than is kept, or the watch is
// gone, the caller is told to begin anew.

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

const (
	maxVNIs   = 4096            // that a watch may name
	keptBytes = 256 << 10       // of answers, of each watch
	lookEvery = time.Second     // for VNIs that have come into use
	readAhead = 64              // changes of a VNI that are read at a time
	resumeFor = time.Minute     // that a watch is kept without its stream
	resumeIn  = 2 * time.Second // that a stream has to end in before it is resumed
)

// watch is what one caller watches. It belongs to the stream that runs it.
type watch struct {
	id      uint64
	vnis    []rib.VNI // nil: all
	readers map[rib.VNI]*rib.Reader
	order   []rib.VNI // of the readers
	wake    chan struct{}
	buffer  []rib.Change
	synced  bool // in this stream
	told    uint64
	kept    []*pb.WatchRoutesResponse // the last ones, up to number told
	bytes   int                       // of kept
	idle    chan struct{}             // closed when no stream runs it
	expires *time.Timer               // of an idle one
}

// WatchRoutes implements mbbgp.v1.
func (s *service) WatchRoutes(r *pb.WatchRoutesRequest, stream grpc.ServerStreamingServer[pb.WatchRoutesResponse]) error {
	vnis := chosen(r.GetVnis())
	if len(vnis) > maxVNIs {
		return status.Errorf(codes.InvalidArgument, "vnis: %d are too many (at most %d), or name none for all", len(vnis), maxVNIs)
	}
	w, missed, err := s.watches.open(vnis, r.GetResume())
	if err != nil {
		return err
	}
	defer s.watches.leave(w)
	for _, m := range missed {
		again := &pb.WatchRoutesResponse{Changes: m.GetChanges(), Cookie: m.GetCookie(), Reset_: m.GetReset_()} // synced is of a stream
		if err := stream.Send(again); err != nil {
			return err
		}
	}
	return s.watch(w, stream, w.told == 0)
}

// watch tells what the readers of a watch have to say until its stream ends.
func (s *service) watch(w *watch, stream grpc.ServerStreamingServer[pb.WatchRoutesResponse], begin bool) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	w.follow(s.state.Table)
	w.synced = false
	for {
		changes, more := w.read()
		if len(changes) > 0 || begin || !more && !w.synced {
			w.synced = w.synced || !more
			answer := &pb.WatchRoutesResponse{Changes: changes, Reset_: begin, Synced: w.synced}
			s.watches.keep(w, answer)
			if err := stream.Send(answer); err != nil {
				return err
			}
			begin = false
		}
		if more {
			continue
		}
		select {
		case <-w.wake:
		case <-look.C:
			w.follow(s.state.Table)
		case <-s.ended:
			return errEnding
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// follow opens a reader for each VNI that is watched and has none.
func (w *watch) follow(t table) {
	vnis := w.vnis
	if vnis == nil {
		vnis = t.VNIs()
	}
	for _, vni := range vnis {
		if w.readers[vni] != nil {
			continue
		}
		w.readers[vni] = t.NewReader(vni, rib.ReaderOptions{Wake: func() {
			select {
			case w.wake <- struct{}{}:
			default: // it is awake
			}
		}})
		w.order = slices.Sorted(maps.Keys(w.readers))
	}
}

// read returns a page of changes, and whether there are more.
func (w *watch) read() (changes []*pb.RouteChange, more bool) {
	for _, vni := range w.order {
		for again := true; again; {
			var n int
			n, again = w.readers[vni].ReadChanges(w.buffer[:min(len(w.buffer), page-len(changes))])
			for i := range n {
				changes = append(changes, changeMessage(vni, &w.buffer[i]))
			}
			if len(changes) == page {
				return changes, true
			}
		}
	}
	return changes, false
}

// hold notes an answer for whoever resumes, and forgets old ones.
func (w *watch) hold(answer *pb.WatchRoutesResponse) {
	w.kept = append(w.kept, answer)
	w.bytes += proto.Size(answer)
	for w.bytes > keptBytes && len(w.kept) > 1 {
		w.bytes -= proto.Size(w.kept[0])
		w.kept[0] = nil
		w.kept = w.kept[1:]
	}
}

// since returns the answers behind a number, false if some of them are gone.
func (w *watch) since(number uint64) ([]*pb.WatchRoutesResponse, bool) {
	if number > w.told || w.told-number > uint64(len(w.kept)) {
		return nil, false
	}
	return w.kept[len(w.kept)-int(w.told-number):], true
}

func (w *watch) close() {
	for _, r := range w.readers {
		r.Close()
	}
}
