package api

import (
	"strconv"

	"mbbgp/rib"
)

func (e emitter) kernel(k Kernel) {
	e.gauge("kernel_synced", "1 while all that the tables say is in the kernel.", truth(k.Synced))
	e.gauge("kernel_swept", "1 once what an earlier run left in the kernel and nobody claimed is gone.", truth(k.Swept))
	e.gauge("kernel_nexthop_objects", "1 if next hop objects are in use.", truth(k.NextHopObjects))
	for _, t := range k.Tables {
		labels := []string{"vni", number(t.VNI), "table", strconv.FormatUint(uint64(t.Table), 10)}
		e.gauge("kernel_routes", "Routes of ours in the kernel's table.", float64(t.Routes), labels...)
		e.gauge("kernel_unclaimed_routes", "Routes in the kernel's table that an earlier run left and nobody has announced yet.", float64(t.Unclaimed), labels...)
		e.gauge("kernel_pending_prefixes", "Prefixes of the table whose change failed and is tried again.", float64(t.Pending), labels...)
		e.gauge("kernel_conflicting_prefixes", "Prefixes of the table where a route of somebody else has our metric.", float64(t.Conflicts), labels...)
		e.gauge("kernel_steered_ranges", "NAT port ranges that are steered.", float64(t.Steered), labels...)
		e.gauge("kernel_contested_addresses", "NAT addresses of which several hypervisors claim the same ports.", float64(t.Contested), labels...)
		e.total("kernel_source_dropped_total", "Packets out of tunnels that were dropped because the VNI has no route to their source.", t.Dropped, labels...)
	}
	e.kernelNextHops(k.NextHops)
	e.kernelDevices(k.Devices)
	c := &k.Counters
	for operation, n := range map[string]uint64{"install": c.Installed, "remove": c.Removed, "sweep": c.Swept, "nexthop": c.NextHops} {
		e.total("kernel_operations_total", "Changes in the kernel: routes installed, removed, and swept after a restart, and changes of next hop objects.", n, "operation", operation)
	}
	for name, n := range c.Failed {
		e.total("kernel_failures_total", "Changes that the kernel refused.", n, "error", name)
	}
	e.total("kernel_restored_total", "Routes, next hops and devices put right that somebody else had changed.", c.Restored)
	for reason, n := range c.Resyncs {
		e.total("kernel_resyncs_total", "Comparisons with the whole kernel.", n, "reason", reason)
	}
	e.gauge("kernel_scan_seconds", "How long the last comparison with the whole kernel took.", c.ScanLasted)
}

func (e emitter) kernelNextHops(hops []KernelNextHop) {
	count := make(map[string]map[bool]int)
	for _, h := range hops {
		if count[h.Kind] == nil {
			count[h.Kind] = make(map[bool]int)
		}
		count[h.Kind][h.Reachable]++
	}
	for kind, n := range count {
		for _, reachable := range []bool{false, true} {
			e.gauge("kernel_nexthops", "Next hops in use, by whether the underlay has a route to them.", float64(n[reachable]),
				"kind", kind, "reachable", strconv.FormatBool(reachable))
		}
	}
}

// kernelDevices makes one series of what has one name and kind: a series must
// be unique.
func (e emitter) kernelDevices(devices []KernelDevice) {
	type key struct {
		name, kind string
		vni        rib.VNI
	}
	ok := make(map[key]bool)
	for _, d := range devices {
		k := key{d.Name, d.Kind, d.VNI}
		before, twice := ok[k]
		ok[k] = d.OK && (before || !twice)
	}
	for k, good := range ok {
		e.gauge("kernel_device_ok", "1 if a device, address, rule, segment or label that VNIs need is as it should be; vni 0: of all.", truth(good),
			"device", k.name, "kind", k.kind, "vni", number(k.vni))
	}
}

func number(vni rib.VNI) string { return strconv.FormatUint(uint64(vni), 10) }
