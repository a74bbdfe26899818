package main

import (
	"strings"
	"testing"
)

func TestEveryVerdictIsCounted(t *testing.T) {
	for _, row := range []struct {
		name   string
		events string
		want   string
		exit   int
	}{
		{
			"all passed",
			`{"Action":"run","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
			{"Action":"pass","Package":"p"}`,
			"ok  \tp\t0.1s\n1 passed, 0 failed, 0 skipped\n", 0,
		},
		{
			"a failure shows its output",
			`{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:1: wrong\n"}
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p"}`,
			"    a_test.go:1: wrong\n0 passed, 1 failed, 0 skipped\n", 1,
		},
		{
			"a skip shows its reason",
			`{"Action":"output","Package":"p","Test":"A","Output":"=== RUN   A\n"}
			{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:1: no frr\n"}
			{"Action":"output","Package":"p","Test":"A","Output":"--- SKIP: A (0.00s)\n"}
			{"Action":"skip","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p"}`,
			"skipped: p A: a_test.go:1: no frr\n0 passed, 0 failed, 1 skipped\n", 0,
		},
		{
			"a package that does not build is a failure",
			`{"Action":"build-output","ImportPath":"p","Output":"p.go:1: nonsense\n"}
			{"Action":"build-fail","ImportPath":"p"}
			{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			"p.go:1: nonsense\n0 passed, 1 failed, 0 skipped\n", 1,
		},
		{
			"a test without a verdict is a failure",
			`{"Action":"output","Package":"p","Test":"A","Output":"panic: oh\n"}`,
			"p A did not end:\npanic: oh\n0 passed, 1 failed, 0 skipped\n", 1,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var sum tally
			var out strings.Builder
			if err := sum.read(strings.NewReader(row.events), &out); err != nil {
				t.Fatal(err)
			}
			if exit := sum.finish(&out); exit != row.exit {
				t.Errorf("exit status %d, want %d", exit, row.exit)
			}
			if out.String() != row.want {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), row.want)
			}
		})
	}
}

func TestEveryGroupOfArgumentsIsOneRun(t *testing.T) {
	got := split([]string{"-race", "./a", "--", "./b"}, "--")
	if len(got) != 2 || strings.Join(got[0], " ") != "-race ./a" || strings.Join(got[1], " ") != "./b" {
		t.Errorf("got %q", got)
	}
}

func TestRunsAtTheSameTimeAreCountedTogether(t *testing.T) {
	var sum tally
	sum.run([][]string{{"-run", "TestEveryGroup", "."}, {"-run", "TestEveryVerdict", "."}, {"./nowhere"}})
	if sum.passed != 1+6 || sum.failed != 1 {
		t.Errorf("got %+v, want 1 and 6 that passed, and a package that is not there", sum)
	}
}
