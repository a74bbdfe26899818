package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// one returns the only answer of a stream.
func one[M any](t *testing.T, stream grpc.ServerStreamingClient[M], err error) *M {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("a second answer, or %v", err)
	}
	return answer
}

func TestListsTellWhatTheProcessKnows(t *testing.T) {
	state := full()
	state.Kernel = gateway
	state.Policy = func() []PolicyRule {
		return []PolicyRule{{VNI: 200, Direction: "import", Name: "rule-1", Matched: 3}, {VNI: 7, Name: "other"}}
	}
	state.VNIs = func() []VNI {
		return []VNI{{VNI: 100, Name: "public", Imported: 4}, {VNI: 200, Gateway: netip.MustParseAddr("2001:db8:f::1")}}
	}
	client, ctx := pb.NewBridgeClient(serveAPI(t, state)), t.Context()

	vnis := func(list ...uint32) (text string) {
		stream, err := client.ListVNIs(ctx, &pb.ListVNIsRequest{Vnis: list})
		for _, v := range one(t, stream, err).GetVnis() {
			text += fmt.Sprintf("%d %t %q %d %d, ", v.GetVni(), v.GetConfigured(), v.GetName(), v.GetPrefixes(), v.GetImported())
		}
		return text
	}
	if got, want := vnis(), `7 false "" 0 0, 100 true "public" 4 4, 200 true "" 0 0, `; got != want {
		t.Errorf("VNIs %s, want %s", got, want)
	}
	if got, want := vnis(200, 9, 200), `200 true "" 0 0, `; got != want {
		t.Errorf("VNI 200: %s, want %s", got, want)
	}

	peers, err := client.ListPeers(ctx, &pb.ListPeersRequest{})
	var names []string
	for _, p := range one(t, peers, err).GetPeers() {
		names = append(names, p.GetProtocol()+"/"+p.GetRole())
	}
	if got, want := strings.Join(names, " "), "metalbond/client metalbond/client metalbond/server metalbond/server bgp/external"; got != want {
		t.Errorf("peers %s, want %s", got, want)
	}

	neighbors, err := client.ListNeighbors(ctx, &pb.ListNeighborsRequest{})
	if list := one(t, neighbors, err).GetNeighbors(); len(list) != 1 || list[0].GetSince().AsTime() != time.Unix(1, 0).UTC() || list[0].GetFamilies()[0].GetFamily() != "evpn" {
		t.Errorf("neighbors %v", list)
	}
	policy, err := client.ListPolicy(ctx, &pb.ListPolicyRequest{Vnis: []uint32{200}})
	if rules := one(t, policy, err).GetRules(); len(rules) != 1 || rules[0].GetMatched() != 3 {
		t.Errorf("rules %v", rules)
	}

	kernel := func(list ...uint32) string {
		stream, err := client.GetKernel(ctx, &pb.GetKernelRequest{Vnis: list})
		k := one(t, stream, err)
		return fmt.Sprintf("%d tables, %d next hops, %d devices, synced %t", len(k.GetTables()), len(k.GetNextHops()), len(k.GetDevices()), k.GetSynced())
	}
	for _, row := range []struct {
		vnis []uint32
		want string
	}{
		{nil, "2 tables, 3 next hops, 4 devices, synced true"},
		{[]uint32{100}, "1 tables, 2 next hops, 3 devices, synced true"},
		{[]uint32{7}, "0 tables, 2 next hops, 1 devices, synced true"},
	} {
		if got := kernel(row.vnis...); got != row.want {
			t.Errorf("kernel of %v: %s, want %s", row.vnis, got, row.want)
		}
	}
}

func TestListIsToldAgainWhenItHasChanged(t *testing.T) {
	states := make(chan string, 1)
	states <- "active"
	now := ""
	state := State{Neighbors: func() []Neighbor {
		select {
		case now = <-states:
		default:
		}
		return []Neighbor{{Address: netip.MustParseAddr("192.0.2.1"), State: now}}
	}}
	stream, err := pb.NewBridgeClient(serveAPI(t, state)).ListNeighbors(t.Context(), &pb.ListNeighborsRequest{Every: durationpb.New(minEvery)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"active", "established"} {
		answer, err := stream.Recv()
		if err != nil || answer.GetNeighbors()[0].GetState() != want {
			t.Fatalf("%v, %v, want %s", answer, err, want)
		}
		if want == "active" {
			states <- "established"
		}
	}
}

func TestRoutesAreListedByVNIAndPrefix(t *testing.T) {
	state := full()
	table := rib.New(rib.Options{})
	state.Table = table
	o := table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "[2001:db8::5]:4000"})
	for _, r := range []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.0.7/32", "192.0.2.0/24", "2001:db8::/32"} {
		table.Add(o, rib.Route{VNI: 200, Prefix: netip.MustParsePrefix(r), NextHop: target("2001:db8:1::1"), Preference: rib.Native})
	}
	table.Add(o, rib.Route{VNI: 7, Prefix: netip.MustParsePrefix("10.1.0.7/32"), NextHop: target("2001:db8:1::1"), Preference: rib.Native})
	client := pb.NewBridgeClient(serveAPI(t, state))
	for _, row := range []struct {
		name string
		ask  *pb.ListRoutesRequest
		want string
	}{
		{"all", &pb.ListRoutesRequest{}, "7 10.1.0.7/32, 200 10.0.0.0/8, 200 10.1.0.0/16, 200 10.1.0.7/32, 200 192.0.2.0/24, 200 2001:db8::/32, "},
		{"a VNI", &pb.ListRoutesRequest{Vnis: []uint32{7}}, "7 10.1.0.7/32, "},
		{"a VNI that is not there", &pb.ListRoutesRequest{Vnis: []uint32{8}}, ""},
		{"what is inside a prefix", &pb.ListRoutesRequest{Prefix: "10.1.0.0/16"}, "7 10.1.0.7/32, 200 10.1.0.0/16, 200 10.1.0.7/32, "},
		{"a prefix", &pb.ListRoutesRequest{Prefix: "10.1.0.0/16", Exact: true}, "200 10.1.0.0/16, "},
		{"an address", &pb.ListRoutesRequest{Prefix: "10.1.0.7", Exact: true, Vnis: []uint32{200}}, "200 10.1.0.7/32, "},
	} {
		stream, err := client.ListRoutes(t.Context(), row.ask)
		got := ""
		for err == nil {
			var answer *pb.ListRoutesResponse
			if answer, err = stream.Recv(); err == nil {
				for _, r := range answer.GetRoutes() {
					got += fmt.Sprintf("%d %s, ", r.GetVni(), r.GetPrefix())
					if c := r.GetClaims(); !r.GetVisible() || len(c) != 1 || c[0].GetSource() != "client" || c[0].GetPreference() != 200 {
						t.Errorf("%v", r)
					}
				}
			}
		}
		if !errors.Is(err, io.EOF) || got != row.want {
			t.Errorf("%s: %s, %v, want %s", row.name, got, err, row.want)
		}
	}
}

func TestBadFieldsSayWhatIsAllowed(t *testing.T) {
	state := full()
	state.Explain = func(rib.VNI, netip.Prefix) (Explanation, error) {
		return Explanation{}, errors.New("BGP is not running")
	}
	state.Paths = func(rib.VNI, func(*ExplainedBGP) bool) error { return errors.New("BGP is gone") }
	client, ctx := pb.NewBridgeClient(serveAPI(t, state)), t.Context()
	recv := func(r interface{ RecvMsg(any) error }, err error) error {
		if err != nil {
			return err
		}
		return r.RecvMsg(&pb.ListRoutesResponse{})
	}
	explain := func(prefix string) error {
		_, err := client.Explain(ctx, &pb.ExplainRequest{Vni: 1, Prefix: prefix})
		return err
	}
	every := func(d time.Duration) error {
		return recv(client.ListPeers(ctx, &pb.ListPeersRequest{Every: durationpb.New(d)}))
	}
	for want, got := range map[string]error{
		`InvalidArgument: prefix: "" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`:                    explain(""),
		`InvalidArgument: prefix: "10.0.0.0/33" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`:         explain("10.0.0.0/33"),
		`InvalidArgument: prefix: "::ffff:10.0.0.0/120" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`: explain("::ffff:10.0.0.0/120"),
		`InvalidArgument: prefix: 10.0.0.1/24 has bits behind its length, want 10.0.0.0/24`:                    explain("10.0.0.1/24"),
		`Unavailable: BGP is not running`:                                                    explain("::/0"),
		`InvalidArgument: every: 50ms is out of range (100ms to 1h0m0s)`:                     every(50 * time.Millisecond),
		`InvalidArgument: every: 2h0m0s is out of range (100ms to 1h0m0s)`:                   every(2 * time.Hour),
		`InvalidArgument: prefix: "x" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`: recv(client.ListRoutes(ctx, &pb.ListRoutesRequest{Prefix: "x"})),
		`InvalidArgument: exact: true needs a prefix`:                                        recv(client.ListRoutes(ctx, &pb.ListRoutesRequest{Exact: true})),
		`InvalidArgument: prefix: "y" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`: recv(client.ListPaths(ctx, &pb.ListPathsRequest{Prefix: "y"})),
		`Unavailable: BGP is gone`:                                                           recv(client.ListPaths(ctx, &pb.ListPathsRequest{})),
		`InvalidArgument: resume: "0" is no cookie of a watch`:                               recv(client.WatchRoutes(ctx, &pb.WatchRoutesRequest{Resume: "0"})),
		`InvalidArgument: vnis: 5000 are too many (at most 4096), or name none for all`:      recv(client.WatchRoutes(ctx, &pb.WatchRoutesRequest{Vnis: many(5000)})),
		`FailedPrecondition: the configuration has no kernel section`:                        recv(client.GetKernel(ctx, &pb.GetKernelRequest{})),
		`ResourceExhausted: grpc: received message larger than max (2200007 vs. 1048576)`:    explain(strings.Repeat("x", 2200000)),
	} {
		if s := status.Convert(got); s.Code().String()+": "+s.Message() != want {
			t.Errorf("%v: %s, want %s", s.Code(), s.Message(), want)
		}
	}
}

// many returns so many VNIs.
func many(n uint32) (list []uint32) {
	for vni := range n {
		list = append(list, vni)
	}
	return list
}

func TestSlowReaderOfPathsKeepsOnlyOthersOfItsKindOut(t *testing.T) {
	state := full()
	state.Paths = func(_ rib.VNI, visit func(*ExplainedBGP) bool) error {
		for visit(&ExplainedBGP{Kind: "unicast", NLRI: strings.Repeat("x", 1000)}) {
		}
		return nil
	}
	client := pb.NewBridgeClient(serveAPI(t, state))
	for range 2 {
		stream, err := client.ListPaths(t.Context(), &pb.ListPathsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil { // and no more
			t.Fatal(err)
		}
	}
	third, err := client.ListPaths(t.Context(), &pb.ListPathsRequest{})
	if err == nil {
		_, err = third.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a third one: %v", err)
	}
	if _, err := client.GetStatus(t.Context(), &pb.GetStatusRequest{}); err != nil {
		t.Errorf("others: %v", err)
	}
}

// A million routes go to a reader that takes them one page at a time.
func TestMillionRoutesAreListedWithoutHoldingThem(t *testing.T) {
	routes := 1_000_000
	if raceEnabled {
		routes = 50_000
	}
	table := rib.New(rib.Options{})
	o := table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "a"})
	for i := range routes {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		table.Add(o, rib.Route{VNI: 200, Prefix: p, NextHop: target("2001:db8:1::1"), Preference: rib.Native})
	}
	client := pb.NewBridgeClient(serveAPI(t, State{Table: table}))
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := client.ListRoutes(ctx, &pb.ListRoutesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	most, told := uint64(0), 0
	for n := 0; ; n++ {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.GetRoutes()) > page {
			t.Fatalf("%d routes in one answer", len(answer.GetRoutes()))
		}
		told += len(answer.GetRoutes())
		if n%1000 == 500 {
			most = max(most, heap())
		}
	}
	if told != routes {
		t.Errorf("%d routes, want %d", told, routes)
	}
	const allowed = 32 << 20 // for both ends; all of them are hundreds
	if most > before+allowed {
		t.Errorf("%d MB more while they were listed", (most-before)>>20)
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
