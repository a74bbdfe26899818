package main

// A reload reads the file again and applies the difference to what is running.
// Everything is read, checked and told before anything changes; what cannot be
// applied to a running process refuses all of it. Then what packets and routes
// need is there before somebody is told of it, and what they do not need any
// more goes when nobody is told of it any more:
//
//	kernel   VNIs that are new or changed, next to those that are gone
//	bridge   VNIs, policies, limits: routes follow
//	servers, clients, neighbours
//	kernel   without the VNIs that are gone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
)

// errReloading refuses a reload while another one is under way.
var errReloading = errors.New("another reload is under way")

// reloads are the reloads of a daemon.
type reloads struct {
	sync.Mutex                   // held by reload
	passwords  map[string]string // guarded by Mutex; in the files that the running configuration names
	half       bool              // guarded by Mutex; the last one stopped half-way
}

// restartError says what a reload cannot change.
type restartError struct{ changes []config.Change }

// Error names each key.
func (e restartError) Error() string {
	text := "nothing has changed: these changes need a restart"
	for _, c := range e.changes {
		text += "\n" + c.String()
	}
	return text
}

// runReloading runs the daemon, and reloads at each SIGHUP.
func (d *daemon) runReloading(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				_, _ = d.operator.Reload(ctx) // which tells the log
			}
		}
	})
	defer waiting.Wait()
	defer stop()
	defer signal.Stop(hangups)
	return d.Run(ctx)
}

// reload makes the configuration in a file the running one.
func (d *daemon) reload(ctx context.Context, file string, log *logs) (api.Reloaded, error) {
	if !d.reloads.TryLock() {
		return api.Reloaded{}, errReloading
	}
	defer d.reloads.Unlock()
	changes, err := d.reloadLocked(ctx, file, log)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			d.log.WithField("file", file).Error("reload: " + strings.TrimSuffix(line, "\n"))
		}
		return api.Reloaded{}, err
	}
	d.log.WithFields(logrus.Fields{"file": file, "changes": len(changes)}).Info("the configuration was reloaded")
	var list []api.Change
	for _, c := range changes {
		list = append(list, api.Change{Path: c.Path, Old: c.Old, New: c.New, How: c.How.String()})
	}
	return api.Reloaded{Changes: list}, nil
}

func (d *daemon) reloadLocked(ctx context.Context, file string, log *logs) ([]config.Change, error) {
	was := d.running.Load()
	cfg, err := config.Load(file)
	if err == nil {
		err = checkUse(file, cfg, io.Discard)
	}
	if err != nil {
		return nil, err
	}
	passwords := passwordsOf(cfg)
	changes := append(config.Diff(was, cfg), d.passwordChanges(cfg, passwords)...)
	if refused := slices.DeleteFunc(slices.Clone(changes), func(c config.Change) bool { return c.How != config.Restart }); len(refused) > 0 {
		return nil, restartError{refused}
	}
	step, err := d.prepare(cfg)
	if err != nil {
		return nil, inFile(file, fmt.Errorf("nothing has changed: %w", err))
	}
	if len(changes) == 0 && !d.reloads.half {
		return nil, nil
	}
	for _, c := range changes {
		d.log.WithFields(logrus.Fields{"path": c.Path, "old": c.Old, "new": c.New, "how": c.How}).Info("the configuration changes")
	}
	d.reloads.half = true
	now, err := d.apply(ctx, was, cfg, step)
	d.running.Store(now)
	if err != nil {
		return nil, fmt.Errorf("%w\nthe rest was applied; another reload tries this again", err)
	}
	if log != nil {
		err = log.apply(cfg.Log)
	}
	d.reloads.half, d.reloads.passwords = false, passwords
	return changes, err
}

// prepare finds what apply would fail at.
func (d *daemon) prepare(cfg *config.Config) (*gobgp.Step, error) {
	if err := d.bridge.Check(cfg); err != nil {
		return nil, err
	}
	if d.speaker == nil {
		return nil, nil
	}
	if !closed(d.speaker.Ready()) {
		return nil, errors.New("BGP has not started yet")
	}
	return d.speaker.Prepare(cfg)
}

// apply leads from one configuration to another, and returns the one that is in
// force then.
func (d *daemon) apply(ctx context.Context, was, cfg *config.Config, step *gobgp.Step) (*config.Config, error) {
	if d.kernel != nil {
		d.kernel.Apply(both(was, cfg))
	}
	if err := d.bridge.Apply(cfg); err != nil {
		return was, err
	}
	d.memory.set(cfg.MemoryLimit)
	d.client.Reconfigure(clientOptions(cfg))
	for _, vni := range configuredVNIs(cfg) {
		d.client.Subscribe(vni)
	}
	if d.server != nil {
		d.server.Reconfigure(serverOptions(cfg))
	}
	var err error
	now := *cfg
	if step != nil {
		if err = step.Apply(ctx); err != nil {
			now.BGP = was.BGP
		}
	}
	if d.kernel != nil {
		d.kernel.Apply(cfg)
	}
	return &now, err
}

// both is a configuration with the VNIs of another one that are not in it, as
// far as they have nothing in the kernel that another VNI has now.
func both(was, cfg *config.Config) *config.Config {
	joint := *cfg
	joint.VNIs = slices.Clone(cfg.VNIs)
	for _, v := range was.VNIs {
		shares := func(x config.VNI) bool {
			if x.VNI == v.VNI || x.Table == v.Table || x.Gateway == v.Gateway {
				return true
			}
			for _, name := range []string{v.VRF, v.DecapDevice, v.VXLANDevice} {
				if name != "" && slices.Contains([]string{x.VRF, x.DecapDevice, x.VXLANDevice}, name) {
					return true
				}
			}
			return false
		}
		if v.Table != 0 && !slices.ContainsFunc(cfg.VNIs, shares) {
			joint.VNIs = append(joint.VNIs, v)
		}
	}
	return &joint
}

// passwordsOf returns what is in the password files of neighbours, by file.
func passwordsOf(cfg *config.Config) map[string]string {
	all := map[string]string{}
	if cfg.BGP == nil {
		return all
	}
	read := func(file string) {
		if text, err := os.ReadFile(file); file != "" && err == nil {
			all[file] = string(text)
		}
	}
	for _, n := range cfg.BGP.Neighbors {
		read(n.PasswordFile)
	}
	for _, n := range cfg.BGP.DynamicNeighbors {
		read(n.PasswordFile)
	}
	return all
}

// passwordChanges are those of neighbours whose password file has another
// password in it.
func (d *daemon) passwordChanges(cfg *config.Config, now map[string]string) (list []config.Change) {
	if cfg.BGP == nil {
		return nil
	}
	note := func(path, file string) {
		was, known := d.reloads.passwords[file]
		if known && was != now[file] {
			list = append(list, config.Change{Path: path + ".password-file", Old: file + " (before)", New: file + " (now)", How: config.Session})
		}
	}
	for _, n := range cfg.BGP.Neighbors {
		note(fmt.Sprintf("bgp.neighbors[address=%v]", n.Address), n.PasswordFile)
	}
	for _, n := range cfg.BGP.DynamicNeighbors {
		note(fmt.Sprintf("bgp.dynamic-neighbors[prefix=%v]", n.Prefix), n.PasswordFile)
	}
	return list
}
