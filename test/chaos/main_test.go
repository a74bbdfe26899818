// Package chaos hurts a whole network of MetalBond servers, bridges, hypervisors
// and a BGP fabric at random, and compares every table with a model whenever it
// is left in peace.
//
// What happens is decided by a seed alone, so that a run can be repeated:
//
//	go test ./test/chaos                                    the seeds of every run, and all that ever failed
//	go test ./test/chaos -run Network -duration 1h -timeout 0       new seeds for an hour, from the time of day
//	go test ./test/chaos -run Network -seed 7 -rounds 20 -timeout 0 one seed
//
// How fast the network answers is not repeatable, so a seed may fail now and
// then. A failure prints the seed, what was done, and how tables differ.
package chaos

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"mbbgp/test/lab"
)

var (
	duration = flag.Duration("duration", 0, "go on with further seeds for this long")
	first    = flag.Uint64("seed", 0, "the first seed, with -duration; or the only one")
	rounds   = flag.Int("rounds", 6, "of each seed")
)

func TestMain(m *testing.M) { lab.Main(m) }

// always are the seeds of every run. Together with a setting each they cover
// all kinds of parts.
var always = []struct {
	seed uint64
	setting
}{
	{1, setting{}},
	{2, setting{stock: [2]bool{true, false}}},
	{3, setting{frr: true}},
}

// failed are seeds that ever failed, and what was wrong.
var failed = []struct {
	name   string
	seed   uint64
	rounds int
	setting
}{}

func TestNetworkIsRightWheneverItIsLeftInPeace(t *testing.T) {
	if *duration > 0 || *first != 0 {
		explore(t)
		return
	}
	for _, row := range always {
		t.Run(fmt.Sprintf("seed %d, %v", row.seed, row.setting), func(t *testing.T) {
			t.Parallel()
			play(t, row.seed, row.setting, *rounds)
		})
	}
	for _, row := range failed {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			play(t, row.seed, row.setting, row.rounds)
		})
	}
}

// explore plays seeds that nobody has played before.
func explore(t *testing.T) {
	seed := *first
	if seed == 0 {
		seed = uint64(time.Now().Unix())
	}
	for begun := time.Now(); ; seed++ {
		s := settingOf(seed)
		t.Run(fmt.Sprintf("seed %d, %v", seed, s), func(t *testing.T) { play(t, seed, s, *rounds) })
		if time.Since(begun) >= *duration {
			return
		}
	}
}
