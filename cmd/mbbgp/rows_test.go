package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "mbbgp/plugin/api/v1"
)

func TestListsAreSortedByVNIPrefixAndRoute(t *testing.T) {
	list := []*pb.Route{
		{Vni: 200, Prefix: "10.0.0.10/32"}, {Vni: 200, Prefix: "10.0.0.9/32"}, {Vni: 200, Prefix: "2001:db8::/32"},
		{Vni: 100, Prefix: "::/0"}, {Vni: 200, Prefix: "10.0.0.0/8"}, {Vni: 200, Prefix: "10.0.0.0/24"},
	}
	write := func(asJSON bool) string {
		var text strings.Builder
		out := newRows(&text, asJSON, "VNI", "PREFIX")
		for _, m := range list {
			out.add(m, rowKey{vni: m.GetVni(), prefix: prefixOf(m)}, fmt.Sprint(m.GetVni()), m.GetPrefix())
			if err := out.flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.end(); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	const want = `VNI  PREFIX
100  ::/0
200  10.0.0.0/8
200  10.0.0.0/24
200  10.0.0.9/32
200  10.0.0.10/32
200  2001:db8::/32
`
	if diff := cmp.Diff(want, write(false)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text := write(true); !strings.HasPrefix(text, "[\n  {\"vni\":100,\"prefix\":\"::/0\"") || !strings.HasSuffix(text, "}\n]\n") {
		t.Errorf("JSON:\n%s", text)
	}
}

func TestLongListIsAlignedAsItComes(t *testing.T) {
	const want = `   VNI  PREFIX
*  7    10.0.0.0/8
   200  10.1.0.0/16
*  4294967295  10.2.0.0/16
*  8           10.3.0.0/16
`
	var got strings.Builder
	r := newRows(&got, false, "", "VNI", "PREFIX")
	r.sorted = 1
	for i, line := range [][]string{{"*", "7", "10.0.0.0/8"}, {"", "200", "10.1.0.0/16"}, {"*", "4294967295", "10.2.0.0/16"}, {"*", "8", "10.3.0.0/16"}} {
		r.add(&pb.Route{}, rowKey{}, line...)
		if i%2 == 1 {
			if err := r.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.end(); err != nil || got.String() != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got.String()))
	}
}
