package api

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"mbbgp/bridge"
	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// fuzzed returns the service of a bridge whose static routes are kept in a file.
func fuzzed(t testing.TB, path string) (*service, *rib.Table) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	table := rib.New(rib.Options{})
	b, err := bridge.New(&config.Config{}, table, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.BGP().Close)
	static := NewStatic(StaticOptions{Path: path, Channel: b.Open(rib.Static, "operator"), Announced: func(rib.VNI) {}, Log: log})
	static.Load()
	return newService(&State{Table: table, Static: static}), table
}

func count(table *rib.Table) (n int) {
	for _, vni := range table.VNIs() {
		n += table.Stats(vni).NextHops
	}
	return n
}

// FuzzAnnounce lets a caller announce, and withdraw, whatever can be said in a
// request. What is refused is refused as the caller's mistake and changes
// nothing, and what is withdrawn as it was announced leaves nothing.
func FuzzAnnounce(f *testing.F) {
	for _, r := range []*pb.AnnounceRequest{
		{},
		{Routes: []*pb.StaticRoute{nil, {}}},
		{Keep: true, Routes: []*pb.StaticRoute{{Vni: 200, Prefix: "10.1.0.0/16", NextHop: &pb.NextHop{Target: "2001:db8::a"}, Preference: 7}}},
		{Routes: []*pb.StaticRoute{{Vni: 1<<32 - 1, Prefix: "::/0", NextHop: &pb.NextHop{Target: "2001:db8::a", TargetVni: 9, Type: "nat", NatFrom: 1, NatTo: 65535}}}},
		{Routes: []*pb.StaticRoute{{Prefix: "10.1.0.1/16", NextHop: &pb.NextHop{Target: "::ffff:192.0.2.1", Type: "x", NatFrom: 2, NatTo: 1}}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r pb.AnnounceRequest
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		s, table := fuzzed(t, "")
		r.Keep = false // there is no file
		_, err := s.Announce(context.Background(), &r)
		if err != nil {
			if code := status.Code(err); code != codes.InvalidArgument && code != codes.FailedPrecondition {
				t.Errorf("%v", err)
			}
			if n := count(table); n > 0 {
				t.Errorf("%d routes of a request that was refused: %v", n, err)
			}
			return
		}
		if count(table) == 0 {
			t.Error("nothing was announced")
		}
		if _, err := s.Withdraw(context.Background(), &pb.WithdrawRequest{Routes: r.GetRoutes()}); err != nil {
			t.Errorf("withdrawn as it was announced: %v", err)
		}
		if n := count(table); n > 0 {
			t.Errorf("%d routes are left", n)
		}
	})
}

// FuzzKeptRoutes reads files of routes: a file is taken as a whole, and what is
// taken is written, and read as the same again; or it is set aside.
func FuzzKeptRoutes(f *testing.F) {
	for _, text := range []string{
		"", "{}", `{"routes":[]}`, `{"routes":[{"vni":200,"prefix":"10.1.0.0/16","target":"2001:db8::a"}]}`,
		`{"routes":[{"vni":200,"prefix":"10.1.0.0/32","target":"2001:db8::a","type":"nat","natFrom":1,"natTo":2,"preference":255}]}`,
		`{"routes":[{"vni":200,"prefix":"10.1.0.0/16","target":"2001:db8::a"}]} x`, `{"routes":[{"vni":-1}]}`, `{"routes":{}}`, "\x00", "[[[[",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "static-routes.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, table := fuzzed(t, path)
		_, aside := os.Stat(path + damaged)
		if _, err := parseKept(text); (err != nil) != (aside == nil) {
			t.Fatalf("read with %v, and set aside: %v", err, aside == nil)
		}
		if aside == nil {
			if n := count(table); n > 0 {
				t.Errorf("%d routes of a damaged file", n)
			}
			return
		}
		if err := s.state.Static.save(); err != nil {
			t.Fatal(err)
		}
		if _, again := fuzzed(t, path); count(again) != count(table) {
			t.Errorf("%d routes, and %d when read again", count(table), count(again))
		}
	})
}

// FuzzResume reads cookies of watches. Those of another process are of no
// watch, and what is no cookie is the caller's mistake.
func FuzzResume(f *testing.F) {
	ws := newWatches()
	for _, cookie := range []string{ws.instance + ".1.1", "x.1.2", ".1.2", "x", "x.1", "x.-1.2", "x.18446744073709551616.1", "x.1.2.3"} {
		f.Add(cookie)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if cookie == "" {
			return // no cookie at all
		}
		w, missed, err := ws.open(nil, cookie)
		switch {
		case status.Code(err) == codes.InvalidArgument:
			return
		case err != nil, w == nil, len(missed) > 0:
			t.Fatalf("%v, %v, %v", w, missed, err)
		}
		ws.mu.Lock()
		ws.drop(w.id)
		ws.mu.Unlock()
	})
}
