// Command clab starts the labs of labs/containerlab without Docker: the same
// topology files, with nodes as sets of Linux namespaces that see the files of
// this machine, and links as veth pairs. It knows what these labs use, and says
// so of anything else.
//
//	go run ./test/clab up NAME               starts a lab
//	go run ./test/clab check NAME            runs its script that looks whether everything works
//	go run ./test/clab exec NAME NODE CMD... runs a command on a node
//	go run ./test/clab kill NAME NODE        ends a node at once
//	go run ./test/clab down NAME             removes it
//	go run ./test/clab run NAME [CMD...]     up, check (or the command), down
//
// It takes root. Where this machine's kernel lacks what a lab needs, run boots
// another one in a virtual machine (test/guest).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
)

// initCommand is what nodes begin with; it is not for people.
const initCommand = "init"

func main() {
	if len(os.Args) == 3 && os.Args[1] == initCommand {
		initNode(os.Args[2])
	}
	state := flag.String("state", "/run/mbbgp-labs", "`FOLDER` for what runs")
	program := flag.String("mbbgp", "", "`PATH` of an mbbgp that is built already")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: clab [FLAG...] up|check|exec|kill|down|run NAME [ARGUMENT...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	status, err := command(*state, *program, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "clab:", err)
	}
	os.Exit(status)
}

// command carries out a command and returns the exit status.
func command(state, program string, args []string) (status int, err error) {
	if len(args) < 2 {
		flag.Usage()
		return 2, nil
	}
	if os.Geteuid() != 0 {
		return 1, errors.New("this takes root")
	}
	l, err := openLab(state, args[1])
	if err != nil {
		return 1, err
	}
	rest := args[2:]
	switch verb := args[0]; {
	case verb == "up" && len(rest) == 0:
		if err := l.probe(); err != nil {
			return 1, fmt.Errorf("%w\nclab run, or make lab-check, starts, checks and removes it in a virtual machine", err)
		}
		err = l.up(program)
	case verb == "check" && len(rest) == 0:
		return finish(l.check(l.dir()+"/check", nil))
	case verb == "exec" && len(rest) >= 2:
		return finish(l.command(rest[0], rest[1:]...))
	case verb == "kill" && len(rest) == 1:
		err = l.kill(rest[0])
	case verb == "down" && len(rest) == 0:
		err = l.down()
	case verb == "run":
		return l.run(program, rest)
	default:
		flag.Usage()
		return 2, nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// check prepares a command outside of the nodes, to which the environment tells
// how to get at them.
func (l *lab) check(name string, args []string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	self, err := os.Executable()
	if err != nil {
		cmd.Err = err
		return cmd
	}
	call := self + " -state " + filepath.Dir(l.state)
	cmd.Dir = l.dir()
	cmd.Env = append(os.Environ(), "CLAB_EXEC="+call+" exec "+l.file, "CLAB_KILL="+call+" kill "+l.file)
	return cmd
}

// finish runs a command in the foreground and returns its exit status.
func finish(cmd *exec.Cmd) (status int, err error) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// run is up, a command, and down, in a virtual machine if need be.
func (l *lab) run(program string, args []string) (status int, err error) {
	if lack := l.probe(); lack != nil {
		if os.Getenv(guestVar) != "" {
			return 1, lack
		}
		fmt.Printf("%v\nso this runs in a virtual machine\n", lack)
		return l.runInGuest(program, args)
	}
	// An interrupt is for the command; what was started is taken down behind it.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	// Nodes end with the thread that started them.
	runtime.LockOSThread()
	l.tied = true
	if err := l.up(program); err != nil {
		return 1, err
	}
	cmd := l.check(l.dir()+"/check", nil)
	if len(args) > 0 {
		cmd = l.check(args[0], args[1:])
	}
	status, err = finish(cmd)
	if status != 0 {
		err = errors.Join(err, l.logs())
	}
	if downErr := l.down(); downErr != nil {
		status, err = 1, errors.Join(err, downErr)
	}
	return status, err
}
