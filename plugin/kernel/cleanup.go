package kernel

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// Cleanup removes from the kernel all that is ours: routes, NAT steering, next
// hop objects, and the devices, addresses, rules and segments that we made; what
// it was, is logged. It is an error if a Kernel of the same configuration runs.
func Cleanup(cfg *config.Config, log logrus.FieldLogger) error {
	if cfg.Kernel == nil {
		return nil
	}
	lock, err := acquire(cfg)
	if err != nil {
		return fmt.Errorf("kernel: cleanup: %w", err)
	}
	defer lock.release()
	conn, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("kernel: cleanup: %w", err)
	}
	defer conn.Close()
	f := newFIB(cfg, Tables{}, log)
	f.kernel = &socket{Conn: conn}
	f.objects = conn.SupportsNextHopObjects()
	devices, err := newDevices(cfg, func(rib.VNI) uint32 { return 0 }, conn, log)
	if err != nil {
		return fmt.Errorf("kernel: cleanup: %w", err)
	}
	defer devices.close()
	steering, err := newSteering(cfg, conn, f, log)
	if err != nil {
		return fmt.Errorf("kernel: cleanup: %w", err)
	}
	defer steering.close()
	if cfg.Kernel.RoutesOnly {
		err = errors.Join(f.removeRoutes(), f.removeObjects())
	} else {
		err = errors.Join(f.removeRoutes(), steering.remove(), f.removeObjects(), devices.remove())
	}
	if err != nil {
		return fmt.Errorf("kernel: cleanup: %w", err)
	}
	return nil
}

// removeRoutes removes all routes of ours.
func (f *fib) removeRoutes() error {
	for _, t := range f.tables {
		var list []key
		filter := rtnl.RouteFilter{Table: t.number, Protocol: f.cfg.Protocol}
		err := f.kernel.Routes(filter, func() { list = list[:0] }, func(r *rtnl.Route) error {
			if r.Metric == f.cfg.MetricFor(r.Prefix) {
				list = append(list, key{t, r.Prefix})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			f.log.WithFields(logrus.Fields{"vni": t.vni, "table": t.number, "routes": len(list)}).Info("removing routes")
		}
		for len(list) > 0 {
			some := list[:min(len(list), batchSize)]
			list = list[len(some):]
			for _, k := range some {
				f.kernel.DeleteRoute(f.route(k, noSet))
			}
			if err := f.removed(unix.ESRCH); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeObjects removes all next hop objects of ours.
func (f *fib) removeObjects() error {
	if !f.objects {
		return nil
	}
	var list []uint32
	err := f.kernel.NextHops(func() { list = list[:0] }, func(n *rtnl.NextHop) error {
		if f.ids.has(n.ID) && n.Protocol == f.cfg.Protocol {
			list = append(list, n.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(list) > 0 {
		f.log.WithField("objects", len(list)).Info("removing next hop objects")
	}
	for _, id := range list {
		f.kernel.DeleteNextHop(id)
	}
	return f.removed(unix.ENOENT)
}

// removed sends requests to remove things; that one was gone before is fine.
func (f *fib) removed(gone error) error {
	refusals, err := f.kernel.flush()
	if err != nil {
		return err
	}
	for _, r := range refusals {
		if !errors.Is(r.Err, gone) {
			return r.Err
		}
	}
	return nil
}
