package api

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc/status"

	"mbbgp/bridge"
	"mbbgp/config"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

// operated is a bridge whose static routes are told over the API.
type operated struct {
	pb.BridgeClient
	table *rib.Table
	log   *logtest.Hook
}

// operate starts one with the routes of a file. VNI 9 has room for one prefix.
func operate(t *testing.T, path string) *operated {
	t.Helper()
	cfg := &config.Config{VNIs: []config.VNI{{VNI: 9, Encapsulation: config.EncapNone, Family: config.VNIFamilyUnicast, MaxPrefixes: 1}}}
	log, lines := logtest.NewNullLogger()
	table := rib.New(rib.Options{})
	b, err := bridge.New(cfg, table, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.BGP().Close)
	static := NewStatic(StaticOptions{Path: path, Channel: b.Open(rib.Static, "operator"), Announced: func(rib.VNI) {}, Log: log})
	static.Load()
	return &operated{pb.NewBridgeClient(serveAPI(t, State{Table: table, Static: static})), table, lines}
}

// routes returns the table as text.
func (o *operated) routes() (list []string) {
	for _, vni := range o.table.VNIs() {
		o.table.Walk(vni, func(r rib.RouteInfo) bool {
			for _, c := range r.Claims {
				list = append(list, strings.Join([]string{number(vni), r.Prefix.String(), r.NextHop.String(), c.Source.String(), number(rib.VNI(c.Preference))}, " "))
			}
			return true
		})
	}
	return list
}

func static(vni uint32, prefix, target string, preference uint32) *pb.StaticRoute {
	r := &pb.StaticRoute{Vni: vni, Prefix: prefix, Preference: preference}
	if target != "" {
		r.NextHop = &pb.NextHop{Target: target}
	}
	return r
}

func (o *operated) announce(t *testing.T, keep bool, routes ...*pb.StaticRoute) string {
	t.Helper()
	r, err := o.Announce(t.Context(), &pb.AnnounceRequest{Routes: routes, Keep: keep})
	if err != nil {
		s := status.Convert(err)
		return s.Code().String() + ": " + s.Message()
	}
	return number(rib.VNI(r.GetChanged()))
}

func (o *operated) withdraw(t *testing.T, routes ...*pb.StaticRoute) uint32 {
	t.Helper()
	r, err := o.Withdraw(t.Context(), &pb.WithdrawRequest{Routes: routes})
	if err != nil {
		t.Error(err)
	}
	return r.GetWithdrawn()
}

func TestKeptRoutesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "static-routes.json")
	first := operate(t, path)
	nat := static(100, "192.0.2.7/32", "2001:db8::1", 0)
	nat.NextHop.Type, nat.NextHop.NatFrom, nat.NextHop.NatTo = "nat", 1024, 2047
	if got := first.announce(t, true, static(200, "10.0.0.0/24", "2001:db8::1", 40), static(200, "10.0.0.0/24", "2001:db8::2", 0), nat); got != "3" {
		t.Fatalf("changed %s", got)
	}
	if got := first.announce(t, false, static(200, "10.0.1.0/24", "2001:db8::1", 0)); got != "1" {
		t.Fatalf("changed %s", got)
	}
	kept := []string{
		"100 192.0.2.7/32 2001:db8::1#nat#1024#2047 static 200",
		"200 10.0.0.0/24 2001:db8::1 static 40", "200 10.0.0.0/24 2001:db8::2 static 200",
	}
	if diff := cmp.Diff(append(kept[:3:3], "200 10.0.1.0/24 2001:db8::1 static 200"), first.routes()); diff != "" {
		t.Errorf("announced (-want +is):\n%s", diff)
	}
	second := operate(t, path)
	if diff := cmp.Diff(kept, second.routes()); diff != "" {
		t.Errorf("after a restart (-want +is):\n%s", diff)
	}

	// The same again is nothing new; without keep it is kept no more.
	if got := second.announce(t, true, static(200, "10.0.0.0/24", "2001:db8::1", 40)); got != "0" {
		t.Errorf("changed %s", got)
	}
	if got := second.announce(t, false, static(200, "10.0.0.0/24", "2001:db8::1", 41)); got != "1" {
		t.Errorf("changed %s", got)
	}
	if n := second.withdraw(t, static(100, "192.0.2.7/32", "", 0), static(7, "::/0", "", 0)); n != 1 {
		t.Errorf("withdrawn %d", n)
	}
	if diff := cmp.Diff(kept[2:], operate(t, path).routes()); diff != "" {
		t.Errorf("after a second restart (-want +is):\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestWithdrawTakesOnlyWhatAnOperatorSaid(t *testing.T) {
	o := operate(t, "")
	other := o.table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "a"})
	o.table.Add(other, rib.Route{VNI: 200, Prefix: netip.MustParsePrefix("10.0.0.0/24"), NextHop: target("2001:db8::1"), Preference: rib.Native})
	o.announce(t, false, static(200, "10.0.0.0/24", "2001:db8::1", 0), static(200, "10.0.0.0/24", "2001:db8::2", 0))
	if n := o.withdraw(t, static(200, "10.0.0.0/24", "", 0)); n != 2 {
		t.Errorf("withdrawn %d", n)
	}
	if n := o.withdraw(t, static(200, "10.0.0.0/24", "2001:db8::1", 0)); n != 0 {
		t.Errorf("withdrawn %d more", n)
	}
	if diff := cmp.Diff([]string{"200 10.0.0.0/24 2001:db8::1 client 200"}, o.routes()); diff != "" {
		t.Errorf("left (-want +is):\n%s", diff)
	}
}

func TestRefusedAnnouncementChangesNothing(t *testing.T) {
	o := operate(t, "")
	o.announce(t, false, static(200, "10.0.0.0/24", "2001:db8::1", 60))
	good := static(200, "10.0.0.0/24", "2001:db8::1", 70)
	for _, row := range []struct {
		name, want string
		bad        *pb.StaticRoute
	}{
		{"a full VNI", "FailedPrecondition: routes[2]: vni-max-prefixes: vni 9 has 1 prefixes, no room for 10.0.1.0/24", static(9, "10.0.1.0/24", "2001:db8::1", 0)},
		{"an unspecified target", `FailedPrecondition: routes[2]: next-hop-invalid: vni 9, 10.0.0.0/24 by ::`, static(9, "10.0.0.0/24", "::", 0)},
		{"no prefix", `InvalidArgument: routes[2]: prefix: "" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32`, static(9, "", "::1", 0)},
		{"no target", `InvalidArgument: routes[2]: target: "" is not an IPv6 address`, static(9, "::/0", "", 0)},
		{"an IPv4 target", `InvalidArgument: routes[2]: target: "192.0.2.1" is not an IPv6 address`, static(9, "::/0", "192.0.2.1", 0)},
		{"a preference", "InvalidArgument: routes[2]: preference: 256 is out of range (1 to 255)", static(9, "::/0", "2001:db8::1", 256)},
		{"a type", `InvalidArgument: routes[2]: type: "anycast" is none of standard, nat, loadbalancer-target`,
			&pb.StaticRoute{Prefix: "::/0", NextHop: &pb.NextHop{Target: "2001:db8::1", Type: "anycast"}}},
		{"ports of a standard route", "InvalidArgument: routes[2]: natFrom, natTo: 1 to 2 are for nat, and the type is standard",
			&pb.StaticRoute{Prefix: "::/0", NextHop: &pb.NextHop{Target: "2001:db8::1", NatFrom: 1, NatTo: 2}}},
		{"ports", "InvalidArgument: routes[2]: natFrom, natTo: 1 to 65536 is no range of ports (0 to 65535)",
			&pb.StaticRoute{Prefix: "::/0", NextHop: &pb.NextHop{Target: "2001:db8::1", Type: "nat", NatFrom: 1, NatTo: 65536}}},
	} {
		if got := o.announce(t, false, good, static(9, "10.0.0.0/24", "2001:db8::1", 0), row.bad); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if diff := cmp.Diff([]string{"200 10.0.0.0/24 2001:db8::1 static 60"}, o.routes()); diff != "" {
			t.Fatalf("%s (-want +is):\n%s", row.name, diff)
		}
	}
	if got, want := o.announce(t, true, good), "FailedPrecondition: routes cannot be kept: api.static-routes is off"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := o.announce(t, false), "InvalidArgument: routes: there are none, want at least one"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDamagedFileIsSetAsideAndTold(t *testing.T) {
	const good = `{"routes": [{"vni": 200, "prefix": "10.0.0.0/24", "target": "2001:db8::1"}]}`
	for _, row := range []struct{ name, text, want string }{
		{"an empty one", "", "line 1: it ends too early"},
		{"half a file", "{\n\"routes\": [\n{\"vni\": 1,", "line 3: it ends too early"},
		{"another format", "routes:\n", "line 1: invalid character 'r' looking for beginning of value"},
		{"a broken line", "{\"routes\": [\n{\"vni\": 1,\n]}", "line 3: invalid character ']'"},
		{"a key too many", "{\"routes\": [\n{\"vni\": 1, \"colour\": 1}]}", `unknown field "colour"`},
		{"a text for a number", "{\"routes\": [\n{\"vni\": \"1\"}]}", "line 2: json: cannot unmarshal string"},
		{"two of them", good + "\n" + good, "something behind the end"},
		{"a prefix", strings.Replace(good, "/24", "/33", 1), `routes[0].prefix: "10.0.0.0/33" is not a prefix`},
		{"a target", strings.Replace(good, "2001:db8::1", "x", 1), `routes[0].target: "x" is not an IPv6 address`},
	} {
		path := filepath.Join(t.TempDir(), "static-routes.json")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := operate(t, path)
		if n := len(o.routes()); n != 0 {
			t.Errorf("%s: %d routes", row.name, n)
		}
		last := o.log.LastEntry()
		if last == nil || last.Level != logrus.ErrorLevel || last.Data["file"] != path || !strings.Contains(last.Data[logrus.ErrorKey].(error).Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, o.log.AllEntries(), row.want)
		}
		if aside, err := os.ReadFile(path + damaged); err != nil || string(aside) != row.text {
			t.Errorf("%s is not set aside: %q %v", row.name, aside, err)
		}
		if got := o.announce(t, true, static(200, "::/0", "2001:db8::1", 0)); got != "1" {
			t.Errorf("%s: then %s", row.name, got)
		}
	}
}
