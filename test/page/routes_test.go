package page

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mbbgp/test/lab"
)

// file fetches a file from a node, with its content type.
func file(t *testing.T, from *lab.Node, url string) (kind, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: from.Dial, DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", url, answer.Status, err)
	}
	return answer.Header.Get("Content-Type"), string(text)
}

// own are the date and the version, which are each server's own.
var own = regexp.MustCompile(`(?m)^( *"?(?:date|metalbond[vV]ersion)"?: *).*$`)

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestRouteFilesAreThoseOfMetalbond(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	stock, ours := l.Node("stock", "2001:db8::1/64"), l.Node("ours", "2001:db8::2/64")
	stockServer, ourServer := stock.MetalBondServer(), ours.Server()
	h := l.Node("h", "2001:db8::a/64").Hypervisor()
	h.Connect("[2001:db8::1]:4711", "[2001:db8::2]:4711")
	const url = "http://[::1]:4712/routes."
	same := func() {
		t.Helper()
		for _, kind := range []string{"json", "yaml"} {
			wantType, want := file(t, stock, url+kind)
			gotType, got := file(t, ours, url+kind)
			if gotType != wantType {
				t.Errorf("%s: content type %q, metalbond's is %q", kind, gotType, wantType)
			}
			got, want = own.ReplaceAllString(got, "$1"), own.ReplaceAllString(want, "$1")
			if kind == "yaml" { // metalbond's destinations come in any order
				got, want = sortedLines(got), sortedLines(want)
			}
			if got != want {
				t.Errorf("routes.%s:\n%s\nmetalbond's:\n%s", kind, got, want)
			}
		}
	}
	h.Do("subscribe 300")
	same()
	// Orders of numbers, of texts and of addresses are different ones in each.
	routes := []string{
		"1000#10.0.0.0/8#2001:db8::a", "200#9.0.0.0/8#2001:db8::a", "200#10.0.0.0/8#2001:db8::a", "200#10.0.0.0/16#2001:db8::a",
		"200#::/0#2001:db8::a", "200#2001:db8:a::/48#2001:db8::a", "200#2001:db8:1:2:3:4:5:6/128#2001:db8:1111:2222:3333:4444:5555:6666",
		"200#10.0.0.9/32#2001:db8::1:0", "200#10.0.0.9/32#2001:db8::10", "200#10.0.0.9/32#2001:db8::9", "200#10.0.0.9/32#2001:db8::a#NAT#1#1023",
		"200#10.0.0.8/32#::1", "200#10.0.0.8/32#fd00::", "7#192.0.2.1/32#2001:db8::a#LB",
	}
	for _, r := range routes {
		h.Do("announce %s", r)
	}
	stockServer.WaitRoutes(patience, routes...)
	ourServer.WaitRoutes(patience, routes...)
	same()
	h.Do("withdraw %s", routes[0])
	stockServer.WaitRoutes(patience, routes[1:]...)
	ourServer.WaitRoutes(patience, routes[1:]...)
	same()
}
