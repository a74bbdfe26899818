// Fib measures how fast routes get into the kernel, with the same routes in one
// run on one machine: by mbbgp, by `ip -batch` (encapsulation in every route,
// and next hop objects), and by the stock MetalBond client.
//
//	feeder (MetalBond) -> mbbgp, or metalbond client -> kernel
//	file -> ip -batch                                -> kernel
//
// It builds the programs, works in a network namespace of its own and leaves
// nothing behind. It needs root. Run it from the top of the module:
//
//	go run ./test/fib -routes 10000,100000,1000000
//	go run ./test/fib -guest -tunnel ip6tnl      # in the kernel of test/guest
//
// Times count from the first byte that the feeder sends (the start of ip) to the
// kernel's notice of the last route. CPU is of the program alone, in itself and
// in the kernel. Memory is what the program grew by (resident) and what the
// kernel's slab grew by, divided by the routes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// insideVar is set in the namespace; it names the folder with the programs.
const insideVar = "MBBGP_FIB_PROGRAMS"

// errInside is any error in the namespace, where it has been printed.
var errInside = errors.New("failed in the network namespace")

func main() {
	routes := flag.String("routes", "10000,100000", "how many routes: a list of numbers")
	nexthops := flag.Int("nexthops", 1000, "hypervisors that they are spread over, 1 to 65536")
	tunnel := flag.String("tunnel", "seg6", "seg6 or ip6tnl")
	families := flag.String("families", "4,6", "4, 6, or both")
	ways := flag.String("ways", "mbbgp,ip,metalbond", "what to measure")
	guest := flag.Bool("guest", false, "run in the kernel of test/guest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, *routes, *families, fib{nexthops: *nexthops, tunnel: *tunnel, ways: strings.Split(*ways, ",")}, *guest)
	if err != nil {
		if err != errInside {
			fmt.Fprintln(os.Stderr, "fib:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes, families string, f fib, guest bool) error {
	if f.tunnel != "seg6" && f.tunnel != "ip6tnl" {
		return fmt.Errorf("-tunnel %q: want seg6 or ip6tnl", f.tunnel)
	}
	if f.nexthops < 1 || f.nexthops > 1<<16 {
		return fmt.Errorf("-nexthops %d: want 1 to 65536", f.nexthops)
	}
	numbers, err := parse("-routes", sizes, 1<<24)
	if err != nil {
		return err
	}
	kinds, err := parse("-families", families, 6)
	if err != nil {
		return err
	}
	f.programs = os.Getenv(insideVar)
	if f.programs == "" {
		return again(ctx, guest)
	}
	if f.work, err = os.MkdirTemp("", "mbbgp-fib-"); err != nil {
		return err
	}
	defer os.RemoveAll(f.work)
	if err := f.network(ctx); err != nil {
		return err
	}
	fmt.Println(header)
	for _, n := range numbers {
		for _, family := range kinds {
			f.routes, f.six = n, family == 6
			if err := f.measure(ctx); err != nil {
				return fmt.Errorf("%d routes, IPv%d: %w", n, family, err)
			}
		}
	}
	return nil
}

// parse reads a list of numbers.
func parse(name, text string, most int) ([]int, error) {
	var list []int
	for _, s := range strings.Split(text, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%s %q: want numbers from 1 to %d", name, text, most)
		}
		list = append(list, n)
	}
	return list, nil
}

// again builds the programs and starts this one in a network namespace, or in
// the guest.
func again(ctx context.Context, guest bool) error {
	programs, err := os.MkdirTemp("", "mbbgp-fib-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(programs)
	for _, b := range [][3]string{
		{"mbbgp", ".", "./cmd/mbbgp"},
		{"metalbond", "test/peers", "github.com/ironcore-dev/metalbond/cmd"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(programs, b[0]), b[2])
		cmd.Dir = b[1]
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build of %s: %w", b[0], err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"unshare", "--net", self}
	if guest {
		args = append([]string{"test/guest"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), insideVar+"="+programs, "MBBGP_GUEST_MEMORY=6G")
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return errInside
	}
	return err
}
