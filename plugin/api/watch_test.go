package api

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// changer changes a table.
type changer struct {
	*rib.Table
	origin rib.Origin
}

func newChanger() changer {
	t := rib.New(rib.Options{})
	return changer{t, t.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "a"})}
}

func numbered(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

func (c changer) set(vni rib.VNI, i int, hops ...string) {
	var list []rib.NextHop
	for _, h := range hops {
		list = append(list, target(h))
	}
	c.Replace(c.origin, vni, numbered(i), list, rib.Native)
}

// told is what a watcher knows.
type told struct {
	routes map[string]string // next hops by VNI and prefix
	cookie string
	resets int
	synced bool
}

func (w *told) hear(answer *pb.WatchRoutesResponse) {
	if answer.GetReset_() {
		w.routes = map[string]string{}
		w.resets++
	}
	for _, c := range answer.GetChanges() {
		key, hops := fmt.Sprintf("%d %s", c.GetVni(), c.GetPrefix()), ""
		for _, p := range c.GetNextHops() {
			hops += p.GetNextHop().GetTarget() + " "
		}
		w.routes[key] = hops
		if hops == "" {
			delete(w.routes, key)
		}
	}
	w.cookie, w.synced = answer.GetCookie(), answer.GetSynced()
}

// until hears until the watcher knows what done says.
func (w *told) until(t *testing.T, stream grpc.ServerStreamingClient[pb.WatchRoutesResponse], done func() bool) {
	t.Helper()
	for !done() {
		answer, err := stream.Recv()
		if err != nil {
			t.Fatalf("%v, after %d routes", err, len(w.routes))
		}
		w.hear(answer)
	}
}

func watchFrom(t *testing.T, client pb.BridgeClient, cookie string, vnis ...uint32) (grpc.ServerStreamingClient[pb.WatchRoutesResponse], context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.WatchRoutes(ctx, &pb.WatchRoutesRequest{Vnis: vnis, Resume: cookie})
	if err != nil {
		t.Fatal(err)
	}
	return stream, cancel
}

func TestWatchTellsAllAndThenWhatChanges(t *testing.T) {
	c := newChanger()
	c.set(200, 1, "2001:db8::1")
	c.set(7, 2, "2001:db8::2")
	client := pb.NewBridgeClient(serveAPI(t, State{Table: c}))
	w := &told{}
	stream, cancel := watchFrom(t, client, "")
	defer cancel()
	w.until(t, stream, func() bool { return w.synced })
	want := map[string]string{"200 10.0.0.1/32": "2001:db8::1 ", "7 10.0.0.2/32": "2001:db8::2 "}
	if !maps.Equal(w.routes, want) || w.resets != 1 {
		t.Errorf("told %v, %d times all", w.routes, w.resets)
	}
	c.set(200, 1, "2001:db8::1", "2001:db8::3")
	c.set(7, 2)
	c.set(9, 3, "2001:db8::4") // of a VNI that is new
	want = map[string]string{"200 10.0.0.1/32": "2001:db8::1 2001:db8::3 ", "9 10.0.0.3/32": "2001:db8::4 "}
	w.until(t, stream, func() bool { return maps.Equal(w.routes, want) })
	if w.resets != 1 {
		t.Errorf("all was told %d times", w.resets)
	}

	only := &told{}
	one, stop := watchFrom(t, client, "", 9)
	defer stop()
	only.until(t, one, func() bool { return only.synced })
	if len(only.routes) != 1 {
		t.Errorf("VNI 9: %v", only.routes)
	}
}

// cable is a proxy in front of a socket whose connections can be cut.
type cable struct {
	net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cable) run() {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", c.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		go func() { _, _ = io.Copy(near, far) }()
		go func() { _, _ = io.Copy(far, near) }()
	}
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func TestWatchGoesOnBehindALostConnection(t *testing.T) {
	c := newChanger()
	const routes = 3000
	for i := range routes {
		c.set(200, i, "2001:db8::1")
	}
	direct := serveAPI(t, State{Table: c})
	socket := filepath.Join(t.TempDir(), "cable")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	wire := &cable{Listener: l, to: direct.Target()[len("unix://"):]}
	go wire.run()
	defer l.Close()
	defer wire.cut()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewBridgeClient(conn)

	w := &told{}
	stream, cancel := watchFrom(t, client, "", 200)
	defer cancel()
	for range 3 { // in the middle of the dump
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		w.hear(answer)
	}
	for round := range 3 {
		wire.cut()
		for i := range 100 * (round + 1) {
			c.set(200, i) // gone
			c.set(200, routes+i, fmt.Sprintf("2001:db8::%d", round+2))
		}
		c.set(200, 2000, "2001:db8::9") // comes and goes
		c.set(200, 2000, "2001:db8::1")
		for _, err := stream.Recv(); err == nil; _, err = stream.Recv() { // what arrived and was lost
		}
		var stop context.CancelFunc
		stream, stop = watchFrom(t, client, w.cookie, 200)
		defer stop()
		w.synced = false
		w.until(t, stream, func() bool { return w.synced })
		want := map[string]string{}
		c.Walk(200, func(r rib.RouteInfo) bool {
			want[fmt.Sprintf("200 %v", r.Prefix)] = r.NextHop.Target.String() + " "
			return true
		})
		if !maps.Equal(w.routes, want) || w.resets != 1 {
			t.Fatalf("round %d: %d routes, %d times all, want %d and once", round, len(w.routes), w.resets, len(want))
		}
	}
}

func TestWatchThatIsGoneBeginsAnew(t *testing.T) {
	c := newChanger()
	c.set(200, 1, "2001:db8::1")
	client := pb.NewBridgeClient(serveAPI(t, State{Table: c}))
	w := &told{}
	stream, cancel := watchFrom(t, client, "", 200)
	w.until(t, stream, func() bool { return w.synced })
	cancel()
	for name, row := range map[string]struct {
		cookie string
		vni    uint32
	}{
		"of another process": {"ABC.1.1", 200},
		"of other VNIs":      {w.cookie, 7},
		"of the future":      {w.cookie + "0", 200},
	} {
		again := &told{}
		stream, cancel := watchFrom(t, client, row.cookie, row.vni)
		again.until(t, stream, func() bool { return again.synced })
		cancel()
		if again.resets != 1 {
			t.Errorf("a cookie %s: all was told %d times", name, again.resets)
		}
	}
}

func TestWatchesWithoutReaderAreFew(t *testing.T) {
	c := newChanger()
	ws := newWatches()
	for range 3 * maxIdle {
		w, _, err := ws.open([]rib.VNI{200}, "")
		if err != nil {
			t.Fatal(err)
		}
		w.follow(c)
		ws.leave(w)
	}
	if n := c.Stats(200).Readers; n != maxIdle {
		t.Errorf("%d readers are left, want %d", n, maxIdle)
	}
	var open []*watch
	for range maxWatches {
		w, _, err := ws.open(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, w)
	}
	if _, _, err := ws.open(nil, ""); err == nil {
		t.Errorf("watch %d is allowed", maxWatches+1)
	}
	ws.close()
	if n := c.Stats(200).Readers; n != 0 {
		t.Errorf("%d readers are left at the end", n)
	}
	for _, w := range open {
		ws.leave(w)
	}
	if len(ws.all) != 0 {
		t.Errorf("%d watches are left at the end", len(ws.all))
	}
}

// Somebody watches and does not read, while the table changes and another reads.
func TestSlowWatcherDisturbsNobody(t *testing.T) {
	c := newChanger()
	client := pb.NewBridgeClient(serveAPI(t, State{Table: c}))
	slow, cancel := watchFrom(t, client, "", 200)
	defer cancel()
	if _, err := slow.Header(); err != nil {
		t.Fatal(err)
	}
	w := &told{}
	quick, stop := watchFrom(t, client, "", 200)
	defer stop()
	w.until(t, quick, func() bool { return w.synced })
	const routes = 5000
	for i := range routes {
		c.set(200, i, "2001:db8::1")
	}
	w.until(t, quick, func() bool { return len(w.routes) == routes })
	late := &told{}
	late.until(t, slow, func() bool { return len(late.routes) == routes })
	if !maps.Equal(late.routes, w.routes) {
		t.Error("the slow one knows other routes")
	}
	if keys := slices.Sorted(maps.Keys(late.routes)); keys[0] != "200 10.0.0.0/32" {
		t.Errorf("the first route is %s", keys[0])
	}
}
