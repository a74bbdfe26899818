package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"mbbgp/config"
)

// A link is one connection to a gobgpd, from the first call to the loss. There
// are two streams on it: gobgpd's events, and our paths, which gobgpd takes in
// their order and acknowledges at the end of the stream only.

const (
	dialTimeout = 10 * time.Second
	// probeInterval is how often gobgpd is asked whether it still runs the same
	// BGP: a stop of that through the API ends no stream.
	probeInterval = 3 * time.Second
	// probeTimeout is longer than gobgpd is busy with the end of a session that
	// had a million routes, some 40 s.
	probeTimeout = time.Minute
	// leaveTimeout bounds how long we withdraw what is ours before we go.
	leaveTimeout = time.Minute
)

var (
	errLost     = errors.New("connection lost")
	errNoFamily = errors.New("the family is not enabled")
)

// link is a connection to a gobgpd that runs BGP with our AS number.
type link struct {
	conn     *grpc.ClientConn
	client   apipb.GobgpApiClient
	asn      uint32
	routerID netip.Addr                      // gobgpd's
	events   apipb.GobgpApi_WatchEventClient // set by watch
	settled  chan struct{}                   // closed by settle
	once     sync.Once

	mu    sync.Mutex
	paths apipb.GobgpApi_AddPathStreamClient // guarded by mu; nil before open
	left  leftovers                          // guarded by mu
}

// ourPath tells a path of ours in gobgpd from the others of ours.
type ourPath struct {
	family     config.Family
	nlri       string // as GoBGP writes it, which is its own key: without the label
	identifier uint32
}

// leftovers are the paths of ours that were in gobgpd when the link came up, and
// were not said since.
type leftovers map[ourPath]leftover

type leftover struct {
	withdrawal *apipb.Path
	inherited  bool // it is of an earlier process
}

// dial connects to the gobgpd at address and looks whether it is one that we
// can attach to.
func dial(ctx context.Context, address string, asn uint32) (*link, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, client: apipb.NewGobgpApiClient(conn), asn: asn, settled: make(chan struct{})}
	if l.routerID, err = l.check(ctx, dialTimeout); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *link) close() { _ = l.conn.Close() }

// check asks gobgpd who it is, and returns its router ID.
func (l *link) check(ctx context.Context, timeout time.Duration) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := l.client.GetBgp(ctx, &apipb.GetBgpRequest{})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		if _, err := api.NewGoBgpServiceClient(l.conn).GetBgp(ctx, &api.GetBgpRequest{}); err == nil {
			return netip.Addr{}, errors.New("this gobgpd has the API of version 4, want one of version 3")
		}
		return netip.Addr{}, errors.New("this is no gobgpd of version 3")
	default:
		return netip.Addr{}, errors.New(reason(err))
	}
	switch g := r.GetGlobal(); {
	case g.GetAsn() == 0:
		return netip.Addr{}, errors.New("this gobgpd runs no BGP yet: it has no AS number")
	case g.GetAsn() != l.asn:
		return netip.Addr{}, fmt.Errorf("this gobgpd has AS number %d, want %d, that of asn", g.GetAsn(), l.asn)
	default:
		return netip.ParseAddr(g.GetRouterId())
	}
}

// probe looks after gobgpd now and then. It returns when that is not what it was
// any more, or ctx is over.
func (l *link) probe(ctx context.Context, h *hearing) error {
	again := time.NewTicker(probeInterval)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
		id, err := l.check(ctx, probeTimeout)
		if err == nil && id != l.routerID {
			err = fmt.Errorf("it has router ID %v now", id)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		h.ends(ctx)
	}
}

// lostBy returns the error of a stream that ended with err.
func lostBy(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: gobgpd ended the stream", errLost)
	}
	return fmt.Errorf("%w: %s", errLost, reason(err))
}

// reason returns what gRPC's error says, without its wrapping.
func reason(err error) string {
	text := status.Convert(err).Message()
	if _, dialled, ok := strings.Cut(text, "Error while dialing: "); ok {
		text = strings.TrimSuffix(dialled, `"`)
	}
	return text
}

// open begins the stream of our paths. It is over with the connection only, so
// that what is under way is not cut off when we are told to go.
func (l *link) open() error {
	paths, err := l.client.AddPathStream(context.Background())
	if err != nil {
		return lostBy(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paths = paths
	return nil
}

// send announces and withdraws.
func (l *link) send(paths []*apipb.Path) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) > 0 {
		for _, p := range paths {
			delete(l.left, keyOf(p))
		}
	}
	return l.sendLocked(paths)
}

func (l *link) sendLocked(paths []*apipb.Path) error {
	if len(paths) == 0 {
		return nil
	}
	err := l.paths.Send(&apipb.AddPathStreamRequest{TableType: apipb.TableType_GLOBAL, Paths: paths})
	if errors.Is(err, io.EOF) { // gobgpd has ended the stream, and says why to who reads
		if _, why := l.paths.CloseAndRecv(); why != nil {
			err = why
		}
	}
	if err != nil {
		return lostBy(err)
	}
	return nil
}

// finish ends the stream of our paths and returns when gobgpd has taken all.
func (l *link) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paths == nil {
		return nil
	}
	if _, err := l.paths.CloseAndRecv(); err != nil {
		return lostBy(err)
	}
	return nil
}

// guard closes the connection when ctx is over, which ends all calls: at once
// if the link is lost, and otherwise when we had the time to leave, unless gone
// is closed before.
func (l *link) guard(ctx context.Context, gone <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-gone:
		return
	}
	if !errors.Is(context.Cause(ctx), errLost) {
		patience := time.NewTimer(leaveTimeout)
		defer patience.Stop()
		select {
		case <-patience.C:
		case <-gone:
		}
	}
	l.close()
}

// watch asks for events, and returns when no change of the table can be missed
// any more: when gobgpd has said which neighbours it has.
func (l *link) watch(ctx context.Context, h *hearing) error {
	filters := []*apipb.WatchEventRequest_Table_Filter{
		{Type: apipb.WatchEventRequest_Table_Filter_BEST},
		{Type: apipb.WatchEventRequest_Table_Filter_EOR}, // 3.10 does not know it, and takes no notice
	}
	var err error
	l.events, err = l.client.WatchEvent(ctx, &apipb.WatchEventRequest{
		Peer:      &apipb.WatchEventRequest_Peer{},
		Table:     &apipb.WatchEventRequest_Table{Filters: filters},
		BatchSize: maxBatch,
	})
	if err != nil {
		return lostBy(err)
	}
	h.attach(l)
	for {
		e, err := l.events.Recv()
		if err != nil {
			return lostBy(err)
		}
		if e.GetPeer().GetType() == apipb.WatchEventResponse_PeerEvent_END_OF_INIT {
			return nil
		}
		h.event(ctx, e)
	}
}

// hear passes on events until the stream ends, and says why it did.
func (l *link) hear(ctx context.Context, h *hearing) error {
	for {
		e, err := l.events.Recv()
		if err != nil {
			return lostBy(err)
		}
		h.event(ctx, e)
	}
}

// peer returns what gobgpd knows of a neighbour; nil if it has none of this
// address.
func (l *link) peer(ctx context.Context, address string) (*apipb.Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	stream, err := l.client.ListPeer(ctx, &apipb.ListPeerRequest{Address: address})
	if err != nil {
		return nil, err
	}
	r, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return r.GetPeer(), err
}

// list calls visit with every path of a family, until it returns false. One
// path of a prefix at most is the best one, with multipath too.
func (l *link) list(ctx context.Context, f config.Family, visit func(*apipb.Path) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.client.ListPath(ctx, &apipb.ListPathRequest{
		TableType:        apipb.TableType_GLOBAL,
		Family:           familyAPI(families[f]),
		EnableOnlyBinary: true,
	})
	if err != nil {
		return lostBy(err)
	}
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && strings.HasPrefix(reason(err), "address family: "): // "... not supported"
			return errNoFamily
		case err != nil:
			return lostBy(err)
		}
		best := false
		for _, p := range r.GetDestination().GetPaths() {
			p.Best = p.Best && !best
			best = best || p.Best
			if !visit(p) {
				return nil
			}
		}
	}
}

// read hears the whole table, notes what is ours in it, and returns the
// families that the hearing wants and gobgpd does not have. Before are the
// leftovers of the link before, nil if there was none.
func (l *link) read(ctx context.Context, h *hearing, before leftovers, own func(*apipb.Path) bool) (missing []config.Family, err error) {
	left := make(leftovers)
	for i := range families {
		f := config.Family(i)
		err := l.list(ctx, f, func(p *apipb.Path) bool {
			if own(p) {
				k := keyOf(p)
				left[k] = leftover{withdrawalOf(p), before == nil || before[k].inherited}
			} else if p.Best {
				h.listed(p)
			}
			return true
		})
		switch {
		case errors.Is(err, errNoFamily):
			if h.wants[f] {
				missing = append(missing, f)
			}
		case err != nil:
			return nil, err
		}
	}
	h.complete()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = left
	return missing, nil
}

func keyOf(p *apipb.Path) ourPath {
	k := ourPath{nlri: string(p.NlriBinary), identifier: p.Identifier}
	k.family, _ = familyFromAPI(p.Family)
	if n, err := bgp.NLRIFromSlice(families[k.family], p.NlriBinary); err == nil {
		k.nlri = n.String()
	}
	return k
}

// withdrawalOf returns the withdrawal of a path of ours.
func withdrawalOf(p *apipb.Path) *apipb.Path {
	return &apipb.Path{
		Family:     p.Family,
		NlriBinary: p.NlriBinary,
		IsWithdraw: true,
		Identifier: p.Identifier,
		SourceAsn:  p.SourceAsn,
		SourceId:   p.SourceId,
	}
}

// settle says that all that there was to say at first was said.
func (l *link) settle() { l.once.Do(func() { close(l.settled) }) }

// sweep withdraws the leftovers when all was said: our own at once, and those
// of an earlier process, whose hypervisors may not be back yet, not before due.
func (l *link) sweep(ctx context.Context, due time.Time) {
	select {
	case <-ctx.Done():
		return
	case <-l.settled:
	}
	l.withdrawLeft(false)
	rest := time.NewTimer(time.Until(due))
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
		l.withdrawLeft(true)
	}
}

// withdrawLeft withdraws leftovers. If the link is lost meanwhile, they will be
// found again on the next one.
func (l *link) withdrawLeft(inherited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]*apipb.Path, 0, maxBatch)
	for k, left := range l.left {
		if left.inherited && !inherited {
			continue
		}
		delete(l.left, k)
		if batch = append(batch, left.withdrawal); len(batch) == maxBatch {
			if l.sendLocked(batch) != nil {
				return
			}
			batch = batch[:0]
		}
	}
	_ = l.sendLocked(batch)
}

// takeLeft returns what is left over, for the next link.
func (l *link) takeLeft() leftovers {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// leave withdraws everything that is ours in gobgpd.
func (l *link) leave(own func(*apipb.Path) bool) error {
	if err := l.finish(); err != nil {
		return err
	}
	if err := l.open(); err != nil {
		return err
	}
	batch := make([]*apipb.Path, 0, maxBatch)
	send := func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		defer func() { batch = batch[:0] }()
		return l.sendLocked(batch)
	}
	for i := range families {
		var failed error
		err := l.list(context.Background(), config.Family(i), func(p *apipb.Path) bool {
			if own(p) {
				batch = append(batch, withdrawalOf(p))
			}
			if len(batch) == maxBatch {
				failed = send()
			}
			return failed == nil
		})
		if failed != nil || err != nil && !errors.Is(err, errNoFamily) {
			return errors.Join(failed, err)
		}
	}
	if err := send(); err != nil {
		return err
	}
	return l.finish()
}
