package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/kernel"
	"mbbgp/rib"
)

// leave removes what is ours from the kernel when a daemon has ended, if that
// is asked for: by the configuration, or by a drain, which waits first for the
// packets that are still on their way, until ctx ends.
func leave(ctx context.Context, cfg *config.Config, drain bool, log logrus.FieldLogger) error {
	if cfg.Kernel == nil || !drain && !cfg.Kernel.Cleanup {
		return nil
	}
	if drain {
		notifyDrain(cfg.Kernel.Drain)
		log.WithField("drain", cfg.Kernel.Drain).Info("everything is withdrawn, still forwarding")
		select {
		case <-time.After(cfg.Kernel.Drain):
		case <-ctx.Done():
		}
	}
	return kernel.Cleanup(cfg, log)
}

// kernelCondition is met once the tables are in the kernel for the first time.
// A route that the kernel refuses for longer is shown, and no reason to be out
// of service.
func (d *daemon) kernelCondition() api.Condition {
	c := api.Condition{Name: "kernel", Detail: "the first tables are not in the kernel yet"}
	if !closed(d.kernel.Ready()) {
		return c
	}
	i := d.kernel.Info()
	if i.Synced {
		return api.Condition{Name: "kernel", OK: true}
	}
	pending := 0
	for _, t := range i.Tables {
		pending += t.Pending
	}
	c.Detail = count(pending, "pending change")
	return d.patient(c)
}

// explainKernel says what there is of a prefix in the kernel's table of a VNI,
// nil if it has none.
func (d *daemon) explainKernel(vni rib.VNI, p netip.Prefix) *api.KernelRoute {
	if d.kernel == nil {
		return nil
	}
	r, ok := d.kernel.Route(vni, p)
	if !ok {
		return nil
	}
	return &api.KernelRoute{Table: r.Table, Installed: r.Installed, Problem: r.Problem, NextHops: kernelHops(r.NextHops)}
}

// kernelState is what is shown of the kernel's side.
func (d *daemon) kernelState() api.Kernel {
	i := d.kernel.Info()
	k := api.Kernel{
		Synced: i.Synced, Since: i.Since, Swept: i.Swept, NextHopObjects: i.Objects,
		NextHops: kernelHops(i.NextHops),
		Counters: api.KernelCounters{
			Installed: i.Counters.Installed, Removed: i.Counters.Removed, NextHops: i.Counters.NextHops,
			Restored: i.Counters.Restored, Swept: i.Counters.Swept,
			Failed: i.Counters.Failed, Resyncs: i.Counters.Resyncs, ScanLasted: i.Counters.ScanLasted.Seconds(),
		},
	}
	if !i.Synced {
		k.Since = time.Time{}
	}
	for _, t := range i.Tables {
		k.Tables = append(k.Tables, api.KernelTable{
			VNI: t.VNI, Table: t.Table, VRF: t.VRF, Routes: t.Routes, Unclaimed: t.Unclaimed,
			Pending: t.Pending, Conflicts: t.Conflicts, Steered: t.Steered, Contested: t.Contested, Dropped: t.Dropped, LastError: t.LastError,
		})
	}
	for _, x := range i.Devices {
		k.Devices = append(k.Devices, api.KernelDevice{Name: x.Name, Kind: x.Kind, VNI: x.VNI, Ours: x.Ours, OK: x.OK, Problem: x.Problem})
	}
	return k
}

func kernelHops(hops []kernel.NextHopInfo) []api.KernelNextHop {
	var list []api.KernelNextHop
	for _, h := range hops {
		list = append(list, api.KernelNextHop{
			Kind: h.Kind, Target: h.Target, VNI: h.VNI, RouterMAC: h.MAC, Label: h.Label, ID: h.ID,
			Routes: h.Routes, Reachable: h.Reachable, Device: h.Device, Gateway: h.Gateway,
		})
	}
	return list
}
